//! `Prefer: wait=SECONDS` (RFC 7240): wait for the outcome rather than for the acceptance.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::convert::Infallible;
use std::time::Duration;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest wait; who prefers longer gets this.
const MAX_SECONDS: u64 = 30;

/// How long the client would wait, if it said so. A preference that cannot be understood is none (RFC 7240 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait(pub(super) Option<u64>);

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(wait(&parts.headers)))
    }
}

impl Wait {
    /// The time to wait.
    pub(super) fn patience(self) -> Option<Duration> {
        self.0.map(Duration::from_secs)
    }

    /// Says that it was waited as preferred.
    pub(super) fn put_applied(self, headers: &mut HeaderMap) {
        if let Some(value) = self.0.and_then(|n| HeaderValue::from_str(&format!("wait={n}")).ok()) {
            headers.insert(APPLIED, value);
        }
    }
}

fn wait(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let mut preferences = lines.flat_map(|line| line.split(','));
    preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse::<u64>().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(seconds.min(MAX_SECONDS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        let read =
            |line: &'static str| wait(&HeaderMap::from_iter([(PREFER, HeaderValue::from_static(line))]));
        assert_eq!(read("wait=5"), Some(5));
        assert_eq!(read("respond-async, Wait = \"7\"; x=y"), Some(7));
        assert_eq!(read("wait=99999"), Some(MAX_SECONDS));
        assert_eq!(read("wait=soon"), None);
        assert_eq!(read("return=minimal"), None);
    }
}
