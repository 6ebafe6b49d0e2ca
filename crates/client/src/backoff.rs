use rand::Rng;
use std::time::Duration;

/// How long to wait before trying again: doubling from `first` to at most `longest`, half of it random, so that
/// clients cut off together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` (1 or more) in a row.
    #[must_use]
    pub fn wait(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let full = doubled.min(self.longest);
        full / 2 + jitter(full / 2)
    }
}

/// A random duration below `most`.
pub(crate) fn jitter(most: Duration) -> Duration {
    most.mul_f64(rand::rng().random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_within_bounds() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2) };
        for (failures, full) in [(1, 100), (2, 200), (3, 400), (5, 1600), (6, 2000), (1000, 2000)] {
            let wait = backoff.wait(failures);
            assert!(wait >= Duration::from_millis(full / 2), "{failures}: {wait:?}");
            assert!(wait <= Duration::from_millis(full), "{failures}: {wait:?}");
        }
    }
}
