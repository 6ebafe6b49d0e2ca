//! The bus: what may be lost. Publish and subscribe, keys with expiry, sliding-window counters.

pub mod contract;
mod embedded;
mod inbox;
mod redis;

pub use embedded::EmbeddedBus;
pub use redis::RedisBus;

use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// What a sliding-window counter says about one more hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Whether the hit is within the limit. A hit over the limit is not counted.
    pub allowed: bool,
    /// How many more hits the window takes.
    pub remaining: u32,
    /// When the window takes another one; zero if it does already.
    pub retry_after: Duration,
}

/// Ephemeral state shared by the processes of an installation.
///
/// # Loss
/// Everything here may vanish at any moment (a restart of the engine) without anybody missing a message.
///
/// # Ordering
/// What one publisher publishes to a channel reaches a subscriber in order, if it reaches it.
///
/// # Limits
/// A subscriber that does not keep up loses the oldest (at most 1,024 wait for it). Keys ≤ 256 bytes, values ≤ 64 KiB.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Tells everybody who subscribed to `channel`.
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()>;

    /// Hears what is published to `channel` from now on.
    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>>;

    /// Sets a key for `ttl`.
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()>;

    /// The value of a key that has not expired.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Removes a key.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Counts a hit on `key` if fewer than `limit` were counted within the last `window`.
    async fn hit(&self, key: &str, limit: u32, window: Duration) -> Result<Hit>;
}

/// What a subscriber hears.
#[async_trait]
pub trait Subscription: Send {
    /// The next message. Safe to cancel. `None` when the bus is gone.
    async fn next(&mut self) -> Option<Bytes>;
}

const MAX_KEY_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Longer than anything here lives, for times that cannot be added up.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

fn check(key: &str, value_bytes: usize) -> Result<()> {
    if key.len() > MAX_KEY_BYTES {
        let why = format!("a key of {} bytes, at most {MAX_KEY_BYTES} are taken", key.len());
        return Err(Error::new(ErrorKind::Invalid, why));
    }
    if value_bytes > MAX_VALUE_BYTES {
        let why = format!("a value of {value_bytes} bytes, at most {MAX_VALUE_BYTES} are taken");
        return Err(Error::new(ErrorKind::Invalid, why));
    }
    Ok(())
}
