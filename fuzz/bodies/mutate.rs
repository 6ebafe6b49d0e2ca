//! Valid inputs, spoiled a little, the same way at every run.

/// A small generator of numbers (xorshift): the runs must be the same everywhere.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// One of `0..below`.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % below.max(1)
    }
}

/// Calls `body` with every seed, and with `runs` mutations of them.
pub(crate) fn run(seeds: &[Vec<u8>], runs: u64, body: fn(&[u8])) {
    seeds.iter().for_each(|seed| body(seed));
    for run in 0..runs {
        let mut numbers = Numbers::new(run);
        let mut data = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(data.len() + 1);
            match numbers.below(7) {
                0 if at < data.len() => data[at] ^= 1 << numbers.below(8),
                1 if at < data.len() => {
                    data[at] = [0, 1, 0x7F, 0x80, 0xFF, b'"', b'{', b'\\'][numbers.below(8)]
                }
                2 => data.truncate(at),
                3 => data.insert(at, u8::try_from(numbers.below(256)).unwrap_or(0)),
                4 => {
                    let end = (at + numbers.below(16)).min(data.len());
                    data.drain(at..end);
                }
                5 => {
                    let other = &seeds[numbers.below(seeds.len())];
                    let tail = other[numbers.below(other.len() + 1)..].to_vec();
                    data.truncate(at);
                    data.extend(tail);
                }
                _ => {
                    let end = (at + numbers.below(16)).min(data.len());
                    let again = data[at..end].to_vec();
                    data.splice(at..at, again);
                }
            }
        }
        body(&data);
    }
}
