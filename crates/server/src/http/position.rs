//! `Chat4All-Position`: reading one's own writes through any process.

use crate::error::{Failure, Result};
use crate::live::Hub;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const POSITION: HeaderName = HeaderName::from_static("chat4all-position");

/// Waits until what the request's header names can be read here.
pub(super) async fn reach(hub: &Hub, headers: &HeaderMap) -> Result<()> {
    let Some(position) = headers.get(POSITION) else { return Ok(()) };
    // What is not text cannot be one of ours.
    let position = position.to_str().map_err(|_| Failure::invalid(POSITION.as_str(), "must be text"))?;
    hub.readable_at(position).await
}

/// Tells where a write can be read.
pub(super) fn put(headers: &mut HeaderMap, position: Option<&str>) {
    if let Some(position) = position.and_then(|position| HeaderValue::from_str(position).ok()) {
        headers.insert(POSITION, position);
    }
}
