//! Which sessions have ended, known to each process within a second.

use super::ambient::Ambient;
use super::token::ACCESS_SECONDS;
use crate::error::Result;
use bytes::Bytes;
use chat4all_backend::accounts::{Accounts, Ended, MAX_ENTRIES, SessionId};
use chat4all_backend::bus::{Bus, Subscription};
use chat4all_model::id::UserId;
use parking_lot::RwLock;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

const CHANNEL: &str = "sessions";
/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long a hint waits for others, so that many sign-outs at once cost few questions.
const GATHER: Duration = Duration::from_millis(50);
/// How far the clocks of two processes may be apart, in milliseconds: what is read again each time.
const SKEW_MS: u64 = 10_000;
/// How long a session's tokens may outlive it, in milliseconds.
const REMEMBER_MS: u64 = ACCESS_SECONDS * 1000 + 6 * SKEW_MS;
/// How many ended sessions are remembered by id.
const MAX_REMEMBERED: usize = 100_000;
/// How many a slow subscriber may be behind.
const MAX_BEHIND: usize = 1024;

/// Remembers ended sessions until none of their access tokens is good any more.
///
/// The store is what counts and is asked each second; the bus only hastens it.
pub struct SessionWatch {
    accounts: Arc<dyn Accounts>,
    bus: Arc<dyn Bus>,
    ambient: Ambient,
    ended: RwLock<Remembered>,
    /// Tells this process's sockets. One subscriber a process should ask, not each socket.
    news: broadcast::Sender<EndedSession>,
}

/// A session that has just ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// Its id.
    pub session_id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
}

/// Whether a bearer's session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// As far as is known.
    Living,
    /// It has ended.
    Ended,
    /// Too much has ended to remember: what was issued so early must be asked of the store.
    Unknown,
}

#[derive(Default)]
struct Remembered {
    ids: HashSet<SessionId>,
    /// The same, oldest first.
    order: VecDeque<(u64, SessionId)>,
    /// Sessions that ended by then may be forgotten though their tokens are good.
    floor: u64,
    /// The newest end seen.
    newest: u64,
}

impl SessionWatch {
    /// Reads what has ended lately. Nothing may be answered before.
    ///
    /// # Errors
    /// Of the store.
    pub(super) async fn open(
        accounts: Arc<dyn Accounts>,
        bus: Arc<dyn Bus>,
        ambient: Ambient,
    ) -> Result<Arc<Self>> {
        let newest = ambient.now().saturating_sub(REMEMBER_MS);
        let watch = Arc::new(Self {
            accounts,
            bus,
            ambient,
            ended: RwLock::new(Remembered { newest, ..Remembered::default() }),
            news: broadcast::channel(MAX_BEHIND).0,
        });
        watch.poll().await?;
        Ok(watch)
    }

    /// Follows the store for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let mut failing = false;
        let mut hints: Option<Box<dyn Subscription>> = None;
        loop {
            if hints.is_none() {
                hints = self.bus.subscribe(CHANNEL).await.ok();
            }
            match &mut hints {
                Some(subscription) => match tokio::time::timeout(EVERY, subscription.next()).await {
                    Ok(Some(_)) => tokio::time::sleep(GATHER).await,
                    Ok(None) => {
                        hints = None;
                        tokio::time::sleep(EVERY).await;
                    }
                    Err(_) => {}
                },
                None => tokio::time::sleep(EVERY).await,
            }
            match self.poll().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "ended sessions cannot be read; they stay good here meanwhile");
                    }
                    failing = true;
                }
            }
        }
    }

    /// The sessions that end from now on, ended by whichever process.
    ///
    /// Whoever lags behind asks [`has_ended`](Self::has_ended) for each of his.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<EndedSession> {
        self.news.subscribe()
    }

    /// Whether a session is known to have ended.
    #[must_use]
    pub fn has_ended(&self, session: &SessionId) -> bool {
        self.ended.read().ids.contains(session)
    }

    /// Whether the session of a bearer lives that was issued, or read from the store, at `since`.
    pub(super) fn life(&self, session: &SessionId, since: u64) -> Life {
        let ended = self.ended.read();
        if ended.ids.contains(session) {
            Life::Ended
        } else if since <= ended.floor {
            Life::Unknown
        } else {
            Life::Living
        }
    }

    /// Notes sessions that this process ended, and hurries the others.
    pub(super) async fn note(&self, user: &UserId, sessions: &[SessionId], ended_at: u64) {
        if sessions.is_empty() {
            return;
        }
        for session_id in sessions {
            self.remember(Ended { session_id: session_id.clone(), user_id: user.clone(), ended_at });
        }
        if let Err(error) = self.bus.publish(CHANNEL, Bytes::from_static(b"ended")).await {
            tracing::debug!(%error, "the other processes learn of ended sessions at their next look");
        }
    }

    async fn poll(&self) -> Result<()> {
        let now = self.ambient.now();
        let mut since = self.ended.read().newest.min(now).saturating_sub(SKEW_MS);
        let mut after = None;
        loop {
            let page = self.accounts.ended_since(since, after.as_ref(), MAX_ENTRIES).await?;
            let Some(last) = page.last() else { break };
            (since, after) = (last.ended_at, Some(last.session_id.clone()));
            let full = page.len() == MAX_ENTRIES;
            for ended in page {
                self.remember(ended);
            }
            if !full {
                break;
            }
        }
        self.ended.write().forget(now.saturating_sub(REMEMBER_MS));
        Ok(())
    }

    fn remember(&self, ended: Ended) {
        let Ended { session_id, user_id, ended_at } = ended;
        if self.ended.write().add(&session_id, ended_at) {
            // Nobody listening is fine.
            let _ = self.news.send(EndedSession { session_id, user_id });
        }
    }
}

impl Remembered {
    /// Whether it is news.
    fn add(&mut self, session: &SessionId, ended_at: u64) -> bool {
        self.newest = self.newest.max(ended_at);
        if ended_at <= self.floor || !self.ids.insert(session.clone()) {
            return false;
        }
        let place = self.order.partition_point(|(at, _)| *at <= ended_at);
        self.order.insert(place, (ended_at, session.clone()));
        if self.order.len() > MAX_REMEMBERED
            && let Some((at, oldest)) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
            self.floor = self.floor.max(at);
        }
        true
    }

    /// Forgets what ended before `before`.
    fn forget(&mut self, before: u64) {
        while let Some((at, _)) = self.order.front()
            && *at < before
            && let Some((_, session)) = self.order.pop_front()
        {
            self.ids.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_longer_fits_makes_early_tokens_unknown_never_good() {
        let mut remembered = Remembered::default();
        let id = |n: usize| SessionId::new(&n.to_string());
        for n in 0..=MAX_REMEMBERED {
            assert!(remembered.add(&id(n), 1000 + n as u64));
        }
        assert_eq!((remembered.ids.len(), remembered.floor), (MAX_REMEMBERED, 1000));
        assert!(!remembered.add(&id(0), 1000), "forgotten, and not told twice");
        remembered.forget(1003);
        assert!(!remembered.ids.contains(&id(2)) && remembered.ids.contains(&id(3)));
        assert_eq!(remembered.ids.len(), remembered.order.len());
    }
}
