//! A store as the contract has it: blind writes, the higher version wins, each row a step.

use chat4all_model::command::{Content, Count, Marker};
use chat4all_model::fact::{About, Fact, Head, Interval, Markers, MessageState, Settings, What};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::record::Facts;
use chat4all_model::rows::{Position, Row, new_message, rows};
use chat4all_model::state::{Key, Known, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowKey {
    Event(ConversationId, u64),
    Id(RecordId),
    About(ConversationId),
    Head(ConversationId),
    Interval(ConversationId, UserId, u64),
    State(ConversationId, u64),
    Text(ConversationId, u64),
    Blank(ConversationId, u64),
    Reaction(ConversationId, u64, UserId, Arc<str>),
    Mention(ConversationId, Option<UserId>, u64),
    Marker(ConversationId, UserId, Marker),
    Rise(ConversationId, UserId, Marker, u64),
    Settings(ConversationId, UserId),
    /// Several commands of one actor may be refused in one record: its place in it belongs to the key.
    Rejected(UserId, usize, u64, usize),
    Dead(usize, u64, usize),
    Progress(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowValue {
    Fact(Fact),
    Known(Known),
    About(About),
    Head(Head),
    Interval(Interval),
    State(MessageState),
    Text(Arc<str>),
    Blank,
    Since(Option<u64>),
    Count(Count),
    Settings(Settings),
    Dead(Vec<u8>),
    Progress(Progress),
}

/// A write of one row. Stages: 0 rows, 1 heads, 2 progress.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) stage: u8,
    pub(crate) key: RowKey,
    pub(crate) version: u64,
    pub(crate) value: RowValue,
}

/// The writes of a record that counts.
pub(crate) fn writes(facts: &Facts, partition: usize, position: Position) -> Vec<Write> {
    let at = position.0;
    let mut out = Vec::new();
    for (index, fact) in facts.facts.iter().enumerate() {
        for row in rows(fact) {
            push(&mut out, row, partition, at, index);
        }
    }
    for (index, dead) in facts.dead.iter().enumerate() {
        let (key, value) = (RowKey::Dead(partition, at, index), RowValue::Dead(dead.payload.clone()));
        out.push(Write { stage: 0, key, version: at, value });
    }
    out
}

/// Of writes with one key, the last.
pub(crate) fn last_of_each(writes: Vec<Write>) -> Vec<Write> {
    let mut last: Vec<Write> = Vec::with_capacity(writes.len());
    for write in writes {
        match last.iter_mut().find(|w| w.key == write.key && w.version <= write.version) {
            Some(before) => *before = write,
            None => last.push(write),
        }
    }
    last
}

fn push(out: &mut Vec<Write>, row: Row<'_>, partition: usize, at: u64, index: usize) {
    use RowKey as K;
    use RowValue as V;
    let mut stage = 0;
    let mut version = at;
    let (key, value) = match row {
        Row::Event(fact) => (K::Event(fact.conversation.clone(), fact.seq()), V::Fact(fact.clone())),
        Row::Id(id, known) => (K::Id(id), V::Known(known)),
        Row::About(c, about) => (K::About(c.clone()), V::About(about.clone())),
        Row::Head(c, head) => {
            stage = 1;
            (K::Head(c.clone()), V::Head(head.clone()))
        }
        Row::Interval(c, i) => (K::Interval(c.clone(), i.user.clone(), i.from.seq), V::Interval(i.clone())),
        Row::State(c, state) => (K::State(c.clone(), state.at.seq), V::State(state.clone())),
        Row::Text(c, seq, text) => (K::Text(c.clone(), seq), V::Text(text.into())),
        Row::Blank(c, seqs) => {
            out.extend(seqs.into_iter().map(|seq| Write {
                stage,
                key: K::Blank(c.clone(), seq),
                version,
                value: V::Blank,
            }));
            return;
        }
        Row::Reaction { conversation, seq, user, emoji, since } => {
            (K::Reaction(conversation.clone(), seq, user.clone(), emoji.into()), V::Since(since))
        }
        Row::Mention(c, user, at) => (K::Mention(c.clone(), user, at.seq), V::Count(at)),
        Row::Markers(c, user, markers) => {
            for (marker, count) in [(Marker::Delivered, markers.delivered), (Marker::Read, markers.read)] {
                let (key, value) = (K::Marker(c.clone(), user.clone(), marker), V::Count(count));
                out.push(Write { stage, key, version: count.seq, value });
            }
            return;
        }
        Row::Rise { conversation, user, marker, seq, time } => {
            // A marker rises to a seq once.
            version = 0;
            (K::Rise(conversation.clone(), user.clone(), marker, seq), V::Since(Some(time)))
        }
        Row::Settings(c, user, settings) => {
            (K::Settings(c.clone(), user.clone()), V::Settings(settings.clone()))
        }
        Row::Rejected(fact) => (K::Rejected(fact.actor.clone(), partition, at, index), V::Fact(fact.clone())),
    };
    out.push(Write { stage, key, version, value });
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) rows: BTreeMap<RowKey, (u64, RowValue)>,
}

impl Store {
    /// Writes a row if its version is higher, or of two values of one version the one written first.
    pub(crate) fn put(&mut self, write: Write) -> Result<(), String> {
        match self.rows.get(&write.key) {
            Some((version, _)) if *version > write.version => {}
            Some((version, value)) if *version == write.version => {
                // The same position or marker always means the same bytes.
                if *value != write.value {
                    return Err(format!(
                        "row {:?} of one version: {value:?} and {:?}",
                        write.key, write.value
                    ));
                }
            }
            _ => {
                self.rows.insert(write.key, (write.version, write.value));
            }
        }
        Ok(())
    }

    fn get(&self, key: &RowKey) -> Option<&RowValue> {
        self.rows.get(key).map(|(_, value)| value)
    }

    pub(crate) fn progress(&self, partition: usize) -> Progress {
        match self.get(&RowKey::Progress(partition)) {
            Some(RowValue::Progress(progress)) => *progress,
            _ => Progress { epoch: super::EPOCH, ..Progress::default() },
        }
    }

    pub(crate) fn head(&self, c: &ConversationId) -> Option<&Head> {
        match self.get(&RowKey::Head(c.clone())) {
            Some(RowValue::Head(head)) => Some(head),
            _ => None,
        }
    }

    /// All intervals of a user in a conversation.
    pub(crate) fn intervals(&self, c: &ConversationId, user: &UserId) -> Vec<Interval> {
        let key = |from| RowKey::Interval(c.clone(), user.clone(), from);
        let rows = self.rows.range(key(0)..=key(u64::MAX));
        rows.filter_map(|(_, (_, value))| match value {
            RowValue::Interval(interval) => Some(interval.clone()),
            _ => None,
        })
        .collect()
    }

    /// An event with its position, without its content once that is blanked.
    pub(crate) fn event(&self, c: &ConversationId, seq: u64) -> Option<(u64, Fact)> {
        let Some((at, RowValue::Fact(fact))) = self.rows.get(&RowKey::Event(c.clone(), seq)) else {
            return None;
        };
        let mut fact = fact.clone();
        if self.get(&RowKey::Blank(c.clone(), seq)).is_some() {
            blank(&mut fact);
        }
        Some((*at, fact))
    }

    pub(crate) fn state(&self, c: &ConversationId, seq: u64) -> Option<(u64, MessageState)> {
        match self.rows.get(&RowKey::State(c.clone(), seq)) {
            Some((at, RowValue::State(state))) => Some((*at, state.clone())),
            _ => None,
        }
    }

    pub(crate) fn text(&self, c: &ConversationId, seq: u64) -> Option<(u64, Arc<str>)> {
        match self.rows.get(&RowKey::Text(c.clone(), seq)) {
            Some((at, RowValue::Text(text))) => Some((*at, text.clone())),
            _ => None,
        }
    }

    pub(crate) fn markers(&self, c: &ConversationId, user: &UserId) -> Option<Markers> {
        let register = |marker| match self.get(&RowKey::Marker(c.clone(), user.clone(), marker)) {
            Some(RowValue::Count(count)) => Some(*count),
            _ => None,
        };
        let (delivered, read) = (register(Marker::Delivered), register(Marker::Read));
        (delivered.is_some() || read.is_some())
            .then(|| Markers { delivered: delivered.unwrap_or_default(), read: read.unwrap_or_default() })
    }

    /// The decider's state, as the rows give it.
    pub(crate) fn value(&self, key: &Key) -> Option<Value> {
        match key {
            Key::About(c) => match self.get(&RowKey::About(c.clone()))? {
                RowValue::About(about) => Some(Value::About(about.clone())),
                _ => None,
            },
            Key::Head(c) => self.head(c).cloned().map(Value::Head),
            Key::Member(c, user) => {
                self.intervals(c, user).into_iter().max_by_key(|i| i.since).map(Value::Member)
            }
            Key::Id(id) => match self.get(&RowKey::Id(*id))? {
                RowValue::Known(known) => Some(Value::Id(known.clone())),
                _ => None,
            },
            Key::Message(c, seq) => {
                let changed = self.state(c, *seq).map(|(_, state)| state);
                let first = || match self.get(&RowKey::Event(c.clone(), *seq)) {
                    Some(RowValue::Fact(fact)) => new_message(fact),
                    _ => None,
                };
                changed.or_else(first).map(Value::Message)
            }
            Key::Markers(c, user) => self.markers(c, user).map(Value::Markers),
            Key::Reaction(c, seq, user, emoji) => {
                match self.get(&RowKey::Reaction(c.clone(), *seq, user.clone(), emoji.clone()))? {
                    RowValue::Since(since) => Some(Value::Reaction(since.is_some())),
                    _ => None,
                }
            }
            Key::Settings(c, user) => match self.get(&RowKey::Settings(c.clone(), user.clone()))? {
                RowValue::Settings(settings) => Some(Value::Settings(settings.clone())),
                _ => None,
            },
        }
    }
}

/// Takes the content out of an event.
pub(crate) fn blank(fact: &mut Fact) {
    match &mut fact.what {
        What::Message { content, .. } => *content = Content::default(),
        What::Edited { text, .. } => *text = None,
        _ => {}
    }
}
