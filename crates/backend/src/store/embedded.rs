//! The embedded store: one SQLite file in WAL mode, one writer thread, a few readers.
//!
//! `project` puts records into a bounded queue; the writer thread ([`writer`]) takes all that waits and writes it
//! in one transaction ([`project`]), unsynced. It syncs when it copies the write-ahead file into the main one:
//! a second after the last write, and at least every 16 MiB or 10 s between writes. That is what
//! `synced_progress` tells. Reads ([`read`]) run on blocking threads, each on one snapshot.

mod event;
mod names;
mod project;
mod read;
mod writer;

use self::names::Names;
use self::read::Read;
use self::writer::{Job, Work};
use super::page;
use super::{
    DeadLetter, Overview, Own, OwnChange, Projection, Reaction, ReaderName, Slice, Store, StoredEvent,
    StoredMessage,
};
use crate::folder::DataFolder;
use crate::log::{Clock, Fatal};
use crate::sqlite::Readers;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use chat4all_model::command::Marker;
use chat4all_model::fact::{Interval, Markers};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Known, Value};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use tokio::sync::{oneshot, watch};

/// How an [`EmbeddedStore`] is opened.
#[derive(Clone)]
pub struct Options {
    /// The size at which the file grows no further; projections are then refused as with a full disk.
    pub max_file_bytes: Option<u64>,
    /// Tells when rejections are old.
    pub clock: Clock,
    /// Ends the process: a sync failed, and nobody can know what is on the disk.
    pub fatal: Fatal,
}

impl Default for Options {
    fn default() -> Self {
        let crate::log::Options { clock, fatal, .. } = crate::log::Options::default();
        Self { max_file_bytes: None, clock, fatal }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("max_file_bytes", &self.max_file_bytes).finish_non_exhaustive()
    }
}

/// What the store is busy with, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Calls waiting for the writer.
    pub queued: usize,
    /// What stands in the write-ahead file.
    pub wal_bytes: u64,
}

/// The store of an installation of one process: `store.db` in the data folder.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// None once closed; the writer ends when it has written what waits.
    queue: Mutex<Option<SyncSender<Job>>>,
    ended: watch::Receiver<bool>,
}

/// What the callers and the writer thread have in common.
struct Shared {
    names: Names,
    readers: Arc<Readers>,
    /// Of each partition, committed. Written by the writer before it answers.
    progress: Mutex<HashMap<u32, Progress>>,
    /// Of each partition, on the disk.
    synced: Mutex<HashMap<u32, Progress>>,
    queued: AtomicUsize,
    wal_bytes: AtomicU64,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, making its file if there is none. Blocks while it does.
    ///
    /// # Errors
    /// `Invalid` if a newer program wrote the file, `Corrupt` if it is no store, `Unavailable` if it cannot be read
    /// or written.
    pub fn open(folder: &DataFolder, options: Options) -> Result<Self> {
        let path = folder.file("store.db");
        let connection = writer::open(&path, &options)?;
        let shared = Arc::new(Shared {
            names: Names::default(),
            readers: Readers::new(&path),
            progress: Mutex::new(read::all_progress(&connection)?),
            synced: Mutex::default(),
            queued: AtomicUsize::new(0),
            wal_bytes: AtomicU64::new(0),
        });
        let (queue, ended) = writer::start(connection, Arc::clone(&shared), folder.clone(), options)?;
        Ok(Self { shared, queue: Mutex::new(Some(queue)), ended })
    }

    /// What it is busy with now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            queued: self.shared.queued.load(Ordering::Relaxed),
            wal_bytes: self.shared.wal_bytes.load(Ordering::Relaxed),
        }
    }

    /// Takes no more writes, writes what waits, and returns when the file is closed. Dropping the store does the
    /// same without waiting.
    pub async fn close(&self) {
        *self.queue.lock() = None;
        let mut ended = self.ended.clone();
        // An error says that the writer is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn write(&self, work: Work) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Unavailable, "the store is closed");
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let sent = match &*self.queue.lock() {
            Some(queue) => queue.try_send(Job { work, answer }).map_err(|refused| match refused {
                TrySendError::Full(_) => Error::new(ErrorKind::Overloaded, "the store's queue is full"),
                TrySendError::Disconnected(_) => gone(),
            }),
            None => Err(gone()),
        };
        if let Err(refused) = sent {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(refused);
        }
        let ended =
            |_| Err(Error::new(ErrorKind::OutcomeUnknown, "the store's writer ended before it answered"));
        answered.await.unwrap_or_else(ended)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        self.shared.readers.read(move |connection| work(&Read { connection, names: &shared.names })).await
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Whether `new` is further than `old`.
fn further(new: &Progress, old: &Progress) -> bool {
    (new.epoch, new.next()) > (old.epoch, old.next())
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn project(&self, partition: u32, projection: Projection) -> Result<()> {
        self.write(Work::Project { partition, projection }).await.map(|_| ())
    }

    async fn progress(&self, partition: u32) -> Result<Progress> {
        Ok(self.shared.progress.lock().get(&partition).copied().unwrap_or_default())
    }

    async fn synced_progress(&self, partition: u32) -> Result<Progress> {
        Ok(self.shared.synced.lock().get(&partition).copied().unwrap_or_default())
    }

    async fn terms(&self, partition: u32) -> Result<Vec<u64>> {
        self.read(move |r| r.terms(partition)).await
    }

    async fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        self.read(move |r| keys.iter().map(|key| r.value(key)).collect()).await
    }

    async fn known(&self, ids: Vec<RecordId>) -> Result<Vec<Option<Known>>> {
        self.read(move |r| ids.iter().map(|id| r.known(id)).collect()).await
    }

    async fn overviews(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Overview>>> {
        self.read(move |r| conversations.iter().map(|c| r.overview(c)).collect()).await
    }

    async fn memberships(&self, user: &UserId) -> Result<Vec<(ConversationId, Interval)>> {
        let user = user.clone();
        self.read(move |r| r.memberships(&user)).await
    }

    async fn intervals(&self, conversation: &ConversationId, user: &UserId) -> Result<Vec<Interval>> {
        let (conversation, user) = (conversation.clone(), user.clone());
        self.read(move |r| r.intervals(&conversation, &user)).await
    }

    async fn members(
        &self,
        conversation: &ConversationId,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let conversation = conversation.clone();
        self.read(move |r| r.members(&conversation, after.as_ref(), limit)).await
    }

    async fn members_between(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let conversation = conversation.clone();
        self.read(move |r| r.members_between(&conversation, from, to, limit)).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        after: u64,
        upto: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let conversation = conversation.clone();
        self.read(move |r| r.events(&conversation, after, upto, limit)).await
    }

    async fn first_after(&self, conversation: &ConversationId, position: Position) -> Result<Option<u64>> {
        let conversation = conversation.clone();
        self.read(move |r| r.first_after(&conversation, position)).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        let conversation = conversation.clone();
        self.read(move |r| r.messages(&conversation, slice, limit)).await
    }

    async fn own(&self, user: &UserId, conversations: Vec<ConversationId>) -> Result<Vec<Own>> {
        let user = user.clone();
        self.read(move |r| conversations.iter().map(|c| r.own(&user, c)).collect()).await
    }

    async fn own_changes(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<OwnChange>> {
        let user = user.clone();
        self.read(move |r| r.own_changes(&user, partition, (from, to), limit)).await
    }

    async fn rejections(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let user = user.clone();
        self.read(move |r| r.rejections(&user, partition, (from, to), limit)).await
    }

    async fn markers(&self, conversation: &ConversationId, limit: usize) -> Result<Vec<(UserId, Markers)>> {
        let conversation = conversation.clone();
        self.read(move |r| r.markers(&conversation, limit)).await
    }

    async fn rises(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<(UserId, Marker, u64, u64)>> {
        let conversation = conversation.clone();
        self.read(move |r| r.rises(&conversation, from, to)).await
    }

    async fn conversations(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)> {
        let wrong = |_| Error::new(ErrorKind::Invalid, "this is no place in the list of conversations");
        let after = after.map(|after| after.parse::<i64>().map_err(wrong)).transpose()?;
        self.read(move |r| r.conversations(after.unwrap_or(0), limit)).await
    }

    async fn clear_derived(&self) -> Result<()> {
        self.write(Work::ClearDerived).await.map(|_| ())
    }

    async fn reactions(
        &self,
        conversation: &ConversationId,
        seqs: Vec<u64>,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>> {
        let (conversation, user) = (conversation.clone(), user.cloned());
        self.read(move |r| r.reactions(&conversation, &seqs, user.as_ref(), limit)).await
    }

    async fn dead_letters(&self, after: Option<String>, limit: usize) -> Result<Vec<DeadLetter>> {
        let after = after.map(|id| {
            let unknown = || Error::new(ErrorKind::Invalid, format!("{id} is no id of a dead letter"));
            page::letter_id(&id).ok_or_else(unknown)
        });
        let after = after.transpose()?;
        self.read(move |r| r.dead_letters(after, limit)).await
    }

    async fn mark_replayed(&self, id: &str, time: u64) -> Result<bool> {
        match page::letter_id(id) {
            Some(letter) => self.write(Work::Replayed { letter, time }).await,
            None => Ok(false),
        }
    }

    async fn reader(&self, name: &ReaderName, partition: u32) -> Result<Progress> {
        let name = name.0;
        self.read(move |r| r.reader(name, partition)).await
    }

    async fn save_reader(&self, name: &ReaderName, partition: u32, progress: Progress) -> Result<()> {
        self.write(Work::Reader { name: name.0, partition, progress }).await.map(|_| ())
    }
}
