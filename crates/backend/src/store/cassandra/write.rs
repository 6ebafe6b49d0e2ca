//! Every statement that writes, and the one way to send them: with the time of what they say, several to a request.
//!
//! Of two writes of a cell the later wins, and of a write and a deletion at one time the deletion. So a position,
//! as the time of a write, makes the row that of the newest fact, in whatever order the writes come, and however
//! often. A statement without one would take the server's clock, and win for ever: hence every statement here is
//! prepared with `USING TIMESTAMP`, and [`Statement`] gives its values away only with a [`Stamp`].
//!
//! Most of what a small write costs a node is the request. So those whose rows are kept by the same nodes share one
//! (an unlogged batch): it is as if each had been sent alone, and for that reason is not atomic.

use crate::cassandra::{Bound, Cassandra, Place, bind};
use crate::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::RowWriter;
use scylla::statement::prepared::PreparedStatement;

/// What a request may hold. Cassandra writes a warning for more than 10 partitions or 5 KiB.
const PARTITIONS: usize = 10;
const STATEMENTS: usize = 50;
const BYTES: usize = 4096;

/// When a write happened, as Cassandra counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(i64);

impl Stamp {
    /// When what stands at `position` happened: one more, for Cassandra's time 0 is before everything.
    ///
    /// # Errors
    /// `Invalid` if the log's epoch is beyond all that have been counted: 32,767 is the last one.
    pub(super) fn of(position: Position) -> Result<Self> {
        let stamp = i64::try_from(position.0).ok().and_then(|position| position.checked_add(1));
        let beyond = || Error::new(ErrorKind::Invalid, format!("epoch {} is too high", position.epoch()));
        stamp.map(Self).ok_or_else(beyond)
    }

    /// When a reader had come so far: later with every record, and with every epoch.
    pub(super) fn of_progress(progress: &Progress) -> Result<Self> {
        Self::of(Position::new(progress.epoch, progress.next()))
    }

    /// A time by the clock, milliseconds since 1970, for what does not stand in the log.
    pub(super) fn of_time(ms: u64) -> Result<Self> {
        Self::of(Position(ms))
    }
}

/// A statement that writes, the time one of its values.
pub(super) struct Statement {
    prepared: PreparedStatement,
    /// The time comes before the other values, else after them.
    time_first: bool,
}

/// A statement with its values and its time.
pub(super) struct Write(Bound);

impl Statement {
    async fn prepare(cassandra: &Cassandra, cql: &str) -> Result<Self> {
        let prepared = cassandra.write_statement(&with_time(cql)).await?;
        Ok(Self { prepared, time_first: is_deletion(cql) })
    }

    pub(super) fn at(&self, stamp: Stamp, values: &impl SerializeRow) -> Result<Write> {
        let stamped = Stamped { values, stamp, first: self.time_first };
        bind(&self.prepared, &stamped).map(Write)
    }
}

fn is_deletion(cql: &str) -> bool {
    cql.starts_with("DELETE")
}

/// A statement as it is prepared: the language has the time at the end of an insert, before the key of a deletion.
fn with_time(cql: &str) -> String {
    match is_deletion(cql) {
        true => cql.replacen(" WHERE ", " USING TIMESTAMP ? WHERE ", 1),
        false => format!("{cql} USING TIMESTAMP ?"),
    }
}

/// Values and their time.
struct Stamped<'v, V> {
    values: &'v V,
    stamp: Stamp,
    first: bool,
}

impl<V: SerializeRow> SerializeRow for Stamped<'_, V> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> std::result::Result<(), SerializationError> {
        let columns = context.columns();
        let parted = if self.first { columns.split_first() } else { columns.split_last() };
        let Some((time, others)) = parted else { return self.values.serialize(context, writer) };
        let values = RowSerializationContext::from_specs(others);
        if !self.first {
            self.values.serialize(&values, writer)?;
        }
        self.stamp.0.serialize(time.typ(), writer.make_cell_writer())?;
        if self.first {
            self.values.serialize(&values, writer)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// Parts writes into requests: what the same nodes keep, rows of a partition side by side.
pub(super) fn requests(cassandra: &Cassandra, writes: Vec<Write>) -> Vec<Vec<Bound>> {
    let place = |Write(write): Write| (cassandra.place(&write), write);
    let mut placed: Vec<(Place, Bound)> = writes.into_iter().map(place).collect();
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut requests: Vec<Request> = Vec::new();
    for (place, write) in placed {
        match requests.last_mut() {
            Some(request) if request.has_room(&place, &write) => request.push(place, write),
            _ => requests.push(Request::of(place, write)),
        }
    }
    requests.into_iter().map(|request| request.writes).collect()
}

/// Writes that go together, and the place of the last of them.
struct Request {
    place: Place,
    partitions: usize,
    bytes: usize,
    writes: Vec<Bound>,
}

impl Request {
    fn of(place: Place, write: Bound) -> Self {
        Self { place, partitions: 1, bytes: write.bytes(), writes: vec![write] }
    }

    fn has_room(&self, place: &Place, write: &Bound) -> bool {
        self.place.nodes == place.nodes
            && (self.place.token == place.token || self.partitions < PARTITIONS)
            && self.bytes + write.bytes() <= BYTES
            && self.writes.len() < STATEMENTS
    }

    fn push(&mut self, place: Place, write: Bound) {
        self.partitions += usize::from(self.place.token != place.token);
        self.bytes += write.bytes();
        self.place = place;
        self.writes.push(write);
    }
}

macro_rules! statements {
    ($($name:ident: $cql:literal,)*) => {
        /// What the store writes, prepared.
        pub(super) struct Writes {
            $(pub(super) $name: Statement,)*
        }

        impl Writes {
            pub(super) async fn prepare(cassandra: &Cassandra) -> Result<Self> {
                $(let $name = Statement::prepare(cassandra, $cql);)*
                let ($($name,)*) = futures_util::try_join!($($name),*)?;
                Ok(Self { $($name,)* })
            }
        }

        #[cfg(test)]
        const ALL: &[&str] = &[$($cql),*];
    };
}

statements! {
    message: "INSERT INTO messages (conversation_id, bucket, seq, n, type, message_id, sender_id, content, timestamp,
              position, body, rest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    event: "INSERT INTO events (conversation_id, bucket, seq, n, type, actor_id, content, timestamp, position, body)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    bucket: "INSERT INTO conversation_buckets (conversation_id, bucket) VALUES (?, ?)",
    blank_message: "DELETE content, rest FROM messages WHERE conversation_id = ? AND bucket = ? AND seq = ?",
    blank_edit: "DELETE content FROM events WHERE conversation_id = ? AND bucket = ? AND seq = ?",
    id: "INSERT INTO record_ids (record_id, conversation_id, seq, hash, message) VALUES (?, ?, ?, ?, ?)",
    about: "INSERT INTO conversations (shard, conversation_id, name, about, about_position) VALUES (?, ?, ?, ?, ?)",
    head: "INSERT INTO conversations (shard, conversation_id, seq, n, head, position) VALUES (?, ?, ?, ?, ?, ?)",
    participant: "INSERT INTO participants (conversation_id, user_id, since, admin, from_seq, from_n, to_seq, to_n,
                  other_seq, joined_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    membership: "INSERT INTO memberships (conversation_id, user_id, since, admin, from_seq, from_n, to_seq, to_n,
                 other_seq, joined_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    change: "INSERT INTO message_changes (conversation_id, bucket, seq, state, content, position)
             VALUES (?, ?, ?, ?, ?, ?)",
    reaction: "INSERT INTO reactions (conversation_id, bucket, seq, user_id, emoji, present, since)
               VALUES (?, ?, ?, ?, ?, ?, ?)",
    mention: "INSERT INTO mentions (user_id, conversation_id, seq) VALUES (?, ?, ?)",
    own_markers: "INSERT INTO own (user_id, conversation_id, partition, delivered_seq, delivered_n, read_seq, read_n,
                  markers_time, markers_position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    own_settings: "INSERT INTO own (user_id, conversation_id, partition, settings, settings_time, settings_position)
                   VALUES (?, ?, ?, ?, ?, ?)",
    markers: "INSERT INTO markers (conversation_id, user_id, delivered_seq, delivered_n, read_seq, read_n)
              VALUES (?, ?, ?, ?, ?, ?)",
    rise: "INSERT INTO rises (conversation_id, user_id, marker, seq, time) VALUES (?, ?, ?, ?, ?)",
    rejection: "INSERT INTO rejections (user_id, partition, position, part, fact) VALUES (?, ?, ?, ?, ?)",
    dead_letter: "INSERT INTO dead_letters (partition, position, part, reason, dead) VALUES (?, ?, ?, ?, ?)",
    replayed: "INSERT INTO dead_letters (partition, position, part, replayed_at) VALUES (?, ?, ?, ?)",
    progress: "INSERT INTO progress (partition, value) VALUES (?, ?)",
    term: "INSERT INTO terms (partition, epoch, log_offset) VALUES (?, ?, ?)",
    forget_terms: "DELETE FROM terms WHERE partition = ? AND (epoch, log_offset) < (?, ?)",
    reader: "INSERT INTO readers (name, partition, value) VALUES (?, ?, ?)",
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_model::reader::LastRead;

    #[test]
    fn a_later_position_has_a_later_stamp() {
        let read = |epoch, offset| Progress {
            epoch,
            last: Some(LastRead { offset, hash: 0 }),
            ..Progress::default()
        };
        let rising = [
            Progress::default(),
            read(0, 0),
            read(0, 1),
            Progress { epoch: 1, ..Progress::default() },
            read(1, 0),
            read(32_766, (1 << 48) - 2),
        ];
        let stamps: Vec<Stamp> =
            rising.iter().map(|progress| Stamp::of_progress(progress).unwrap()).collect();
        assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
        assert!(stamps[0].0 > 0);
        assert!(Stamp::of(Position::new(3, 7)).unwrap() < Stamp::of(Position::new(4, 0)).unwrap());
        assert_eq!(Stamp::of(Position::new(32_768, 0)).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn every_statement_has_one_time_and_no_condition_or_counter() {
        for cql in ALL {
            assert!(cql.starts_with("INSERT INTO ") || cql.starts_with("DELETE "), "{cql}");
            for word in ["TIMESTAMP ", "USING", " IF ", "BATCH", "now()", "UPDATE", "null"] {
                assert!(!cql.contains(word), "{word} in {cql}");
            }
            let prepared = with_time(cql);
            assert_eq!(prepared.matches("USING TIMESTAMP ?").count(), 1, "{prepared}");
            let time_first = prepared.find("TIMESTAMP ?") < prepared.find("= ?");
            assert_eq!(is_deletion(cql), time_first, "{prepared}");
        }
    }
}
