//! Commands: what was asked and accepted, before anybody has decided what comes of it.

use crate::api::{History, MessageKind, Role};
use crate::id::{ConversationId, RecordId, UserId, hash_parts};
use crate::record::Input;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A command as it stands in the log, stamped with everything that deciding it needs from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Derived from actor, conversation, kind and idempotency key. Marker moves have none: they are registers,
    /// and a repeated move changes nothing.
    pub id: Option<RecordId>,
    /// Tells the same content from other content under the same id.
    pub hash: u64,
    /// Which conversation it is about; the key of its partition.
    pub conversation: ConversationId,
    /// Who asks.
    pub actor: UserId,
    /// When it entered, milliseconds since 1970.
    pub time: u64,
    /// The client's name for it.
    pub client_id: Option<Arc<str>>,
    /// What is asked.
    pub action: Action,
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Make the conversation; its kind is in its id.
    Create {
        /// A group's name.
        name: Option<Arc<str>>,
        /// The first members beside the actor.
        members: Vec<UserId>,
        /// What newcomers see.
        history: History,
    },
    /// Change the name.
    Rename {
        /// The new one.
        name: Arc<str>,
    },
    /// Add people.
    Add {
        /// 1-500 of them.
        users: Vec<UserId>,
        /// As what.
        role: Role,
    },
    /// Remove somebody else.
    Remove {
        /// Who.
        user: UserId,
    },
    /// Leave.
    Leave {
        /// Who becomes admin if the actor is the last one.
        successor: Option<UserId>,
    },
    /// Change a member's role.
    SetRole {
        /// Whose.
        user: UserId,
        /// To what.
        role: Role,
    },
    /// Send a message.
    Send(Send),
    /// Change a message's text.
    Edit {
        /// Which message.
        target: RecordId,
        /// The new text.
        text: Arc<str>,
    },
    /// Delete a message.
    Delete {
        /// Which message.
        target: RecordId,
    },
    /// Add or take back a reaction.
    React {
        /// To which message.
        target: RecordId,
        /// With what.
        emoji: Arc<str>,
        /// Whether it is taken back.
        remove: bool,
    },
    /// Move the actor's markers (topic `status-updates`).
    Mark {
        /// Which of them.
        marker: Marker,
        /// To where.
        at: Count,
    },
    /// Change the actor's own settings of the conversation (topic `status-updates`).
    Settings(SettingsChange),
}

/// The two markers of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Marker {
    /// Arrived on a device.
    Delivered,
    /// Seen by the person; what is read is delivered too.
    Read,
}

/// A `seq` and the number of messages up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Count {
    /// The position in the conversation.
    pub seq: u64,
    /// Messages at or before it.
    pub n: u64,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Send {
    /// What sort of message.
    pub kind: MessageKind,
    /// What it says.
    pub content: Content,
    /// The message it answers.
    pub reply_to: Option<RecordId>,
    /// The last `seq` the sender had read.
    pub seen: Option<Count>,
}

/// What of a message goes when it is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content {
    /// The text; none with files only.
    pub text: Option<Arc<str>>,
    /// The client's own data, JSON.
    pub data: Option<Arc<str>>,
    /// Ids of files.
    pub files: Vec<Arc<str>>,
    /// User ids, or `all`.
    pub mentions: Vec<Arc<str>>,
}

/// Fields left out stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SettingsChange {
    /// Mute until then; none unmutes.
    pub muted_until: Option<Option<u64>>,
    /// Put it out of the inbox.
    pub archived: Option<bool>,
    /// Keep it on top.
    pub pinned: Option<bool>,
}

impl Action {
    /// The name space of idempotency keys.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Rename { .. } => "rename",
            Self::Add { .. } => "add",
            Self::Remove { .. } => "remove",
            Self::Leave { .. } => "leave",
            Self::SetRole { .. } => "role",
            Self::Send(_) => "send",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::React { .. } => "react",
            Self::Mark { .. } => "mark",
            Self::Settings(_) => "settings",
        }
    }

    /// The topic it stands in.
    #[must_use]
    pub fn input(&self) -> Input {
        match self {
            Self::Mark { .. } | Self::Settings(_) => Input::StatusUpdates,
            _ => Input::Messages,
        }
    }

    /// A hash of the content, all but `seen` and a leave's successor: those follow from when it is asked.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let bare = match self {
            Self::Send(send) if send.seen.is_some() => Some(Self::Send(Send { seen: None, ..send.clone() })),
            Self::Leave { successor: Some(_) } => Some(Self::Leave { successor: None }),
            _ => None,
        };
        let bytes = postcard::to_allocvec(bare.as_ref().unwrap_or(self)).unwrap_or_default();
        crate::id::short_hash(&bytes)
    }
}

impl Command {
    /// A command with its derived id and hash.
    #[must_use]
    pub fn new(conversation: ConversationId, actor: UserId, time: u64, key: &str, action: Action) -> Self {
        let id = match action {
            Action::Mark { .. } => None,
            _ => Some(RecordId::derive(&actor, &conversation, action.kind(), key)),
        };
        Self { id, hash: action.content_hash(), conversation, actor, time, client_id: None, action }
    }
}

/// A hash of a message's text, to see an edit that changes nothing.
#[must_use]
pub fn text_hash(text: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash_parts(&[text])[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_is_no_part_of_the_content() {
        let send = |text: &str, seen| {
            Action::Send(Send {
                kind: MessageKind::Text,
                content: Content { text: Some(text.into()), ..Content::default() },
                reply_to: None,
                seen,
            })
        };
        let seen = Some(Count { seq: 4, n: 3 });
        assert_eq!(send("a", None).content_hash(), send("a", seen).content_hash());
        assert_ne!(send("a", None).content_hash(), send("b", None).content_hash());
    }
}
