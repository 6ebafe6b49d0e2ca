//! People talking: commands decided one after another, the state kept by folding values and by storing rows.

use crate::world::EPOCH;
use crate::world::store::{self, Store};
use chat4all_model::api::{Code, History, MessageKind, Role};
use chat4all_model::command::{Action, Command, Content, Count, Send};
use chat4all_model::decide::decide;
use chat4all_model::fact::{Fact, Head, Interval, Markers, What};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::record::{Facts, Input, Source};
use chat4all_model::rows::{Position, values};
use chat4all_model::state::{Key, Value, first_keys, further_keys};
use chat4all_model::unread::unread;
use std::collections::HashMap;

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user's id")
}

pub(crate) fn group(id: &str) -> ConversationId {
    ConversationId::parse(id).expect("a conversation's id")
}

pub(crate) fn direct(a: &str, b: &str) -> String {
    ConversationId::direct(&user(a), &user(b)).expect("two people").as_str().to_owned()
}

pub(crate) fn create(members: &[&str], history: History) -> Action {
    Action::Create { name: None, members: members.iter().map(|m| user(m)).collect(), history }
}

pub(crate) fn add(users: &[&str], role: Role) -> Action {
    Action::Add { users: users.iter().map(|u| user(u)).collect(), role }
}

pub(crate) fn send(text: &str, seen: Option<Count>) -> Action {
    let content = Content { text: Some(text.into()), ..Content::default() };
    Action::Send(Send { kind: MessageKind::Text, content, reply_to: None, seen })
}

pub(crate) fn answer(text: &str, to: RecordId) -> Action {
    let content = Content { text: Some(text.into()), ..Content::default() };
    Action::Send(Send { kind: MessageKind::Text, content, reply_to: Some(to), seen: None })
}

/// Why a command was refused.
pub(crate) fn code(facts: &[Fact]) -> Option<Code> {
    facts.iter().find_map(|fact| match &fact.what {
        What::Rejected { code, .. } => Some(*code),
        _ => None,
    })
}

/// A log and its state.
#[derive(Default)]
pub(crate) struct Talk {
    /// By folding the values of all facts.
    pub(crate) state: HashMap<Key, Value>,
    /// By storing the rows of all facts.
    pub(crate) store: Store,
    pub(crate) log: Vec<Fact>,
    commands: u64,
}

impl Talk {
    pub(crate) fn command(&self, actor: &str, conversation: &str, key: &str, action: Action) -> Command {
        Command::new(group(conversation), user(actor), 1_000 + self.commands, key, action)
    }

    /// Decides a command with a fresh key.
    pub(crate) fn ask(&mut self, actor: &str, conversation: &str, action: Action) -> Vec<Fact> {
        let key = format!("fresh {}", self.commands);
        self.keyed(actor, conversation, &key, action)
    }

    /// The same, where it makes one event.
    pub(crate) fn one(&mut self, actor: &str, conversation: &str, action: Action) -> Fact {
        let facts = self.ask(actor, conversation, action.clone());
        assert!(facts.len() == 1 && facts[0].head.is_some(), "{action:?} gave {facts:?}");
        facts[0].clone()
    }

    /// Decides a command under a key.
    pub(crate) fn keyed(&mut self, actor: &str, conversation: &str, key: &str, action: Action) -> Vec<Fact> {
        let command = self.command(actor, conversation, key, action);
        self.take(&command)
    }

    /// Decides a command and takes what comes of it.
    pub(crate) fn take(&mut self, command: &Command) -> Vec<Fact> {
        self.commands += 1;
        let mut keys = first_keys(command);
        keys.extend(further_keys(command, |key| self.state.get(key).cloned()));
        let state = |key: &Key| {
            assert!(keys.contains(key), "{key:?} is not among the keys to read of {command:?}");
            let (folded, stored) = (self.state.get(key).cloned(), self.store.value(key));
            assert_eq!(folded, stored, "values and rows differ at {key:?}");
            folded
        };
        let facts = decide(&state, command).expect("folded state is never torn");
        let position = Position::new(EPOCH, self.commands);
        let source = Source { input: Input::Messages, epoch: EPOCH, offset: self.commands };
        let record = Facts { term: 0, index: 0, source, facts: facts.clone(), dead: Vec::new() };
        for write in store::last_of_each(store::writes(&record, 0, position)) {
            self.store.put(write).expect("one value of one version");
        }
        self.state.extend(facts.iter().flat_map(values));
        self.log.extend(facts.iter().cloned());
        facts
    }

    pub(crate) fn head(&self, conversation: &str) -> Option<Head> {
        match self.state.get(&Key::Head(group(conversation))) {
            Some(Value::Head(head)) => Some(head.clone()),
            _ => None,
        }
    }

    pub(crate) fn interval(&self, name: &str, conversation: &str) -> Option<Interval> {
        match self.state.get(&Key::Member(group(conversation), user(name))) {
            Some(Value::Member(interval)) => Some(interval.clone()),
            _ => None,
        }
    }

    pub(crate) fn member(&self, name: &str, conversation: &str) -> Interval {
        self.interval(name, conversation).expect("a member")
    }

    pub(crate) fn markers(&self, name: &str, conversation: &str) -> Markers {
        match self.state.get(&Key::Markers(group(conversation), user(name))) {
            Some(Value::Markers(markers)) => *markers,
            _ => Markers::default(),
        }
    }

    pub(crate) fn unread(&self, name: &str, conversation: &str) -> u64 {
        let head = self.head(conversation).expect("a head");
        unread(&head, &self.member(name, conversation), &self.markers(name, conversation))
    }
}
