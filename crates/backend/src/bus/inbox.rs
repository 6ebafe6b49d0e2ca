//! What waits for one subscriber.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Messages that wait for one subscriber.
const MAX_WAITING: usize = 1_024;

/// A queue that loses the oldest. Whoever delivers puts, the one subscriber takes; closing ends it behind what waits.
///
/// Not `tokio::sync::broadcast`, which reserves room for all 1,024 at once: there may be a channel for every
/// connected user.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Bytes>,
    closed: bool,
}

impl Inbox {
    pub(super) fn put(&self, message: Bytes) {
        let mut state = self.state.lock();
        if state.waiting.len() == MAX_WAITING {
            state.waiting.pop_front();
        }
        state.waiting.push_back(message);
        drop(state);
        self.filled.notify_one();
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// The oldest message, once there is one; `None` when it is closed and empty. Safe to cancel.
    pub(super) async fn take(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(message) = state.waiting.pop_front() {
                    return Some(message);
                }
                if state.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}
