//! The log as one router sees it.

use async_trait::async_trait;
use bytes::Bytes;
use chat4all_backend::log::{Appended, Bounds, EmbeddedLog, EventLog, Follower, Member, Topic};
use chat4all_backend::{Error, ErrorKind, Result};
use futures_util::FutureExt;
use futures_util::future::ready;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// What becomes of the next append to `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It lands.
    Lands,
    /// It is lost, and those behind it are not.
    Lost,
    /// It lands and nobody says so.
    Unknown,
    /// It lands twice.
    Twice,
    /// There is no room in the queue.
    Refused,
    /// It is said to be lost and lands when it is let go.
    Late,
}

/// An append that waits: what it is, and whom to tell.
type Held = (Vec<(u32, Bytes)>, Option<oneshot::Sender<Result<Vec<u64>>>>);

#[derive(Default)]
struct State {
    fates: VecDeque<Fate>,
    /// The router stands still: all that it appends is held.
    still: bool,
    held: Vec<Held>,
}

/// A router's own view of the one log. Shares nothing with the others' views.
pub(crate) struct LogDouble {
    log: Arc<EmbeddedLog>,
    state: Mutex<State>,
    assigned: watch::Sender<Vec<u32>>,
}

fn failed(kind: ErrorKind) -> Error {
    Error::new(kind, "as the test wants it")
}

impl LogDouble {
    pub(crate) fn new(log: Arc<EmbeddedLog>) -> Arc<Self> {
        Arc::new(Self { log, state: Mutex::default(), assigned: watch::Sender::new(Vec::new()) })
    }

    pub(crate) fn assign(&self, partitions: &[u32]) {
        self.assigned.send_replace(partitions.to_vec());
    }

    /// Fates of the next appends to `events`; then they land again.
    pub(crate) fn fates(&self, fates: impl IntoIterator<Item = Fate>) {
        self.state.lock().fates.extend(fates);
    }

    pub(crate) fn is_fated(&self) -> bool {
        !self.state.lock().fates.is_empty()
    }

    /// From now on appends wait.
    pub(crate) fn stand_still(&self) {
        self.state.lock().still = true;
    }

    pub(crate) fn holds(&self) -> usize {
        self.state.lock().held.len()
    }

    /// Lets go of what is held, and holds no more.
    pub(crate) async fn wake(&self) {
        let held = {
            let mut state = self.state.lock();
            state.still = false;
            std::mem::take(&mut state.held)
        };
        for (records, answer) in held {
            let outcome = self.log.append(Topic::Events, records).await;
            if let Some(answer) = answer {
                // A router that died meanwhile does not hear of it.
                let _ = answer.send(outcome);
            }
        }
    }
}

#[async_trait]
impl EventLog for LogDouble {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn epoch(&self) -> u32 {
        self.log.epoch()
    }

    fn append(&self, topic: Topic, records: Vec<(u32, Bytes)>) -> Appended {
        if topic != Topic::Events {
            return self.log.append(topic, records);
        }
        let mut state = self.state.lock();
        if state.still {
            let (answer, answered) = oneshot::channel();
            state.held.push((records, Some(answer)));
            return async move { answered.await.unwrap_or_else(|_| Err(failed(ErrorKind::OutcomeUnknown))) }
                .boxed();
        }
        let later = |kind| {
            async move {
                tokio::task::yield_now().await;
                Err(failed(kind))
            }
            .boxed()
        };
        match state.fates.pop_front().unwrap_or(Fate::Lands) {
            Fate::Lands => self.log.append(topic, records),
            Fate::Lost => later(ErrorKind::Unavailable),
            Fate::Refused => ready(Err(failed(ErrorKind::Overloaded))).boxed(),
            Fate::Unknown => {
                let appended = self.log.append(topic, records);
                async move { appended.await.and(Err(failed(ErrorKind::OutcomeUnknown))) }.boxed()
            }
            Fate::Twice => {
                let first = self.log.append(topic, records.clone());
                let second = self.log.append(topic, records);
                async move {
                    let offsets = first.await;
                    second.await.and(offsets)
                }
                .boxed()
            }
            Fate::Late => {
                state.held.push((records, None));
                later(ErrorKind::OutcomeUnknown)
            }
        }
    }

    async fn follow(&self, topic: Topic, partition: u32, from: u64) -> Result<Box<dyn Follower>> {
        self.log.follow(topic, partition, from).await
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Bounds> {
        self.log.bounds(topic, partition).await
    }

    async fn offset_at(&self, topic: Topic, partition: u32, time_ms: u64) -> Result<u64> {
        self.log.offset_at(topic, partition, time_ms).await
    }

    async fn trim(&self, topic: Topic, partition: u32, before: u64) -> Result<()> {
        self.log.trim(topic, partition, before).await
    }

    async fn join(&self, _: &str, _: Topic) -> Result<Box<dyn Member>> {
        let mut assigned = self.assigned.subscribe();
        assigned.mark_changed();
        Ok(Box::new(Seat(assigned)))
    }
}

struct Seat(watch::Receiver<Vec<u32>>);

#[async_trait]
impl Member for Seat {
    async fn assignment(&mut self) -> Result<Vec<u32>> {
        self.0.changed().await.map_err(|_| failed(ErrorKind::Unavailable))?;
        Ok(self.0.borrow_and_update().clone())
    }

    async fn leave(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
