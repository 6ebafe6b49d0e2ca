//! What went wrong, by what it means for the caller. Messages name the server and never a value of a row.

use crate::{Error, ErrorKind};
use deadpool_postgres::{PoolError, TimeoutType};
use rustls::CertificateError;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Why a transaction of ours ends: by the engine's doing, or because we decided so.
#[derive(Debug)]
pub(crate) enum Fault {
    Engine(tokio_postgres::Error),
    Own(Error),
}

impl Fault {
    /// The unique index whose value is taken, if that is why.
    pub(crate) fn violated(&self) -> Option<&str> {
        let Self::Engine(error) = self else { return None };
        let refused = error.as_db_error().filter(|e| *e.code() == SqlState::UNIQUE_VIOLATION)?;
        refused.constraint()
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

/// What may have happened when a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing: no commit was under way.
    Nothing,
    /// All or nothing: a commit was.
    Commit,
}

impl After {
    fn kind(self) -> ErrorKind {
        match self {
            Self::Nothing => ErrorKind::Unavailable,
            Self::Commit => ErrorKind::OutcomeUnknown,
        }
    }
}

/// Whether another transaction stood in the way, so that the same one will do if it is tried again.
pub(super) fn in_the_way(error: &tokio_postgres::Error) -> bool {
    let ways = [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| ways.contains(&code))
}

/// Whether the connection is lost.
pub(super) fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(is_the_end)
}

/// Whether nothing more can be done with the connection: it is lost, or the server behind it takes no writes any more.
pub(super) fn spoils(error: &tokio_postgres::Error) -> bool {
    is_lost(error) || error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// Whether the server ended the session with it.
fn is_the_end(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// The server as it is named in errors, and how long it may take.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    /// `host:port`, several with commas.
    pub(super) address: Arc<str>,
    pub(super) database: Arc<str>,
    pub(super) user: Arc<str>,
    pub(super) connecting: Duration,
}

impl Engine {
    pub(super) fn error(&self, kind: ErrorKind, why: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("PostgreSQL at {}: {why}", self.address))
    }

    /// A statement or a transaction that failed.
    pub(super) fn failed(&self, error: &tokio_postgres::Error, after: After) -> Error {
        match error.as_db_error() {
            Some(refused) => self.error(kind_of(refused, after), said(refused)),
            None => self.error(after.kind(), chain(error)),
        }
    }

    /// No answer in time.
    pub(super) fn late(&self, after: After) -> Error {
        self.error(after.kind(), "no answer in time")
    }

    /// No connection, at work: whatever it is, the settings were right once.
    pub(super) fn connecting(&self, error: PoolError) -> Error {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                self.error(ErrorKind::Overloaded, "all connections of the pool are busy")
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                let after = self.connecting.as_secs_f32();
                self.error(ErrorKind::Unavailable, format!("no connection within {after:.1} s"))
            }
            PoolError::Backend(error) => {
                let too_many = error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS);
                let kind = if too_many { ErrorKind::Overloaded } else { ErrorKind::Unavailable };
                self.error(kind, error.as_db_error().map_or_else(|| chain(&error), said))
            }
            other => self.error(ErrorKind::Unavailable, other),
        }
    }

    /// No connection, at the start: what is wrong with the settings is said.
    pub(super) fn opening(&self, error: PoolError) -> Error {
        match &error {
            PoolError::Backend(e) => match self.setting(e) {
                Some(why) => self.error(ErrorKind::Invalid, why),
                None => self.connecting(error),
            },
            _ => self.connecting(error),
        }
    }

    /// What setting a refused connection speaks of.
    fn setting(&self, error: &tokio_postgres::Error) -> Option<String> {
        if let Some(refused) = error.as_db_error() {
            let said = said(refused);
            return match refused.code() {
                &SqlState::INVALID_PASSWORD => {
                    Some(format!("the password of the user `{}` is wrong ({said})", self.user))
                }
                &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                    Some(format!("the user `{}` may not connect ({said})", self.user))
                }
                &SqlState::INVALID_CATALOG_NAME => {
                    Some(format!("there is no database `{}`: make it first", self.database))
                }
                &SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::UNDEFINED_OBJECT => Some(said),
                _ => None,
            };
        }
        let words = chain(error);
        if words.contains("password missing") {
            return Some(format!("the user `{}` needs a password: write `user:password@host`", self.user));
        }
        if words.contains("server does not support TLS") {
            return Some("the server does not speak TLS, but `sslmode` asks for it".to_owned());
        }
        match untrusted(error)? {
            CertificateError::UnknownIssuer => Some(
                "the server's certificate is not signed by an authority that is believed: name the right one with \
                 `sslrootcert`"
                    .to_owned(),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Some(
                "the server's certificate is of another name: write the host as the certificate has it".to_owned(),
            ),
            other => Some(format!("the server's certificate is refused: {other}")),
        }
    }
}

/// What an answer of the server means.
fn kind_of(error: &DbError, after: After) -> ErrorKind {
    // Perhaps when the commit was done.
    if is_the_end(error) {
        return after.kind();
    }
    match error.code() {
        &SqlState::CONFIGURATION_LIMIT_EXCEEDED | &SqlState::OUT_OF_MEMORY => ErrorKind::Overloaded,
        &SqlState::INSUFFICIENT_PRIVILEGE => ErrorKind::Invalid,
        code => match &code.code()[..2] {
            "22" => ErrorKind::Invalid,
            "23" => ErrorKind::Conflict,
            "42" | "XX" => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        },
    }
}

/// Code and message alone: the detail has values of rows.
fn said(error: &DbError) -> String {
    format!("{} {}", error.code().code(), error.message())
}

fn chain(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

/// Why a server's certificate was not believed, if that is why.
fn untrusted<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CertificateError> {
    let mut source = Some(error);
    while let Some(error) = source {
        // An IO error is about another one, but does not name it as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.map(|inner| inner as &(dyn StdError + 'static));
        match inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(why)) => return Some(why),
            _ => source = error.source(),
        }
    }
    None
}
