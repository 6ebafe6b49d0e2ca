//! A term that is this router's, and what it has on its way.

use super::memory::Memory;
use chat4all_backend::log::Appended;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Records of facts on their way to the log. More would only wait there.
const IN_FLIGHT: usize = 64;
/// Records and commands appended and not yet projected, before deciding waits for the store.
const UNPROJECTED_RECORDS: usize = 4_096;
const UNPROJECTED_COMMANDS: usize = 16_384;
/// A term is renewed now and then, because `events` can be trimmed only before one.
const RECORDS: u64 = 20_000;
const AGE: Duration = Duration::from_secs(3_600);
/// How long an append may take. An engine has its own limit, which is shorter.
const APPEND_WAIT: Duration = Duration::from_secs(30);

type InFlight = FuturesUnordered<BoxFuture<'static, (u64, Result<Vec<u64>>)>>;

/// See the module.
pub(super) struct Term {
    /// The offset of its record.
    pub(super) number: u64,
    /// Of the next record.
    pub(super) index: u64,
    pub(super) began: Instant,
    pub(super) memory: Memory,
    /// A command newer than this binary stands next: nothing is decided until the term ends.
    pub(super) parked: bool,
    pub(super) in_flight: InFlight,
    /// Index and offset of the last record the log has acknowledged.
    acknowledged: Option<(u64, u64)>,
    /// Commands in each record that may not be projected, the last one's index being `index - 1`.
    unprojected: VecDeque<usize>,
    unprojected_commands: usize,
}

impl Term {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            index: 0,
            began: Instant::now(),
            memory: Memory::default(),
            parked: false,
            in_flight: FuturesUnordered::new(),
            acknowledged: None,
            unprojected: VecDeque::new(),
            unprojected_commands: 0,
        }
    }

    /// Takes note of the next record, which the log has taken to append.
    pub(super) fn appending(&mut self, commands: usize, appended: Appended) {
        let index = self.index;
        let late = |_| Error::new(ErrorKind::OutcomeUnknown, "the log did not answer in time");
        let appended = async move {
            let outcome = timeout(APPEND_WAIT, appended).await.map_err(late);
            (index, outcome.unwrap_or_else(Err))
        };
        self.in_flight.push(appended.boxed());
        self.index += 1;
        self.unprojected.push_back(commands);
        self.unprojected_commands += commands;
    }

    /// The log has the record of this index.
    pub(super) fn appended(&mut self, index: u64, offsets: &[u64]) {
        let place = offsets.last().map(|offset| (index, *offset));
        self.acknowledged = self.acknowledged.max(place);
    }

    /// The store has come so far; gives the index of the first record of the term it may not have.
    pub(super) fn projected(&mut self, progress: &Progress) -> u64 {
        let next = if progress.term == Some(self.number) { progress.index } else { 0 };
        while self.index.saturating_sub(self.unprojected.len() as u64) < next
            && let Some(commands) = self.unprojected.pop_front()
        {
            self.unprojected_commands -= commands;
        }
        next
    }

    pub(super) fn has_room(&self) -> bool {
        !self.parked
            && self.in_flight.len() < IN_FLIGHT
            && self.unprojected.len() < UNPROJECTED_RECORDS
            && self.unprojected_commands < UNPROJECTED_COMMANDS
    }

    pub(super) fn is_old(&self) -> bool {
        !self.parked && (self.index >= RECORDS || (self.index > 0 && self.began.elapsed() > AGE))
    }

    /// Whether what was read of the log is what this router thinks; none if that cannot be told yet.
    pub(super) fn agrees(&self, heard: &Progress) -> Option<bool> {
        if heard.term != Some(self.number) {
            return Some(false);
        }
        let (index, offset) = self.acknowledged?;
        heard.covers(offset).then_some(index < heard.index)
    }

    /// Waits until the log has answered for all that is on its way.
    pub(super) async fn drain(&mut self) -> Result<()> {
        use futures_util::StreamExt;
        while let Some((index, outcome)) = self.in_flight.next().await {
            self.appended(index, &outcome?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_model::reader::LastRead;
    use futures_util::future::ready;

    fn heard(term: u64, index: u64, offset: u64) -> Progress {
        let last = Some(LastRead { offset, hash: 0 });
        Progress { term: Some(term), index, last, ..Progress::default() }
    }

    fn answered(offset: u64) -> Appended {
        ready(Ok(vec![offset])).boxed()
    }

    #[tokio::test]
    async fn doubts_begin_at_a_newer_term_and_at_an_own_record_that_does_not_count() {
        let mut term = Term::new(10);
        assert_eq!(term.agrees(&heard(10, 0, 10)), None);
        assert_eq!(term.agrees(&heard(11, 0, 11)), Some(false));
        term.appending(1, answered(11));
        term.appending(1, answered(13));
        term.drain().await.unwrap();
        assert_eq!(term.agrees(&heard(10, 1, 12)), None, "13 is not read yet");
        assert_eq!(term.agrees(&heard(10, 2, 13)), Some(true));
        assert_eq!(term.agrees(&heard(10, 1, 13)), Some(false), "13 did not count");
    }

    #[tokio::test]
    async fn deciding_waits_for_the_store() {
        let mut term = Term::new(10);
        term.projected(&heard(10, 0, 10));
        for n in 0..64 {
            assert!(term.has_room(), "{n}");
            term.appending(256, answered(n));
            term.drain().await.unwrap();
        }
        assert!(!term.has_room());
        assert_eq!(term.projected(&heard(9, 500, 20)), 0, "of another term");
        assert!(!term.has_room());
        assert_eq!(term.projected(&heard(10, 1, 20)), 1);
        assert!(term.has_room());
        assert_eq!(term.projected(&heard(10, 64, 20)), 64);
        assert_eq!((term.unprojected.len(), term.unprojected_commands), (0, 0));
    }
}
