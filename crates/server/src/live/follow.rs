//! The task that follows one partition of `events` for the hub.

use super::Hub;
use crate::events::{Events, Happening, Seen};
use chat4all_backend::store::Store;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Records taken under one hold of the lock.
const BATCH: usize = 128;
/// How far before the store's progress the ring may begin, in offsets.
const MAX_REPLAY: u64 = 200_000;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Follows a partition until the hub is gone.
pub(super) async fn follow(hub: Weak<Hub>, partition: u32) {
    let mut reached: Option<Progress> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let Err(error) = run(&hub, partition, &mut reached, &mut pause).await else { return };
        let Some(hub) = hub.upgrade() else { return };
        hub.lag_behind(partition);
        tracing::warn!(%error, partition, "the live path cannot follow the log; trying again");
        if error.kind == ErrorKind::Trimmed {
            reached = None;
        }
        drop(hub);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn run(
    hub: &Weak<Hub>,
    partition: u32,
    reached: &mut Option<Progress>,
    pause: &mut Duration,
) -> Result<()> {
    let Some(strong) = hub.upgrade() else { return Ok(()) };
    let engines = strong.engines.clone();
    let log = engines.log.as_ref();
    let mut events = match *reached {
        Some(progress) => Events::after(log, partition, progress).await?,
        None => {
            let progress = engines.store.progress(partition).await?;
            let (events, start) = begin(log, engines.store.as_ref(), partition, progress).await?;
            strong.begin(partition, start, progress);
            events
        }
    };
    drop(strong);
    *reached = Some(*events.progress());
    loop {
        let seen = events.next().await?;
        let Some(strong) = hub.upgrade() else { return Ok(()) };
        *pause = FIRST_PAUSE;
        let mut batches = seen.chunks(BATCH).peekable();
        while let Some(batch) = batches.next() {
            strong.hear(partition, batch);
            if batches.peek().is_some() {
                // Others wait for the lock and the thread.
                tokio::task::yield_now().await;
            }
        }
        *reached = Some(*events.progress());
    }
}

/// A reader that starts at the last term at or before progress, to fill the ring, or at progress.
async fn begin(
    log: &dyn chat4all_backend::log::EventLog,
    store: &dyn Store,
    partition: u32,
    progress: Progress,
) -> Result<(Events, u64)> {
    if progress.last.is_some() && progress.epoch != log.epoch() {
        return Err(Error::new(ErrorKind::Truncated, "the store's progress is of another log"));
    }
    let near = |term: &u64| *term < progress.next() && progress.next() - *term <= MAX_REPLAY;
    if let Some(term) = store.terms(partition).await?.into_iter().rev().find(near)
        && let Ok(events) = Events::at_term(log, partition, term).await
    {
        return Ok((events, term));
    }
    let events = Events::after(log, partition, progress).await?;
    Ok((events, progress.next()))
}

/// The offset after a run of records.
pub(super) fn end(batch: &[Seen]) -> Option<u64> {
    batch.last().map(|seen| seen.offset + 1)
}

impl Hub {
    /// Takes a run of records: into the ring, to the sessions, to those who wait for an outcome.
    fn hear(self: &Arc<Self>, partition: u32, batch: &[Seen]) {
        let mut applied = super::state::Applied::default();
        {
            let mut state = self.state.lock();
            for seen in batch {
                if let Happening::Counted { counted, .. } = &seen.what {
                    state.hear(partition, seen.offset, &counted.facts, &mut applied);
                }
            }
            if let Some(next) = end(batch) {
                state.heard(partition, next);
                // After the queues were filled: who reads a position has everything before it in its queue.
                self.publish_position(partition, next);
            }
        }
        applied.wake.iter().for_each(|session| session.wake());
        self.meters.deliveries.increment(applied.deliveries);
        for seen in batch {
            if let Happening::Counted { source, counted, .. } = &seen.what {
                let place = super::Place { partition, position: counted.position };
                self.outcomes.hear(place, *source, &counted.facts);
            }
        }
    }
}
