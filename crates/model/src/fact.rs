//! Facts: what happened, in the one order that everybody sees. Each carries all that its rows need.

use crate::api::{Code, History, MessageKind, Role};
use crate::command::{Content, Count};
use crate::id::{ConversationId, RecordId, UserId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One thing that happened in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Where.
    pub conversation: ConversationId,
    /// Who did it.
    pub actor: UserId,
    /// When it was asked for, milliseconds since 1970. Need not rise with `seq`.
    pub time: u64,
    /// The command's id.
    pub id: Option<RecordId>,
    /// The command's content hash.
    pub hash: u64,
    /// The conversation after it; none for facts without a `seq`.
    pub head: Option<Head>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// `seq` 1 of every conversation.
    Created {
        /// The conversation.
        about: About,
        /// The first members.
        members: Vec<Interval>,
    },
    /// It was renamed.
    Renamed {
        /// The conversation now.
        about: About,
    },
    /// People joined.
    Added {
        /// Their new intervals.
        members: Vec<Interval>,
    },
    /// People left or were removed.
    Removed {
        /// Their intervals, closed.
        members: Vec<Interval>,
        /// Who became admin because the last one left.
        promoted: Option<Interval>,
    },
    /// Somebody's role changed.
    RoleSet {
        /// The interval with the new role.
        member: Interval,
    },
    /// A message.
    Message {
        /// Its sort.
        kind: MessageKind,
        /// What it says.
        content: Content,
        /// What it answers.
        reply_to: Option<RecordId>,
        /// The sender's name for it.
        client_id: Option<Arc<str>>,
    },
    /// A message's text changed.
    Edited {
        /// Which.
        target: Target,
        /// The new text; none once the message is deleted.
        text: Option<Arc<str>>,
        /// The message's state after it.
        state: MessageState,
    },
    /// A message was deleted.
    Deleted {
        /// Which.
        target: Target,
        /// The message's state after it; its `edits` are blanked too.
        state: MessageState,
    },
    /// A reaction came or went.
    Reacted {
        /// To which message.
        target: Target,
        /// With what.
        emoji: Arc<str>,
        /// Whether it went.
        removed: bool,
        /// The message's state after it.
        state: MessageState,
    },
    /// The actor's markers moved. No `seq`.
    Receipt {
        /// Both markers after it.
        markers: Markers,
        /// Which of them rose, where times are kept (≤ 100 members).
        rises: Rises,
    },
    /// The actor's settings changed. No `seq`.
    Settings {
        /// All of them after it.
        settings: Settings,
    },
    /// A command broke a rule. No `seq`; for its actor alone.
    Rejected {
        /// Why.
        code: Code,
        /// The client's name for the command.
        client_id: Option<Arc<str>>,
    },
}

/// A conversation, but for its counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct About {
    /// A group's name.
    pub name: Option<Arc<str>>,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: u64,
    /// What newcomers see.
    pub history: History,
}

/// A conversation's counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last event, dense from 1.
    pub seq: u64,
    /// Messages so far, deleted ones included.
    pub n: u64,
    /// Who sent the last message.
    pub sender: Option<UserId>,
    /// Its `seq`; 0 without one.
    pub sender_seq: u64,
    /// `seq` of the last message by anybody but `sender`; 0 without one.
    pub other_seq: u64,
    /// How many members.
    pub participants: u32,
    /// How many admins among them.
    pub admins: u32,
    /// When the last event was asked for.
    pub time: u64,
}

impl Head {
    /// `seq` of the last message by anybody but `user`; 0 without one.
    #[must_use]
    pub fn last_by_others(&self, user: &UserId) -> u64 {
        if self.sender.as_ref() == Some(user) { self.other_seq } else { self.sender_seq }
    }
}

/// An interval of membership, by which everything given to the member is clipped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// Whose.
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// The first `seq` the member may see.
    pub from: Count,
    /// `seq` of the event that began it. With `history: all` each re-join sees from 1 again: of two intervals
    /// with the same `from` the one with the higher `since` is the newer.
    pub since: u64,
    /// The last `seq` the member may see; none while the membership lasts.
    pub to: Option<Count>,
    /// `seq` of the last message by anybody else when it ended, so that what others write later cannot show
    /// in the unread count; 0 while it lasts.
    pub other_seq: u64,
    /// When it began.
    pub joined_at: u64,
}

impl Interval {
    /// Whether the member may see `seq`.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.from.seq <= seq && self.to.is_none_or(|to| seq <= to.seq)
    }

    /// Whether it says more of the same membership than `other`, or is a later one: which to keep where they
    /// arrive in any order.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.since, self.to.is_some()) > (other.since, other.to.is_some())
    }
}

/// The message that a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub id: RecordId,
    /// Where it stands.
    pub at: Count,
}

/// What may change of a message, but for its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageState {
    /// Who sent it.
    pub sender: UserId,
    /// Where it stands.
    pub at: Count,
    /// Hash of the present text.
    pub text_hash: u64,
    /// `seq` of each edit, at most [`MAX_EDITS`](crate::decide::MAX_EDITS).
    pub edits: Vec<u64>,
    /// When it was last edited.
    pub edited_at: Option<u64>,
    /// When it was deleted.
    pub deleted_at: Option<u64>,
    /// How many reacted with what, in the order of the first.
    pub reactions: Vec<(Arc<str>, u32)>,
}

/// A member's markers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Markers {
    /// How far things have arrived.
    pub delivered: Count,
    /// How far they are read.
    pub read: Count,
}

/// Which markers rose with a kept time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rises {
    /// The delivered one.
    pub delivered: bool,
    /// The read one.
    pub read: bool,
}

/// A member's own settings of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// Muted until then.
    pub muted_until: Option<u64>,
    /// Out of the inbox.
    pub archived: bool,
    /// On top of it.
    pub pinned: bool,
}

impl Fact {
    /// Its position in the conversation; 0 for facts without one.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.seq)
    }

    /// Messages of the conversation up to it.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.n)
    }
}
