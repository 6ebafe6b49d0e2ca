//! One error for every engine: what went wrong by kind, and the engine's own words for the log.

use std::fmt;

/// A result of a port.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an engine reports. The kind alone decides retry, HTTP status and socket code.
#[derive(Debug)]
pub struct Error {
    /// What it means for the caller.
    pub kind: ErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What an engine's failure means for whoever called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The engine cannot be reached or refuses work for now; surely nothing was done. Retry later.
    Unavailable,
    /// A limit of the engine or of a queue before it is reached; surely nothing was done. Retry later.
    Overloaded,
    /// It may have been done or not (a time-out after the request left). Retry with the same key.
    OutcomeUnknown,
    /// The position asked for was trimmed away: the log begins later.
    Trimmed,
    /// The position asked for lies behind the end: the log is shorter than what was known of it.
    Truncated,
    /// A unique name is taken, or a version is not the expected one.
    Conflict,
    /// The engine's contents cannot be understood. An operator must look.
    Corrupt,
    /// The call itself is wrong (a record over the limit, an unknown partition).
    Invalid,
}

impl Error {
    /// An error of `kind` caused by `source`.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into() }
    }
}

impl Error {
    /// What went wrong, without its kind.
    #[must_use]
    pub fn message(&self) -> String {
        self.source.to_string()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}
