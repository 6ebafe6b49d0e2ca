//! `decide(state, command) → facts`: the only place where it is settled what a command does.
//!
//! Pure: no clock, no user table, no settings. Whatever else matters was judged where the command entered.

mod group;
mod message;

use crate::api::{Code, History, Role};
use crate::command::{Action, Command, Count, Marker};
use crate::fact::{About, Fact, Head, Interval, Markers, Rises, Settings, What};
use crate::id::{ConversationKind, UserId};
use crate::state::{Key, Known, Value};
use thiserror::Error;

/// Edits a message may see.
pub const MAX_EDITS: usize = 100;
/// Kinds of reactions a message may have.
pub const MAX_REACTION_KINDS: usize = 50;
/// Admins a conversation may have.
pub const MAX_ADMINS: u32 = 50;
/// Members a group may have.
pub const MAX_PARTICIPANTS: u32 = 100_000;
/// Up to this many members, receipts carry times and messages a status.
pub const MAX_RECEIPT_PARTICIPANTS: u32 = 100;

/// The state contradicts itself: what was read is a mixture of moments. Whoever decides has lost the partition,
/// or must read again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("state is torn: {0}")]
pub struct Torn(pub &'static str);

/// Gives the value of a key, as the log so far has made it.
pub trait State {
    /// The value; none if nothing has been written.
    fn get(&self, key: &Key) -> Option<Value>;
}

impl<F: Fn(&Key) -> Option<Value>> State for F {
    fn get(&self, key: &Key) -> Option<Value> {
        self(key)
    }
}

/// What comes of a command: facts in order, none if it changes nothing.
///
/// # Errors
/// [`Torn`] if the state cannot be of one moment.
pub fn decide(state: &impl State, command: &Command) -> Result<Vec<Fact>, Torn> {
    let scene = Scene::read(state, command)?;
    if let Some(id) = command.id
        && let Some(known) = scene.known(id)?
    {
        let same = known.hash == command.hash && known.conversation == command.conversation;
        return Ok(if same { Vec::new() } else { vec![scene.reject(Code::IdempotencyKeyReused)] });
    }
    match scene.act() {
        Ok(facts) => Ok(facts),
        Err(No::Rule(code)) => Ok(vec![scene.reject(code)]),
        Err(No::Change) => Ok(Vec::new()),
        Err(No::State(torn)) => Err(torn),
    }
}

/// Why a command makes no lasting change.
enum No {
    /// It breaks a rule.
    Rule(Code),
    /// Things are that way already.
    Change,
    State(Torn),
}

impl From<Torn> for No {
    fn from(torn: Torn) -> Self {
        Self::State(torn)
    }
}

/// A command and the state around it.
struct Scene<'a, S> {
    state: &'a S,
    command: &'a Command,
    head: Option<Head>,
    /// The actor's newest interval.
    me: Option<Interval>,
}

impl<'a, S: State> Scene<'a, S> {
    fn read(state: &'a S, command: &'a Command) -> Result<Self, Torn> {
        let mut scene = Self { state, command, head: None, me: None };
        scene.head = match state.get(&Key::Head(command.conversation.clone())) {
            None => None,
            Some(Value::Head(head)) => Some(head),
            Some(_) => return Err(Torn("head is no head")),
        };
        scene.me = scene.interval(&command.actor)?;
        Ok(scene)
    }

    fn act(&self) -> Result<Vec<Fact>, No> {
        match &self.command.action {
            Action::Create { name, members, history } => self.create(name.as_ref(), members, *history),
            Action::Rename { name } => self.rename(name),
            Action::Add { users, role } => self.add(users, *role),
            Action::Remove { user } => self.remove(user),
            Action::Leave { successor } => self.leave(successor.as_ref()),
            Action::SetRole { user, role } => self.set_role(user, *role),
            Action::Send(send) => self.send(send),
            Action::Edit { target, text } => self.edit(*target, text),
            Action::Delete { target } => self.delete(*target),
            Action::React { target, emoji, remove } => self.react(*target, emoji, *remove),
            Action::Mark { marker, at } => self.mark(*marker, *at),
            Action::Settings(change) => self.settings(change),
        }
    }

    fn interval(&self, user: &UserId) -> Result<Option<Interval>, Torn> {
        match self.state.get(&Key::Member(self.command.conversation.clone(), user.clone())) {
            None => Ok(None),
            Some(Value::Member(interval)) => Ok(Some(interval)),
            Some(_) => Err(Torn("member is no interval")),
        }
    }

    fn known(&self, id: crate::id::RecordId) -> Result<Option<Known>, Torn> {
        match self.state.get(&Key::Id(id)) {
            None => Ok(None),
            Some(Value::Id(known)) => Ok(Some(known)),
            Some(_) => Err(Torn("id is no id")),
        }
    }

    fn about(&self) -> Result<About, Torn> {
        match self.state.get(&Key::About(self.command.conversation.clone())) {
            Some(Value::About(about)) => Ok(about),
            _ => Err(Torn("a head without its conversation")),
        }
    }

    fn markers(&self) -> Result<Markers, Torn> {
        match self.state.get(&Key::Markers(self.command.conversation.clone(), self.command.actor.clone())) {
            None => Ok(Markers::default()),
            Some(Value::Markers(markers)) => Ok(markers),
            Some(_) => Err(Torn("markers are no markers")),
        }
    }

    /// The head and the actor's interval, if the actor is a member now. To others the conversation is not there.
    fn as_member(&self) -> Result<(&Head, &Interval), No> {
        match (&self.head, &self.me) {
            (Some(head), Some(me)) if me.to.is_none() => Ok((head, me)),
            (None, Some(_)) => Err(Torn("a member without a head").into()),
            _ => Err(No::Rule(Code::NotFound)),
        }
    }

    /// The same for an admin of a group.
    fn as_admin(&self) -> Result<(&Head, &Interval), No> {
        let (head, me) = self.as_member()?;
        self.in_group()?;
        if me.role == Role::Admin { Ok((head, me)) } else { Err(No::Rule(Code::Forbidden)) }
    }

    fn in_group(&self) -> Result<(), No> {
        match self.command.conversation.kind() {
            ConversationKind::Group => Ok(()),
            ConversationKind::Direct(..) | ConversationKind::Channel { .. } => Err(No::Rule(Code::Conflict)),
        }
    }

    /// A fact with the next `seq`. Only a message counts in `n`.
    fn next(&self, head: &Head, what: What) -> Fact {
        let seq = head.seq + 1;
        let mut next = Head { seq, time: self.command.time, ..head.clone() };
        if let What::Message { .. } = what {
            next.other_seq = head.last_by_others(&self.command.actor);
            next.n += 1;
            next.sender = Some(self.command.actor.clone());
            next.sender_seq = seq;
        }
        self.fact(Some(next), what)
    }

    fn fact(&self, head: Option<Head>, what: What) -> Fact {
        let command = self.command;
        Fact {
            conversation: command.conversation.clone(),
            actor: command.actor.clone(),
            time: command.time,
            id: command.id,
            hash: command.hash,
            head,
            what,
        }
    }

    fn reject(&self, code: Code) -> Fact {
        self.fact(None, What::Rejected { code, client_id: self.command.client_id.clone() })
    }

    fn mark(&self, marker: Marker, at: Count) -> Result<Vec<Fact>, No> {
        let (head, me) = match self.as_member() {
            // A register of somebody who is gone is nothing to tell anybody of.
            Err(No::Rule(_)) => return Err(No::Change),
            other => other?,
        };
        if at.seq > head.seq || at.seq < me.from.seq {
            return Err(No::Change);
        }
        let markers = self.markers()?;
        let mut after = markers;
        after.delivered = after.delivered.max(at);
        if marker == Marker::Read {
            after.read = after.read.max(at);
        }
        self.receipt(head, markers, after).map(|fact| vec![fact]).ok_or(No::Change)
    }

    /// The fact of markers that rose; none if none did.
    fn receipt(&self, head: &Head, before: Markers, after: Markers) -> Option<Fact> {
        let timed = head.participants <= MAX_RECEIPT_PARTICIPANTS;
        let delivered = after.delivered.seq > before.delivered.seq;
        let read = after.read.seq > before.read.seq;
        let rises = Rises { delivered: timed && delivered, read: timed && read };
        let fact = Fact { id: None, ..self.fact(None, What::Receipt { markers: after, rises }) };
        (delivered || read).then_some(fact)
    }

    fn settings(&self, change: &crate::command::SettingsChange) -> Result<Vec<Fact>, No> {
        // Who has left still archives what remains in the inbox.
        if self.me.is_none() {
            return Err(No::Rule(Code::NotFound));
        }
        let key = Key::Settings(self.command.conversation.clone(), self.command.actor.clone());
        let before = match self.state.get(&key) {
            None => Settings::default(),
            Some(Value::Settings(settings)) => settings,
            Some(_) => return Err(Torn("settings are no settings").into()),
        };
        let after = Settings {
            muted_until: change.muted_until.unwrap_or(before.muted_until),
            archived: change.archived.unwrap_or(before.archived),
            pinned: change.pinned.unwrap_or(before.pinned),
        };
        if after == before {
            return Err(No::Change);
        }
        Ok(vec![self.fact(None, What::Settings { settings: after })])
    }
}

/// The conversation before its first event.
fn unborn() -> Head {
    Head { seq: 0, n: 0, sender: None, sender_seq: 0, other_seq: 0, participants: 0, admins: 0, time: 0 }
}

/// Where a newcomer's sight and counting begin, if the joining is the event `seq` after `n` messages.
fn beginning(history: History, seq: u64, n: u64) -> Count {
    match history {
        History::Joined => Count { seq, n },
        History::All => Count { seq: 1, n: 0 },
    }
}
