//! The outbound queue of one connection.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use tokio::sync::Notify;

/// What a session's queue may hold.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Bytes of frames.
    pub bytes: usize,
    /// Frames.
    pub frames: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { bytes: 512 * 1024, frames: 4096 }
    }
}

/// Why a session must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// It did not read as fast as others wrote.
    TooSlow = 1,
    /// The process ends, or cannot follow the log without a hole.
    Restart = 2,
    /// Its token is no longer good.
    SessionEnded = 3,
}

/// What the hub fills and one connection drains.
#[derive(Debug)]
pub struct Session {
    out: Mutex<Out>,
    limits: QueueLimits,
    /// Told once for all that came since the last drain, and at a cut.
    wake: Notify,
    cut: AtomicU8,
    /// When the ticker wakes it, in seconds of the hub's time; 0 for never.
    due: AtomicU64,
}

#[derive(Debug, Default)]
struct Out {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// A wake is on its way.
    told: bool,
}

impl Session {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            out: Mutex::default(),
            limits,
            wake: Notify::new(),
            cut: AtomicU8::new(0),
            due: AtomicU64::new(0),
        }
    }

    /// Queues a frame. True if the session must be woken and nobody does yet.
    pub(super) fn push(&self, frame: &Bytes) -> bool {
        let mut out = self.out.lock();
        if self.cut.load(Ordering::Relaxed) != 0 {
            return false;
        }
        if out.bytes + frame.len() > self.limits.bytes || out.frames.len() >= self.limits.frames {
            self.cut.store(Cut::TooSlow as u8, Ordering::Release);
            *out = Out { told: true, ..Out::default() };
            // A connection that is stuck in a write took the last wake and has drained nothing since.
            return true;
        }
        out.bytes += frame.len();
        out.frames.push_back(frame.clone());
        !std::mem::replace(&mut out.told, true)
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Ends the session; the first reason stays.
    pub fn cut(&self, why: Cut) {
        let _first = self.cut.compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire);
        self.wake.notify_one();
    }

    /// Why it must end, if it must. To be read after draining: what was queued is not all there is.
    #[must_use]
    pub fn cut_reason(&self) -> Option<Cut> {
        match self.cut.load(Ordering::Acquire) {
            1 => Some(Cut::TooSlow),
            2 => Some(Cut::Restart),
            3 => Some(Cut::SessionEnded),
            _ => None,
        }
    }

    /// Takes all that is queued.
    #[must_use]
    pub fn drain(&self) -> VecDeque<Bytes> {
        let mut out = self.out.lock();
        out.told = false;
        out.bytes = 0;
        std::mem::take(&mut out.frames)
    }

    /// Waits until there is something to drain, a cut, or the time asked for has come. Safe to cancel.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Asks to be woken at `second` of the hub's time.
    pub fn wake_at(&self, second: u64) {
        self.due.store(second, Ordering::Relaxed);
    }

    /// Wakes it if its time has come.
    pub(super) fn tick(&self, second: u64) {
        let due = self.due.load(Ordering::Relaxed);
        if due != 0 && due <= second {
            self.due.store(0, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wake_a_batch_and_a_full_queue_is_cut_and_emptied() {
        let session = Session::new(QueueLimits { bytes: 10, frames: 3 });
        let frame = Bytes::from_static(b"1234");
        assert!(session.push(&frame));
        assert!(!session.push(&frame), "the wake is on its way");
        assert_eq!(session.drain().len(), 2);
        assert!(session.push(&frame));
        assert!(!session.push(&frame));
        assert_eq!(session.cut_reason(), None);
        assert!(session.push(&frame), "a cut wakes in any case");
        assert_eq!(session.cut_reason(), Some(Cut::TooSlow));
        assert!(session.drain().is_empty(), "nothing after a hole");
        assert!(!session.push(&frame));
        assert!(session.drain().is_empty());
        session.cut(Cut::Restart);
        assert_eq!(session.cut_reason(), Some(Cut::TooSlow), "the first reason stays");
    }
}
