//! The embedded event log: one SQLite file, one writer thread, group commit.
//!
//! The way of a record: `append` puts it into a bounded queue ([`queue`]); the writer thread ([`writer`]) takes
//! all that waits, writes it in one transaction, syncs, publishes it to the partition's tail ([`partition`]),
//! which wakes the followers, and answers. Who is behind the tail reads the file on a few blocking threads
//! ([`reader`]).

mod file;
mod follower;
mod group;
mod partition;
mod queue;
mod reader;
mod writer;

use self::follower::EmbeddedFollower;
use self::group::Groups;
use self::partition::Partition;
use self::queue::{Append, Queue, Trim};
use self::reader::Reader;
use super::{Appended, Bounds, EventLog, Follower, MAX_RECORD_BYTES, Member, Topic};
use crate::folder::DataFolder;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What is called, on the writer thread, when a sync failed: nobody can know what is on the disk, so the
/// process must end.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How an [`EmbeddedLog`] is opened.
#[derive(Clone)]
pub struct Options {
    /// Partitions of every topic; fixed when the file is made. `None`: what the file has, 4 for a new one.
    pub partitions: Option<u32>,
    /// The incarnation a new file gets. A file that exists keeps its own.
    pub epoch: u32,
    /// Records that may wait to be written.
    pub queue_records: usize,
    /// Bytes that may wait to be written.
    pub queue_bytes: usize,
    /// Bytes of newest records kept in memory for each partition.
    pub tail_bytes: usize,
    /// The size at which the file grows no further; appends are then refused as with a full disk.
    pub max_file_bytes: Option<u64>,
    /// Tells the time that `offset_at` refers to.
    pub clock: Clock,
    /// Ends the process.
    pub fatal: Fatal,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions: None,
            epoch: 1,
            queue_records: 32_768,
            queue_bytes: 32 << 20,
            tail_bytes: 4 << 20,
            max_file_bytes: None,
            clock: Arc::new(|| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
            }),
            fatal: Arc::new(|why| {
                tracing::error!(why, "the log's file cannot be trusted any more, the process ends");
                std::process::abort()
            }),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

/// What the log is busy with, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Records waiting to be written.
    pub queued_records: usize,
    /// Bytes waiting to be written.
    pub queued_bytes: usize,
    /// Size of the write-ahead file.
    pub wal_bytes: u64,
}

/// The event log of an installation of one process.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    groups: Groups,
    ended: watch::Receiver<bool>,
}

/// What the callers, the followers and the writer thread have in common.
struct Shared {
    epoch: u32,
    count: u32,
    /// By topic, then partition.
    partitions: Vec<Partition>,
    queue: Queue,
    reader: Reader,
    wal_bytes: AtomicU64,
}

impl Shared {
    fn slot(&self, topic: Topic, partition: u32) -> Result<usize> {
        if partition >= self.count {
            let why = format!("{} has no partition {partition}, it has {}", topic.name(), self.count);
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        Ok(file::slot(topic, partition, self.count))
    }
}

impl EmbeddedLog {
    /// Opens the log in `folder`, making its file if there is none. Blocks while it does.
    ///
    /// # Errors
    /// `Invalid` if the file has another number of partitions than asked for, `Corrupt` if it cannot be
    /// understood, `Unavailable` if it cannot be read or written.
    pub fn open(folder: &DataFolder, options: Options) -> Result<Self> {
        let path = folder.file("log.db");
        let opened = file::open(&path, &options)?;
        let partitions = opened
            .bounds
            .iter()
            .map(|bounds| Partition::new(*bounds, options.tail_bytes))
            .collect::<Vec<_>>();
        let shared = Arc::new(Shared {
            epoch: opened.epoch,
            count: opened.partitions,
            partitions,
            queue: Queue::new(options.queue_records, options.queue_bytes),
            reader: Reader::new(path),
            wal_bytes: AtomicU64::new(0),
        });
        let ended = writer::start(opened.connection, Arc::clone(&shared), folder.clone(), options)?;
        Ok(Self { groups: Groups::new(opened.partitions), shared, ended })
    }

    /// What it is busy with now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (queued_records, queued_bytes) = self.shared.queue.waiting();
        Stats { queued_records, queued_bytes, wal_bytes: self.shared.wal_bytes.load(Ordering::Relaxed) }
    }

    /// Takes no more appends, writes what waits, and returns when the file is closed. Dropping the log does the
    /// same without waiting.
    pub async fn close(&self) {
        self.shared.queue.close();
        let mut ended = self.ended.clone();
        // An error says that the writer is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").field("partitions", &self.shared.count).finish_non_exhaustive()
    }
}

/// The log does not work any more, or not for this call; surely nothing was done.
fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the log is closed")
}

#[async_trait]
impl EventLog for EmbeddedLog {
    fn partitions(&self) -> u32 {
        self.shared.count
    }

    fn epoch(&self) -> u32 {
        self.shared.epoch
    }

    fn append(&self, topic: Topic, records: Vec<(u32, Bytes)>) -> Appended {
        let mut bytes = 0;
        for (partition, payload) in &records {
            if let Err(error) = self.shared.slot(topic, *partition) {
                return ready(Err(error)).boxed();
            }
            if payload.len() > MAX_RECORD_BYTES {
                let why =
                    format!("a record of {} bytes, at most {MAX_RECORD_BYTES} are taken", payload.len());
                return ready(Err(Error::new(ErrorKind::Invalid, why))).boxed();
            }
            bytes += payload.len();
        }
        if records.is_empty() {
            return ready(Ok(Vec::new())).boxed();
        }
        let (answer, answered) = oneshot::channel();
        if let Err(error) = self.shared.queue.push(Append { topic, records, bytes, answer }) {
            return ready(Err(error)).boxed();
        }
        async move {
            match answered.await {
                Ok(outcome) => outcome,
                Err(_) => {
                    Err(Error::new(ErrorKind::OutcomeUnknown, "the log's writer ended before it answered"))
                }
            }
        }
        .boxed()
    }

    async fn follow(&self, topic: Topic, partition: u32, from: u64) -> Result<Box<dyn Follower>> {
        let slot = self.shared.slot(topic, partition)?;
        self.shared.partitions[slot].admits(from)?;
        Ok(Box::new(EmbeddedFollower::new(Arc::clone(&self.shared), slot, (topic, partition), from)))
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Bounds> {
        Ok(self.shared.partitions[self.shared.slot(topic, partition)?].bounds())
    }

    async fn offset_at(&self, topic: Topic, partition: u32, time_ms: u64) -> Result<u64> {
        let slot = self.shared.slot(topic, partition)?;
        // The end is taken first: what is appended meanwhile may have a mark and must not be passed over.
        let Bounds { end, .. } = self.shared.partitions[slot].bounds();
        let marked = self.shared.reader.mark(topic, partition, time_ms).await?;
        Ok(marked.unwrap_or(end).max(self.shared.partitions[slot].bounds().start))
    }

    async fn trim(&self, topic: Topic, partition: u32, before: u64) -> Result<()> {
        let slot = self.shared.slot(topic, partition)?;
        if before <= self.shared.partitions[slot].bounds().start {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        self.shared.queue.push_trim(Trim { topic, partition, before, answer })?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>> {
        Ok(Box::new(self.groups.join(group, topic)))
    }
}
