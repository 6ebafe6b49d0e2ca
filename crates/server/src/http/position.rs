//! `Chat4All-Position`: reading one's own writes through any process.

use crate::error::{Failure, Result};
use crate::live::{After, Hub};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

pub(super) const POSITION: HeaderName = HeaderName::from_static("chat4all-position");

/// Where messages are sent.
const SENDS: &str = "/v1/messages";

/// Waits until what the request's header names can be read here.
pub(super) async fn reach(hub: &Hub, request: &Parts) -> Result<()> {
    let Some(position) = request.headers.get(POSITION) else { return Ok(()) };
    // What is not text cannot be one of ours.
    let position = position.to_str().map_err(|_| Failure::invalid(POSITION.as_str(), "must be text"))?;
    let after = match request.method == Method::POST && request.uri.path() == SENDS {
        // The log keeps it behind what was sent before it, so that it is taken while nobody decides.
        true => After::Facts,
        false => After::Everything,
    };
    hub.readable_at(position, after).await
}

/// Tells where a write can be read.
pub(super) fn put(headers: &mut HeaderMap, position: Option<&str>) {
    if let Some(position) = position.and_then(|position| HeaderValue::from_str(position).ok()) {
        headers.insert(POSITION, position);
    }
}
