//! Holds answers to the API's document: the status is documented for the operation, the body fits its schema.

use super::Reply;
use super::fits::{fits, resolve};
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
    let answer = resolve(&DOCUMENT, &operation["responses"][reply.status.as_str()]);
    assert!(answer.is_object(), "not documented: {what}");
    let kind = reply.header("content-type");
    let Some(content) = answer["content"].as_object() else {
        assert!(reply.bytes.is_empty(), "a body that is not documented: {what}");
        return;
    };
    let content = kind.and_then(|kind| content.get(kind)).unwrap_or_else(|| panic!("{kind:?}: {what}"));
    if let Err(why) = fits(&DOCUMENT, &content["schema"], &reply.json()) {
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
