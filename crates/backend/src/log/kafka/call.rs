//! A call of `append` that waits for its reports, and how many may wait.

use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How much may wait for its reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// What waits for its reports.
pub(super) struct Waiting {
    limits: Limits,
    /// Records and bytes.
    taken: Mutex<(usize, usize)>,
}

impl Waiting {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, taken: Mutex::default() }
    }
}

/// A call's part of what may wait; given back when dropped.
pub(super) struct Room {
    waiting: Arc<Waiting>,
    records: usize,
    bytes: usize,
}

impl Room {
    /// None if there is none left. A call larger than everything still passes when nothing else waits.
    pub(super) fn take(waiting: &Arc<Waiting>, records: usize, bytes: usize) -> Option<Self> {
        let mut taken = waiting.taken.lock();
        let full = taken.0 + records > waiting.limits.records || taken.1 + bytes > waiting.limits.bytes;
        if full && taken.0 > 0 {
            return None;
        }
        taken.0 += records;
        taken.1 += bytes;
        Some(Self { waiting: Arc::clone(waiting), records, bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.waiting.taken.lock();
        taken.0 -= self.records;
        taken.1 -= self.bytes;
    }
}

/// Goes with a record and comes back with its outcome.
pub(super) struct Report {
    pub(super) call: Arc<Call>,
    /// Which of the call's records.
    pub(super) index: usize,
}

/// One call of `append`. It is answered when the last of its reports is dropped.
pub(super) struct Call {
    tally: Mutex<Tally>,
    room: Option<Room>,
    answer: Option<oneshot::Sender<Result<Vec<u64>>>>,
}

struct Tally {
    offsets: Vec<u64>,
    landed: bool,
    failure: Option<Error>,
}

impl Call {
    pub(super) fn new(records: usize, room: Room, answer: oneshot::Sender<Result<Vec<u64>>>) -> Self {
        let tally = Tally { offsets: vec![0; records], landed: false, failure: None };
        Self { tally: Mutex::new(tally), room: Some(room), answer: Some(answer) }
    }

    pub(super) fn landed(&self, index: usize, offset: i64) {
        let mut tally = self.tally.lock();
        tally.landed = true;
        match u64::try_from(offset) {
            Ok(offset) => tally.offsets[index] = offset,
            // Of a record that it found to be there already, a broker may not know where.
            Err(_) => {
                tally.fail(Error::new(ErrorKind::OutcomeUnknown, "the record landed at an unknown offset"))
            }
        }
    }

    pub(super) fn failed(&self, error: Error) {
        self.tally.lock().fail(error);
    }
}

impl Tally {
    /// One unknown outcome makes the call's unknown; otherwise the first failure counts.
    fn fail(&mut self, error: Error) {
        let known = |failure: &Error| failure.kind != ErrorKind::OutcomeUnknown;
        if self.failure.as_ref().is_none_or(|first| known(first) && !known(&error)) {
            self.failure = Some(error);
        }
    }

    fn outcome(&mut self) -> Result<Vec<u64>> {
        match self.failure.take() {
            None => Ok(std::mem::take(&mut self.offsets)),
            Some(failure) if self.landed => {
                Err(Error::new(ErrorKind::OutcomeUnknown, format!("only some records landed: {failure}")))
            }
            Some(failure) => Err(failure),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let outcome = self.tally.get_mut().outcome();
        // Before the answer, so that whoever waited for it finds room.
        self.room = None;
        if let Some(answer) = self.answer.take() {
            // Who dropped the future does not hear of it.
            let _ = answer.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome of a call whose records came to this.
    fn outcome(records: &[Result<i64, ErrorKind>]) -> Result<Vec<u64>> {
        let waiting = Arc::new(Waiting::new(Limits { records: 10, bytes: 10 }));
        let room = Room::take(&waiting, records.len(), 0).unwrap();
        let (answer, mut answered) = oneshot::channel();
        let call = Arc::new(Call::new(records.len(), room, answer));
        let reports = (0..records.len()).map(|index| Report { call: Arc::clone(&call), index });
        let reports = reports.collect::<Vec<_>>();
        drop(call);
        for (report, record) in reports.into_iter().zip(records) {
            assert!(answered.try_recv().is_err(), "answered before its last report");
            match record {
                Ok(offset) => report.call.landed(report.index, *offset),
                Err(kind) => report.call.failed(Error::new(*kind, "x")),
            }
        }
        assert_eq!(*waiting.taken.lock(), (0, 0));
        answered.try_recv().unwrap()
    }

    #[test]
    fn a_call_fails_as_its_worst_record() {
        use ErrorKind::{Invalid, OutcomeUnknown, Unavailable};
        assert_eq!(outcome(&[Ok(5), Ok(7)]).unwrap(), [5, 7]);
        for (records, kind) in [
            (vec![Err(Unavailable), Err(Unavailable)], Unavailable),
            (vec![Err(Invalid), Err(Unavailable)], Invalid),
            (vec![Err(Unavailable), Err(OutcomeUnknown)], OutcomeUnknown),
            (vec![Err(OutcomeUnknown), Err(Unavailable)], OutcomeUnknown),
            (vec![Ok(1), Err(Unavailable)], OutcomeUnknown),
            (vec![Err(Unavailable), Ok(1)], OutcomeUnknown),
            (vec![Ok(-1)], OutcomeUnknown),
        ] {
            assert_eq!(outcome(&records).unwrap_err().kind, kind, "{records:?}");
        }
    }

    #[test]
    fn a_call_larger_than_everything_passes_alone() {
        let waiting = Arc::new(Waiting::new(Limits { records: 2, bytes: 100 }));
        let large = Room::take(&waiting, 5, 10);
        assert!(large.is_some() && Room::take(&waiting, 1, 1).is_none());
        drop(large);
        let (first, second) = (Room::take(&waiting, 1, 60), Room::take(&waiting, 1, 60));
        assert!(first.is_some() && second.is_none());
    }
}
