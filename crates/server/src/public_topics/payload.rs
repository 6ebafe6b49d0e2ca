//! What the records say. Each type is the contract of a topic: [`super::schema`] makes its JSON Schema.
//!
//! A change must let new readers read old records: add optional fields (`skip_serializing_if`), widen, and no more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chat4all_backend::log::{PublicTopic, Topic};
use chat4all_backend::store::Counted;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::api::MessageKind;
use chat4all_model::command::Content;
use chat4all_model::fact::{Fact, What};
use chat4all_model::id::{Platform, RecordId};
use chat4all_model::record::{Dead, Input};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

/// Of the form of all payloads. Another one would be another schema, which old readers could not read.
const VERSION: u8 = 1;
/// Bytes of a command that a dead letter shows: in base64, the record stays within the log's limit.
const DEAD_BYTES: usize = 128 * 1024;

/// A record of a public topic.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum RecordOf<'a> {
    Created(MessageCreated<'a>),
    Updated(MessageUpdated<'a>),
    Deleted(MessageDeleted<'a>),
    Dead(DeadLetter<'a>),
}

impl RecordOf<'_> {
    pub(crate) fn topic(&self) -> PublicTopic {
        match self {
            Self::Created(_) => PublicTopic::MessageCreated,
            Self::Updated(_) => PublicTopic::MessageUpdated,
            Self::Deleted(_) => PublicTopic::MessageDeleted,
            Self::Dead(_) => PublicTopic::DeadLetters,
        }
    }

    /// What the records that belong together have in common: their conversation.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Created(record) => Some(record.conversation_id),
            Self::Updated(record) => Some(record.conversation_id),
            Self::Deleted(record) => Some(record.conversation_id),
            Self::Dead(_) => None,
        }
    }
}

/// The records that tell of what counted.
pub(crate) fn records(counted: &Counted) -> impl Iterator<Item = RecordOf<'_>> {
    let dead = counted.dead.iter().map(|dead| RecordOf::Dead(DeadLetter::new(dead)));
    counted.facts.iter().filter_map(record).chain(dead)
}

fn record(fact: &Fact) -> Option<RecordOf<'_>> {
    let (version, conversation_id, seq, timestamp) =
        (VERSION, fact.conversation.as_str(), fact.seq(), fact.time);
    Some(match &fact.what {
        What::Message { kind, content, reply_to, .. } => RecordOf::Created(MessageCreated {
            version,
            message_id: fact.id?,
            conversation_id,
            seq,
            kind: (*kind).into(),
            sender_id: fact.actor.as_str(),
            recipient_id: fact.conversation.recipient(&fact.actor),
            content: content.text.as_deref(),
            data: data(content),
            file_ids: strings(&content.files),
            mentions: strings(&content.mentions),
            reply_to: *reply_to,
            timestamp,
        }),
        What::Edited { target, text, state } => RecordOf::Updated(MessageUpdated {
            version,
            message_id: target.id,
            message_seq: target.at.seq,
            conversation_id,
            seq,
            sender_id: state.sender.as_str(),
            actor_id: fact.actor.as_str(),
            content: text.as_deref(),
            timestamp,
        }),
        What::Deleted { target, state } => RecordOf::Deleted(MessageDeleted {
            version,
            message_id: target.id,
            message_seq: target.at.seq,
            conversation_id,
            seq,
            sender_id: state.sender.as_str(),
            actor_id: fact.actor.as_str(),
            timestamp,
        }),
        _ => return None,
    })
}

/// A message was sent. `(conversation_id, seq)` names the record: what comes again has the same.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageCreated<'a> {
    #[schemars(schema_with = "version")]
    version: u8,
    #[schemars(with = "String")]
    message_id: RecordId,
    /// `d:…` between two people, `g:…` a group, `c:…` an account and an address on another platform.
    conversation_id: &'a str,
    /// Its place in the conversation, dense over all that happens there, from 1.
    seq: u64,
    kind: Kind,
    /// A user's id.
    sender_id: &'a str,
    /// The other person of `d:…`, the address of `c:…`; null in a group.
    recipient_id: Option<&'a str>,
    /// The text; null with files only.
    content: Option<&'a str>,
    /// What the client keeps with the message.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    data: Option<&'a RawValue>,
    file_ids: Vec<&'a str>,
    /// Users' ids, or `all`.
    mentions: Vec<&'a str>,
    /// `message_id` of the message it answers.
    #[schemars(with = "Option<String>")]
    reply_to: Option<RecordId>,
    /// When it was accepted, milliseconds since 1970 UTC. Need not rise with `seq`.
    timestamp: u64,
}

/// A message's text was changed. `(conversation_id, seq)` names the record: what comes again has the same.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageUpdated<'a> {
    #[schemars(schema_with = "version")]
    version: u8,
    #[schemars(with = "String")]
    message_id: RecordId,
    /// `seq` of the message.
    message_seq: u64,
    conversation_id: &'a str,
    /// Of the change.
    seq: u64,
    /// Whose message it is.
    sender_id: &'a str,
    /// Who changed it.
    actor_id: &'a str,
    /// The text now.
    content: Option<&'a str>,
    /// When the change was accepted, milliseconds since 1970 UTC.
    timestamp: u64,
}

/// A message was deleted. `(conversation_id, seq)` names the record: what comes again has the same.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageDeleted<'a> {
    #[schemars(schema_with = "version")]
    version: u8,
    #[schemars(with = "String")]
    message_id: RecordId,
    /// `seq` of the message.
    message_seq: u64,
    conversation_id: &'a str,
    /// Of the deletion.
    seq: u64,
    /// Whose message it was.
    sender_id: &'a str,
    /// Who deleted it.
    actor_id: &'a str,
    /// When the deletion was accepted, milliseconds since 1970 UTC.
    timestamp: u64,
}

/// A command could not be read and was set aside. `(topic, partition, epoch, offset)` names the record.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLetter<'a> {
    #[schemars(schema_with = "version")]
    version: u8,
    /// The topic it stood in.
    topic: &'static str,
    /// The incarnation of the log.
    epoch: u32,
    /// Its offset in the partition of the same number as this record's.
    offset: u64,
    /// Why it could not be read.
    reason: &'a str,
    /// Its first 128 KiB, in base64.
    payload: String,
    /// Its length in bytes, as far as it was kept.
    size: u64,
}

impl<'a> DeadLetter<'a> {
    fn new(dead: &'a Dead) -> Self {
        let topic = match dead.source.input {
            Input::Messages => Topic::Messages,
            Input::StatusUpdates => Topic::StatusUpdates,
        };
        Self {
            version: VERSION,
            topic: topic.name(),
            epoch: dead.source.epoch,
            offset: dead.source.offset,
            reason: &dead.reason,
            payload: STANDARD.encode(&dead.payload[..dead.payload.len().min(DEAD_BYTES)]),
            size: dead.payload.len() as u64,
        }
    }
}

/// A message on its way to another platform.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outbound<'a> {
    #[schemars(schema_with = "version")]
    version: u8,
    #[schemars(with = "String")]
    message_id: RecordId,
    conversation_id: &'a str,
    /// Its place in the conversation.
    seq: u64,
    /// A user's id.
    sender_id: &'a str,
    /// The address on the platform.
    recipient_id: &'a str,
    /// The text; null with files only.
    content: Option<&'a str>,
    file_ids: Vec<&'a str>,
    /// What the client keeps with the message.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    data: Option<&'a RawValue>,
    /// When it was accepted, milliseconds since 1970 UTC.
    timestamp: u64,
}

impl<'a> Outbound<'a> {
    /// What of a fact leaves for a platform, and for which.
    pub(crate) fn of(fact: &'a Fact) -> Option<(Platform, Self)> {
        let What::Message { content, .. } = &fact.what else { return None };
        let recipient_id = fact.conversation.recipient(&fact.actor)?;
        let outbound = Self {
            version: VERSION,
            message_id: fact.id?,
            conversation_id: fact.conversation.as_str(),
            seq: fact.seq(),
            sender_id: fact.actor.as_str(),
            recipient_id,
            content: content.text.as_deref(),
            file_ids: strings(&content.files),
            data: data(content),
            timestamp: fact.time,
        };
        Some((Platform::of(recipient_id)?, outbound))
    }
}

/// What sort of message it is. More may come.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Text,
    File,
    Template,
    System,
}

impl From<MessageKind> for Kind {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::File => Self::File,
            MessageKind::Template => Self::Template,
            MessageKind::System => Self::System,
        }
    }
}

/// A payload: the prefix of its topic, then JSON.
pub(crate) fn write(prefix: &[u8], record: &impl Serialize) -> Result<Bytes> {
    let mut bytes = prefix.to_vec();
    serde_json::to_writer(&mut bytes, record).map_err(|error| Error::new(ErrorKind::Corrupt, error))?;
    Ok(bytes.into())
}

/// Was judged to be JSON where it entered.
fn data(content: &Content) -> Option<&RawValue> {
    content.data.as_deref().and_then(|data| serde_json::from_str(data).ok())
}

fn strings(all: &[std::sync::Arc<str>]) -> Vec<&str> {
    all.iter().map(AsRef::as_ref).collect()
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"description": "Of the form of this record.", "type": "integer", "const": VERSION})
}
