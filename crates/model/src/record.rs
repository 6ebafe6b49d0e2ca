//! How commands and facts are written into the log: one byte of version, then postcard.

use crate::command::Command;
use crate::fact::Fact;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use thiserror::Error;

/// The version this binary writes. It reads this one and all older ones.
pub const VERSION: u8 = 1;

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Undecodable {
    /// Written by a newer binary: stop here, for skipping it would lose it.
    #[error("record of version {0}; this binary reads up to {VERSION}")]
    Newer(u8),
    /// No record at all: set it aside.
    #[error("malformed record: {0}")]
    Malformed(String),
}

/// The input topics of a decider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Input {
    /// `messages`
    Messages,
    /// `status-updates`
    StatusUpdates,
}

/// The last command that a record of facts decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Its topic.
    pub input: Input,
    /// The topic's incarnation.
    pub epoch: u32,
    /// Its offset.
    pub offset: u64,
}

/// A record of `events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventRecord {
    /// A router begins its term; the record's offset is the term's number.
    Term {
        /// Who, for people.
        router: Arc<str>,
        /// By which it knows its own.
        nonce: u128,
    },
    /// What came of an unbroken run of commands of one topic.
    Facts(Facts),
}

/// What came of an unbroken run of commands of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The decider's term.
    pub term: u64,
    /// 0, 1, 2, … within the term.
    pub index: u64,
    /// The last command of the run.
    pub source: Source,
    /// In order; empty if nothing came of it.
    pub facts: Vec<Fact>,
    /// Commands of the run that could not be read.
    pub dead: Vec<Dead>,
}

/// A command that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// Where it stands.
    pub source: Source,
    /// Why.
    pub reason: Arc<str>,
    /// Its bytes, for a replay.
    pub payload: Vec<u8>,
}

/// Writes a command.
#[must_use]
pub fn encode_command(command: &Command) -> Bytes {
    encode(command)
}

/// Reads a command.
///
/// # Errors
/// If it is newer than this binary or malformed.
pub fn decode_command(payload: &[u8]) -> Result<Command, Undecodable> {
    decode(payload)
}

/// Writes a record of `events`.
#[must_use]
pub fn encode_event(record: &EventRecord) -> Bytes {
    encode(record)
}

/// Reads a record of `events`.
///
/// # Errors
/// If it is newer than this binary or malformed.
pub fn decode_event(payload: &[u8]) -> Result<EventRecord, Undecodable> {
    decode(payload)
}

#[expect(
    clippy::expect_used,
    reason = "postcard fails only on maps of unknown length, which no record holds"
)]
fn encode<T: Serialize>(value: &T) -> Bytes {
    postcard::to_extend(value, vec![VERSION]).expect("records have no maps").into()
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Undecodable> {
    match payload.split_first() {
        Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(Undecodable::Malformed(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(Undecodable::Malformed(error.to_string())),
        },
        Some((&version, _)) if version > VERSION => Err(Undecodable::Newer(version)),
        Some((&version, _)) => Err(Undecodable::Malformed(format!("no version {version}"))),
        None => Err(Undecodable::Malformed("empty".into())),
    }
}
