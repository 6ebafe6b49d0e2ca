//! What a projection writes. Whatever stands at a higher position wins, so that late writers change nothing.

use super::event::{self, number, place, to_blob};
use super::further;
use super::names::{Named, Names};
use crate::sqlite::failed;
use crate::store::{Counted, Projection};
use crate::{Result, store::MAX_TERMS};
use chat4all_model::api::Role;
use chat4all_model::command::Marker;
use chat4all_model::fact::{Fact, Head, Interval, Markers};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::{Position, Row, rows};
use rusqlite::{CachedStatement, Connection, Params, params};
use std::collections::HashMap;

/// One transaction's writes. Heads and markers change with nearly every fact and are written once, at the end.
pub(super) struct Projector<'c, 'p> {
    connection: &'c Connection,
    names: &'c Names,
    insert: CachedStatement<'c>,
    conversations: HashMap<&'p ConversationId, Touched<'p>>,
    users: HashMap<UserId, i64>,
    /// By user and conversation.
    markers: HashMap<(i64, i64), Moved>,
    done: Done,
}

struct Touched<'p> {
    number: i64,
    head: Option<(Position, &'p Head)>,
}

struct Moved {
    partition: u32,
    markers: Markers,
    time: u64,
    position: Position,
}

/// What others may know once it is committed.
pub(super) struct Done {
    progress: HashMap<u32, Progress>,
    users: Vec<(UserId, i64)>,
    conversations: Vec<(ConversationId, i64)>,
}

impl Done {
    /// Takes note of new numbers and gives the progress of all partitions.
    pub(super) fn remember(self, names: &Names) -> HashMap<u32, Progress> {
        self.users.iter().for_each(|(id, number)| names.remember(id, *number));
        self.conversations.iter().for_each(|(id, number)| names.remember(id, *number));
        self.progress
    }
}

/// Where a row comes from.
#[derive(Clone, Copy)]
struct Origin<'p> {
    partition: u32,
    position: Position,
    fact: &'p Fact,
    /// The fact's index in its record.
    part: usize,
}

impl<'c, 'p> Projector<'c, 'p> {
    pub(super) fn new(
        connection: &'c Connection,
        names: &'c Names,
        progress: HashMap<u32, Progress>,
    ) -> Result<Self> {
        let insert = "INSERT INTO events (conversation, place, key, body, content) VALUES (?, ?, ?, ?, ?)
                      ON CONFLICT DO NOTHING";
        Ok(Self {
            connection,
            names,
            insert: connection.prepare_cached(insert).map_err(failed)?,
            conversations: HashMap::new(),
            users: HashMap::new(),
            markers: HashMap::new(),
            done: Done { progress, users: Vec::new(), conversations: Vec::new() },
        })
    }

    pub(super) fn project(&mut self, partition: u32, projection: &'p Projection) -> Result<()> {
        for counted in &projection.counted {
            for (part, fact) in counted.facts.iter().enumerate() {
                let origin = Origin { partition, position: counted.position, fact, part };
                for row in rows(fact) {
                    self.row(origin, row)?;
                }
            }
            self.dead(partition, counted)?;
        }
        let progress = &projection.progress;
        if !projection.terms.is_empty() {
            self.terms(partition, progress.epoch, &projection.terms)?;
        }
        if self.done.progress.get(&partition).is_none_or(|old| further(progress, old)) {
            self.run(
                "INSERT OR REPLACE INTO progress VALUES (?, ?)",
                params![partition, to_blob(progress)?],
            )?;
            self.done.progress.insert(partition, *progress);
        }
        Ok(())
    }

    /// Writes what was put off.
    pub(super) fn finish(mut self) -> Result<Done> {
        let mut heads: Vec<_> =
            self.conversations.values().filter_map(|c| Some((c.number, c.head?))).collect();
        heads.sort_unstable_by_key(|(number, _)| *number);
        for (conversation, (position, head)) in heads {
            self.run(
                "UPDATE conversations SET head = ?2, head_position = ?3 WHERE no = ?1 AND head_position <= ?3",
                params![conversation, to_blob(head)?, at(position)],
            )?;
        }
        let mut markers: Vec<_> = self.markers.drain().collect();
        markers.sort_unstable_by_key(|(key, _)| *key);
        for ((user, conversation), moved) in markers {
            self.moved(user, conversation, &moved)?;
        }
        Ok(self.done)
    }

    fn row(&mut self, origin: Origin<'p>, row: Row<'p>) -> Result<()> {
        let position = at(origin.position);
        match row {
            Row::Event(fact) => self.event(origin, fact),
            // A column of the event.
            Row::Id(..) => Ok(()),
            Row::About(c, about) => {
                let c = self.conversation(c)?;
                self.run(
                    "UPDATE conversations SET about = ?2, about_position = ?3 WHERE no = ?1 AND about_position <= ?3",
                    params![c, to_blob(about)?, position],
                )
            }
            Row::Head(c, head) => {
                self.conversation(c)?;
                if let Some(touched) = self.conversations.get_mut(c)
                    && touched.head.is_none_or(|(old, _)| old <= origin.position)
                {
                    touched.head = Some((origin.position, head));
                }
                Ok(())
            }
            Row::Interval(c, interval) => self.interval(c, interval, position),
            Row::State(c, state) => {
                let c = self.conversation(c)?;
                self.run(
                    "INSERT INTO changes (conversation, seq, state, state_position) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET state = ?3, state_position = ?4 WHERE state_position <= ?4",
                    params![c, number(state.at.seq), to_blob(state)?, position],
                )
            }
            Row::Text(c, seq, text) => {
                let c = self.conversation(c)?;
                self.text(c, seq, Some(text), position)
            }
            Row::Blank(c, seqs) => {
                let c = self.conversation(c)?;
                for seq in &seqs {
                    self.run(
                        "UPDATE events SET content = NULL WHERE conversation = ? AND place IN (?, ?)",
                        params![c, place(*seq), place(*seq) + 1],
                    )?;
                }
                // The first is the message. An earlier text that comes late finds a later one there: none.
                seqs.first().map_or(Ok(()), |seq| self.text(c, *seq, None, position))
            }
            Row::Reaction { conversation, seq, user, emoji, since } => {
                let (c, user) = (self.conversation(conversation)?, self.user(user)?);
                self.run(
                    "INSERT INTO reactions VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT DO UPDATE SET since = ?5, position = ?6 WHERE position <= ?6",
                    params![c, number(seq), user, emoji, since.map(number), position],
                )
            }
            Row::Mention(c, user, count) => {
                let c = self.conversation(c)?;
                let user = user.map_or(Ok(0), |user| self.user(&user))?;
                self.run(
                    "INSERT OR IGNORE INTO mentions VALUES (?, ?, ?)",
                    params![user, c, number(count.seq)],
                )
            }
            Row::Markers(c, user, markers) => self.markers(origin, c, user, markers),
            Row::Rise { conversation, user, marker, seq, time } => {
                let (c, user) = (self.conversation(conversation)?, self.user(user)?);
                self.run(
                    "INSERT OR IGNORE INTO rises VALUES (?, ?, ?, ?, ?)",
                    params![c, user, marker_number(marker), number(seq), number(time)],
                )
            }
            Row::Settings(c, user, settings) => {
                let (c, user) = (self.conversation(c)?, self.user(user)?);
                self.run(
                    "INSERT INTO own (user, conversation, partition, settings, settings_time, settings_position)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET settings = ?4, settings_time = ?5,
                     settings_position = ?6 WHERE settings_position <= ?6",
                    params![user, c, origin.partition, to_blob(settings)?, number(origin.fact.time), position],
                )
            }
            Row::Rejected(fact) => {
                let user = self.user(&fact.actor)?;
                let part = number(origin.part as u64);
                self.run(
                    "INSERT INTO rejections (user, partition, position, part, time, fact) VALUES (?, ?, ?, ?, ?, ?)
                     ON CONFLICT DO NOTHING",
                    params![user, origin.partition, position, part, number(fact.time), to_blob(fact)?],
                )
            }
        }
    }

    fn event(&mut self, origin: Origin<'p>, fact: &'p Fact) -> Result<()> {
        let Some(head) = &fact.head else { return Ok(()) };
        let conversation = self.conversation(&fact.conversation)?;
        let columns = event::write(fact, head, origin.position, |user| self.user(user))?;
        let values = params![conversation, columns.place, columns.key, columns.body, columns.content];
        self.insert.execute(values).map(|_| ()).map_err(failed)
    }

    fn interval(&mut self, c: &'p ConversationId, interval: &Interval, position: i64) -> Result<()> {
        let (c, user) = (self.conversation(c)?, self.user(&interval.user)?);
        self.run(
            "INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT DO UPDATE SET role = ?5, from_seq = ?6, from_n = ?7, to_seq = ?8, to_n = ?9,
             other_seq = ?10, joined_at = ?11, position = ?12 WHERE position <= ?12",
            params![
                c,
                user,
                number(interval.since),
                interval.user.as_str(),
                interval.role == Role::Admin,
                number(interval.from.seq),
                number(interval.from.n),
                interval.to.map(|to| number(to.seq)),
                interval.to.map(|to| number(to.n)),
                number(interval.other_seq),
                number(interval.joined_at),
                position,
            ],
        )
    }

    fn text(&self, conversation: i64, seq: u64, text: Option<&str>, position: i64) -> Result<()> {
        self.run(
            "INSERT INTO changes (conversation, seq, text, text_position) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET text = ?3, text_position = ?4 WHERE text_position <= ?4",
            params![conversation, number(seq), text, position],
        )
    }

    fn markers(
        &mut self,
        origin: Origin<'p>,
        c: &'p ConversationId,
        user: &UserId,
        markers: Markers,
    ) -> Result<()> {
        let key = (self.user(user)?, self.conversation(c)?);
        let Origin { partition, position, fact, .. } = origin;
        let new = Moved { partition, markers, time: fact.time, position };
        let moved = self.markers.entry(key).or_insert(new);
        moved.markers.delivered = moved.markers.delivered.max(markers.delivered);
        moved.markers.read = moved.markers.read.max(markers.read);
        if moved.position <= position {
            (moved.position, moved.time) = (position, fact.time);
        }
        Ok(())
    }

    /// A register's `n` grows with its `seq`, so that each may be raised alone.
    fn moved(&self, user: i64, conversation: i64, moved: &Moved) -> Result<()> {
        let Markers { delivered, read } = moved.markers;
        self.run(
            "INSERT INTO own (user, conversation, partition, delivered_seq, delivered_n, read_seq, read_n,
                              markers_time, markers_position)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET delivered_seq = max(delivered_seq, ?4), delivered_n = max(delivered_n, ?5),
             read_seq = max(read_seq, ?6), read_n = max(read_n, ?7), markers_time = ?8, markers_position = ?9
             WHERE markers_position <= ?9",
            params![
                user,
                conversation,
                moved.partition,
                number(delivered.seq),
                number(delivered.n),
                number(read.seq),
                number(read.n),
                number(moved.time),
                at(moved.position),
            ],
        )
    }

    fn dead(&self, partition: u32, counted: &Counted) -> Result<()> {
        for (part, dead) in counted.dead.iter().enumerate() {
            self.run(
                "INSERT OR IGNORE INTO dead_letters (position, partition, part, dead) VALUES (?, ?, ?, ?)",
                params![at(counted.position), partition, number(part as u64), to_blob(dead)?],
            )?;
        }
        Ok(())
    }

    fn terms(&self, partition: u32, epoch: u32, terms: &[u64]) -> Result<()> {
        for offset in terms {
            let term = params![partition, epoch, number(*offset)];
            self.run("INSERT OR IGNORE INTO terms VALUES (?, ?, ?)", term)?;
        }
        self.run(
            "DELETE FROM terms WHERE partition = ?1 AND (epoch, offset) <= (SELECT epoch, offset FROM terms
             WHERE partition = ?1 ORDER BY epoch DESC, offset DESC LIMIT 1 OFFSET ?2)",
            params![partition, number(MAX_TERMS as u64)],
        )
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.execute(params).map(|_| ()).map_err(failed)
    }

    fn conversation(&mut self, id: &'p ConversationId) -> Result<i64> {
        if let Some(touched) = self.conversations.get(id) {
            return Ok(touched.number);
        }
        let (number, new) = self.number(id)?;
        if new {
            self.done.conversations.push((id.clone(), number));
        }
        self.conversations.insert(id, Touched { number, head: None });
        Ok(number)
    }

    fn user(&mut self, id: &UserId) -> Result<i64> {
        if let Some(number) = self.users.get(id) {
            return Ok(*number);
        }
        let (number, new) = self.number(id)?;
        if new {
            self.done.users.push((id.clone(), number));
        }
        self.users.insert(id.clone(), number);
        Ok(number)
    }

    /// The number of an id, given now if it has none, and whether it was.
    fn number<T: Named>(&self, id: &T) -> Result<(i64, bool)> {
        if let Some(number) = self.names.number(self.connection, id)? {
            return Ok((number, false));
        }
        let mut insert = self.connection.prepare_cached(T::INSERT).map_err(failed)?;
        insert.insert([id.as_str()]).map(|number| (number, true)).map_err(failed)
    }
}

/// A position as it stands in a column.
fn at(position: Position) -> i64 {
    number(position.0)
}

pub(super) fn marker_number(marker: Marker) -> i64 {
    match marker {
        Marker::Delivered => 0,
        Marker::Read => 1,
    }
}
