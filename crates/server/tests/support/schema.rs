//! Holds answers to the API's document: the status is documented for the operation, the body fits its schema.

use super::Reply;
use axum::http::Method;
use chat4all_server::http::openapi;
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

/// Fails unless the document says that this request may have this answer. Paths and methods that are not
/// documented are passed over.
pub fn check(method: &Method, path: &str, reply: &Reply) {
    let Some(operation) = operation(method, path) else { return };
    let what = format!("{method} {path}: {} {}", reply.status, String::from_utf8_lossy(&reply.bytes));
    let answer = resolve(&operation["responses"][reply.status.as_str()]);
    assert!(answer.is_object(), "not documented: {what}");
    let kind = reply.header("content-type");
    let Some(content) = answer["content"].as_object() else {
        assert!(reply.bytes.is_empty(), "a body that is not documented: {what}");
        return;
    };
    let content = kind.and_then(|kind| content.get(kind)).unwrap_or_else(|| panic!("{kind:?}: {what}"));
    if let Err(why) = fits(&content["schema"], &reply.json()) {
        panic!("{why}: {what}");
    }
}

/// The operation of a path: the one with the fewest parameters whose template fits.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let parts = || path.split('/');
    let fits = |template: &str| {
        let mut pairs = template.split('/').zip(parts());
        template.split('/').count() == parts().count()
            && pairs.all(|(t, p)| t == p || (t.starts_with('{') && !p.is_empty()))
    };
    let all = DOCUMENT["paths"].as_object()?.iter().filter(|(template, _)| fits(template));
    let (_, item) = all.min_by_key(|(template, _)| template.matches('{').count())?;
    item.get(method.as_str().to_lowercase())
}

fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(to) => DOCUMENT.pointer(&to[1..]).unwrap_or_else(|| panic!("{to} leads nowhere")),
        None => value,
    }
}

/// What of JSON Schema the document uses.
fn fits(schema: &'static Value, value: &Value) -> Result<(), String> {
    let schema = resolve(schema);
    let list = |keyword: &str| schema[keyword].as_array().map(Vec::as_slice);
    if let Some(some) = list("oneOf") {
        let fitting = some.iter().filter(|one| fits(one, value).is_ok()).count();
        if fitting != 1 {
            return Err(format!("{fitting} of {} forms fit {value}", some.len()));
        }
    }
    for part in list("allOf").unwrap_or_default() {
        fits(part, value)?;
    }
    if list("enum").is_some_and(|known| !known.contains(value)) {
        return Err(format!("{value} is none of {}", schema["enum"]));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind, value)) {
        return Err(format!("{value} is not of type {kinds:?}"));
    }
    if let Some(object) = value.as_object() {
        if let Some(missing) = list("required")
            .unwrap_or_default()
            .iter()
            .find(|name| !object.contains_key(name.as_str().unwrap()))
        {
            return Err(format!("{missing} is missing"));
        }
        for (name, value) in object {
            let known = &schema["properties"][name];
            if known.is_object() {
                fits(known, value).map_err(|why| format!("{name}: {why}"))?;
            } else if schema["additionalProperties"] == false {
                return Err(format!("{name} is not documented"));
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        fits(&schema["items"], item)?;
    }
    Ok(())
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("no type {kind}"),
    }
}
