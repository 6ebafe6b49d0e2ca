//! A partition in memory: its bounds and its newest records.

use super::super::{Bounds, Record};
use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::watch;

/// About how much a follower is given at once.
pub(super) const READ_BYTES: usize = 1 << 20;

/// What a record costs in the tail beside its payload.
const RECORD_OVERHEAD: usize = 64;

/// Written by the writer thread after each commit, read by everybody.
pub(super) struct Partition {
    state: Mutex<State>,
    max_bytes: usize,
    /// The end, for those who wait for it to move; closed is `None`.
    end: watch::Sender<Option<u64>>,
}

struct State {
    bounds: Bounds,
    /// All records at or after `tail_start`.
    tail: VecDeque<Record>,
    tail_start: u64,
    bytes: usize,
}

/// Where a follower's next records are.
pub(super) enum Position {
    /// Here.
    Records(Vec<Record>),
    /// In the file, before this offset.
    Behind(u64),
    /// It has them all.
    AtEnd,
}

impl Partition {
    pub(super) fn new(bounds: Bounds, max_bytes: usize) -> Self {
        let state = State { bounds, tail: VecDeque::new(), tail_start: bounds.end, bytes: 0 };
        Self { state: Mutex::new(state), max_bytes, end: watch::Sender::new(Some(bounds.end)) }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.state.lock().bounds
    }

    pub(super) fn ends(&self) -> watch::Receiver<Option<u64>> {
        self.end.subscribe()
    }

    /// Whether one may read from here.
    pub(super) fn admits(&self, from: u64) -> Result<()> {
        let Bounds { start, end } = self.bounds();
        if from > end {
            let why = format!("offset {from} asked for, the log ends at {end}");
            return Err(Error::new(ErrorKind::Truncated, why));
        }
        not_trimmed(from, start)
    }

    pub(super) fn position(&self, from: u64) -> Result<Position> {
        let state = self.state.lock();
        not_trimmed(from, state.bounds.start)?;
        if from >= state.bounds.end {
            return Ok(Position::AtEnd);
        }
        if from < state.tail_start {
            return Ok(Position::Behind(state.tail_start));
        }
        let first = state.tail.partition_point(|record| record.offset < from);
        let mut bytes = 0;
        let records = state.tail.range(first..).take_while(|record| {
            let fits = bytes == 0 || bytes + record.payload.len() <= READ_BYTES;
            bytes += record.payload.len() + RECORD_OVERHEAD;
            fits
        });
        Ok(Position::Records(records.cloned().collect()))
    }

    /// Publishes records that are on the disk, in order.
    pub(super) fn publish(&self, records: &mut Vec<Record>) {
        let Some(last) = records.last() else { return };
        let end = last.offset + 1;
        {
            let mut state = self.state.lock();
            for record in records.drain(..) {
                state.bytes += record.payload.len() + RECORD_OVERHEAD;
                state.tail.push_back(record);
            }
            state.bounds.end = end;
            while state.bytes > self.max_bytes {
                state.forget_oldest();
            }
        }
        self.end.send_replace(Some(end));
    }

    /// Moves the start; what lies before it may be deleted from now on.
    pub(super) fn trimmed(&self, start: u64) {
        let mut state = self.state.lock();
        state.bounds.start = start;
        while state.tail.front().is_some_and(|record| record.offset < start) {
            state.forget_oldest();
        }
    }

    /// Tells who waits that nothing will come.
    pub(super) fn close(&self) {
        self.end.send_replace(None);
    }
}

impl State {
    fn forget_oldest(&mut self) {
        let Some(record) = self.tail.pop_front() else { return };
        self.bytes -= record.payload.len() + RECORD_OVERHEAD;
        self.tail_start = record.offset + 1;
    }
}

fn not_trimmed(from: u64, start: u64) -> Result<()> {
    if from < start {
        return Err(Error::new(
            ErrorKind::Trimmed,
            format!("offset {from} asked for, the log begins at {start}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn who_is_behind_the_tail_is_sent_to_the_file_and_nobody_else() {
        let partition = Partition::new(Bounds { start: 0, end: 0 }, 10 * (RECORD_OVERHEAD + 100));
        let mut records =
            (0..30).map(|offset| Record { offset, payload: Bytes::from(vec![7; 100]) }).collect::<Vec<_>>();
        partition.publish(&mut records);
        for from in 0..=30 {
            match partition.position(from).unwrap() {
                Position::Behind(before) => assert!(from < 20 && before == 20, "{from}"),
                Position::Records(records) => {
                    assert!(records.iter().map(|record| record.offset).eq(from..30) && from >= 20, "{from}");
                }
                Position::AtEnd => assert_eq!(from, 30),
            }
        }
        partition.trimmed(25);
        assert_eq!(partition.position(24).err().map(|error| error.kind), Some(ErrorKind::Trimmed));
        assert!(matches!(partition.position(25).unwrap(), Position::Records(records) if records.len() == 5));
    }
}
