//! Whether a value fits a JSON Schema.

use serde_json::Value;

/// What a reference leads to; anything else is what it is.
pub fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(to) => document.pointer(&to[1..]).unwrap_or_else(|| panic!("{to} leads nowhere")),
        None => value,
    }
}

/// Says what of a value does not fit a schema, as far as our documents use JSON Schema.
pub fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolve(document, schema);
    let list = |keyword: &str| schema[keyword].as_array().map(Vec::as_slice);
    if let Some(some) = list("oneOf") {
        let fitting = some.iter().filter(|one| fits(document, one, value).is_ok()).count();
        if fitting != 1 {
            return Err(format!("{fitting} of {} forms fit {value}", some.len()));
        }
    }
    for part in list("allOf").unwrap_or_default() {
        fits(document, part, value)?;
    }
    if list("enum").is_some_and(|known| !known.contains(value)) {
        return Err(format!("{value} is none of {}", schema["enum"]));
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        return Err(format!("{value} is not {}", schema["const"]));
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
                fits(document, known, value).map_err(|why| format!("{name}: {why}"))?;
            } else if schema["additionalProperties"] == false {
                return Err(format!("{name} is not documented"));
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item)?;
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
