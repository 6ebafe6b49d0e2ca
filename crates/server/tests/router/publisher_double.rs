//! The publisher as all routers see it: it can be away, and fail in the middle.

use async_trait::async_trait;
use chat4all_backend::log::{Publication, Publisher};
use chat4all_backend::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What becomes of the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Nothing is there.
    Lost,
    /// The first half is there.
    Half,
    /// All is there and nobody says so.
    Unknown,
}

#[derive(Default)]
pub(crate) struct PublisherDouble {
    published: Mutex<Vec<Publication>>,
    next: Mutex<VecDeque<Telling>>,
    away: AtomicBool,
    /// Calls that were refused.
    pub(crate) refused: AtomicU64,
}

impl PublisherDouble {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether it takes nothing.
    pub(crate) fn be_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// What becomes of the next calls; then all is well again.
    pub(crate) fn next(&self, tellings: impl IntoIterator<Item = Telling>) {
        self.next.lock().extend(tellings);
    }

    /// All that was ever published, in order.
    pub(crate) fn published(&self) -> Vec<Publication> {
        self.published.lock().clone()
    }
}

#[async_trait]
impl Publisher for PublisherDouble {
    async fn publish(&self, mut records: Vec<Publication>) -> Result<()> {
        tokio::task::yield_now().await;
        let failed = |kind| Err(Error::new(kind, "as the test wants it"));
        if self.away.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return failed(ErrorKind::Unavailable);
        }
        let telling = self.next.lock().pop_front();
        match telling {
            Some(Telling::Lost) => return failed(ErrorKind::Unavailable),
            Some(Telling::Half) => records.truncate(records.len() / 2),
            Some(Telling::Unknown) | None => {}
        }
        self.published.lock().extend(records);
        telling.map_or(Ok(()), |_| failed(ErrorKind::OutcomeUnknown))
    }
}
