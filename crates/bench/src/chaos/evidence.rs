//! What the storm leaves behind, in the form the check reads: what each person was told, what each saw, and what
//! the server says at the end.

use chat4all_model::api::Event;
use std::collections::{BTreeMap, HashMap};

/// An entry of a conversation's log as somebody was given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the conversation.
    pub seq: u64,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub what: What,
}

/// What was done. A text is none where it was deleted, or where its target is not for the viewer's eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the API's events")]
pub enum What {
    Created { members: Vec<String> },
    Renamed { name: Option<String> },
    Added { members: Vec<String> },
    Removed { members: Vec<String> },
    RoleSet { user: String },
    Message { id: String, text: Option<String> },
    Edited { target: String, text: Option<String> },
    Deleted { target: String },
    Reacted { target: String, emoji: Option<String>, removed: bool },
}

/// One thing a person's connection gave, in the order it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A resume by a stored cursor: what came last may come again.
    Resumed,
    /// An entry of a conversation's log.
    Entry {
        /// The conversation.
        conversation: String,
        /// The entry.
        entry: Entry,
    },
}

/// What a person was promised by an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    /// The message is durable.
    Sent {
        /// The key it was sent under.
        key: String,
        /// Its id.
        id: String,
        /// Its conversation.
        conversation: String,
        /// Its text, which no other message has.
        text: String,
    },
    /// The text was changed.
    Edited {
        /// The key of the change.
        key: String,
        /// The message.
        id: String,
        /// The new text, which no other edit has.
        text: String,
    },
    /// The message was deleted.
    Deleted {
        /// The key of the change.
        key: String,
        /// The message.
        id: String,
    },
    /// A reaction, which is never taken back, was added.
    Reacted {
        /// The key of the change.
        key: String,
        /// The message.
        id: String,
        /// The reaction.
        emoji: String,
    },
}

/// What one person did, was told and saw.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// The account.
    pub user: String,
    /// Everything the connection gave, in order.
    pub steps: Vec<Step>,
    /// Everything promised.
    pub promises: Vec<Promise>,
    /// Keys of commands that were refused after they had been accepted (`REJECTED`).
    pub rejected: Vec<String>,
    /// Texts of sends that were refused at once, by conversation.
    pub refused: Vec<(String, String)>,
    /// Refusals over the connection by code.
    pub codes: BTreeMap<String, u64>,
    /// By conversation, the highest read marker that was confirmed or seen.
    pub read: HashMap<String, u64>,
    /// Holes in the stream that the connection had to fill from the log.
    pub holes: u64,
    /// How often the server asked to start from a snapshot.
    pub resyncs: u64,
    /// What was asked and never answered, though there was time.
    pub unanswered: Vec<String>,
    /// Close codes of connections.
    pub closes: BTreeMap<u16, u64>,
    /// Markers that were lower than before.
    pub markers_back: Vec<String>,
    /// Keys that gave two messages or took another content.
    pub key_faults: Vec<String>,
}

/// A message as the server shows it at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// Its text; none once deleted.
    pub text: Option<String>,
    /// How many react with what.
    pub reactions: BTreeMap<String, u32>,
}

/// A conversation as the server shows it to one person at the end.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The person.
    pub user: String,
    /// The conversation.
    pub conversation: String,
    /// Its messages by `seq`.
    pub messages: BTreeMap<u64, Shown>,
    /// The log as this person may page through it.
    pub log: Vec<Entry>,
    /// The person's read marker.
    pub read: u64,
    /// The count of unread messages.
    pub unread: u64,
}

/// Everything that is judged.
#[derive(Debug, Default)]
pub struct Evidence {
    /// One of each person.
    pub journals: Vec<Journal>,
    /// By conversation, the whole log as somebody sees it who was there all the time.
    pub logs: HashMap<String, Vec<Entry>>,
    /// What each person was shown at the end of each conversation they ever were in.
    pub views: Vec<View>,
}

impl Entry {
    /// Conversation and entry of an event; none for a value that is not part of a log.
    #[must_use]
    pub fn of(event: Event) -> Option<(String, Self)> {
        let at = event.at()?;
        let (conversation, seq, actor) = (at.conversation_id.clone(), at.seq, at.actor_id.clone());
        let what = match event {
            Event::ConversationCreated { user_ids, .. } => What::Created { members: user_ids },
            Event::ConversationUpdated { name, .. } => What::Renamed { name },
            Event::ParticipantAdded { user_ids, .. } => What::Added { members: user_ids },
            Event::ParticipantRemoved { user_ids, .. } => What::Removed { members: user_ids },
            Event::ParticipantUpdated { user_id, .. } => What::RoleSet { user: user_id },
            Event::NewMessage { message_id, content, .. } => What::Message { id: message_id, text: content },
            Event::MessageUpdated { message_id, content, .. } => {
                What::Edited { target: message_id, text: content }
            }
            Event::MessageDeleted { message_id, .. } => What::Deleted { target: message_id },
            Event::ReactionAdded { message_id, emoji, .. } => {
                What::Reacted { target: message_id, emoji, removed: false }
            }
            Event::ReactionRemoved { message_id, emoji, .. } => {
                What::Reacted { target: message_id, emoji, removed: true }
            }
            Event::Receipt { .. }
            | Event::MessageStatus { .. }
            | Event::ConversationSettings { .. }
            | Event::Rejected { .. } => return None,
        };
        Some((conversation, Self { seq, actor, what }))
    }

    /// The text it carries, if its kind has one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.what {
            What::Message { text, .. } | What::Edited { text, .. } => text.as_deref(),
            What::Reacted { emoji, .. } => emoji.as_deref(),
            _ => None,
        }
    }

    /// Whether both are the same entry, whatever of the text either was given.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let texts_agree = match (self.text(), other.text()) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        texts_agree && self.bare() == other.bare()
    }

    fn bare(&self) -> Self {
        let mut bare = self.clone();
        match &mut bare.what {
            What::Message { text, .. } | What::Edited { text, .. } => *text = None,
            What::Reacted { emoji, .. } => *emoji = None,
            _ => {}
        }
        bare
    }
}
