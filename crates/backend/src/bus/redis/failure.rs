//! What may go wrong with a request.

use crate::{Error, ErrorKind};
use redis::{RedisError, ServerErrorKind};

/// Why a request has no answer, or which error is the answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection: surely nothing was done.
    Away(String),
    /// The request may have left, and no answer came.
    Lost(String),
    /// The server refuses: surely nothing was done.
    Refused(RedisError),
    /// The answer is none to what was asked.
    Strange(RedisError),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            _ if error.code().is_some() => Self::Refused(error),
            redis::ErrorKind::Parse | redis::ErrorKind::UnexpectedReturnType => Self::Strange(error),
            _ => Self::Lost(error.to_string()),
        }
    }
}

impl Failure {
    /// The server is not the one in charge any more.
    pub(super) fn is_demoted(&self) -> bool {
        self.is(ServerErrorKind::ReadOnly)
    }

    /// The server does not know the script: it was restarted.
    pub(super) fn is_unknown_script(&self) -> bool {
        self.is(ServerErrorKind::NoScript)
    }

    fn is(&self, kind: ServerErrorKind) -> bool {
        matches!(self, Self::Refused(error) if error.kind() == redis::ErrorKind::Server(kind))
    }

    /// Of a request that changes nothing: it can be repeated.
    pub(super) fn of_a_question(self) -> Error {
        match self {
            Self::Lost(why) => Error::new(ErrorKind::Unavailable, why),
            other => other.of_a_change(),
        }
    }

    /// Of a request that changes something.
    pub(super) fn of_a_change(self) -> Error {
        match self {
            Self::Away(why) => Error::new(ErrorKind::Unavailable, why),
            Self::Lost(why) => Error::new(ErrorKind::OutcomeUnknown, why),
            Self::Refused(error) => Error::new(kind(&error), error),
            Self::Strange(error) => Error::new(ErrorKind::Corrupt, error),
        }
    }
}

/// What a server's refusal means. Any but these passes: it loads, fails over, saves, is busy.
fn kind(error: &RedisError) -> ErrorKind {
    match error.code() {
        Some("OOM") => ErrorKind::Overloaded,
        Some("NOPERM") => ErrorKind::Invalid,
        Some("WRONGTYPE") => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    }
}
