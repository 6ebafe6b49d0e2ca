//! Why a use-case did not do what was asked, in the words of the API and of no transport.

use chat4all_backend::ErrorKind;
use chat4all_model::api::{Code, FieldError};
use std::fmt;
use std::time::Duration;

/// What a use-case answers.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A refusal or a fault. Gateways turn it into a problem document or an error frame.
#[derive(Debug)]
pub struct Failure {
    /// The stable reason.
    pub code: Code,
    /// What is wrong and how to mend it, for the caller's eyes.
    pub detail: String,
    /// With `InvalidRequest`: each wrong field.
    pub errors: Vec<FieldError>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// With `OutcomeUnknown`: the key that makes the retry safe.
    pub idempotency_key: Option<String>,
    /// The limit that was checked on the way, refused or not.
    pub limit: Option<Box<RateLimit>>,
    /// What went wrong inside. For the log only.
    source: Option<Source>,
}

impl Failure {
    /// A failure with no more to say than its code and `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = match code {
            Code::Unavailable | Code::Overloaded => Some(Duration::from_secs(1)),
            _ => None,
        };
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after,
            idempotency_key: None,
            limit: None,
            source: None,
        }
    }

    /// One field is wrong.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// Several fields are wrong; all of them are told at once.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .first()
            .map_or_else(|| "the request is not valid".to_owned(), |e| format!("{}: {}", e.field, e.message));
        Self { errors, ..Self::new(Code::InvalidRequest, detail) }
    }

    /// Not there, or not for this caller's eyes: the two look the same.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing here that you may see")
    }

    /// The caller sees it and may not do this to it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, detail)
    }

    /// No bearer, or one that is good for nothing.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, detail)
    }

    /// A fault of ours. `source` goes to the log, never to the caller.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::new(Code::Internal, "something went wrong on our side").because(source)
    }

    /// Over a limit of hits.
    #[must_use]
    pub fn rate_limited(limit: RateLimit) -> Self {
        Self {
            retry_after: Some(limit.reset),
            limit: Some(Box::new(limit)),
            ..Self::new(Code::RateLimited, "too many requests; wait as long as Retry-After says")
        }
    }

    /// The same failure, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure, to be retried with `key`.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// The same failure, with the limit that was checked before it.
    #[must_use]
    pub fn with_limit(mut self, limit: Option<RateLimit>) -> Self {
        if self.limit.is_none() {
            self.limit = limit.map(Box::new);
        }
        self
    }

    /// Whether it is a fault of ours (5xx), to be logged with its cause.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.code.status() >= 500
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

impl From<chat4all_backend::Error> for Failure {
    fn from(error: chat4all_backend::Error) -> Self {
        let failure = match error.kind {
            ErrorKind::Unavailable => {
                Self::new(Code::Unavailable, "a part of the service cannot be reached now")
            }
            ErrorKind::Overloaded => Self::new(Code::Overloaded, "too much is asked of the service now"),
            ErrorKind::OutcomeUnknown => {
                Self::new(Code::OutcomeUnknown, "it may have been done or not; retry with the same key")
            }
            ErrorKind::Trimmed
            | ErrorKind::Truncated
            | ErrorKind::Conflict
            | ErrorKind::Corrupt
            | ErrorKind::Invalid => return Self::internal(error),
        };
        failure.because(error)
    }
}

/// Where a caller stands with a limit of hits; what the `RateLimit` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The policy's name.
    pub policy: &'static str,
    /// How many hits a window takes.
    pub quota: u32,
    /// The length of the sliding window.
    pub window: Duration,
    /// How many more it takes now.
    pub remaining: u32,
    /// When it takes another one; zero if it does already.
    pub reset: Duration,
}

impl RateLimit {
    /// The value of `RateLimit`.
    #[must_use]
    pub fn state(&self) -> String {
        format!("\"{}\";r={};t={}", self.policy, self.remaining, seconds_up(self.reset))
    }

    /// The value of `RateLimit-Policy`.
    #[must_use]
    pub fn rule(&self) -> String {
        format!("\"{}\";q={};w={}", self.policy, self.quota, self.window.as_secs())
    }
}

/// Whole seconds, rounded up: the unit of `Retry-After`, which must not invite a retry that comes too early.
#[must_use]
pub fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_backend::Error;

    #[test]
    fn an_engine_error_keeps_its_meaning_and_hides_its_words() {
        for (kind, code) in [
            (ErrorKind::Unavailable, Code::Unavailable),
            (ErrorKind::Overloaded, Code::Overloaded),
            (ErrorKind::OutcomeUnknown, Code::OutcomeUnknown),
            (ErrorKind::Corrupt, Code::Internal),
            (ErrorKind::Invalid, Code::Internal),
        ] {
            let failure = Failure::from(Error::new(kind, "disk /secret/path"));
            assert_eq!(failure.code, code);
            assert!(!failure.detail.contains("secret"), "{}", failure.detail);
            assert!(failure.to_string().contains("/secret/path"));
            assert_eq!(failure.retry_after.is_some(), matches!(code, Code::Unavailable | Code::Overloaded));
        }
    }

    #[test]
    fn headers_of_a_limit_round_the_wait_up() {
        let limit = RateLimit {
            policy: "login",
            quota: 10,
            window: Duration::from_secs(60),
            remaining: 0,
            reset: Duration::from_millis(1200),
        };
        assert_eq!(limit.state(), "\"login\";r=0;t=2");
        assert_eq!(limit.rule(), "\"login\";q=10;w=60");
    }
}
