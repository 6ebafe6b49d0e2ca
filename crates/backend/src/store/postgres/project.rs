//! What a projection writes, coalesced: of rows with one key the later one is left, and all are in the order of
//! their keys. [`super::write`] makes one statement a table of it.

use super::conversation_key;
use crate::Result;
use crate::store::split::Split;
use crate::store::{Counted, Projection};
use chat4all_model::command::Marker;
use chat4all_model::fact::{About, Fact, Head, Interval, Markers, MessageState, Settings, What};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::record::Dead;
use chat4all_model::rows::{Position, Row, rows};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A value and where the fact stands that it is of.
pub(super) struct At<T> {
    pub(super) position: Position,
    pub(super) value: T,
}

/// By key, the latest of each.
pub(super) type Latest<K, V> = BTreeMap<K, At<V>>;

/// All rows of a projection.
#[derive(Default)]
pub(super) struct Gathered<'p> {
    pub(super) messages: Vec<Event<'p>>,
    pub(super) others: Vec<Event<'p>>,
    pub(super) abouts: Latest<Uuid, (&'p ConversationId, &'p About)>,
    pub(super) heads: Latest<Uuid, (&'p ConversationId, &'p Head)>,
    pub(super) intervals: Latest<(Uuid, &'p UserId, u64), &'p Interval>,
    pub(super) changes: BTreeMap<(Uuid, u64), Change<'p>>,
    pub(super) blanks: BTreeSet<(Uuid, u64)>,
    pub(super) reactions: Latest<(Uuid, u64, &'p UserId, &'p str), Option<u64>>,
    pub(super) mentions: BTreeSet<(Cow<'static, str>, Uuid, u64)>,
    /// With the time of the fact, as settings.
    pub(super) markers: Latest<(&'p UserId, Uuid), (Markers, u64)>,
    pub(super) settings: Latest<(&'p UserId, Uuid), (&'p Settings, u64)>,
    pub(super) rises: BTreeMap<(Uuid, &'p UserId, Marker, u64), u64>,
    pub(super) rejections: Vec<Rejection<'p>>,
    pub(super) dead: Vec<(Position, usize, &'p Dead)>,
}

/// An event, taken apart.
pub(super) struct Event<'p> {
    pub(super) conversation: Uuid,
    pub(super) position: Position,
    pub(super) seq: u64,
    pub(super) fact: &'p Fact,
    pub(super) split: Split,
}

/// What became of a message: its state, its text, or both. A text of none is a deletion's.
#[derive(Default)]
pub(super) struct Change<'p> {
    pub(super) state: Option<At<&'p MessageState>>,
    pub(super) text: Option<At<Option<&'p str>>>,
}

/// A refused command.
pub(super) struct Rejection<'p> {
    pub(super) position: Position,
    pub(super) part: usize,
    pub(super) fact: &'p Fact,
}

impl<'p> Gathered<'p> {
    pub(super) fn of(projection: &'p Projection) -> Result<Self> {
        let mut all = Self::default();
        for Counted { position, facts, dead } in &projection.counted {
            for (part, fact) in facts.iter().enumerate() {
                let conversation = conversation_key(&fact.conversation);
                for row in rows(fact) {
                    all.row(conversation, *position, part, fact, row)?;
                }
            }
            all.dead.extend(dead.iter().enumerate().map(|(part, dead)| (*position, part, dead)));
        }
        all.messages.sort_unstable_by_key(|event| (event.conversation, event.seq));
        all.others.sort_unstable_by_key(|event| (event.conversation, event.seq));
        Ok(all)
    }

    fn row(
        &mut self,
        key: Uuid,
        position: Position,
        part: usize,
        fact: &'p Fact,
        row: Row<'p>,
    ) -> Result<()> {
        match row {
            Row::Event(fact) => {
                let split = Split::of(fact)?;
                let event = Event { conversation: key, position, seq: fact.seq(), fact, split };
                let message = matches!(fact.what, What::Message { .. });
                if message { &mut self.messages } else { &mut self.others }.push(event);
            }
            // A column of the event.
            Row::Id(..) => {}
            Row::About(c, about) => latest(&mut self.abouts, key, position, (c, about)),
            Row::Head(c, head) => latest(&mut self.heads, key, position, (c, head)),
            Row::Interval(_, interval) => {
                latest(&mut self.intervals, (key, &interval.user, interval.since), position, interval);
            }
            Row::State(_, state) => {
                let change = self.changes.entry((key, state.at.seq)).or_default();
                later(&mut change.state, position, state);
            }
            Row::Text(_, seq, text) => self.text(key, seq, position, Some(text)),
            Row::Blank(_, seqs) => {
                // The first is the message. An earlier text that comes late finds a later one there: none.
                if let Some(seq) = seqs.first() {
                    self.text(key, *seq, position, None);
                }
                self.blanks.extend(seqs.into_iter().map(|seq| (key, seq)));
            }
            Row::Reaction { seq, user, emoji, since, .. } => {
                latest(&mut self.reactions, (key, seq, user, emoji), position, since);
            }
            Row::Mention(_, user, at) => {
                let user = user.map_or("all".into(), |user| user.as_str().to_owned().into());
                self.mentions.insert((user, key, at.seq));
            }
            Row::Markers(_, user, markers) => {
                latest(&mut self.markers, (user, key), position, (markers, fact.time));
            }
            // The first one stays.
            Row::Rise { user, marker, seq, time, .. } => {
                self.rises.entry((key, user, marker, seq)).or_insert(time);
            }
            Row::Settings(_, user, settings) => {
                latest(&mut self.settings, (user, key), position, (settings, fact.time));
            }
            Row::Rejected(fact) => self.rejections.push(Rejection { position, part, fact }),
        }
        Ok(())
    }

    fn text(&mut self, key: Uuid, seq: u64, position: Position, text: Option<&'p str>) {
        later(&mut self.changes.entry((key, seq)).or_default().text, position, text);
    }
}

fn latest<K: Ord, V>(rows: &mut Latest<K, V>, key: K, position: Position, value: V) {
    match rows.entry(key) {
        Entry::Vacant(none) => {
            none.insert(At { position, value });
        }
        Entry::Occupied(mut old) if old.get().position <= position => {
            old.insert(At { position, value });
        }
        Entry::Occupied(_) => {}
    }
}

fn later<V>(row: &mut Option<At<V>>, position: Position, value: V) {
    if row.as_ref().is_none_or(|old| old.position <= position) {
        *row = Some(At { position, value });
    }
}
