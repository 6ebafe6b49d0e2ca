//! The circuit breaker: who has failed again and again is left alone for a while, then asked by one caller alone.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// How long it stays open: at first, and at most, doubling with each failed try.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// See the module. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Open until then; none if closed.
    until: Option<Instant>,
    pause: Duration,
    /// One caller tries whether it is back.
    probing: bool,
}

/// A call that was let through. Dropped without a word it says nothing of the engine.
#[derive(Debug)]
pub(super) struct Admission {
    breaker: Breaker,
    probe: bool,
}

impl Breaker {
    /// Lets a call through, or says how long the engine is left alone.
    pub(super) fn admit(&self) -> Result<Admission, Duration> {
        let mut state = self.0.lock();
        let Some(until) = state.until else { return Ok(Admission { breaker: self.clone(), probe: false }) };
        let wait = until.saturating_duration_since(Instant::now());
        if !wait.is_zero() || state.probing {
            return Err(wait);
        }
        state.probing = true;
        Ok(Admission { breaker: self.clone(), probe: true })
    }
}

impl Admission {
    /// The engine answered. Gives `false` if that closes the breaker.
    pub(super) fn succeeded(self) -> Option<bool> {
        let mut state = self.breaker.0.lock();
        let was_open = state.until.is_some();
        *state = State::default();
        was_open.then_some(false)
    }

    /// It did not. Gives `true` if that opens the breaker.
    pub(super) fn failed(self) -> Option<bool> {
        let mut state = self.breaker.0.lock();
        state.failures = state.failures.saturating_add(1);
        let opens = self.probe || state.failures >= FAILURES && state.until.is_none();
        if !opens {
            return None;
        }
        let news = state.until.is_none();
        state.pause = (state.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        state.until = Some(Instant::now() + state.pause);
        news.then_some(true)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.0.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker) -> Option<bool> {
        breaker.admit().ok().and_then(Admission::failed)
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_tries_whether_it_is_back() {
        let breaker = Breaker::default();
        let opened: Vec<_> = (0..5).map(|_| fail(&breaker)).collect();
        assert_eq!(opened, [None, None, None, None, Some(true)]);
        assert_eq!(breaker.admit().err(), Some(FIRST_PAUSE));
        tokio::time::advance(FIRST_PAUSE).await;
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_err(), "only one");
        assert_eq!(probe.failed(), None, "it was open before");
        assert_eq!(breaker.admit().err(), Some(2 * FIRST_PAUSE), "longer each time");
        tokio::time::advance(LAST_PAUSE).await;
        drop(breaker.admit().unwrap());
        assert_eq!(breaker.admit().unwrap().succeeded(), Some(false), "a probe given up is no verdict");
        assert_eq!(breaker.admit().unwrap().succeeded(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_keeps_it_closed() {
        let breaker = Breaker::default();
        for _ in 0..20 {
            for _ in 0..4 {
                assert_eq!(fail(&breaker), None);
            }
            assert_eq!(breaker.admit().unwrap().succeeded(), None);
        }
    }
}
