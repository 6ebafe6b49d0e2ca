//! `Idempotency-Key`: by which a retry is known.

use super::problem::Problem;
use crate::chat::MAX_KEY;
use crate::error::Failure;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The request's key, if it has one.
#[derive(Debug)]
pub(super) struct Key(pub(super) Option<String>);

impl Key {
    pub(super) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut all = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(first) = all.next() else { return Ok(Self(None)) };
        let key = std::str::from_utf8(first.as_bytes())
            .ok()
            .filter(|key| (1..=MAX_KEY).contains(&key.chars().count()) && !key.chars().any(char::is_control));
        match (key, all.next()) {
            (Some(key), None) => Ok(Self(Some(key.to_owned()))),
            _ => {
                let message = format!("must be one key of 1 to {MAX_KEY} characters");
                Err(Failure::invalid("Idempotency-Key", message).into())
            }
        }
    }
}
