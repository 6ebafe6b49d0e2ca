use super::Message;
use serde::{Deserialize, Serialize};

/// What a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ConversationType {
    /// Exactly two people, for ever.
    Direct,
    /// Any number of people, with admins.
    Group,
    /// An address on another platform.
    Channel,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Admin,
    Member,
}

/// What a newcomer to a group sees of the time before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// Everything since joining.
    #[default]
    Joined,
    /// Everything.
    All,
}

/// `POST /v1/conversations`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateConversation {
    #[serde(rename = "type")]
    pub kind: ConversationType,
    /// The others (oneself may be named or not).
    pub participant_ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Groups: a name of the client's, `[A-Za-z0-9_-]{1,64}`, which makes the call repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

/// `PATCH /v1/conversations/{id}`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConversationPatch {
    pub name: String,
}

/// `PATCH /v1/conversations/{id}/me`: fields left out stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SettingsPatch {
    /// Null unmutes.
    #[serde(default, deserialize_with = "super::account::present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub muted_until: Option<Option<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
}

/// `POST /v1/conversations/{id}/participants`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddParticipants {
    /// 1-500.
    pub user_ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// `PATCH /v1/conversations/{id}/participants/{user_id}`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RolePatch {
    pub role: Role,
}

/// A member of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Participant {
    pub user_id: String,
    pub username: Option<String>,
    pub display_name: Option<String>,
    pub role: Role,
    pub joined_at: u64,
}

/// A conversation as one of its members sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conversation {
    pub conversation_id: String,
    #[serde(rename = "type")]
    pub kind: ConversationType,
    pub name: Option<String>,
    pub created_by: String,
    pub created_at: u64,
    pub participant_count: u32,
    /// The first 5 in lists, else the first 100.
    pub participants: Vec<Participant>,
    /// Where the caller's sight begins.
    pub first_seq: u64,
    /// Where it ends: the head, or where the caller left.
    pub last_seq: u64,
    pub last_message: Option<Message>,
    pub last_activity: u64,
    /// Set when the caller has left: the last `seq` seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_seq: Option<u64>,
    pub unread_count: u64,
    pub mention_count: u64,
    pub read_seq: u64,
    pub delivered_seq: u64,
    pub muted_until: Option<u64>,
    pub archived: bool,
    pub pinned: bool,
}

/// `POST /v1/conversations/{id}/read` and `/delivered`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkRequest {
    pub seq: u64,
}

/// How far a member has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Markers {
    pub user_id: String,
    pub delivered_seq: u64,
    pub read_seq: u64,
}

/// `GET /v1/unread`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unread {
    /// Conversations with something unread.
    pub conversations: u64,
    pub messages: u64,
    pub mentions: u64,
}

/// `GET /v1/sync` without a cursor: a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Snapshot {
    /// Resume from here. Taken before the conversations were read.
    pub cursor: String,
    pub conversations: super::Page<Conversation>,
}
