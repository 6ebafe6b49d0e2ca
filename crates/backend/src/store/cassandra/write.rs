//! Every statement that writes, and the one way to send one: with the time of what it says.
//!
//! Of two writes of a cell the later wins, and of a write and a deletion at one time the deletion. So a position,
//! as the time of a write, makes the row that of the newest fact, in whatever order the writes come, and however
//! often. A statement without one would take the server's clock, and win for ever: hence [`Statement`] gives its
//! values away only with a [`Stamp`]. It travels beside the statement, as the protocol's timestamp, and is the same
//! for inserts and deletions.

use crate::cassandra::{Cassandra, bind};
use crate::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use scylla::serialize::row::SerializeRow;
use scylla::statement::bound::BoundStatement;
use scylla::statement::prepared::PreparedStatement;

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

/// A statement that writes.
pub(super) struct Statement(PreparedStatement);

/// A statement with its values and its time.
pub(super) struct Write(BoundStatement);

impl Statement {
    pub(super) fn at(&self, stamp: Stamp, values: &impl SerializeRow) -> Result<Write> {
        let mut bound = bind(&self.0, values)?;
        bound.set_timestamp(Some(stamp.0));
        Ok(Write(bound))
    }
}

impl Write {
    pub(super) async fn send(&self, cassandra: &Cassandra) -> Result<()> {
        cassandra.write(&self.0).await
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
                $(let $name = cassandra.write_statement($cql);)*
                let ($($name,)*) = futures_util::try_join!($($name),*)?;
                Ok(Self { $($name: Statement($name),)* })
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
    fn no_statement_has_a_time_a_condition_or_a_counter_of_its_own() {
        for cql in ALL {
            assert!(cql.starts_with("INSERT INTO ") || cql.starts_with("DELETE "), "{cql}");
            for word in ["TIMESTAMP ", "USING", " IF ", "BATCH", "now()", "UPDATE", "null"] {
                assert!(!cql.contains(word), "{word} in {cql}");
            }
        }
    }
}
