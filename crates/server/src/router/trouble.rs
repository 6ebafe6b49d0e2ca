//! How a part of the router fares, for `/ready`.

use crate::health::Health;
use std::time::Duration;
use tokio::time::Instant;

/// How long a trouble may take to pass before people are told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells people what has not worked for a while. Whoever drops it is not concerned any more.
pub(super) struct Trouble {
    health: Health,
    name: String,
    now: Option<Now>,
}

struct Now {
    since: Instant,
    why: String,
    /// Whether people know.
    told: bool,
    /// Only a success ends it.
    lasting: bool,
}

impl Trouble {
    /// Of something that is well.
    pub(super) fn none(health: Health, name: String) -> Self {
        Self { health, name, now: None }
    }

    /// It does not work, because of `why`.
    pub(super) fn is(&mut self, why: String) {
        let now = self.now.take();
        let (since, told) = now.map_or_else(|| (Instant::now(), false), |now| (now.since, now.told));
        self.now = Some(Now { since, why, told, lasting: false });
        if told || since.elapsed() >= PATIENCE {
            self.tell();
        }
    }

    /// It does not work and will not by itself.
    pub(super) fn lasts(&mut self, why: String) {
        self.is(why);
        if let Some(now) = &mut self.now {
            now.lasting = true;
        }
        self.tell();
    }

    /// It has succeeded.
    pub(super) fn over(&mut self) {
        if self.now.take().is_some_and(|now| now.told) {
            self.health.good(&self.name);
        }
    }

    /// Nothing stands in its way any more, as far as one can see.
    pub(super) fn may_be_over(&mut self) {
        if self.now.as_ref().is_some_and(|now| !now.lasting) {
            self.over();
        }
    }

    /// Does something that may take long, while people are told if it takes too long.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if let Some(Now { since, told: false, .. }) = &self.now {
            tokio::select! {
                biased;
                done = work.as_mut() => return done,
                () = tokio::time::sleep_until(*since + PATIENCE) => self.tell(),
            }
        }
        work.await
    }

    fn tell(&mut self) {
        if let Some(now) = &mut self.now {
            now.told = true;
            self.health.bad(self.name.clone(), now.why.clone());
        }
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn people_hear_of_what_lasts_and_of_its_end() {
        let health = Health::default();
        let mut trouble = Trouble::none(health.clone(), "partition 3".into());
        trouble.is("no term".into());
        trouble.during(tokio::time::sleep(Duration::from_secs(9))).await;
        assert!(health.complaints().is_empty());
        trouble.during(tokio::time::sleep(Duration::from_secs(2))).await;
        assert_eq!(health.complaints().get("partition 3").map(String::as_str), Some("no term"));
        trouble.is("no store".into());
        assert_eq!(health.complaints().get("partition 3").map(String::as_str), Some("no store"));
        trouble.over();
        assert!(health.complaints().is_empty());
        trouble.lasts("newer".into());
        trouble.may_be_over();
        assert!(!health.complaints().is_empty());
        drop(trouble);
        assert!(health.complaints().is_empty());
    }
}
