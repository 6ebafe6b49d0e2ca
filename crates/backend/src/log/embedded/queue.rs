//! What waits for the writer thread, bounded.

use super::super::Topic;
use super::closed;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::oneshot;

/// Trims that may wait. Each is answered, so their number is that of callers.
const TRIMS: usize = 1_024;

/// A batch ends at the first append that reaches either. More makes a commit hardly cheaper, and its callers
/// wait longer.
const BATCH_RECORDS: usize = 4_096;
const BATCH_BYTES: usize = 4 << 20;

/// One call of `append`.
pub(super) struct Append {
    pub(super) topic: Topic,
    pub(super) records: Vec<(u32, Bytes)>,
    /// Of all payloads together.
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Vec<u64>>>,
}

/// One call of `trim`.
pub(super) struct Trim {
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) before: u64,
    pub(super) answer: oneshot::Sender<Result<()>>,
}

/// What the writer does in one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) appends: Vec<Append>,
    pub(super) trims: Vec<Trim>,
}

/// Filled by the callers, emptied by the writer.
pub(super) struct Queue {
    max_records: usize,
    max_bytes: usize,
    waiting: Mutex<Waiting>,
    /// Signalled when the queue stops being empty, and when it is closed.
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    appends: VecDeque<Append>,
    records: usize,
    bytes: usize,
    trims: VecDeque<Trim>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(max_records: usize, max_bytes: usize) -> Self {
        Self { max_records, max_bytes, waiting: Mutex::default(), filled: Condvar::new() }
    }

    pub(super) fn push(&self, append: Append) -> Result<()> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(closed());
        }
        // An append larger than the whole queue still passes when nothing else waits.
        let full = waiting.records + append.records.len() > self.max_records
            || waiting.bytes + append.bytes > self.max_bytes;
        if full && waiting.records > 0 {
            return Err(Error::new(ErrorKind::Overloaded, "the log's queue is full"));
        }
        waiting.records += append.records.len();
        waiting.bytes += append.bytes;
        waiting.appends.push_back(append);
        let first = waiting.appends.len() == 1;
        drop(waiting);
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    pub(super) fn push_trim(&self, trim: Trim) -> Result<()> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(closed());
        }
        if waiting.trims.len() >= TRIMS {
            return Err(Error::new(ErrorKind::Overloaded, "too many trims wait"));
        }
        waiting.trims.push_back(trim);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Moves what waits into `batch`, up to its limits; waits until there is something, or it is `until`.
    /// `false` when the queue is closed and empty.
    pub(super) fn take(&self, batch: &mut Batch, until: Option<Instant>) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.appends.is_empty() && waiting.trims.is_empty() && !waiting.closed {
            match until {
                None => self.filled.wait(&mut waiting),
                Some(until) => {
                    if self.filled.wait_until(&mut waiting, until).timed_out() {
                        break;
                    }
                }
            }
        }
        let (mut records, mut bytes) = (0, 0);
        while records < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some(append) = waiting.appends.pop_front() else { break };
            records += append.records.len();
            bytes += append.bytes;
            batch.appends.push(append);
        }
        waiting.records -= records;
        waiting.bytes -= bytes;
        batch.trims.extend(waiting.trims.drain(..));
        !(waiting.closed && batch.appends.is_empty() && batch.trims.is_empty())
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.filled.notify_one();
    }

    /// Takes nothing more and forgets what waits: its callers are told that the log is closed.
    pub(super) fn abandon(&self) {
        let (appends, trims) = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            waiting.records = 0;
            waiting.bytes = 0;
            (std::mem::take(&mut waiting.appends), std::mem::take(&mut waiting.trims))
        };
        for append in appends {
            // Who dropped the future does not hear of it.
            let _ = append.answer.send(Err(closed()));
        }
        for trim in trims {
            let _ = trim.answer.send(Err(closed()));
        }
    }

    /// Records and bytes that wait.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.records, waiting.bytes)
    }
}
