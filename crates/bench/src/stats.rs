//! Medians, percentiles and the few numbers drawn at random.

/// The middle of the values; the mean of the two middle ones where their number is even.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted.get(middle).copied()
    } else {
        Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0)
    }
}

/// Latencies in microseconds, kept one by one so that no bucket rounds the tail away.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
    sorted: bool,
}

impl Latencies {
    pub(crate) fn record(&mut self, elapsed: std::time::Duration) {
        self.micros.push(u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX));
        self.sorted = false;
    }

    pub(crate) fn len(&self) -> usize {
        self.micros.len()
    }

    /// The smallest latency, in milliseconds, that the share `p` (0 to 1) of all does not exceed.
    pub(crate) fn percentile_ms(&mut self, p: f64) -> f64 {
        if !self.sorted {
            self.micros.sort_unstable();
            self.sorted = true;
        }
        let rank = (p * self.micros.len() as f64).ceil() as usize;
        self.micros.get(rank.saturating_sub(1)).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
    }
}

/// A repeatable source of numbers (splitmix64): which page to read next.
#[derive(Debug)]
pub(crate) struct Picker(u64);

impl Picker {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `bound` (which is at least 1).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut latencies = Latencies::default();
        for ms in (1..=1000).rev() {
            latencies.record(Duration::from_millis(ms));
        }
        assert_eq!(latencies.percentile_ms(0.5), 500.0);
        assert_eq!(latencies.percentile_ms(0.99), 990.0);
        assert_eq!(latencies.percentile_ms(0.999), 999.0);
        assert_eq!(latencies.percentile_ms(1.0), 1000.0);
        assert_eq!(latencies.percentile_ms(0.0), 1.0);
        latencies.record(Duration::from_millis(5000));
        assert_eq!(latencies.percentile_ms(1.0), 5000.0);
    }

    #[test]
    fn no_latencies_give_no_percentile() {
        assert!(Latencies::default().percentile_ms(0.5).is_nan());
    }

    #[test]
    fn a_pick_stays_below_its_bound() {
        let mut picker = Picker::new(1);
        assert!((0..1000).all(|_| picker.below(7) < 7));
        assert_eq!(picker.below(1), 0);
    }
}
