//! The store in PostgreSQL, 13 or newer: the tables of `postgres/schema_1.sql`.
//!
//! A projection is one transaction sent at once ([`project`], [`write`](mod@write)): its rows, heads and progress, one
//! statement a table. Its commit waits for the disk, so that what is projected is synced: one of many facts costs no
//! more than one without would. A read is one statement, or several of one moment ([`read`]).

mod project;
mod read;
mod words;
mod write;

use self::project::Gathered;
use super::page::letter_id;
use super::split::{from_blob, to_blob};
use super::{
    DeadLetter, Overview, Own, OwnChange, Projection, Reaction, ReaderName, Slice, Store, StoredEvent,
    StoredMessage,
};
use crate::address::EngineUrl;
use crate::log::Clock;
use crate::postgres::{Database, Query, Schema, ToSql, column, number, unsigned};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use chat4all_model::command::Marker;
use chat4all_model::fact::{Interval, Markers};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Known, Value};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

const SCHEMA: Schema = Schema { name: "store", steps: &[include_str!("postgres/schema_1.sql")] };

/// How long rejections are kept, and how often and how many old ones are looked for.
const REJECTIONS_MS: u64 = 30 * 24 * 3_600_000;
const PRUNE_EVERY_MS: u64 = 3_600_000;
const PRUNE_ROWS: usize = 1_000;

/// The store of an installation of many processes, in a database of PostgreSQL.
pub struct PostgresStore {
    database: Database,
    clock: Clock,
    /// When old rejections were last looked for, by the clock.
    pruned_at: AtomicU64,
}

impl PostgresStore {
    /// Connects to `postgres://user:password@host:5432/database`, making the tables if they are not there. Parameters:
    /// `sslmode` (`disable`, `prefer`, `require` or `verify-full`), `sslrootcert` (a PEM file), `schema` (made if it is
    /// not there), `pool` (connections, 16), `timeout_ms` (of one call, 10000). Of several hosts the one that takes
    /// writes is used. `clock` tells when rejections are old, in milliseconds since 1970.
    ///
    /// # Errors
    /// `Invalid` if the URL, the credentials, the database or its settings are wrong, or a newer program wrote the
    /// tables; `Unavailable` within ten seconds if no server answers.
    pub async fn open(url: EngineUrl, clock: Clock) -> Result<Self> {
        Ok(Self { database: Database::open(url, &SCHEMA).await?, clock, pruned_at: AtomicU64::new(0) })
    }

    /// The statement that forgets some old rejections, if it is time for it.
    fn pruning<'a>(&self, now: u64) -> Option<Query<'a>> {
        let due = now >= self.pruned_at.load(Ordering::Relaxed).saturating_add(PRUNE_EVERY_MS);
        due.then(|| {
            let sql = "DELETE FROM rejections WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM rejections WHERE time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1";
            let before = number(now.saturating_sub(REJECTIONS_MS));
            Query::new(sql, vec![Box::new(before), Box::new(number(PRUNE_ROWS as u64))])
        })
    }

    async fn progress_of(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Progress> {
        let rows = self.database.rows(sql, params).await?;
        rows.first().map_or(Ok(Progress::default()), |row| from_blob(column(row, 0)?))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

/// What stands for a conversation in every row: the function `conversation_key` of the schema gives the same.
fn conversation_key(conversation: &ConversationId) -> Uuid {
    let hash = Sha256::digest(conversation.as_str().as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(key)
}

fn conversation_keys(conversations: &[ConversationId]) -> Vec<Uuid> {
    conversations.iter().map(conversation_key).collect()
}

#[async_trait]
impl Store for PostgresStore {
    async fn project(&self, partition: u32, projection: Projection) -> Result<()> {
        let gathered = Gathered::of(&projection)?;
        let mut statements = write::statements(partition, &projection, &gathered)?;
        let now = (self.clock)();
        let pruning = self.pruning(now);
        let pruned = pruning.is_some();
        statements.extend(pruning);
        let answers = self.database.batch(&statements).await?;
        if pruned && answers.last().is_none_or(|old| old.len() < PRUNE_ROWS) {
            self.pruned_at.store(now, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn progress(&self, partition: u32) -> Result<Progress> {
        let sql = "SELECT value FROM progress WHERE partition = $1";
        self.progress_of(sql, &[&number(partition.into())]).await
    }

    /// Every commit is on the disk before it is answered.
    async fn synced_progress(&self, partition: u32) -> Result<Progress> {
        self.progress(partition).await
    }

    async fn terms(&self, partition: u32) -> Result<Vec<u64>> {
        let sql = "SELECT log_offset FROM terms WHERE partition = $1
            AND epoch = (SELECT max(epoch) FROM terms WHERE partition = $1) ORDER BY log_offset";
        let rows = self.database.rows(sql, &[&number(partition.into())]).await?;
        rows.iter().map(|row| unsigned(row, 0)).collect()
    }

    async fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        self.read_values(&keys).await
    }

    async fn known(&self, ids: Vec<RecordId>) -> Result<Vec<Option<Known>>> {
        self.read_known(&ids).await
    }

    async fn overviews(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Overview>>> {
        self.read_overviews(&conversations).await
    }

    async fn memberships(&self, user: &UserId) -> Result<Vec<(ConversationId, Interval)>> {
        self.read_memberships(user).await
    }

    async fn intervals(&self, conversation: &ConversationId, user: &UserId) -> Result<Vec<Interval>> {
        self.read_intervals(conversation, user).await
    }

    async fn members(
        &self,
        conversation: &ConversationId,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        self.read_members(conversation, after.as_ref(), limit).await
    }

    async fn members_between(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        self.read_members_between(conversation, (from, to), limit).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        after: u64,
        upto: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.read_events(conversation, (after, upto), limit).await
    }

    async fn first_after(&self, conversation: &ConversationId, position: Position) -> Result<Option<u64>> {
        self.read_first_after(conversation, position).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        self.read_messages(conversation, slice, limit).await
    }

    async fn own(&self, user: &UserId, conversations: Vec<ConversationId>) -> Result<Vec<Own>> {
        self.read_own(user, &conversations).await
    }

    async fn own_changes(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<OwnChange>> {
        self.read_own_changes(user, partition, (from, to), limit).await
    }

    async fn rejections(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.read_rejections(user, partition, (from, to), limit).await
    }

    async fn markers(&self, conversation: &ConversationId, limit: usize) -> Result<Vec<(UserId, Markers)>> {
        self.read_markers(conversation, limit).await
    }

    async fn rises(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<(UserId, Marker, u64, u64)>> {
        self.read_rises(conversation, (from, to)).await
    }

    async fn conversations(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)> {
        self.read_conversations(after.as_deref(), limit).await
    }

    async fn clear_derived(&self) -> Result<()> {
        let sql = "TRUNCATE changes, reactions, members;
            UPDATE conversations SET name = NULL, created_by = NULL, created_at = NULL, history = NULL,
                about_position = -1, seq = NULL, n = NULL, sender = NULL, sender_seq = NULL, other_seq = NULL,
                participants = NULL, admins = NULL, time = NULL, head_position = -1;";
        self.database.maintain(|step| async move { step.script(sql).await }).await
    }

    async fn reactions(
        &self,
        conversation: &ConversationId,
        seqs: Vec<u64>,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>> {
        self.read_reactions(conversation, &seqs, user, limit).await
    }

    async fn dead_letters(&self, after: Option<String>, limit: usize) -> Result<Vec<DeadLetter>> {
        let after = after.map(|id| {
            let unknown = || Error::new(ErrorKind::Invalid, format!("{id} is no id of a dead letter"));
            letter_id(&id).ok_or_else(unknown)
        });
        self.read_dead_letters(after.transpose()?, limit).await
    }

    async fn mark_replayed(&self, id: &str, time: u64) -> Result<bool> {
        let Some(letter) = letter_id(id) else { return Ok(false) };
        let sql =
            "UPDATE dead_letters SET replayed_at = $1 WHERE position = $2 AND partition = $3 AND part = $4
            RETURNING 1";
        let (partition, part) = (i64::from(letter.partition), i64::from(letter.part));
        let marked = self.database.apply(sql, &[&number(time), &letter.position, &partition, &part]).await?;
        Ok(!marked.is_empty())
    }

    async fn reader(&self, name: &ReaderName, partition: u32) -> Result<Progress> {
        let sql = "SELECT value FROM readers WHERE name = $1 AND partition = $2";
        self.progress_of(sql, &[&name.0, &number(partition.into())]).await
    }

    async fn save_reader(&self, name: &ReaderName, partition: u32, progress: Progress) -> Result<()> {
        let sql = "INSERT INTO readers AS t (name, partition, epoch, next, value) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (name, partition)
                DO UPDATE SET epoch = EXCLUDED.epoch, next = EXCLUDED.next, value = EXCLUDED.value
            WHERE (t.epoch, t.next) < (EXCLUDED.epoch, EXCLUDED.next)";
        let (epoch, next) = (number(progress.epoch.into()), number(progress.next()));
        let place: [&(dyn ToSql + Sync); 5] =
            [&name.0, &number(partition.into()), &epoch, &next, &to_blob(&progress)?];
        self.database.apply(sql, &place).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_conversation_never_changes() {
        // echo -n d:ann:bob | sha256sum
        let id = ConversationId::parse("d:ann:bob").unwrap();
        assert_eq!(conversation_key(&id).simple().to_string(), "8859ce8ebe80e12a2f336862e57b907f");
    }
}
