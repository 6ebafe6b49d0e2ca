//! How values stand in columns, and in which partition of a table.

use crate::store::split::from_blob;
use crate::{Error, ErrorKind, Result};
use chat4all_model::api::{MessageKind, Role};
use chat4all_model::command::{Count, Marker};
use chat4all_model::fact::{Fact, Interval, Markers, What};
use chat4all_model::id::{ConversationId, IdError, UserId};
use chat4all_model::rows::Position;
use scylla::value::{CqlTimestamp, MaybeUnset};
use serde::de::DeserializeOwned;

/// Seqs of a conversation in one partition: some 2.5 MB of messages as people write them, and 50 MB if each has 10 KB
/// of text. More would make repair and compaction slow; with fewer, a page would lie in two of them more often.
pub(super) const BUCKET: u64 = 5_000;

/// Partitions of the table of heads: so the heads of an inbox of thousands are read with this many queries, and the
/// heads of ten million conversations are partitions of some 15 MB.
pub(super) const SHARDS: u32 = 256;

/// Whom a mention of everybody is kept under; no user's id, for it has a colon.
pub(super) const EVERYBODY: &str = "all:";

/// A number as it stands in a column.
pub(super) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A number from a column.
pub(super) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// In which bucket an event is. The first one has one fewer, for seqs begin with 1.
pub(super) fn bucket(seq: u64) -> u64 {
    seq / BUCKET
}

pub(super) fn shard(conversation: &ConversationId) -> i16 {
    i16::try_from(conversation.partition(SHARDS)).unwrap_or_default()
}

pub(super) fn position(n: i64) -> Position {
    Position(unsigned(n))
}

pub(super) fn time(ms: u64) -> CqlTimestamp {
    CqlTimestamp(number(ms))
}

pub(super) fn milliseconds(time: CqlTimestamp) -> u64 {
    unsigned(time.0)
}

/// A cell that is left as it is if there is nothing to write: null would be a deletion.
pub(super) fn or_unset<T>(value: Option<T>) -> MaybeUnset<T> {
    MaybeUnset::from_option(value)
}

pub(super) fn marker(marker: Marker) -> &'static str {
    match marker {
        Marker::Delivered => "delivered",
        Marker::Read => "read",
    }
}

/// What an event is called where it is given out, and what a message is.
pub(super) fn word(fact: &Fact) -> &'static str {
    match &fact.what {
        What::Message { kind, .. } => match kind {
            MessageKind::Text => "text",
            MessageKind::File => "file",
            MessageKind::Template => "template",
            MessageKind::System => "system",
        },
        What::Created { .. } => "CONVERSATION_CREATED",
        What::Renamed { .. } => "CONVERSATION_UPDATED",
        What::Added { .. } => "PARTICIPANT_ADDED",
        What::Removed { .. } => "PARTICIPANT_REMOVED",
        What::RoleSet { .. } => "PARTICIPANT_UPDATED",
        What::Edited { .. } => "MESSAGE_UPDATED",
        What::Deleted { .. } => "MESSAGE_DELETED",
        What::Reacted { removed: false, .. } => "REACTION_ADDED",
        What::Reacted { removed: true, .. } => "REACTION_REMOVED",
        What::Receipt { .. } => "RECEIPT",
        What::Settings { .. } => "CONVERSATION_SETTINGS",
        What::Rejected { .. } => "REJECTED",
    }
}

/// The columns of an interval but for user and conversation: since, admin, from, to, other, joined.
pub(super) type IntervalColumns = (i64, bool, i64, i64, Option<i64>, Option<i64>, i64, CqlTimestamp);

pub(super) fn interval(user: UserId, columns: IntervalColumns) -> Interval {
    let (since, admin, from_seq, from_n, to_seq, to_n, other_seq, joined_at) = columns;
    Interval {
        user,
        role: if admin { Role::Admin } else { Role::Member },
        from: Count { seq: unsigned(from_seq), n: unsigned(from_n) },
        since: unsigned(since),
        to: to_seq.zip(to_n).map(|(seq, n)| Count { seq: unsigned(seq), n: unsigned(n) }),
        other_seq: unsigned(other_seq),
        joined_at: milliseconds(joined_at),
    }
}

/// From the columns delivered and read; none if they were never written.
pub(super) fn markers(
    (delivered_seq, delivered_n, read_seq, read_n): (Option<i64>, Option<i64>, Option<i64>, Option<i64>),
) -> Option<Markers> {
    let count = |seq: i64, n: i64| Count { seq: unsigned(seq), n: unsigned(n) };
    Some(Markers { delivered: count(delivered_seq?, delivered_n?), read: count(read_seq?, read_n?) })
}

pub(super) fn user(id: &str) -> Result<UserId> {
    UserId::parse(id).map_err(corrupt)
}

pub(super) fn conversation(id: &str) -> Result<ConversationId> {
    ConversationId::parse(id).map_err(corrupt)
}

/// A blob of a row that is there, whose cell may have been lost.
pub(super) fn known<T: DeserializeOwned>(blob: Option<Vec<u8>>) -> Result<Option<T>> {
    blob.as_deref().map(from_blob).transpose()
}

fn corrupt(error: IdError) -> Error {
    Error::new(ErrorKind::Corrupt, error)
}
