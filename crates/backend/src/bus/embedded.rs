//! The embedded bus: everything in memory, gone with the process.

use super::inbox::Inbox;
use super::{Bus, FOREVER, Hit, Subscription, check};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What all keys, and all counters, may take in memory.
const MAX_KEPT_BYTES: usize = 256 << 20;
/// What an entry takes beside its contents, about.
const ENTRY_BYTES: usize = 160;
/// Expired entries are looked for when there are this many at least, then whenever the number has doubled.
const SWEEP_FROM: usize = 1_024;

/// The bus of an installation of one process.
#[derive(Default)]
pub struct EmbeddedBus {
    channels: Arc<Channels>,
    keys: Mutex<Expiring<Bytes>>,
    counters: Mutex<Expiring<VecDeque<Instant>>>,
}

type Channels = Mutex<HashMap<String, Vec<Arc<Inbox>>>>;

impl EmbeddedBus {
    /// An empty bus.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for EmbeddedBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBus").finish_non_exhaustive()
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        for inbox in self.channels.lock().values().flatten() {
            inbox.close();
        }
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        check(channel, message.len())?;
        for inbox in self.channels.lock().get(channel).into_iter().flatten() {
            inbox.put(message.clone());
        }
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>> {
        check(channel, 0)?;
        let inbox = Arc::new(Inbox::default());
        self.channels.lock().entry(channel.to_owned()).or_default().push(Arc::clone(&inbox));
        Ok(Box::new(EmbeddedSubscription {
            inbox,
            channel: channel.to_owned(),
            channels: Arc::clone(&self.channels),
        }))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        check(key, value.len())?;
        let now = Instant::now();
        self.keys.lock().put(key, value, now, after(now, ttl))
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        check(key, 0)?;
        let keys = self.keys.lock();
        let entry = keys.entries.get(key).filter(|entry| Instant::now() < entry.expires);
        Ok(entry.map(|entry| entry.kept.clone()))
    }

    async fn remove(&self, key: &str) -> Result<()> {
        check(key, 0)?;
        self.keys.lock().take(key);
        Ok(())
    }

    async fn hit(&self, key: &str, limit: u32, window: Duration) -> Result<Hit> {
        check(key, 0)?;
        let now = Instant::now();
        let mut counters = self.counters.lock();
        let mut hits = counters.take(key).unwrap_or_default();
        while hits.front().is_some_and(|hit| after(*hit, window) <= now) {
            hits.pop_front();
        }
        let limit = limit as usize;
        let allowed = hits.len() < limit;
        if allowed {
            hits.push_back(now);
        }
        let remaining = limit.saturating_sub(hits.len());
        // The window takes one more when fewer than `limit` of these are left in it.
        let retry_after = match hits.len().checked_sub(limit) {
            None => Duration::ZERO,
            Some(over) => {
                hits.get(over).map_or(window, |hit| after(*hit, window).saturating_duration_since(now))
            }
        };
        if let Some(newest) = hits.back() {
            let expires = after(*newest, window);
            counters.put(key, hits, now, expires)?;
        }
        Ok(Hit { allowed, remaining: u32::try_from(remaining).unwrap_or(u32::MAX), retry_after })
    }
}

fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(FOREVER)
}

struct EmbeddedSubscription {
    inbox: Arc<Inbox>,
    channel: String,
    channels: Arc<Channels>,
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self) -> Option<Bytes> {
        self.inbox.take().await
    }
}

impl Drop for EmbeddedSubscription {
    fn drop(&mut self) {
        let mut channels = self.channels.lock();
        let Some(inboxes) = channels.get_mut(&self.channel) else { return };
        inboxes.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
        if inboxes.is_empty() {
            channels.remove(&self.channel);
        }
    }
}

/// Entries that expire, bounded in bytes.
struct Expiring<T> {
    entries: HashMap<String, Entry<T>>,
    bytes: usize,
    /// The number of entries at which the expired are looked for.
    sweep_at: usize,
}

struct Entry<T> {
    kept: T,
    expires: Instant,
}

trait Weigh {
    /// Bytes in memory.
    fn weight(&self) -> usize;
}

impl Weigh for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weigh for VecDeque<Instant> {
    fn weight(&self) -> usize {
        self.capacity() * size_of::<Instant>()
    }
}

impl<T> Default for Expiring<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), bytes: 0, sweep_at: SWEEP_FROM }
    }
}

impl<T: Weigh> Expiring<T> {
    fn take(&mut self, key: &str) -> Option<T> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.bytes -= weight(&key, &entry.kept);
        Some(entry.kept)
    }

    fn put(&mut self, key: &str, kept: T, now: Instant, expires: Instant) -> Result<()> {
        self.take(key);
        let added = weight(key, &kept);
        if self.entries.len() >= self.sweep_at || self.bytes + added > MAX_KEPT_BYTES {
            self.sweep(now);
        }
        if self.bytes + added > MAX_KEPT_BYTES {
            return Err(Error::new(ErrorKind::Overloaded, "the bus has no room for another key"));
        }
        self.bytes += added;
        self.entries.insert(key.to_owned(), Entry { kept, expires });
        Ok(())
    }

    fn sweep(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.entries.retain(|key, entry| {
            let stays = now < entry.expires;
            if !stays {
                *bytes -= weight(key, &entry.kept);
            }
            stays
        });
        self.sweep_at = SWEEP_FROM.max(2 * self.entries.len());
        self.entries.shrink_to(self.sweep_at);
    }
}

fn weight(key: &str, kept: &impl Weigh) -> usize {
    ENTRY_BYTES + key.len() + kept.weight()
}

#[cfg(test)]
mod tests {
    use super::super::MAX_VALUE_BYTES;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_expired_do_not_pile_up() {
        let bus = EmbeddedBus::new();
        for n in 0..100 * SWEEP_FROM {
            let key = n.to_string();
            bus.set(&key, Bytes::from_static(b"x"), Duration::from_secs(1)).await.unwrap();
            bus.hit(&key, 3, Duration::from_secs(1)).await.unwrap();
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        assert!(bus.keys.lock().entries.len() <= 2 * SWEEP_FROM);
        assert!(bus.counters.lock().entries.len() <= 2 * SWEEP_FROM);
    }

    #[tokio::test]
    async fn no_room_is_said_and_an_overwritten_value_is_not_counted() {
        let bus = EmbeddedBus::new();
        let value = Bytes::from(vec![0; MAX_VALUE_BYTES]);
        let hour = Duration::from_secs(3_600);
        for _ in 0..MAX_KEPT_BYTES / MAX_VALUE_BYTES + 1 {
            bus.set("same", value.clone(), hour).await.unwrap();
        }
        let mut n = 0;
        let refused = loop {
            match bus.set(&n.to_string(), value.clone(), hour).await {
                Ok(()) => n += 1,
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.kind, ErrorKind::Overloaded);
        assert!(n > MAX_KEPT_BYTES / MAX_VALUE_BYTES / 2);
        bus.remove("0").await.unwrap();
        bus.set("0", value, hour).await.unwrap();
    }

    #[tokio::test]
    async fn a_channel_nobody_hears_is_forgotten() {
        let bus = EmbeddedBus::new();
        drop(bus.subscribe("c").await.unwrap());
        bus.publish("c", Bytes::from_static(b"x")).await.unwrap();
        assert!(bus.channels.lock().is_empty());
    }

    #[tokio::test]
    async fn subscribers_hear_that_the_bus_is_gone() {
        let bus = EmbeddedBus::new();
        let mut heard = bus.subscribe("c").await.unwrap();
        bus.publish("c", Bytes::from_static(b"last")).await.unwrap();
        drop(bus);
        assert_eq!(heard.next().await, Some(Bytes::from_static(b"last")));
        assert_eq!(heard.next().await, None);
    }
}
