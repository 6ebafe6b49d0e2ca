//! Answers that several handlers give.

use super::position;
use super::problem::put_limit;
use crate::account::Limited;
use crate::chat::Changed;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chat4all_model::api::Pending;
use serde::Serialize;

/// The answer to a change that has nothing to show.
pub(super) fn changed(changed: &Changed) -> Response {
    match changed.is_pending() {
        true => pending(changed.position()),
        false => with_position(StatusCode::NO_CONTENT, changed.position()),
    }
}

/// The answer to a change that shows what it changed.
pub(super) fn changed_to<T: Serialize>(changed: &Changed, now: &T) -> Response {
    with_position((StatusCode::OK, Json(now)), changed.position())
}

/// It is durable, and nobody knows yet what comes of it.
pub(super) fn pending(at: Option<&str>) -> Response {
    with_position((StatusCode::ACCEPTED, Json(Pending { pending: true })), at)
}

/// An answer with the place where what was written can be read.
pub(super) fn with_position(answer: impl IntoResponse, at: Option<&str>) -> Response {
    let mut response = answer.into_response();
    position::put(response.headers_mut(), at);
    response
}

/// An answer with where the asker stands with a limit.
pub(super) fn limited<T: Serialize>(status: StatusCode, answer: &Limited<T>) -> Response {
    let mut response = (status, Json(&answer.value)).into_response();
    if let Some(limit) = &answer.limit {
        put_limit(response.headers_mut(), limit);
    }
    response
}
