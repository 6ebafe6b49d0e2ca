//! How many connections a user and an address may have, and how many frames a connection may send.

use chat4all_model::id::UserId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Counts of connections in this process.
#[derive(Debug, Default)]
pub(super) struct Connections {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    users: HashMap<UserId, u32>,
    addresses: HashMap<IpAddr, u32>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    user: UserId,
    address: IpAddr,
}

impl Connections {
    /// A place for one more; none if the user or the address has as many as it may.
    pub(super) fn enter(
        self: &Arc<Self>,
        user: &UserId,
        address: IpAddr,
        per_user: u32,
        per_address: u32,
    ) -> Option<Place> {
        let mut counts = self.counts.lock();
        let full = counts.users.get(user).is_some_and(|count| *count >= per_user)
            || counts.addresses.get(&address).is_some_and(|count| *count >= per_address);
        if full {
            return None;
        }
        *counts.users.entry(user.clone()).or_default() += 1;
        *counts.addresses.entry(address).or_default() += 1;
        metrics::gauge!("websocket_connections").increment(1);
        Some(Place { connections: Arc::clone(self), user: user.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.connections.counts.lock();
        leave(&mut counts.users, &self.user);
        leave(&mut counts.addresses, &self.address);
        metrics::gauge!("websocket_connections").decrement(1);
    }
}

fn leave<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, tokens: burst, at: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        // Looking at the clock's last bits for every frame of a batch would round what accrues to nothing.
        if passed >= Duration::from_millis(1) {
            self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.burst);
            self.at = now;
        }
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_user_and_address_and_given_back() {
        let connections = Arc::new(Connections::default());
        let (a, b) = (UserId::parse("a").unwrap(), UserId::parse("b").unwrap());
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = connections.enter(&a, address, 1, 2).unwrap();
        assert!(connections.enter(&a, address, 1, 2).is_none(), "one a user");
        let second = connections.enter(&b, address, 1, 2).unwrap();
        assert!(connections.enter(&UserId::parse("c").unwrap(), address, 1, 2).is_none(), "two an address");
        drop(first);
        assert!(connections.enter(&a, address, 1, 2).is_some());
        drop(second);
        let counts = connections.counts.lock();
        assert!(counts.users.is_empty() && counts.addresses.is_empty());
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| bucket.take(later)).count(), 2);
        let much_later = start + Duration::from_secs(60);
        assert_eq!((0..5).filter(|_| bucket.take(much_later)).count(), 3, "no more than the burst");
    }
}
