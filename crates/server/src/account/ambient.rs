use crate::clock::{Clock, system_clock};
use rand::RngCore;
use std::fmt;
use std::sync::Arc;

/// Fills a buffer with random bytes that nobody can guess.
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What use-cases know of the world: the time and chance. Tests bring their own.
#[derive(Clone)]
pub struct Ambient {
    clock: Clock,
    entropy: Entropy,
}

impl Ambient {
    /// The world of a test or simulation.
    #[must_use]
    pub fn new(clock: Clock, entropy: Entropy) -> Self {
        Self { clock, entropy }
    }

    /// The real one.
    #[must_use]
    pub fn system() -> Self {
        Self::new(system_clock(), Arc::new(|buffer| rand::rng().fill_bytes(buffer)))
    }

    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.entropy)(&mut bytes);
        bytes
    }

    /// A new id, `UUIDv7`.
    #[must_use]
    pub fn uuid(&self) -> String {
        uuid::Builder::from_unix_timestamp_millis(self.now(), &self.random()).into_uuid().to_string()
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}
