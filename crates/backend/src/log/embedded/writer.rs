//! The writer thread: everything that changes the file, one synced transaction after another.

use super::super::{Record, Topic};
use super::file::{self, sql};
use super::queue::{Append, Batch, Trim};
use super::{Options, Shared};
use crate::folder::DataFolder;
use crate::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode, Statement, ffi, params};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Trimmed records deleted in one transaction at least, and per record appended in it: deleting keeps pace with
/// appending and never holds it up for more than a few milliseconds.
const SWEEP_RECORDS: usize = 1_000;
const SWEEP_PER_APPEND: usize = 2;

/// Free pages are kept for the next records up to this many or a half of the file, and given back in steps.
const FREE_PAGES: i64 = 1_024;
const SHRINK_PAGES: usize = 256;

/// How long deleting pauses after the disk was full.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The write-ahead file is copied into the main one when about this much was written to it, and readers are
/// waited for when it has grown to `WAL_LIMIT`.
const CHECKPOINT_BYTES: usize = 16 << 20;
const WAL_LIMIT: u64 = 64 << 20;

const PAGE: usize = 4_096;

/// Starts the thread. The receiver turns `true` when the file is closed.
pub(super) fn start(
    connection: Connection,
    shared: Arc<Shared>,
    folder: DataFolder,
    options: Options,
) -> Result<watch::Receiver<bool>> {
    let (ended, receiver) = watch::channel(false);
    let wal = folder.file("log.db-wal");
    let run = move || {
        let end = End { shared: Arc::clone(&shared), ended, folder: Some(folder) };
        if let Err(error) = Writer::new(&connection, &shared, options, wal).and_then(Writer::run) {
            tracing::error!(%error, "the log's writer could not start");
        }
        // Readers first: the last to close copies the write-ahead file, and they may not write.
        shared.reader.close();
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "the log's file was not closed cleanly");
        }
        drop(end);
    };
    std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(run)
        .map_err(|e| Error::new(ErrorKind::Unavailable, e))?;
    Ok(receiver)
}

/// What is done however the thread ends, a panic included: nobody waits for it, and the folder is free.
struct End {
    shared: Arc<Shared>,
    ended: watch::Sender<bool>,
    folder: Option<DataFolder>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.queue.abandon();
        self.shared.partitions.iter().for_each(super::Partition::close);
        self.folder = None;
        self.ended.send_replace(true);
    }
}

struct Writer<'c> {
    connection: &'c Connection,
    shared: &'c Shared,
    options: Options,
    wal: PathBuf,
    slots: Vec<Slot<'c>>,
    /// Slots with records in this batch.
    touched: Vec<usize>,
    /// Written to the write-ahead file since it was last copied, about.
    wal_written: usize,
    sweep_not_before: Instant,
    /// Sweeping may have left more free pages than are worth keeping.
    shrinkable: bool,
}

/// A partition as the writer sees it.
struct Slot<'c> {
    topic: Topic,
    partition: u32,
    insert: Statement<'c>,
    next: u64,
    start: u64,
    /// Records before the start may still be in the file.
    swept: bool,
    /// The minute of the newest mark, and of the one in this batch.
    marked: Option<u64>,
    marking: Option<u64>,
    /// Written in this transaction, not yet published.
    written: Vec<Record>,
}

impl<'c> Writer<'c> {
    fn new(
        connection: &'c Connection,
        shared: &'c Shared,
        options: Options,
        wal: PathBuf,
    ) -> rusqlite::Result<Self> {
        let slots = file::slots(shared.count)
            .zip(&shared.partitions)
            .map(|((topic, partition), state)| {
                let insert = format!("INSERT INTO {} VALUES (?, ?)", file::table(topic, partition));
                let marked: Option<i64> = connection.query_row(
                    "SELECT max(minute) FROM marks WHERE topic = ? AND partition = ?",
                    params![topic.name(), partition],
                    |row| row.get(0),
                )?;
                let bounds = state.bounds();
                Ok(Slot {
                    topic,
                    partition,
                    insert: connection.prepare(&insert)?,
                    next: bounds.end,
                    start: bounds.start,
                    // A process that died may have left some.
                    swept: bounds.start == 0,
                    marked: marked.map(file::offset),
                    marking: None,
                    written: Vec::new(),
                })
            })
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            connection,
            shared,
            options,
            wal,
            slots,
            touched: Vec::new(),
            wal_written: 0,
            sweep_not_before: Instant::now(),
            shrinkable: true,
        })
    }

    fn run(mut self) -> rusqlite::Result<()> {
        let mut batch = Batch::default();
        while self.shared.queue.take(&mut batch, self.sweep_at()) {
            let outcome = self.work(&mut batch).and_then(|()| self.checkpoint());
            if let Err(Failure::Unknown(why)) = outcome {
                batch.fail(ErrorKind::OutcomeUnknown, &why);
                (self.options.fatal)(&why);
                break;
            }
        }
        Ok(())
    }

    /// When there is something to sweep, the time from which it may be.
    fn sweep_at(&self) -> Option<Instant> {
        let sweep = self.shrinkable || self.slots.iter().any(|slot| !slot.swept);
        sweep.then_some(self.sweep_not_before)
    }

    fn work(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let sweep = self.sweep_at().is_some_and(|time| time <= Instant::now());
        let Err(failure) = self.commit(batch, sweep) else { return Ok(()) };
        let Failure::Refused(kind, why) = &failure else { return Err(failure) };
        batch.fail(*kind, why);
        // With a full disk the batch failed and took the sweep with it, which would have made room.
        if let Some(Err(failure)) = sweep.then(|| self.commit(&mut Batch::default(), true)) {
            self.sweep_not_before = Instant::now() + SWEEP_PAUSE;
            if let Failure::Unknown(_) = failure {
                return Err(failure);
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &mut Batch, sweep: bool) -> Result<(), Failure> {
        match self.transaction(batch, sweep) {
            Ok((offsets, swept)) => {
                self.publish(batch, offsets, swept);
                Ok(())
            }
            Err(error) => Err(self.undo(&error)),
        }
    }

    /// Writes a batch and syncs it. Gives the offsets of each append, and the slot with nothing left to sweep.
    fn transaction(
        &mut self,
        batch: &Batch,
        sweep: bool,
    ) -> rusqlite::Result<(Vec<Vec<u64>>, Option<usize>)> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.raw_execute()?;
        let minute = (self.options.clock)() / file::MARK_MS;
        let mut all_offsets = Vec::with_capacity(batch.appends.len());
        let records = batch.appends.iter().map(|append| append.records.len()).sum();
        // First, so that what it frees is there for the appends.
        let swept = if sweep { self.sweep(records)? } else { None };
        for append in &batch.appends {
            all_offsets.push(self.insert(append, minute)?);
            self.wal_written += append.bytes;
        }
        for trim in &batch.trims {
            self.move_start(trim)?;
        }
        self.wal_written += (2 * self.touched.len() + 1) * PAGE;
        self.connection.prepare_cached("COMMIT")?.raw_execute()?;
        Ok((all_offsets, swept))
    }

    fn insert(&mut self, append: &Append, minute: u64) -> rusqlite::Result<Vec<u64>> {
        let mut offsets = Vec::with_capacity(append.records.len());
        for (partition, payload) in &append.records {
            let index = file::slot(append.topic, *partition, self.shared.count);
            let slot = &mut self.slots[index];
            let offset = slot.next;
            if slot.written.is_empty() {
                self.touched.push(index);
                if slot.marked.is_none_or(|marked| marked < minute) {
                    self.connection
                        .prepare_cached("INSERT INTO marks VALUES (?, ?, ?, ?)")?
                        .execute(params![slot.topic.name(), slot.partition, sql(minute), sql(offset)])?;
                    slot.marking = Some(minute);
                }
            }
            slot.insert.raw_bind_parameter(1, sql(offset))?;
            slot.insert.raw_bind_parameter(2, &payload[..])?;
            slot.written.push(Record { offset, payload: payload.clone() });
            slot.next = offset + 1;
            slot.insert.raw_execute()?;
            offsets.push(offset);
        }
        Ok(offsets)
    }

    /// `next` goes with it: it is all that keeps offsets from being reused when nothing is left.
    fn move_start(&mut self, trim: &Trim) -> rusqlite::Result<()> {
        let slot = &self.slots[file::slot(trim.topic, trim.partition, self.shared.count)];
        let start = sql(trim.before.min(slot.next));
        let (topic, partition) = (trim.topic.name(), trim.partition);
        self.connection
            .prepare_cached(
                "UPDATE bounds SET start = max(start, ?), next = ? WHERE topic = ? AND partition = ?",
            )?
            .execute(params![start, sql(slot.next), topic, partition])?;
        // The newest mark at or before the start still says when the first records left were appended.
        self.connection
            .prepare_cached(
                "DELETE FROM marks WHERE topic = ?1 AND partition = ?2 AND minute < (
                     SELECT max(minute) FROM marks WHERE topic = ?1 AND partition = ?2 AND first <= ?3)",
            )?
            .execute(params![topic, partition, start])?;
        Ok(())
    }

    /// Deletes some of what lies before a start that was published: a reader that misses them finds that the
    /// start has moved. When there is nothing more to delete, gives back some of the space.
    fn sweep(&mut self, appended: usize) -> rusqlite::Result<Option<usize>> {
        let Some((index, slot)) = self.slots.iter().enumerate().find(|(_, slot)| !slot.swept) else {
            self.shrink()?;
            return Ok(None);
        };
        let table = file::table(slot.topic, slot.partition);
        let some = SWEEP_RECORDS.max(SWEEP_PER_APPEND * appended);
        let deleted = self
            .connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE offset < ?1 AND offset < ?2 + (SELECT min(offset) FROM {table})"
            ))?
            .execute(params![sql(slot.start), sql(some as u64)])?;
        self.wal_written += some / 8 * PAGE;
        Ok((deleted < some).then_some(index))
    }

    fn shrink(&mut self) -> rusqlite::Result<()> {
        let count = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let free = count("freelist_count")?;
        self.shrinkable = free > FREE_PAGES.max(count("page_count")? / 2);
        if self.shrinkable {
            let mut vacuum =
                self.connection.prepare_cached(&format!("PRAGMA incremental_vacuum({SHRINK_PAGES})"))?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
            self.wal_written += SHRINK_PAGES * PAGE;
            // A file that cannot give anything back is not asked for ever.
            self.shrinkable = count("freelist_count")? < free;
        }
        Ok(())
    }

    fn publish(&mut self, batch: &mut Batch, offsets: Vec<Vec<u64>>, swept: Option<usize>) {
        if let Some(index) = swept {
            self.slots[index].swept = true;
            self.shrinkable = true;
        }
        for index in self.touched.drain(..) {
            let slot = &mut self.slots[index];
            slot.marked = slot.marking.take().or(slot.marked);
            self.shared.partitions[index].publish(&mut slot.written);
        }
        for trim in batch.trims.drain(..) {
            let index = file::slot(trim.topic, trim.partition, self.shared.count);
            let slot = &mut self.slots[index];
            let start = trim.before.min(slot.next);
            if start > slot.start {
                slot.start = start;
                slot.swept = false;
                self.shared.partitions[index].trimmed(start);
            }
            // Who dropped the future does not hear of it.
            let _ = trim.answer.send(Ok(()));
        }
        for (append, offsets) in batch.appends.drain(..).zip(offsets) {
            let _ = append.answer.send(Ok(offsets));
        }
    }

    /// After a failure nothing of the transaction may be left. Its offsets are surely not written and are given
    /// to the next records.
    fn undo(&mut self, error: &rusqlite::Error) -> Failure {
        for index in self.touched.drain(..) {
            let slot = &mut self.slots[index];
            slot.next = slot.written.first().map_or(slot.next, |first| first.offset);
            slot.written.clear();
            slot.marking = None;
        }
        let failure = Failure::of(error);
        // SQLite has rolled back by itself after some errors.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            return Failure::Unknown(format!("a transaction could not be rolled back: {error}"));
        }
        failure
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        let size = std::fs::metadata(&self.wal).map_or(0, |file| file.len());
        self.shared.wal_bytes.store(size, Ordering::Relaxed);
        if self.wal_written < CHECKPOINT_BYTES {
            return Ok(());
        }
        self.wal_written = 0;
        // Passive leaves what a reader still needs; waiting for readers, who are quick, makes it start afresh.
        let mode = if size < WAL_LIMIT { "PASSIVE" } else { "TRUNCATE" };
        let done = self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        match done.map_err(|error| Failure::of(&error)) {
            Err(Failure::Refused(_, why)) => {
                tracing::warn!(why, "the log's write-ahead file could not be copied, it will be tried again");
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// What a failed transaction leaves behind.
#[derive(Debug)]
enum Failure {
    /// Nothing, or what the next transaction overwrites; the kind says which.
    Refused(ErrorKind, String),
    /// Nobody knows: after a failed sync the system may have dropped the pages and call the next sync a success.
    Unknown(String),
}

impl Failure {
    fn of(error: &rusqlite::Error) -> Self {
        let why = error.to_string();
        match error.sqlite_error_code() {
            // A full disk too: no room for the index of the write-ahead file, which had the transaction already.
            Some(ErrorCode::SystemIoFailure) if extended(error) == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
                Self::Refused(ErrorKind::OutcomeUnknown, why)
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Unknown(why)
            }
            _ => Self::Refused(ErrorKind::Unavailable, why),
        }
    }
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

impl Batch {
    fn fail(&mut self, kind: ErrorKind, why: &str) {
        for append in self.appends.drain(..) {
            // Who dropped the future does not hear of it.
            let _ = append.answer.send(Err(Error::new(kind, why)));
        }
        for trim in self.trims.drain(..) {
            let _ = trim.answer.send(Err(Error::new(kind, why)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Failure {
        Failure::of(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn only_a_disk_that_cannot_be_trusted_ends_the_process() {
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_CORRUPT,
        ] {
            assert!(matches!(failure(code), Failure::Unknown(_)), "{code}");
        }
        assert!(matches!(failure(ffi::SQLITE_FULL), Failure::Refused(ErrorKind::Unavailable, _)));
        assert!(matches!(failure(ffi::SQLITE_IOERR_SHMSIZE), Failure::Refused(ErrorKind::OutcomeUnknown, _)));
    }
}
