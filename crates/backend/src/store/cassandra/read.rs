//! Every query, and how many run at once.

mod events;
mod marks;
mod people;
mod state;

use super::column::{known, milliseconds, number, position};
use crate::cassandra::Cassandra;
use crate::store::page::{LetterId, Whole, whole};
use crate::store::split::from_blob;
use crate::store::{DeadLetter, MAX_TERMS, StoredEvent};
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::UserId;
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use futures_util::future::try_join_all;
use scylla::deserialize::row::DeserializeRow;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;
use std::cmp::Ordering;
use std::ops::ControlFlow;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Queries of one call that run at once, and of all.
const AT_ONCE: usize = 64;
pub(super) const QUERIES: usize = 512;
/// Keys of one partition asked for in one query, and partitions: the node that is asked collects these from others.
const KEYS: usize = 100;
const PARTITIONS: usize = 20;

macro_rules! statements {
    ($($name:ident: $cql:literal,)*) => {
        /// What the store asks, prepared.
        pub(super) struct Queries {
            $($name: PreparedStatement,)*
        }

        impl Queries {
            pub(super) async fn prepare(cassandra: &Cassandra) -> Result<Self> {
                $(let $name = cassandra.read_statement($cql);)*
                let ($($name,)*) = futures_util::try_join!($($name),*)?;
                Ok(Self { $($name,)* })
            }
        }
    };
}

statements! {
    progress: "SELECT value FROM progress WHERE partition = ?",
    partitions: "SELECT partition FROM progress",
    terms: "SELECT epoch, log_offset FROM terms WHERE partition = ? LIMIT ?",
    reader: "SELECT value FROM readers WHERE name = ? AND partition = ?",
    rejections: "SELECT position, fact FROM rejections WHERE user_id = ? AND partition = ?
                 AND position > ? AND position <= ? LIMIT ?",
    rejections_at: "SELECT position, fact FROM rejections WHERE user_id = ? AND partition = ? AND position = ?",
    dead_letters: "SELECT position, part, dead, replayed_at FROM dead_letters WHERE partition = ?
                   AND (position, part) > (?, ?) LIMIT ?",
    dead_letter: "SELECT dead FROM dead_letters WHERE partition = ? AND position = ? AND part = ?",
    ids: "SELECT record_id, conversation_id, seq, hash, message FROM record_ids WHERE record_id IN ?",
    conversations: "SELECT conversation_id, about, about_position, head, position FROM conversations
                    WHERE shard = ? AND conversation_id IN ?",
    last_seqs: "SELECT conversation_id, seq FROM conversations WHERE shard = ? AND conversation_id IN ?",
    first_listed: "SELECT DISTINCT conversation_id FROM conversation_buckets LIMIT ?",
    listed: "SELECT DISTINCT conversation_id FROM conversation_buckets
             WHERE token(conversation_id) > token(?) LIMIT ?",
    last_bucket: "SELECT bucket FROM conversation_buckets WHERE conversation_id = ? LIMIT 1",
    messages_up: "SELECT seq, position, body, content, rest FROM messages WHERE conversation_id = ? AND bucket = ?
                  AND seq >= ? AND seq <= ? ORDER BY seq ASC LIMIT ?",
    messages_down: "SELECT seq, position, body, content, rest FROM messages WHERE conversation_id = ? AND bucket = ?
                    AND seq <= ? LIMIT ?",
    message: "SELECT seq, position, body, content, rest FROM messages WHERE conversation_id = ? AND bucket = ?
              AND seq = ?",
    events_up: "SELECT seq, position, body, content FROM events WHERE conversation_id = ? AND bucket = ?
                AND seq >= ? AND seq <= ? ORDER BY seq ASC LIMIT ?",
    changes_up: "SELECT seq, state, content, position FROM message_changes WHERE conversation_id = ? AND bucket = ?
                 AND seq >= ? ORDER BY seq ASC LIMIT ?",
    changes_down: "SELECT seq, state, content, position FROM message_changes WHERE conversation_id = ?
                   AND bucket = ? AND seq <= ? LIMIT ?",
    change: "SELECT state FROM message_changes WHERE conversation_id = ? AND bucket = ? AND seq = ?",
    message_position: "SELECT position FROM messages WHERE conversation_id = ? AND bucket = ? AND seq = ?",
    event_position: "SELECT position FROM events WHERE conversation_id = ? AND bucket = ? AND seq = ?",
    message_positions: "SELECT seq, position FROM messages WHERE conversation_id = ? AND bucket = ? LIMIT ?",
    event_positions: "SELECT seq, position FROM events WHERE conversation_id = ? AND bucket = ? LIMIT ?",
    memberships: "SELECT conversation_id, since, admin, from_seq, from_n, to_seq, to_n, other_seq, joined_at
                  FROM memberships WHERE user_id = ?",
    intervals: "SELECT since, admin, from_seq, from_n, to_seq, to_n, other_seq, joined_at
                FROM memberships WHERE user_id = ? AND conversation_id = ?",
    participants: "SELECT user_id, since, admin, from_seq, from_n, to_seq, to_n, other_seq, joined_at
                   FROM participants WHERE conversation_id = ? AND (joined_at, user_id) > (?, ?)",
    own: "SELECT delivered_seq, delivered_n, read_seq, read_n, settings FROM own WHERE user_id = ?
          AND conversation_id = ?",
    owns: "SELECT conversation_id, delivered_seq, delivered_n, read_seq, read_n, settings FROM own
           WHERE user_id = ? AND conversation_id IN ?",
    own_of_partition: "SELECT conversation_id, delivered_seq, delivered_n, read_seq, read_n, markers_time,
                       markers_position, settings, settings_time, settings_position FROM own
                       WHERE user_id = ? AND partition = ? ALLOW FILTERING",
    mentions: "SELECT seq FROM mentions WHERE user_id = ? AND conversation_id = ? AND seq > ? LIMIT ?",
    markers: "SELECT user_id, delivered_seq, delivered_n, read_seq, read_n FROM markers WHERE conversation_id = ?
              LIMIT ?",
    rises: "SELECT seq, time FROM rises WHERE conversation_id = ? AND user_id = ? AND marker = ?
            AND seq >= ? AND seq <= ?",
    next_rise: "SELECT seq, time FROM rises WHERE conversation_id = ? AND user_id = ? AND marker = ?
                AND seq > ? LIMIT 1",
    reaction: "SELECT present FROM reactions WHERE conversation_id = ? AND bucket = ? AND seq = ? AND user_id = ?
               AND emoji = ?",
    reactions: "SELECT seq, user_id, emoji, present, since FROM reactions WHERE conversation_id = ? AND bucket = ?
                AND seq IN ?",
    reactions_of: "SELECT seq, user_id, emoji, present, since FROM reactions WHERE conversation_id = ?
                   AND bucket = ? AND seq IN ? AND user_id = ?",
}

/// What is read.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) cassandra: &'a Cassandra,
    pub(super) queries: &'a Queries,
    /// Of all queries of this store, [`QUERIES`].
    pub(super) turns: &'a Semaphore,
}

impl Read<'_> {
    /// All rows of a query.
    async fn rows<T>(&self, query: &PreparedStatement, values: &(impl SerializeRow + Sync)) -> Result<Vec<T>>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let _turn = self.turn().await?;
        self.cassandra.rows(query, values).await
    }

    /// The rows of a query until `each` has enough.
    async fn scan<T>(
        &self,
        query: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
        each: impl FnMut(T) -> Result<ControlFlow<()>> + Send,
    ) -> Result<()>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let _turn = self.turn().await?;
        self.cassandra.scan(query, values, each).await
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.turns.acquire().await.map_err(|e| Error::new(ErrorKind::Unavailable, e))
    }

    /// The first row of a query.
    async fn row<T>(
        &self,
        query: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
    ) -> Result<Option<T>>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        Ok(self.rows(query, values).await?.into_iter().next())
    }

    pub(super) async fn progress(&self, partition: u32) -> Result<Progress> {
        let found = self.row(&self.queries.progress, &(i64::from(partition),)).await?;
        Ok(found.and_then(|(value,)| known(value).transpose()).transpose()?.unwrap_or_default())
    }

    pub(super) async fn reader(&self, name: &str, partition: u32) -> Result<Progress> {
        let found = self.row(&self.queries.reader, &(name, i64::from(partition))).await?;
        Ok(found.and_then(|(value,)| known(value).transpose()).transpose()?.unwrap_or_default())
    }

    /// Epochs and offsets of the last terms, newest first.
    pub(super) async fn last_terms(&self, partition: u32) -> Result<Vec<(i64, i64)>> {
        self.rows(&self.queries.terms, &(i64::from(partition), limited(MAX_TERMS))).await
    }

    pub(super) async fn rejections(
        &self,
        user: &UserId,
        partition: u32,
        (from, to): (Position, Position),
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let rejection = |(at, fact): (i64, Option<Vec<u8>>)| {
            let fact = fact.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a rejection has no fact"))?;
            Ok(StoredEvent { position: position(at), fact: from_blob(&fact)? })
        };
        let (user, partition) = (user.as_str(), i64::from(partition));
        let values = (user, partition, number(from.0), number(to.0), limited(limit.saturating_add(1)));
        let found = self.rows(&self.queries.rejections, &values).await?;
        match whole(found, limit, |(at, _)| position(*at)) {
            Whole::Page(page) => page.into_iter().map(rejection).collect(),
            Whole::Position(only) => {
                let values = (user, partition, number(only.0));
                self.rows(&self.queries.rejections_at, &values).await?.into_iter().map(rejection).collect()
            }
        }
    }

    /// Each partition of the log has its own letters; the oldest of all come first.
    pub(super) async fn dead_letters(
        &self,
        after: Option<LetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        let none = LetterId { partition: 0, position: -1, part: 0 };
        let after = after.unwrap_or(none);
        let partitions: Vec<(i64,)> = self.rows(&self.queries.partitions, &()).await?;
        let of_one = each(partitions, |(partition,)| async move {
            let part = match partition.cmp(&i64::from(after.partition)) {
                Ordering::Less => i64::MAX,
                Ordering::Equal => i64::from(after.part),
                Ordering::Greater => -1,
            };
            let values = (partition, after.position, part, limited(limit));
            let letters: Vec<LetterColumns> = self.rows(&self.queries.dead_letters, &values).await?;
            Ok(letters.into_iter().map(|letter| (partition, letter)).collect::<Vec<_>>())
        });
        let mut letters: Vec<_> = of_one.await?.into_iter().flatten().collect();
        letters.sort_by_key(|(partition, (position, part, ..))| (*position, *partition, *part));
        letters.truncate(limit);
        let letter = |(partition, (position, part, dead, replayed_at)): (i64, LetterColumns)| {
            let dead =
                known(dead)?.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a dead letter is empty"))?;
            let replayed_at = replayed_at.map(milliseconds);
            Ok(DeadLetter { id: format!("{partition}-{position}-{part}"), time: 0, dead, replayed_at })
        };
        letters.into_iter().map(letter).collect()
    }

    pub(super) async fn has_letter(&self, id: LetterId) -> Result<bool> {
        let key = (i64::from(id.partition), id.position, i64::from(id.part));
        let found: Option<(Option<Vec<u8>>,)> = self.row(&self.queries.dead_letter, &key).await?;
        Ok(found.is_some_and(|(dead,)| dead.is_some()))
    }
}

/// Position, part, letter, when it was replayed.
type LetterColumns = (i64, i64, Option<Vec<u8>>, Option<CqlTimestamp>);

/// Asks for several things, some at once, and gives the answers in their order.
async fn each<K, T, F>(keys: Vec<K>, mut ask: impl FnMut(K) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    let mut answers = Vec::with_capacity(keys.len());
    let mut keys = keys.into_iter();
    while !keys.as_slice().is_empty() {
        let some: Vec<F> = keys.by_ref().take(AT_ONCE).map(&mut ask).collect();
        answers.append(&mut try_join_all(some).await?);
    }
    Ok(answers)
}

/// A limit as it stands in a query, where it is never 0.
fn limited(limit: usize) -> i32 {
    i32::try_from(limit.max(1)).unwrap_or(i32::MAX)
}
