//! librdkafka's errors by kind.

use crate::{Error, ErrorKind};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// A client could not be made. A setting's value is left out: it may be a password.
pub(super) fn making(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, why, name, _) => Error::new(ErrorKind::Invalid, format!("{name}: {why}")),
        KafkaError::ClientCreation(why) => Error::new(ErrorKind::Invalid, why),
        other => Error::new(ErrorKind::Unavailable, other),
    }
}

/// A question, or a request that does no harm twice, got no answer.
pub(super) fn asking(what: &str, error: &KafkaError) -> Error {
    let why = code(error).map_or_else(|| error.to_string(), |code| code.to_string());
    Error::new(ErrorKind::Unavailable, format!("{what}: {why}"))
}

/// A record was not taken, so nothing was done.
pub(super) fn handing_over(error: &KafkaError) -> Error {
    let kind = match code(error) {
        Some(Code::QueueFull) => ErrorKind::Overloaded,
        Some(Code::MessageSizeTooLarge) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, error.clone())
}

/// A record's report is a failure. It was surely not written if it can never be, or if its topic is gone; any other
/// failure may be that of a second attempt, after a first whose answer was lost. So may a time-out: librdkafka does
/// not let us see whether the record was ever sent.
pub(super) fn reported(error: &KafkaError) -> Error {
    let kind = match code(error) {
        Some(
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessage
            | Code::InvalidRecord,
        ) => ErrorKind::Invalid,
        Some(Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition) => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::OutcomeUnknown,
    };
    Error::new(kind, error.clone())
}

pub(super) fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}
