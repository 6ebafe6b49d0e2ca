use serde::{Deserialize, Serialize};

/// What a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    #[default]
    Text,
    File,
    Template,
    System,
}

/// How far a message has come. Only moves forward, but for `FAILED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Sent,
    Delivered,
    Read,
    Failed,
}

/// `POST /v1/messages`, and the fields of a `send` frame.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// Alone: the direct conversation with that user, or the channel with `whatsapp:…`/`instagram:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_id: Option<String>,
    /// Up to 16,384 code points; not blank unless a file is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Up to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_ids: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// User ids, or `all`; up to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentions: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MessageKind>,
    /// Anything the client wants to keep with the message, up to 16 KiB of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
    /// The `message_id` this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The last `seq` the sender has read: moves the sender's read marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// The idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Only ever the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<String>,
}

/// 202 of a send: it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Accepted {
    pub message_id: String,
    pub conversation_id: String,
    /// `SENT`.
    pub status: Status,
}

/// 202 of any other change whose outcome is not known after 5 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pending {
    /// Always true.
    pub pending: bool,
}

/// `PATCH` of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EditMessage {
    pub content: String,
}

/// How many reacted with an emoji.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReactionCount {
    pub emoji: String,
    pub count: u32,
    /// Whether the caller is one of them.
    pub mine: bool,
}

/// A message as a member sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    pub message_id: String,
    pub conversation_id: String,
    pub seq: u64,
    pub kind: MessageKind,
    pub sender_id: String,
    /// The other person of a direct conversation, or the address of a channel.
    pub recipient_id: Option<String>,
    /// Null once deleted.
    pub content: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
    /// The first of `files`.
    pub file_id: Option<String>,
    /// Ids of the files attached.
    pub files: Vec<String>,
    pub timestamp: u64,
    /// Null above 100 members.
    pub status: Option<Status>,
    /// Why it failed.
    pub error: Option<String>,
    pub delivered_at: Option<u64>,
    pub read_at: Option<u64>,
    pub edited_at: Option<u64>,
    pub deleted_at: Option<u64>,
    pub reply_to: Option<String>,
    pub reactions: Vec<ReactionCount>,
    pub mentions: Vec<String>,
    /// The sender's own key; to the sender only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// A page of history.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessagePage {
    /// Newest first; oldest first with `after`.
    pub messages: Vec<Message>,
    /// Smallest and largest `seq` of the page; null if it is empty.
    pub first_seq: Option<u64>,
    pub last_seq: Option<u64>,
    pub has_before: bool,
    pub has_after: bool,
    /// The conversation's head as far as the caller may see it.
    pub head_seq: u64,
}

/// How far one reader is with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    pub user_id: String,
    pub delivered_at: Option<u64>,
    pub read_at: Option<u64>,
}

/// Who reacted with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reaction {
    pub user_id: String,
    pub emoji: String,
    pub timestamp: u64,
}

/// An earlier text of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Edit {
    pub seq: u64,
    pub content: Option<String>,
    pub timestamp: u64,
}
