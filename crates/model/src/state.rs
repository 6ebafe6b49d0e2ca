//! The state that deciding needs, as keyed values: what the store holds, merged with what is not yet in it.

use crate::command::{Action, Command};
use crate::fact::{About, Head, Interval, Markers, MessageState, Settings};
use crate::id::{ConversationId, RecordId, UserId};
use std::sync::Arc;

/// What a value of the state is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Name, maker, history.
    About(ConversationId),
    /// Counters.
    Head(ConversationId),
    /// A user's newest interval.
    Member(ConversationId, UserId),
    /// Where a command's fact stands.
    Id(RecordId),
    /// A message, by its `seq`.
    Message(ConversationId, u64),
    /// A member's markers.
    Markers(ConversationId, UserId),
    /// Whether a user reacts to the message at `seq` with an emoji.
    Reaction(ConversationId, u64, UserId, Arc<str>),
    /// A member's settings.
    Settings(ConversationId, UserId),
}

/// A value of the state. A key without one has never been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of [`Key::About`].
    About(About),
    /// Of [`Key::Head`].
    Head(Head),
    /// Of [`Key::Member`].
    Member(Interval),
    /// Of [`Key::Id`].
    Id(Known),
    /// Of [`Key::Message`].
    Message(MessageState),
    /// Of [`Key::Markers`].
    Markers(Markers),
    /// Of [`Key::Reaction`]: present or taken back.
    Reaction(bool),
    /// Of [`Key::Settings`].
    Settings(Settings),
}

/// Where the fact of a known command stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// In which conversation.
    pub conversation: ConversationId,
    /// At which `seq`.
    pub seq: u64,
    /// The hash of its content.
    pub hash: u64,
    /// Whether it made a message.
    pub message: bool,
}

/// What deciding a command reads first.
#[must_use]
pub fn first_keys(command: &Command) -> Vec<Key> {
    let c = &command.conversation;
    let mut keys = vec![Key::Head(c.clone()), Key::Member(c.clone(), command.actor.clone())];
    keys.extend(command.id.map(Key::Id));
    let member = |user: &UserId| Key::Member(c.clone(), user.clone());
    match &command.action {
        Action::Create { .. } => {}
        Action::Rename { .. } => keys.push(Key::About(c.clone())),
        Action::Add { users, .. } => {
            keys.push(Key::About(c.clone()));
            keys.extend(users.iter().map(member));
        }
        Action::Remove { user } | Action::SetRole { user, .. } => keys.push(member(user)),
        Action::Leave { successor } => keys.extend(successor.iter().map(member)),
        Action::Send(send) => {
            keys.extend(send.reply_to.map(Key::Id));
            keys.extend(send.seen.map(|_| Key::Markers(c.clone(), command.actor.clone())));
        }
        Action::Edit { target, .. } | Action::Delete { target } | Action::React { target, .. } => {
            keys.push(Key::Id(*target));
        }
        Action::Mark { .. } => keys.push(Key::Markers(c.clone(), command.actor.clone())),
        Action::Settings(_) => keys.push(Key::Settings(c.clone(), command.actor.clone())),
    }
    keys
}

/// What it reads once the first keys are known: the message that a target's id names.
#[must_use]
pub fn further_keys(command: &Command, mut get: impl FnMut(&Key) -> Option<Value>) -> Vec<Key> {
    let (Action::Edit { target, .. } | Action::Delete { target } | Action::React { target, .. }) =
        &command.action
    else {
        return Vec::new();
    };
    let Some(Value::Id(known)) = get(&Key::Id(*target)) else { return Vec::new() };
    let c = &command.conversation;
    if known.conversation != *c || !known.message {
        return Vec::new();
    }
    let mut keys = vec![Key::Message(c.clone(), known.seq)];
    if let Action::React { emoji, .. } = &command.action {
        keys.push(Key::Reaction(c.clone(), known.seq, command.actor.clone(), emoji.clone()));
    }
    keys
}
