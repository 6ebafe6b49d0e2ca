//! Reading back what was decided: publish it, write it into the store, tell the decider.

use super::trouble::Trouble;
use super::{RouterOptions, publish};
use crate::engines::Engines;
use crate::events::{Events, Happening, Seen};
use crate::shutdown::Shutdown;
use chat4all_backend::log::Topic;
use chat4all_backend::store::Projection;
use chat4all_backend::{Error, ErrorKind};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use metrics::{Counter, Histogram, counter, histogram};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an engine may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The time between two projections: as long as the last one took, within these limits. The store is not on the way
/// of a live message, and a transaction costs it much the same for one fact as for twenty, so one that is slow gets
/// fewer and larger ones. A read of what was just written waits this much longer.
const LINGER_MIN: Duration = Duration::from_millis(5);
const LINGER_MAX: Duration = Duration::from_millis(100);
/// After this many facts the next follow at once: there are enough to wait for no more.
const PLENTY: usize = 256;

/// What a projector has read and written, for its decider.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// It follows the log.
    following: bool,
    /// What it has read.
    heard: Progress,
    /// The nonce of the newest term it has read.
    nonce: Option<u128>,
    /// What the store has acknowledged.
    projected: Progress,
}

/// Written by the projector alone.
#[derive(Clone)]
pub(super) struct Heard(Arc<watch::Sender<State>>);

/// Read by whoever decides, trims and measures.
#[derive(Clone)]
pub(super) struct Hears(watch::Receiver<State>);

pub(super) fn channel() -> (Heard, Hears) {
    let (sender, receiver) = watch::channel(State::default());
    (Heard(Arc::new(sender)), Hears(receiver))
}

impl Hears {
    /// Waits until the projector follows the log; for ever if it is gone.
    pub(super) async fn following(&mut self) {
        if self.0.wait_for(|state| state.following).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the projector follows the log, which is the one that the store was made of.
    pub(super) fn is_following(&self) -> bool {
        self.0.borrow().following
    }

    /// Whether it follows the log and the store has all that it has read.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.0.borrow();
        state.following && state.heard.last == state.projected.last
    }

    /// Waits until the `TERM` with this nonce is read and gives its number; none if a newer one follows it.
    /// `offset` is where it stands, if the log has said so.
    pub(super) async fn term(&mut self, nonce: u128, offset: Option<u64>) -> Option<u64> {
        let passed = |state: &State| {
            state.nonce == Some(nonce) || offset.is_some_and(|offset| state.heard.covers(offset))
        };
        let state = self.0.wait_for(passed).await.ok()?;
        if state.nonce == Some(nonce) { state.heard.term } else { None }
    }

    /// Waits until the store has everything up to `offset`.
    pub(super) async fn projected(&mut self, offset: u64) {
        if self.0.wait_for(|state| state.projected.covers(offset)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for news.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What was read.
    pub(super) fn progress(&self) -> Progress {
        self.0.borrow().heard
    }

    /// What the store has acknowledged.
    pub(super) fn projected_progress(&self) -> Progress {
        self.0.borrow().projected
    }
}

pub(super) struct Projector {
    engines: Engines,
    options: RouterOptions,
    partition: u32,
    heard: Heard,
    trouble: Trouble,
    /// The last position published from here, so that a store that fails does not make it happen again and again.
    published: Position,
    facts: Counter,
    duration: Histogram,
}

impl Projector {
    pub(super) fn new(engines: Engines, options: RouterOptions, partition: u32, heard: Heard) -> Self {
        let trouble = Trouble::none(options.health.clone(), format!("projection {partition}"));
        Self {
            engines,
            options,
            partition,
            heard,
            trouble,
            published: Position::default(),
            facts: counter!("events_projected_total"),
            duration: histogram!("projection_duration_seconds"),
        }
    }

    /// Projecting may be cut off anywhere: what was not acknowledged is done again.
    pub(super) async fn run(mut self, mut shutdown: Shutdown) {
        let mut retry = RETRY_MIN;
        loop {
            let outcome = tokio::select! {
                outcome = self.follow(&mut retry) => outcome,
                () = shutdown.asked() => return,
            };
            let Err(error) = outcome;
            tracing::warn!(partition = self.partition, %error, "projecting stopped; trying again");
            self.trouble.lasts(error.to_string());
            self.heard.0.send_modify(|state| state.following = false);
            tokio::select! {
                () = tokio::time::sleep(retry) => retry = (retry * 2).min(RETRY_MAX),
                () = shutdown.asked() => return,
            }
        }
    }

    async fn follow(&mut self, retry: &mut Duration) -> Result<std::convert::Infallible, Error> {
        let progress = answer(self.engines.store.progress(self.partition)).await?;
        let bounds = answer(self.engines.log.bounds(Topic::Events, self.partition)).await?;
        if progress.last.is_none() && bounds.start > 0 {
            let why = format!("the store has no events yet, the log begins at {}", bounds.start);
            return Err(Error::new(ErrorKind::Trimmed, why));
        }
        let mut events = answer(Events::after(self.engines.log.as_ref(), self.partition, progress)).await?;
        // Without the nonce of before: what it began may stand after what is read now.
        self.heard.0.send_replace(State {
            following: true,
            heard: *events.progress(),
            nonce: None,
            projected: *events.progress(),
        });
        (self.options.on_progress)(self.partition, &progress);
        if progress.next() >= bounds.end {
            self.trouble.over();
        }
        let mut next = Instant::now();
        loop {
            tokio::time::sleep_until(next).await;
            let seen = events.next().await?;
            let progress = *events.progress();
            let nonce = seen.iter().rev().find_map(|seen| match seen.what {
                Happening::Term { nonce } => Some(nonce),
                Happening::Counted { .. } | Happening::Ignored => None,
            });
            self.heard.0.send_modify(|state| {
                state.heard = progress;
                state.nonce = nonce.or(state.nonce);
            });
            let began = Instant::now();
            let facts = self.project(projection(seen, progress)).await?;
            self.heard.0.send_modify(|state| state.projected = progress);
            let linger = began.elapsed().clamp(LINGER_MIN, LINGER_MAX);
            next = Instant::now() + if facts < PLENTY { linger } else { Duration::ZERO };
            (self.options.on_progress)(self.partition, &progress);
            *retry = RETRY_MIN;
            self.trouble.over();
        }
    }

    /// How many facts were projected.
    async fn project(&mut self, projection: Projection) -> Result<usize, Error> {
        let counted = &projection.counted;
        let fresh = &counted[counted.partition_point(|counted| counted.position <= self.published)..];
        publish::publish(self.engines.log.as_ref(), self.partition, fresh).await?;
        self.published = fresh.last().map_or(self.published, |counted| counted.position);
        let facts: usize = counted.iter().map(|counted| counted.facts.len()).sum();
        let began = Instant::now();
        answer(self.engines.store.project(self.partition, projection)).await?;
        self.facts.increment(facts as u64);
        self.duration.record(began.elapsed());
        Ok(facts)
    }
}

/// What an engine answers, in time.
pub(super) async fn answer<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::new(ErrorKind::OutcomeUnknown, "an engine did not answer in time");
    tokio::time::timeout(ANSWER, question).await.map_err(late).and_then(|answer| answer)
}

/// What a run of records amounts to, and the progress after it.
pub(super) fn projection(seen: Vec<Seen>, progress: Progress) -> Projection {
    let mut projection = Projection { progress, ..Projection::default() };
    for Seen { offset, what } in seen {
        match what {
            Happening::Term { .. } => projection.terms.push(offset),
            Happening::Counted { counted, .. } => projection.counted.push(counted),
            Happening::Ignored => {}
        }
    }
    projection
}
