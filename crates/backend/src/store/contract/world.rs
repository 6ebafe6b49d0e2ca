//! A history made by the real decider, what a store must make of it, and all that a store says of it.

use super::super::{Counted, Projection, Slice, Store, StoredEvent, StoredMessage};
use crate::Result;
use chat4all_model::api::{History, MessageKind, Role};
use chat4all_model::command::{Action, Command, Content, Count, Marker, Send, SettingsChange};
use chat4all_model::decide::decide;
use chat4all_model::fact::{Fact, MessageState, What};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::{LastRead, Progress};
use chat4all_model::rows::{Position, values};
use chat4all_model::state::{Key, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The epoch of the log that the history stands in.
pub const EPOCH: u32 = 3;
/// The partition of the history.
pub const PARTITION: u32 = 2;

/// When the history begins. An engine with a clock of its own must not be much later.
pub const BEGINNING: u64 = 1_790_000_000_000;

/// A history.
#[derive(Debug, Default)]
pub struct World {
    /// What the decider knows: also what [`Store::values`] must give.
    pub state: BTreeMap<Key, Value>,
    /// A record for each command that had facts. The offset of `records[i]` is `3 * i`: offsets have gaps.
    pub records: Vec<Counted>,
    /// Everybody who acts or is named.
    pub users: BTreeSet<UserId>,
    /// Where something happened.
    pub conversations: BTreeSet<ConversationId>,
    commands: u64,
}

/// A user.
///
/// # Panics
/// If it is no user's id.
#[must_use]
#[expect(clippy::expect_used, reason = "ids of tests are constants")]
pub fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a user's id")
}

/// A conversation.
///
/// # Panics
/// If it is no conversation's id.
#[must_use]
#[expect(clippy::expect_used, reason = "ids of tests are constants")]
pub fn conversation(id: &str) -> ConversationId {
    ConversationId::parse(id).expect("a conversation's id")
}

/// A message of text.
#[must_use]
pub fn say(text: &str) -> Action {
    say_to(text, &[])
}

/// A message that mentions.
#[must_use]
pub fn say_to(text: &str, mentions: &[&str]) -> Action {
    let mentions = mentions.iter().map(|mention| (*mention).into()).collect();
    let content = Content { text: Some(text.into()), mentions, ..Content::default() };
    Action::Send(Send { kind: MessageKind::Text, content, reply_to: None, seen: None })
}

impl World {
    /// Decides a command and records what came of it. Gives the command's id.
    ///
    /// # Panics
    /// If the decider finds the state torn.
    #[expect(clippy::expect_used, reason = "one history has one state")]
    pub fn act(&mut self, actor: &str, place: &str, action: Action) -> RecordId {
        self.commands += 1;
        // Times need not rise.
        let time = BEGINNING + self.commands * 1_000 - (self.commands % 3) * 1_500;
        let key = format!("k{}", self.commands);
        let mut command = Command::new(conversation(place), user(actor), time, &key, action);
        command.client_id = self.commands.is_multiple_of(2).then(|| key.as_str().into());
        let facts = decide(&|key: &Key| self.state.get(key).cloned(), &command).expect("one state");
        let id = command.id.unwrap_or(RecordId::from_bytes([0; 16]));
        self.users.insert(command.actor);
        if !facts.is_empty() {
            self.conversations.insert(command.conversation);
            self.record(facts);
        }
        id
    }

    /// Records facts together, as those of a run of commands are.
    pub fn record(&mut self, facts: Vec<Fact>) {
        for fact in &facts {
            self.state.extend(values(fact));
        }
        for key in self.state.keys() {
            if let Key::Member(_, user) = key
                && !self.users.contains(user)
            {
                self.users.insert(user.clone());
            }
        }
        let position = Position::new(EPOCH, 3 * self.records.len() as u64);
        self.records.push(Counted { position, facts: facts.into(), dead: Arc::default() });
    }

    /// Makes the last records one.
    pub fn join_last(&mut self, count: usize) {
        let facts = self.records.drain(self.records.len() - count..).flat_map(|r| r.facts.to_vec()).collect();
        self.record(facts);
    }

    /// Some of the records, and the progress after them.
    #[must_use]
    pub fn projection(&self, records: Range<usize>) -> Projection {
        let progress = self.progress(records.end);
        Projection { counted: self.records[records].to_vec(), terms: Vec::new(), progress }
    }

    /// The progress after some records.
    #[must_use]
    pub fn progress(&self, records: usize) -> Progress {
        let last = records.checked_sub(1).map(|last| LastRead { offset: 3 * last as u64, hash: 7 });
        Progress { epoch: EPOCH, last, index: records as u64, ..Progress::default() }
    }

    /// Projects all of it.
    ///
    /// # Errors
    /// If the store does not take it.
    pub async fn project(&self, store: &dyn Store) -> Result<()> {
        store.project(PARTITION, self.projection(0..self.records.len())).await
    }

    /// Every event as it must be stored: deleted contents are gone.
    #[must_use]
    pub fn events(&self) -> BTreeMap<(ConversationId, u64), StoredEvent> {
        let mut events = BTreeMap::new();
        for record in &self.records {
            for fact in record.facts.iter().filter(|fact| fact.head.is_some()) {
                let key = (fact.conversation.clone(), fact.seq());
                events.insert(key, StoredEvent { position: record.position, fact: fact.clone() });
                let What::Deleted { target, state } = &fact.what else { continue };
                for seq in state.edits.iter().chain([&target.at.seq]) {
                    match events.get_mut(&(fact.conversation.clone(), *seq)).map(|event| &mut event.fact.what)
                    {
                        Some(What::Message { content, .. }) => *content = Content::default(),
                        Some(What::Edited { text, .. }) => *text = None,
                        _ => {}
                    }
                }
            }
        }
        events
    }

    /// Every message as it must be stored.
    #[must_use]
    pub fn messages(&self) -> BTreeMap<(ConversationId, u64), StoredMessage> {
        let mut messages = BTreeMap::new();
        for (key, event) in self.events() {
            if matches!(event.fact.what, What::Message { .. }) {
                let position = event.position;
                messages.insert(key, StoredMessage { event, state: None, text: None, position });
            }
        }
        for record in &self.records {
            for fact in record.facts.iter() {
                let Some((state, new)) = change(&fact.what) else { continue };
                if let Some(message) = messages.get_mut(&(fact.conversation.clone(), state.at.seq)) {
                    message.text =
                        if state.deleted_at.is_some() { None } else { new.or(message.text.take()) };
                    message.state = Some(state.clone());
                    message.position = record.position;
                }
            }
        }
        messages
    }

    /// Plays a script: each entry is a command by one of four people in one of three conversations.
    #[must_use]
    pub fn play(script: &[[u8; 4]]) -> Self {
        const USERS: [&str; 4] = ["ann", "bob", "cyd", "dan"];
        const PLACES: [&str; 3] = ["g:ann:open", "g:ann:later", "d:ann:bob"];
        let mut world = Self::default();
        for (place, history) in [(PLACES[0], History::All), (PLACES[1], History::Joined)] {
            let members = vec![user("bob"), user("cyd")];
            world.act("ann", place, Action::Create { name: Some(place.into()), members, history });
        }
        let mut sent: Vec<RecordId> = Vec::new();
        for [what, who, place, which] in script {
            let (actor, other) = (USERS[usize::from(who % 4)], USERS[usize::from(which % 4)]);
            let place = PLACES[usize::from(place % 3)];
            let newest = sent.len().saturating_sub(1 + usize::from(which % 8));
            let target = sent.get(newest).copied().unwrap_or(RecordId::from_bytes([9; 16]));
            let head = world.state.get(&Key::Head(conversation(place))).cloned();
            let at = match &head {
                Some(Value::Head(head)) => {
                    let seq = head.seq.saturating_sub(u64::from(which % 5));
                    Count { seq, n: seq.min(head.n) }
                }
                _ => Count::default(),
            };
            let action = match what % 14 {
                0..=3 => say_to(&format!("text {which}"), &[[other, "all"][usize::from(which % 2)]]),
                4 => Action::Send(Send {
                    kind: MessageKind::Text,
                    content: Content { text: Some("and seen".into()), ..Content::default() },
                    reply_to: Some(target),
                    seen: Some(at),
                }),
                5 => Action::Edit { target, text: format!("new text {which}").into() },
                6 => Action::Delete { target },
                7 => Action::React { target, emoji: "👍🏽".into(), remove: which.is_multiple_of(3) },
                8 => Action::Mark { marker: Marker::Read, at },
                9 => Action::Mark { marker: Marker::Delivered, at },
                10 => Action::Settings(SettingsChange {
                    archived: Some(which.is_multiple_of(2)),
                    ..SettingsChange::default()
                }),
                11 => Action::Add {
                    users: vec![user(other)],
                    role: [Role::Admin, Role::Member][usize::from(which % 2)],
                },
                12 => match which % 3 {
                    0 => Action::Leave { successor: Some(user(other)) },
                    _ => Action::Remove { user: user(other) },
                },
                _ => Action::Rename { name: format!("name {which}").into() },
            };
            let message = matches!(action, Action::Send(_));
            let before = world.records.len();
            let id = world.act(actor, place, action);
            if message {
                sent.push(id);
            }
            // A run of commands is one record.
            if which % 4 == 3 && world.records.len() > before {
                world.join_last(2);
            }
        }
        world
    }

    /// All that a store says of this history, as text. Lists without an order are sorted.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn dump(&self, store: &dyn Store) -> Result<String> {
        const ALL: usize = 10_000;
        let everything = (Position(0), Position(u64::MAX >> 2));
        let mut dump = Vec::new();
        dump.push(format!("{:?}", store.progress(PARTITION).await?));
        dump.push(format!("{:?}", store.values(self.state.keys().cloned().collect()).await?));
        dump.push(format!("{:?}", store.overviews(self.conversations.iter().cloned().collect()).await?));
        for user in &self.users {
            let mut memberships = store.memberships(user).await?;
            memberships.sort_by_key(|(c, interval)| (c.clone(), interval.since));
            dump.push(format!("{memberships:?}"));
            dump.push(format!("{:?}", store.own(user, self.conversations.iter().cloned().collect()).await?));
            let (from, to) = everything;
            dump.push(format!("{:?}", store.own_changes(user, PARTITION, from, to, ALL).await?));
            dump.push(format!("{:?}", store.rejections(user, PARTITION, from, to, ALL).await?));
        }
        for c in &self.conversations {
            dump.push(format!("{:?}", store.events(c, 0, u64::MAX >> 2, ALL).await?));
            dump.push(format!("{:?}", store.messages(c, Slice::Down(u64::MAX >> 2), ALL).await?));
            dump.push(format!("{:?}", store.messages(c, Slice::Up(0), ALL).await?));
            dump.push(format!("{:?}", store.members(c, None, ALL).await?));
            let mut lists = vec![
                sorted(store.members_between(c, 0, u64::MAX >> 2, ALL).await?),
                sorted(store.markers(c, ALL).await?),
                sorted(store.rises(c, 0, u64::MAX >> 2).await?),
            ];
            lists.push(sorted(store.reactions(c, (1..200).collect(), None, ALL).await?));
            dump.append(&mut lists);
            for user in &self.users {
                dump.push(format!("{:?}", store.intervals(c, user).await?));
            }
        }
        Ok(dump.join("\n"))
    }
}

/// Where two dumps differ: the first line that does, of both.
#[must_use]
pub fn difference(found: &str, expected: &str) -> Option<String> {
    let (mut found, mut expected) = (found.lines(), expected.lines());
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return None,
            (found, expected) if found == expected => {}
            (found, expected) => return Some(format!("found {found:?}, expected {expected:?}")),
        }
    }
}

/// The state of a message after a change of it, and its new text.
fn change(what: &What) -> Option<(&MessageState, Option<Arc<str>>)> {
    match what {
        What::Edited { state, text, .. } => Some((state, text.clone())),
        What::Deleted { state, .. } | What::Reacted { state, .. } => Some((state, None)),
        _ => None,
    }
}

fn sorted<T: std::fmt::Debug>(list: Vec<T>) -> String {
    let mut list: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    list.sort_unstable();
    list.join(", ")
}
