//! What a projection writes, in stages: each is acknowledged before the next begins, so that a head is never seen
//! without its rows, nor progress without the heads.
//!
//! Of a row that several facts change only the last state is written. That is not for speed alone: two writes of one
//! record have the same time, and Cassandra would keep the larger value, not the later one.

use super::column::{EVERYBODY, bucket, marker, number, or_unset, shard, time, word};
use super::write::{Stamp, Write, Writes};
use crate::Result;
use crate::store::split::{Split, to_blob};
use crate::store::{Counted, Projection};
use chat4all_model::api::Role;
use chat4all_model::fact::{About, Fact, Head, Interval, Markers, MessageState, Settings, What};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::{Position, Row, rows};
use std::collections::HashMap;
use std::hash::Hash;

/// What a projection writes, stage by stage.
pub(super) fn stages(writes: &Writes, partition: u32, projection: &Projection) -> Result<[Vec<Write>; 3]> {
    let mut projector = Projector::new(writes, partition);
    for counted in &projection.counted {
        projector.record(counted)?;
    }
    projector.terms(projection)?;
    projector.put_off()?;
    let heads = projector.heads()?;
    let progress = &projection.progress;
    let value = (i64::from(partition), to_blob(progress)?);
    let progress = writes.progress.at(Stamp::of_progress(progress)?, &value)?;
    Ok([projector.rows, heads, vec![progress]])
}

/// The last of several values of a row, and when it came.
type Latest<K, V> = HashMap<K, (Position, V)>;

struct Projector<'p> {
    writes: &'p Writes,
    partition: i64,
    rows: Vec<Write>,
    abouts: Latest<&'p ConversationId, &'p About>,
    heads: Latest<&'p ConversationId, &'p Head>,
    intervals: Latest<(&'p ConversationId, &'p UserId, u64), &'p Interval>,
    changes: HashMap<(&'p ConversationId, u64), Change<'p>>,
    reactions: Latest<(&'p ConversationId, u64, &'p UserId, &'p str), Option<u64>>,
    /// With the time of the fact.
    markers: Latest<(&'p ConversationId, &'p UserId), (Markers, u64)>,
    settings: Latest<(&'p ConversationId, &'p UserId), (&'p Settings, u64)>,
}

/// What became of a message. One write has both, so that whoever sees the new position sees the new text.
#[derive(Default)]
struct Change<'p> {
    position: Position,
    state: Option<&'p MessageState>,
    /// None if the text is as it was; `Some(None)` if it is gone.
    text: Option<Option<&'p str>>,
}

impl<'p> Projector<'p> {
    fn new(writes: &'p Writes, partition: u32) -> Self {
        Self {
            writes,
            partition: i64::from(partition),
            rows: Vec::new(),
            abouts: HashMap::new(),
            heads: HashMap::new(),
            intervals: HashMap::new(),
            changes: HashMap::new(),
            reactions: HashMap::new(),
            markers: HashMap::new(),
            settings: HashMap::new(),
        }
    }

    fn record(&mut self, counted: &'p Counted) -> Result<()> {
        let position = counted.position;
        let stamp = Stamp::of(position)?;
        for (part, fact) in counted.facts.iter().enumerate() {
            for row in rows(fact) {
                self.row(position, stamp, fact, part, row)?;
            }
        }
        for (part, dead) in counted.dead.iter().enumerate() {
            let values =
                (self.partition, number(position.0), number(part as u64), &*dead.reason, to_blob(dead)?);
            self.rows.push(self.writes.dead_letter.at(stamp, &values)?);
        }
        Ok(())
    }

    fn row(
        &mut self,
        position: Position,
        stamp: Stamp,
        fact: &'p Fact,
        part: usize,
        row: Row<'p>,
    ) -> Result<()> {
        match row {
            Row::Event(fact) => return self.event(position, stamp, fact),
            Row::Id(id, known) => {
                let hash = known.hash.cast_signed();
                let values =
                    (id.to_string(), known.conversation.as_str(), number(known.seq), hash, known.message);
                self.rows.push(self.writes.id.at(stamp, &values)?);
            }
            Row::About(c, about) => keep(&mut self.abouts, c, position, about),
            Row::Head(c, head) => keep(&mut self.heads, c, position, head),
            Row::Interval(c, interval) => {
                keep(&mut self.intervals, (c, &interval.user, interval.since), position, interval);
            }
            Row::State(c, state) => self.change(c, state.at.seq, position).state = Some(state),
            Row::Text(c, seq, text) => self.change(c, seq, position).text = Some(Some(text)),
            Row::Blank(c, seqs) => {
                // The first is the message.
                if let Some((seq, edits)) = seqs.split_first() {
                    self.change(c, *seq, position).text = Some(None);
                    let key = |seq: u64| (c.as_str(), number(bucket(seq)), number(seq));
                    self.rows.push(self.writes.blank_message.at(stamp, &key(*seq))?);
                    for seq in edits {
                        self.rows.push(self.writes.blank_edit.at(stamp, &key(*seq))?);
                    }
                }
            }
            Row::Reaction { conversation, seq, user, emoji, since } => {
                keep(&mut self.reactions, (conversation, seq, user, emoji), position, since);
            }
            Row::Mention(c, user, at) => {
                let user = user.as_ref().map_or(EVERYBODY, UserId::as_str);
                self.rows.push(self.writes.mention.at(stamp, &(user, c.as_str(), number(at.seq)))?);
            }
            Row::Markers(c, user, mut markers) => {
                if let Some((_, (before, _))) = self.markers.get(&(c, user)) {
                    markers.delivered = markers.delivered.max(before.delivered);
                    markers.read = markers.read.max(before.read);
                }
                keep(&mut self.markers, (c, user), position, (markers, fact.time));
            }
            Row::Rise { conversation, user, marker: which, seq, time: when } => {
                let values = (conversation.as_str(), user.as_str(), marker(which), number(seq), time(when));
                self.rows.push(self.writes.rise.at(stamp, &values)?);
            }
            Row::Settings(c, user, settings) => {
                keep(&mut self.settings, (c, user), position, (settings, fact.time));
            }
            Row::Rejected(fact) => {
                let part = number(part as u64);
                let values = (fact.actor.as_str(), self.partition, number(position.0), part, to_blob(fact)?);
                self.rows.push(self.writes.rejection.at(stamp, &values)?);
            }
        }
        Ok(())
    }

    fn event(&mut self, position: Position, stamp: Stamp, fact: &'p Fact) -> Result<()> {
        let c = fact.conversation.as_str();
        let bucket = number(bucket(fact.seq()));
        let (seq, n, at) = (number(fact.seq()), number(fact.n()), number(position.0));
        let (word, actor, time) = (word(fact), fact.actor.as_str(), time(fact.time));
        let Split { body, text, rest } = Split::of(fact)?;
        let text = or_unset(text.as_deref());
        let write = if matches!(fact.what, What::Message { .. }) {
            let id = or_unset(fact.id.map(|id| id.to_string()));
            let values = (c, bucket, seq, n, word, id, actor, text, time, at, body, or_unset(rest));
            self.writes.message.at(stamp, &values)?
        } else {
            self.writes.event.at(stamp, &(c, bucket, seq, n, word, actor, text, time, at, body))?
        };
        self.rows.push(write);
        // Seqs have no holes, so every bucket has its first one.
        if fact.seq() == 1 || fact.seq().is_multiple_of(super::column::BUCKET) {
            self.rows.push(self.writes.bucket.at(stamp, &(c, bucket))?);
        }
        Ok(())
    }

    fn change(&mut self, c: &'p ConversationId, seq: u64, position: Position) -> &mut Change<'p> {
        let change = self.changes.entry((c, seq)).or_default();
        change.position = change.position.max(position);
        change
    }

    fn terms(&mut self, projection: &Projection) -> Result<()> {
        let epoch = projection.progress.epoch;
        for offset in &projection.terms {
            let stamp = Stamp::of(Position::new(epoch, *offset))?;
            let values = (self.partition, i64::from(epoch), number(*offset));
            self.rows.push(self.writes.term.at(stamp, &values)?);
        }
        Ok(())
    }

    /// Writes what several facts may have changed.
    fn put_off(&mut self) -> Result<()> {
        let (writes, rows) = (self.writes, &mut self.rows);
        for (c, (position, about)) in &self.abouts {
            let name = or_unset(about.name.as_deref());
            let values = (shard(c), c.as_str(), name, to_blob(*about)?, number(position.0));
            rows.push(writes.about.at(Stamp::of(*position)?, &values)?);
        }
        for ((c, user, _), (position, interval)) in &self.intervals {
            let values = (
                c.as_str(),
                user.as_str(),
                number(interval.since),
                interval.role == Role::Admin,
                number(interval.from.seq),
                number(interval.from.n),
                or_unset(interval.to.map(|to| number(to.seq))),
                or_unset(interval.to.map(|to| number(to.n))),
                number(interval.other_seq),
                time(interval.joined_at),
            );
            let stamp = Stamp::of(*position)?;
            rows.push(writes.participant.at(stamp, &values)?);
            rows.push(writes.membership.at(stamp, &values)?);
        }
        for ((c, seq), change) in &self.changes {
            let state = or_unset(change.state.map(to_blob).transpose()?);
            let text = or_unset(change.text);
            let values =
                (c.as_str(), number(bucket(*seq)), number(*seq), state, text, number(change.position.0));
            rows.push(writes.change.at(Stamp::of(change.position)?, &values)?);
        }
        for ((c, seq, user, emoji), (position, since)) in &self.reactions {
            let since_when = or_unset(since.map(time));
            let key = (c.as_str(), number(bucket(*seq)), number(*seq), user.as_str());
            let values = (key.0, key.1, key.2, key.3, *emoji, since.is_some(), since_when);
            rows.push(writes.reaction.at(Stamp::of(*position)?, &values)?);
        }
        for ((c, user), (position, (markers, when))) in &self.markers {
            let stamp = Stamp::of(*position)?;
            let (c, user, at) = (c.as_str(), user.as_str(), number(position.0));
            let (delivered, read) = (markers.delivered, markers.read);
            let (d, dn, r, rn) =
                (number(delivered.seq), number(delivered.n), number(read.seq), number(read.n));
            rows.push(writes.markers.at(stamp, &(c, user, d, dn, r, rn))?);
            let values = (user, c, self.partition, d, dn, r, rn, time(*when), at);
            rows.push(writes.own_markers.at(stamp, &values)?);
        }
        for ((c, user), (position, (settings, when))) in &self.settings {
            let at = number(position.0);
            let values = (user.as_str(), c.as_str(), self.partition, to_blob(*settings)?, time(*when), at);
            rows.push(writes.own_settings.at(Stamp::of(*position)?, &values)?);
        }
        Ok(())
    }

    fn heads(&self) -> Result<Vec<Write>> {
        let head = |(c, (position, head)): (&&ConversationId, &(Position, &Head))| {
            let (seq, n, at) = (number(head.seq), number(head.n), number(position.0));
            let values = (shard(c), c.as_str(), seq, n, to_blob(*head)?, at);
            self.writes.head.at(Stamp::of(*position)?, &values)
        };
        self.heads.iter().map(head).collect()
    }
}

/// Keeps the later of two values; of two of one record the second.
fn keep<K: Eq + Hash, V>(latest: &mut Latest<K, V>, key: K, position: Position, value: V) {
    match latest.entry(key) {
        std::collections::hash_map::Entry::Occupied(mut kept) => {
            if kept.get().0 <= position {
                kept.insert((position, value));
            }
        }
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert((position, value));
        }
    }
}
