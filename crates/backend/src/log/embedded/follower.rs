//! A reader at a position: from the tail in memory, or from the file when it is further behind.

use super::super::{Follower, Record, Topic};
use super::partition::Position;
use super::{Shared, closed};
use crate::Result;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

pub(super) struct EmbeddedFollower {
    shared: Arc<Shared>,
    slot: usize,
    of: (Topic, u32),
    next: u64,
    end: watch::Receiver<Option<u64>>,
}

impl EmbeddedFollower {
    pub(super) fn new(shared: Arc<Shared>, slot: usize, of: (Topic, u32), next: u64) -> Self {
        let end = shared.partitions[slot].ends();
        Self { shared, slot, of, next, end }
    }

    fn give(&mut self, records: Vec<Record>) -> Vec<Record> {
        if let Some(last) = records.last() {
            self.next = last.offset + 1;
        }
        records
    }
}

#[async_trait]
impl Follower for EmbeddedFollower {
    async fn next(&mut self) -> Result<Vec<Record>> {
        let partition = &self.shared.partitions[self.slot];
        loop {
            match partition.position(self.next)? {
                Position::Records(records) => return Ok(self.give(records)),
                Position::Behind(before) => {
                    let read = self.shared.reader.records(self.of, self.next, before).await?;
                    // Trimmed while it was read: some of what was asked for may have been deleted already.
                    partition.admits(self.next)?;
                    if read.is_empty() {
                        self.next = before;
                    } else {
                        return Ok(self.give(read));
                    }
                }
                Position::AtEnd => {
                    let next = self.next;
                    let ended = self.end.wait_for(|end| end.is_none_or(|end| end > next)).await;
                    if !ended.is_ok_and(|end| end.is_some()) {
                        return Err(closed());
                    }
                }
            }
        }
    }
}
