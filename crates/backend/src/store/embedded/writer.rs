//! The writer thread: everything that changes the file, in transactions of all that waits.

use super::event::number;
use super::project::Projector;
use super::{Options, Shared, further};
use crate::folder::DataFolder;
use crate::sqlite::{failed, migrate, opening};
use crate::store::Projection;
use crate::store::page::LetterId;
use crate::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use rusqlite::{Connection, OptionalExtension, ffi, params};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql")];

/// Calls that may wait. Whoever projects waits for the answer, so there are few.
const QUEUE: usize = 256;
/// Facts after which a transaction takes no further call: more make it hardly cheaper, and its callers wait.
const BATCH_FACTS: usize = 8_192;
/// The write-ahead file is copied and begun afresh when this much stands in it.
const CHECKPOINT_BYTES: u64 = 16 << 20;
/// … or when nothing was written for this long,
const IDLE: Duration = Duration::from_secs(1);
/// … or when the last time was this long ago.
const UNSYNCED: Duration = Duration::from_secs(10);
/// How long a copy waits for readers, and then until the next attempt.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long rejections are kept, and how often and how many old ones are looked for.
const REJECTIONS_MS: u64 = 30 * 24 * 3_600_000;
const PRUNE_EVERY_MS: u64 = 3_600_000;
const PRUNE_ROWS: usize = 1_000;
/// Pages kept by the writer, in KiB: the right edges of the indexes of some ten thousand conversations.
const CACHE_KIB: i64 = 32 * 1024;

const PAGE: u64 = 4_096;

thread_local! {
    /// Pages that stood in the write-ahead file after the writer's last commit. SQLite tells it only to a plain
    /// function, and the file's length says nothing, for its space is used again.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// A call that writes.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Result<bool>>,
}

/// What it writes. All but `Replayed` answer `true`.
pub(super) enum Work {
    Project { partition: u32, projection: Projection },
    Reader { name: &'static str, partition: u32, progress: Progress },
    Replayed { letter: LetterId, time: u64 },
    ClearDerived,
}

/// Opens the file for its one writer.
pub(super) fn open(path: &Path, options: &Options) -> Result<Connection> {
    let mut connection = Connection::open(path).map_err(|e| opening(path, &e))?;
    set_up(&connection, options).map_err(|e| opening(path, &e))?;
    migrate(&mut connection, path, MIGRATIONS)?;
    Ok(connection)
}

fn set_up(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    // The writer does it itself: SQLite passes over a sync that fails in an automatic checkpoint.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // What a deletion took away is not to be found in the file either.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", number(CHECKPOINT_BYTES))?;
    connection.wal_hook(Some(|_, pages| {
        WAL_PAGES.set(pages.unsigned_abs());
        Ok(())
    }));
    connection.set_prepared_statement_cache_capacity(64);
    if let Some(bytes) = options.max_file_bytes {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update(None, "max_page_count", number(bytes) / page)?;
    }
    Ok(())
}

/// Starts the thread. The receiver turns `true` when the file is closed.
pub(super) fn start(
    connection: Connection,
    shared: Arc<Shared>,
    folder: DataFolder,
    options: Options,
) -> Result<(SyncSender<Job>, watch::Receiver<bool>)> {
    let (sender, queue) = sync_channel(QUEUE);
    let (ended, receiver) = watch::channel(false);
    let run = move || {
        // Dropped last, a panic included: nobody waits for a thread that is gone.
        let end = End { ended, folder: Some(folder) };
        let mut writer = Writer {
            connection: &connection,
            shared: &shared,
            options,
            dirty: false,
            // A process that died may have left it.
            filled: true,
            tried: Instant::now(),
            pruned_at: 0,
        };
        writer.run(&queue);
        // Readers first: the last to close copies the write-ahead file, and they may not write.
        shared.readers.close();
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "the store's file was not closed cleanly");
        }
        drop(end);
    };
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(run)
        .map_err(|e| Error::new(ErrorKind::Unavailable, e))?;
    Ok((sender, receiver))
}

struct End {
    ended: watch::Sender<bool>,
    folder: Option<DataFolder>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.folder = None;
        self.ended.send_replace(true);
    }
}

struct Writer<'c> {
    connection: &'c Connection,
    shared: &'c Shared,
    options: Options,
    /// Something was committed since the last sync.
    dirty: bool,
    /// The write-ahead file holds something, if only what was copied.
    filled: bool,
    /// When a sync was last tried.
    tried: Instant,
    /// When old rejections were last looked for, by the clock.
    pruned_at: u64,
}

impl Writer<'_> {
    fn run(&mut self, queue: &Receiver<Job>) {
        loop {
            let first = match queue.recv_timeout(if self.filled { IDLE } else { Duration::MAX }) {
                Ok(job) => job,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.filled = !self.checkpoint("TRUNCATE");
                    continue;
                }
            };
            let mut jobs = vec![first];
            let mut facts = jobs[0].work.size();
            while facts < BATCH_FACTS
                && let Ok(job) = queue.try_recv()
            {
                facts += job.work.size();
                jobs.push(job);
            }
            self.shared.queued.fetch_sub(jobs.len(), Ordering::Relaxed);
            self.write(jobs);
            self.checkpoint_if_due();
        }
    }

    fn write(&mut self, jobs: Vec<Job>) {
        match self.transaction(&jobs) {
            Ok(answers) => {
                (self.dirty, self.filled) = (true, true);
                for (job, answer) in jobs.into_iter().zip(answers) {
                    // Who dropped the future does not hear of it.
                    let _ = job.answer.send(Ok(answer));
                }
            }
            Err(error) => {
                tracing::error!(%error, calls = jobs.len(), "the store could not be written");
                let why = error.to_string();
                let mut kind = error.kind;
                // SQLite has rolled back by itself after some errors.
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "a transaction could not be rolled back");
                    kind = ErrorKind::OutcomeUnknown;
                }
                for job in jobs {
                    let _ = job.answer.send(Err(Error::new(kind, why.clone())));
                }
            }
        }
    }

    /// Writes all of it, or nothing.
    fn transaction(&mut self, jobs: &[Job]) -> Result<Vec<bool>> {
        self.execute("BEGIN IMMEDIATE")?;
        let progress = self.shared.progress.lock().clone();
        let mut projector = Projector::new(self.connection, &self.shared.names, progress)?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push(match &job.work {
                Work::Project { partition, projection } => {
                    projector.project(*partition, projection)?;
                    true
                }
                Work::Reader { name, partition, progress } => {
                    self.save_reader(name, *partition, progress)?;
                    true
                }
                Work::Replayed { letter, time } => self.replayed(*letter, *time)?,
                Work::ClearDerived => self.clear_derived()?,
            });
        }
        let done = projector.finish()?;
        let now = (self.options.clock)();
        let more = self.prune(now)?;
        self.execute("COMMIT")?;
        if !more {
            self.pruned_at = now;
        }
        *self.shared.progress.lock() = done.remember(&self.shared.names);
        Ok(answers)
    }

    fn execute(&self, sql: &str) -> Result<()> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.raw_execute());
        done.map(|_| ()).map_err(|e| {
            self.end_if_sync_failed(&e);
            failed(e)
        })
    }

    fn save_reader(&self, name: &str, partition: u32, progress: &Progress) -> Result<()> {
        let old: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT value FROM readers WHERE name = ? AND partition = ?")
            .and_then(|mut query| query.query_row((name, partition), |row| row.get(0)).optional())
            .map_err(failed)?;
        if let Some(old) = old
            && !further(progress, &super::event::from_blob(&old)?)
        {
            return Ok(());
        }
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO readers VALUES (?, ?, ?)")
            .and_then(|mut put| put.execute(params![name, partition, postcard::to_allocvec(progress).ok()]))
            .map_err(failed)?;
        Ok(())
    }

    fn replayed(&self, letter: LetterId, time: u64) -> Result<bool> {
        let sql = "UPDATE dead_letters SET replayed_at = ? WHERE position = ? AND partition = ? AND part = ?";
        let at = params![number(time), letter.position, letter.partition, letter.part];
        let changed = self.connection.execute(sql, at).map_err(failed)?;
        Ok(changed > 0)
    }

    fn clear_derived(&self) -> Result<bool> {
        let sql =
            "UPDATE conversations SET about = NULL, about_position = -1, head = NULL, head_position = -1;
                   DELETE FROM changes; DELETE FROM reactions; DELETE FROM members;";
        self.connection.execute_batch(sql).map(|()| true).map_err(failed)
    }

    /// Forgets some old rejections now and then. Whether there may be more.
    fn prune(&self, now: u64) -> Result<bool> {
        if now < self.pruned_at.saturating_add(PRUNE_EVERY_MS) {
            return Ok(true);
        }
        let sql = "DELETE FROM rejections WHERE time < ?1
                   AND no IN (SELECT no FROM rejections ORDER BY no LIMIT ?2)";
        let before = number(now.saturating_sub(REJECTIONS_MS));
        let deleted = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut delete| delete.execute(params![before, number(PRUNE_ROWS as u64)]))
            .map_err(failed)?;
        Ok(deleted == PRUNE_ROWS)
    }

    fn checkpoint_if_due(&mut self) {
        let bytes = u64::from(WAL_PAGES.get()) * PAGE;
        self.shared.wal_bytes.store(bytes, Ordering::Relaxed);
        let since = self.tried.elapsed();
        if self.dirty && (since >= UNSYNCED || bytes >= CHECKPOINT_BYTES && since >= PATIENCE / 4) {
            // Its space is used again: giving it back and taking it anew cost a tenth of all that is written.
            self.checkpoint("RESTART");
        }
    }

    /// Syncs the write-ahead file, copies it into the main one, syncs that, and begins afresh. Whether it could.
    fn checkpoint(&mut self, mode: &str) -> bool {
        self.tried = Instant::now();
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let done = self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        match &done {
            Ok(0) => {
                self.dirty = false;
                self.shared.synced.lock().clone_from(&self.shared.progress.lock());
                WAL_PAGES.set(0);
                self.shared.wal_bytes.store(0, Ordering::Relaxed);
            }
            Ok(_) => tracing::warn!("a reader keeps the store's write-ahead file from being begun afresh"),
            Err(error) => {
                self.end_if_sync_failed(error);
                tracing::warn!(%error, "the store's write-ahead file could not be copied, it will be tried again");
            }
        }
        matches!(done, Ok(0))
    }

    fn end_if_sync_failed(&self, error: &rusqlite::Error) {
        if let rusqlite::Error::SqliteFailure(code, _) = error
            && matches!(code.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
        {
            (self.options.fatal)(&error.to_string());
        }
    }
}

impl Work {
    fn size(&self) -> usize {
        match self {
            Self::Project { projection, .. } => {
                projection.counted.iter().map(|counted| counted.facts.len() + counted.dead.len() + 1).sum()
            }
            Self::Reader { .. } | Self::Replayed { .. } | Self::ClearDerived => 1,
        }
    }
}
