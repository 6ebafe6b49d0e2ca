//! What the driver's errors mean for whoever called, and which requests are tried again.

use crate::{Error, ErrorKind};
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError, SchemaAgreementError,
    UseKeyspaceError,
};
use scylla::policies::retry::{RequestInfo, RetryDecision, RetryPolicy, RetrySession};

/// Whether a request that failed may have been done all the same, and what it was.
pub(super) fn of_request(error: ExecutionError) -> Error {
    let kind = match &error {
        ExecutionError::LastAttemptError(attempt) => of_attempt(attempt),
        ExecutionError::RequestTimeout(_) => ErrorKind::OutcomeUnknown,
        ExecutionError::PrepareError(error) => harmless(of_preparation(error)),
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => ErrorKind::Unavailable,
        ExecutionError::BadQuery(_) => ErrorKind::Invalid,
        // The rest speak of what follows a change of the schema.
        _ => ErrorKind::OutcomeUnknown,
    };
    Error::new(kind, error)
}

fn of_attempt(error: &RequestAttemptError) -> ErrorKind {
    match error {
        RequestAttemptError::DbError(error, _) => match error {
            DbError::Unavailable { .. } | DbError::IsBootstrapping => ErrorKind::Unavailable,
            DbError::Overloaded | DbError::RateLimitReached { .. } => ErrorKind::Overloaded,
            DbError::AlreadyExists { .. } => ErrorKind::Conflict,
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::Unauthorized
            | DbError::AuthenticationError
            | DbError::ConfigError
            | DbError::FunctionFailure { .. }
            | DbError::ProtocolError => ErrorKind::Invalid,
            _ => ErrorKind::OutcomeUnknown,
        },
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
            ErrorKind::Invalid
        }
        RequestAttemptError::UnableToAllocStreamId => ErrorKind::Overloaded,
        _ => ErrorKind::OutcomeUnknown,
    }
}

fn of_preparation(error: &PrepareError) -> ErrorKind {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => of_attempt(first_attempt),
        _ => ErrorKind::Unavailable,
    }
}

/// What fails while it only reads or prepares has done nothing.
fn harmless(kind: ErrorKind) -> ErrorKind {
    if kind == ErrorKind::OutcomeUnknown { ErrorKind::Unavailable } else { kind }
}

/// The error of a read.
pub(super) fn nothing_done(mut error: Error) -> Error {
    error.kind = harmless(error.kind);
    error
}

impl From<PrepareError> for Error {
    fn from(error: PrepareError) -> Self {
        Self::new(harmless(of_preparation(&error)), error)
    }
}

impl From<SchemaAgreementError> for Error {
    fn from(error: SchemaAgreementError) -> Self {
        Self::new(ErrorKind::Unavailable, error)
    }
}

impl From<UseKeyspaceError> for Error {
    fn from(error: UseKeyspaceError) -> Self {
        let kind = match &error {
            UseKeyspaceError::RequestError(attempt) => harmless(of_attempt(attempt)),
            UseKeyspaceError::BadKeyspaceName(_) => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, error)
    }
}

/// Why no session came about.
pub(super) fn of_connecting(error: NewSessionError, addresses: &str) -> Error {
    let refused = match &error {
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::ConnectionSetupRequestError(setup),
        })) => matches!(
            setup.get_error(),
            ConnectionSetupRequestErrorKind::MissingAuthentication
                | ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, _)
                | ConnectionSetupRequestErrorKind::StartAuthSessionError(_)
                | ConnectionSetupRequestErrorKind::AuthChallengeEvaluationError(_)
                | ConnectionSetupRequestErrorKind::AuthFinishError(_)
        ),
        _ => false,
    };
    match refused {
        true => Error::new(
            ErrorKind::Invalid,
            format!("Cassandra at {addresses} refuses user or password: {error}"),
        ),
        false => {
            Error::new(ErrorKind::Unavailable, format!("Cassandra at {addresses} cannot be reached: {error}"))
        }
    }
}

/// A node that refuses work has done nothing, so the next one is asked. Everything else is for [`of_request`] to
/// judge: the driver would forget, on a later refusal, that an earlier attempt may have been done.
#[derive(Debug)]
pub(super) struct NextOnRefusal;

impl RetryPolicy for NextOnRefusal {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Self)
    }
}

impl RetrySession for NextOnRefusal {
    fn decide_should_retry(&mut self, request: RequestInfo<'_>) -> RetryDecision {
        match of_attempt(request.error) {
            ErrorKind::Unavailable | ErrorKind::Overloaded => RetryDecision::RetryNextTarget(None),
            _ => RetryDecision::DontRetry,
        }
    }

    fn reset(&mut self) {}
}
