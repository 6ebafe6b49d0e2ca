//! Limits on how often one may knock.

use crate::error::{Failure, RateLimit, Result};
use chat4all_backend::bus::Bus;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// So many hits within a sliding window; 0 hits: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How many.
    pub hits: u32,
    /// Within how long.
    pub window: Duration,
}

impl Rule {
    /// No limit.
    pub const OFF: Self = Self { hits: 0, window: Duration::from_secs(1) };

    const fn per_minute(hits: u32) -> Self {
        Self { hits, window: Duration::from_secs(60) }
    }

    const fn per_hour(hits: u32) -> Self {
        Self { hits, window: Duration::from_secs(3600) }
    }
}

/// The limits of `/auth/*`, counted for all processes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthLimits {
    /// Registrations from an address.
    pub register: Rule,
    /// Tries to sign in from an address.
    pub login_address: Rule,
    /// Tries to sign in to one account from an address.
    pub login_pair: Rule,
    /// Tries to sign in to one account from anywhere.
    pub login_account: Rule,
    /// Refreshes from an address.
    pub refresh: Rule,
    /// Changes of password or e-mail, and bots made, by one account.
    pub change: Rule,
}

impl Default for AuthLimits {
    fn default() -> Self {
        Self {
            register: Rule::per_hour(10),
            login_address: Rule::per_minute(60),
            login_pair: Rule::per_minute(10),
            login_account: Rule::per_hour(300),
            refresh: Rule::per_minute(300),
            change: Rule::per_minute(10),
        }
    }
}

impl AuthLimits {
    /// No limits at all.
    pub const OFF: Self = Self {
        register: Rule::OFF,
        login_address: Rule::OFF,
        login_pair: Rule::OFF,
        login_account: Rule::OFF,
        refresh: Rule::OFF,
        change: Rule::OFF,
    };
}

/// An answer, and where its asker stands with the limit that is nearest.
#[derive(Debug, Clone)]
pub struct Limited<T> {
    /// The answer.
    pub value: T,
    /// The limit; none if none applies.
    pub limit: Option<RateLimit>,
}

/// One count to be taken.
pub(super) struct Count {
    pub(super) policy: &'static str,
    pub(super) key: String,
    pub(super) rule: Rule,
}

/// Takes counts on the bus.
pub(super) struct Limiter {
    bus: Arc<dyn Bus>,
}

impl Limiter {
    pub(super) fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus }
    }

    /// Takes each count; the first that is over its rule refuses.
    ///
    /// Without a bus nothing is counted: that nobody can sign in would be worse, and Argon2 has a bound of its own.
    pub(super) async fn take(&self, counts: &[Count]) -> Result<Option<RateLimit>> {
        let mut nearest: Option<RateLimit> = None;
        for count in counts.iter().filter(|c| c.rule.hits > 0) {
            let key = format!("limit:{}:{}", count.policy, count.key);
            let hit = match self.bus.hit(&key, count.rule.hits, count.rule.window).await {
                Ok(hit) => hit,
                Err(error) => {
                    tracing::warn!(%error, policy = count.policy, "a limit was not counted");
                    continue;
                }
            };
            let limit = RateLimit {
                policy: count.policy,
                quota: count.rule.hits,
                window: count.rule.window,
                remaining: hit.remaining,
                reset: hit.retry_after,
            };
            if !hit.allowed {
                return Err(Failure::rate_limited(limit));
            }
            if nearest.is_none_or(|n| limit.remaining < n.remaining) {
                nearest = Some(limit);
            }
        }
        Ok(nearest)
    }
}

/// Whom an address counts as: with IPv6 the /64, all of which one customer has.
pub(super) fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_as_its_customer() {
        let key = |s: &str| address_key(s.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8:1:2:3::4"), key("2001:db8:1:2:ffff::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }
}
