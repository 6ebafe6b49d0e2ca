//! The store on Apache Cassandra.
//!
//! Rows are written blindly, each with the position of its fact as its time (`write`), in stages: rows, heads,
//! progress (`project`). Nothing is read before it is written, there are no lightweight transactions, and nothing is
//! taken to be atomic.
//! A conversation's messages, its other events and what became of its messages are tables of the same key, so that a
//! page of history is two queries of one partition, however much else happened in between (`read`).
//!
//! A conversation as other programs see it:
//! `SELECT seq, timestamp, sender_id, content, message_id FROM messages WHERE conversation_id = 'd:…' AND bucket = 0;`
//! where `bucket` is `seq / 5000`. `content` is the first text, null once the message is deleted; a later one stands
//! in `message_changes`.

mod column;
mod project;
mod read;
mod write;

use self::read::{QUERIES, Queries, Read};
use self::write::{Stamp, Write, Writes};
use super::page::letter_id;
use super::{
    DeadLetter, MAX_TERMS, Overview, Own, OwnChange, Projection, Reaction, ReaderName, Slice, Store,
    StoredEvent, StoredMessage,
};
use crate::address::EngineUrl;
use crate::cassandra::{Cassandra, Schema};
use crate::store::split::to_blob;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use chat4all_model::command::Marker;
use chat4all_model::fact::{Interval, Markers};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Known, Value};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::fmt;
use tokio::sync::Semaphore;

const SCHEMA: Schema = Schema { part: "store", migrations: &[include_str!("cassandra/schema_1.cql")] };

/// Requests of one projection that are on their way at once, and of all.
const AT_ONCE: usize = 32;
const WRITES: usize = 256;

/// Tables that the events give again.
const DERIVED: [&str; 5] = ["conversations", "participants", "memberships", "message_changes", "reactions"];

/// The store of an installation of many processes: a keyspace of a Cassandra cluster.
pub struct CassandraStore {
    cassandra: Cassandra,
    writes: Writes,
    queries: Queries,
    write_turns: Semaphore,
    read_turns: Semaphore,
}

impl CassandraStore {
    /// Opens the keyspace that `url` names (`cassandra://user:password@host:9042,host/keyspace`, see
    /// `docs/operations`), making it and its tables if they are not there.
    ///
    /// # Errors
    /// `Invalid` if the URL is wrong, a password is refused, or a newer program made the tables; `Unavailable` if no
    /// node can be reached within 10 s.
    pub async fn open(url: EngineUrl) -> Result<Self> {
        let cassandra = Cassandra::open(url, &SCHEMA).await?;
        let writes = Box::pin(Writes::prepare(&cassandra)).await?;
        let queries = Box::pin(Queries::prepare(&cassandra)).await?;
        Ok(Self {
            cassandra,
            writes,
            queries,
            write_turns: Semaphore::new(WRITES),
            read_turns: Semaphore::new(QUERIES),
        })
    }

    fn read(&self) -> Read<'_> {
        Read { cassandra: &self.cassandra, queries: &self.queries, turns: &self.read_turns }
    }

    /// Writes one stage, and returns when all of it is acknowledged.
    async fn write(&self, stage: Vec<Write>) -> Result<()> {
        let requests = write::requests(&self.cassandra, stage).into_iter();
        let sent = stream::iter(requests.map(|request| async move {
            let turn = self.write_turns.acquire().await;
            let _turn = turn.map_err(|e| Error::new(ErrorKind::Unavailable, e))?;
            self.cassandra.write_all(&request).await
        }));
        sent.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Forgets terms before the last ones. Each is older than the time of the deletion, which is that of the oldest
    /// one kept.
    async fn forget_terms(&self, partition: u32) -> Result<()> {
        let kept = self.read().last_terms(partition).await?;
        let Some((epoch, offset)) = kept.get(MAX_TERMS - 1) else { return Ok(()) };
        let oldest = Position::new(u32::try_from(*epoch).unwrap_or_default(), column::unsigned(*offset));
        let values = (i64::from(partition), epoch, offset);
        self.write(vec![self.writes.forget_terms.at(Stamp::of(oldest)?, &values)?]).await
    }

    async fn project_stages(&self, partition: u32, projection: &Projection) -> Result<()> {
        for stage in project::stages(&self.writes, partition, projection)? {
            self.write(stage).await?;
        }
        if projection.terms.is_empty() { Ok(()) } else { self.forget_terms(partition).await }
    }
}

impl fmt::Debug for CassandraStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraStore").field("keyspace", &self.cassandra.keyspace()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for CassandraStore {
    async fn project(&self, partition: u32, projection: Projection) -> Result<()> {
        Box::pin(self.project_stages(partition, &projection)).await.map_err(|mut error| {
            // Other writes may have been done.
            if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Overloaded) {
                error.kind = ErrorKind::OutcomeUnknown;
            }
            error
        })
    }

    async fn progress(&self, partition: u32) -> Result<Progress> {
        self.read().progress(partition).await
    }

    /// A node that acknowledges has synced (`commitlog_sync: batch` or `group`; the log says so at start if not).
    async fn synced_progress(&self, partition: u32) -> Result<Progress> {
        self.read().progress(partition).await
    }

    async fn terms(&self, partition: u32) -> Result<Vec<u64>> {
        let last = self.read().last_terms(partition).await?;
        let newest = last.first().map(|(epoch, _)| *epoch);
        let of_newest = last.into_iter().filter(|(epoch, _)| Some(*epoch) == newest);
        let mut offsets: Vec<u64> = of_newest.map(|(_, offset)| column::unsigned(offset)).collect();
        offsets.reverse();
        Ok(offsets)
    }

    async fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        self.read().values(keys).await
    }

    async fn known(&self, ids: Vec<RecordId>) -> Result<Vec<Option<Known>>> {
        self.read().all_known(ids).await
    }

    async fn overviews(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Overview>>> {
        self.read().overviews(&conversations).await
    }

    async fn memberships(&self, user: &UserId) -> Result<Vec<(ConversationId, Interval)>> {
        self.read().memberships(user).await
    }

    async fn intervals(&self, conversation: &ConversationId, user: &UserId) -> Result<Vec<Interval>> {
        self.read().intervals(conversation, user).await
    }

    async fn members(
        &self,
        conversation: &ConversationId,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        self.read().members(conversation, after, limit).await
    }

    async fn members_between(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        self.read().members_between(conversation, from, to, limit).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        after: u64,
        upto: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.read().events(conversation, after, upto, limit).await
    }

    async fn first_after(&self, conversation: &ConversationId, position: Position) -> Result<Option<u64>> {
        self.read().first_after(conversation, position).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        self.read().messages(conversation, slice, limit).await
    }

    async fn own(&self, user: &UserId, conversations: Vec<ConversationId>) -> Result<Vec<Own>> {
        self.read().own(user, &conversations).await
    }

    async fn own_changes(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<OwnChange>> {
        self.read().own_changes(user, partition, (from, to), limit).await
    }

    async fn rejections(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.read().rejections(user, partition, (from, to), limit).await
    }

    async fn markers(&self, conversation: &ConversationId, limit: usize) -> Result<Vec<(UserId, Markers)>> {
        self.read().markers(conversation, limit).await
    }

    async fn rises(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<(UserId, Marker, u64, u64)>> {
        self.read().rises(conversation, from, to).await
    }

    async fn conversations(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)> {
        let wrong = |_| Error::new(ErrorKind::Invalid, "this is no place in the list of conversations");
        let after = after.map(|after| ConversationId::parse(&after).map_err(wrong)).transpose()?;
        self.read().conversations(after.as_ref(), limit).await
    }

    /// Truncated, not deleted: deletions would hide what is written again with the times of long ago.
    async fn clear_derived(&self) -> Result<()> {
        for table in DERIVED {
            self.cassandra.alter(&format!("TRUNCATE {table}")).await?;
        }
        Ok(())
    }

    async fn reactions(
        &self,
        conversation: &ConversationId,
        seqs: Vec<u64>,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>> {
        self.read().reactions(conversation, seqs, user, limit).await
    }

    async fn dead_letters(&self, after: Option<String>, limit: usize) -> Result<Vec<DeadLetter>> {
        let after = after.map(|id| {
            let unknown = || Error::new(ErrorKind::Invalid, format!("{id} is no id of a dead letter"));
            letter_id(&id).ok_or_else(unknown)
        });
        self.read().dead_letters(after.transpose()?, limit).await
    }

    async fn mark_replayed(&self, id: &str, time: u64) -> Result<bool> {
        let Some(letter) = letter_id(id) else { return Ok(false) };
        if !self.read().has_letter(letter).await? {
            return Ok(false);
        }
        let key = (i64::from(letter.partition), letter.position, i64::from(letter.part));
        let values = (key.0, key.1, key.2, column::time(time));
        self.write(vec![self.writes.replayed.at(Stamp::of_time(time)?, &values)?]).await?;
        Ok(true)
    }

    async fn reader(&self, name: &ReaderName, partition: u32) -> Result<Progress> {
        self.read().reader(name.0, partition).await
    }

    async fn save_reader(&self, name: &ReaderName, partition: u32, progress: Progress) -> Result<()> {
        let values = (name.0, i64::from(partition), to_blob(&progress)?);
        self.write(vec![self.writes.reader.at(Stamp::of_progress(&progress)?, &values)?]).await
    }
}
