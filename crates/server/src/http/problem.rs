//! Failures as answers: `application/problem+json`.

use crate::error::{Failure, RateLimit, Result, seconds_up};
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chat4all_model::api;
use std::sync::Arc;

/// Where the caller stands with a limit.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limit itself.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What a handler answers.
pub(super) type Answer<T = Response> = Result<T, Problem>;

/// A failure on its way out. The [layer](super::layer) writes it, for it knows the request's id.
#[derive(Debug)]
pub(super) struct Problem(pub(super) Failure);

/// The failure that an answer carries until it is written.
#[derive(Debug, Clone)]
pub(super) struct Failed(pub(super) Arc<Failure>);

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(&self.0);
        response.extensions_mut().insert(Failed(Arc::new(self.0)));
        response
    }
}

fn status(failure: &Failure) -> StatusCode {
    StatusCode::from_u16(failure.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Writes a failure into the answer that carries it.
pub(super) fn write(response: &mut Response, failure: &Failure, request_id: &str) {
    let status = status(failure);
    let problem = api::Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: failure.detail.clone(),
        code: failure.code.as_str().to_owned(),
        errors: failure.errors.clone(),
        request_id: request_id.to_owned(),
        idempotency_key: failure.idempotency_key.clone(),
    };
    *response.status_mut() = status;
    *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = failure.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds_up(wait).max(1)));
    }
    if let Some(limit) = &failure.limit {
        put_limit(headers, limit);
    }
}

/// Tells the caller where it stands with a limit.
pub(super) fn put_limit(headers: &mut HeaderMap, limit: &RateLimit) {
    for (name, value) in [(RATE_LIMIT, limit.state()), (RATE_LIMIT_POLICY, limit.rule())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}
