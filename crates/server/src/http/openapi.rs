//! `openapi.json`, made from the handlers and the types they take and give.

use serde_json::{Value, json};

/// The document.
#[must_use]
pub fn document() -> Value {
    let (_, document) = super::routes::routes();
    serde_json::to_value(document).unwrap_or(json!({}))
}
