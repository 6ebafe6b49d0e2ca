//! Who has heard of it can read it: how far the store has come, and waiting until it has come far enough.

use crate::error::{Failure, Result};
use chat4all_backend::store::Store;
use chat4all_model::api::Code;
use chat4all_model::reader::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How long a read waits for the store.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at the store while somebody waits.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// How far each partition has been projected, as far as this process knows.
pub(super) struct Tracker {
    store: Arc<dyn Store>,
    partitions: Vec<Tracked>,
}

struct Tracked {
    /// Told by the projector in this process, or by a look at the store.
    progress: watch::Sender<Progress>,
    waiting: AtomicUsize,
    /// Somebody began to wait.
    asked: Notify,
}

/// Somebody waits, until this is dropped.
struct Waiting<'a>(&'a Tracked);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tracker {
    pub(super) fn new(store: Arc<dyn Store>, partitions: u32) -> Self {
        let tracked = |_| Tracked {
            progress: watch::Sender::new(Progress::default()),
            waiting: AtomicUsize::new(0),
            asked: Notify::new(),
        };
        Self { store, partitions: (0..partitions).map(tracked).collect() }
    }

    /// Notes how far a partition has been projected.
    pub(super) fn note(&self, partition: u32, progress: Progress) {
        if let Some(tracked) = self.partitions.get(partition as usize) {
            tracked.progress.send_if_modified(|known| {
                let news = progress.next() > known.next();
                if news {
                    *known = progress;
                }
                news
            });
        }
    }

    /// Waits until everything before `next` of a partition has been projected.
    ///
    /// # Errors
    /// `Unavailable` after two seconds.
    pub(super) async fn reach(&self, partition: u32, next: u64) -> Result<()> {
        let Some(tracked) = self.partitions.get(partition as usize) else { return Ok(()) };
        if tracked.progress.borrow().next() >= next {
            return Ok(());
        }
        tracked.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(tracked);
        tracked.asked.notify_one();
        let mut progress = tracked.progress.subscribe();
        match tokio::time::timeout(PATIENCE, progress.wait_for(|known| known.next() >= next)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Failure::new(Code::Unavailable, "the store has not come far enough yet; try again")),
        }
    }

    /// The same for all partitions.
    pub(super) async fn reach_all(&self, next: &[u64]) -> Result<()> {
        for (partition, next) in (0..).zip(next) {
            self.reach(partition, *next).await?;
        }
        Ok(())
    }

    /// Looks at the store's progress of a partition while anybody waits for it. Never ends.
    pub(super) async fn look(self: Arc<Self>, partition: u32) {
        let Some(tracked) = self.partitions.get(partition as usize) else { return };
        loop {
            tracked.asked.notified().await;
            let mut pause = FIRST_LOOK;
            while tracked.waiting.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(pause).await;
                match self.store.progress(partition).await {
                    Ok(progress) => self.note(partition, progress),
                    Err(error) => tracing::debug!(%error, partition, "the store's progress cannot be read"),
                }
                pause = (pause * 2).min(LAST_LOOK);
            }
        }
    }
}
