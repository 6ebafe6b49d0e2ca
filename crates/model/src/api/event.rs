use super::{ConversationType, History, MessageKind, Role, Status};
use serde::{Deserialize, Serialize};

/// A lasting change of a conversation, or a current value, as it is given over sockets and by `/v1/sync`.
///
/// Kinds with a `seq` are the conversation's log; those without are current values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Event {
    ConversationCreated {
        #[serde(flatten)]
        at: At,
        conversation_type: ConversationType,
        name: Option<String>,
        history: History,
        /// The first members.
        user_ids: Vec<String>,
    },
    ConversationUpdated {
        #[serde(flatten)]
        at: At,
        name: Option<String>,
    },
    ParticipantAdded {
        #[serde(flatten)]
        at: At,
        user_ids: Vec<String>,
        role: Role,
        /// To those added: where their sight begins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_seq: Option<u64>,
    },
    ParticipantRemoved {
        #[serde(flatten)]
        at: At,
        user_ids: Vec<String>,
        /// Set when the last admin left: who is admin now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        promoted: Option<String>,
    },
    ParticipantUpdated {
        #[serde(flatten)]
        at: At,
        user_id: String,
        role: Role,
    },
    NewMessage {
        #[serde(flatten)]
        at: At,
        message_id: String,
        sender_id: String,
        recipient_id: Option<String>,
        kind: MessageKind,
        content: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
        data: Option<serde_json::Map<String, serde_json::Value>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file_id: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<String>,
        /// To the sender's own devices.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
    },
    MessageUpdated {
        #[serde(flatten)]
        at: At,
        message_id: String,
        message_seq: u64,
        content: Option<String>,
    },
    MessageDeleted {
        #[serde(flatten)]
        at: At,
        message_id: String,
        message_seq: u64,
    },
    ReactionAdded {
        #[serde(flatten)]
        at: At,
        message_id: String,
        message_seq: u64,
        /// Null where the target lies outside what the caller may see.
        emoji: Option<String>,
    },
    ReactionRemoved {
        #[serde(flatten)]
        at: At,
        message_id: String,
        message_seq: u64,
        emoji: Option<String>,
    },
    /// How far somebody has read.
    Receipt { conversation_id: String, user_id: String, delivered_seq: u64, read_seq: u64, timestamp: u64 },
    /// What another platform says of a message.
    MessageStatus {
        conversation_id: String,
        message_id: String,
        seq: u64,
        status: Status,
        error: Option<String>,
        timestamp: u64,
    },
    /// The caller's own settings of a conversation.
    ConversationSettings {
        conversation_id: String,
        muted_until: Option<u64>,
        archived: bool,
        pinned: bool,
        timestamp: u64,
    },
    /// A command of the caller's that turned out not to be allowed.
    Rejected {
        conversation_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        message_id: String,
        code: String,
        timestamp: u64,
    },
}

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct At {
    pub conversation_id: String,
    /// Dense over all kinds, from 1.
    pub seq: u64,
    pub timestamp: u64,
    pub actor_id: String,
}

impl Event {
    /// Conversation and `seq` of an event of the log; none for current values.
    #[must_use]
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::ConversationCreated { at, .. }
            | Self::ConversationUpdated { at, .. }
            | Self::ParticipantAdded { at, .. }
            | Self::ParticipantRemoved { at, .. }
            | Self::ParticipantUpdated { at, .. }
            | Self::NewMessage { at, .. }
            | Self::MessageUpdated { at, .. }
            | Self::MessageDeleted { at, .. }
            | Self::ReactionAdded { at, .. }
            | Self::ReactionRemoved { at, .. } => Some(at),
            Self::Receipt { .. }
            | Self::MessageStatus { .. }
            | Self::ConversationSettings { .. }
            | Self::Rejected { .. } => None,
        }
    }

    /// The conversation the event is about.
    #[must_use]
    pub fn conversation_id(&self) -> &str {
        match self {
            Self::Receipt { conversation_id, .. }
            | Self::MessageStatus { conversation_id, .. }
            | Self::ConversationSettings { conversation_id, .. }
            | Self::Rejected { conversation_id, .. } => conversation_id,
            other => other.at().map_or("", |at| &at.conversation_id),
        }
    }
}

/// `GET /v1/sync?since=`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    pub events: Vec<Event>,
    /// Resume from here.
    pub cursor: String,
    /// Ask again at once.
    pub more: bool,
}
