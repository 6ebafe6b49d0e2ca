//! Reading back what was decided: publish it, write it into the store, tell the decider.

use super::{RouterOptions, publish};
use crate::engines::Engines;
use crate::events::{Events, Happening, Seen};
use crate::shutdown::Shutdown;
use chat4all_backend::store::Projection;
use chat4all_backend::{Error, ErrorKind};
use chat4all_model::reader::Progress;
use metrics::{counter, histogram};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

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
pub(super) struct Heard(watch::Sender<State>);

/// Read by the decider alone.
pub(super) struct Hears(watch::Receiver<State>);

pub(super) fn channel() -> (Heard, Hears) {
    let (sender, receiver) = watch::channel(State::default());
    (Heard(sender), Hears(receiver))
}

impl Hears {
    /// Waits until the projector follows the log. An error is the end.
    pub(super) async fn ready(&mut self, shutdown: &mut Shutdown) -> Result<(), ()> {
        tokio::select! {
            state = self.0.wait_for(|state| state.following) => state.map(|_| ()).map_err(|_| ()),
            () = shutdown.asked() => Err(()),
        }
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
        // An error means that the projector is gone, and with it the need to wait.
        let _gone = self.0.wait_for(|state| state.projected.covers(offset)).await;
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
}

impl Projector {
    pub(super) fn new(engines: Engines, options: RouterOptions, partition: u32, heard: Heard) -> Self {
        Self { engines, options, partition, heard }
    }

    pub(super) async fn run(self, mut shutdown: Shutdown) {
        let name = format!("projection {}", self.partition);
        let mut retry = RETRY_MIN;
        loop {
            let outcome = tokio::select! {
                outcome = self.follow(&mut retry, &name) => outcome,
                () = shutdown.asked() => return,
            };
            let Err(error) = outcome;
            tracing::warn!(partition = self.partition, %error, "projecting stopped; trying again");
            self.options.health.bad(name.clone(), error.to_string());
            self.heard.0.send_modify(|state| state.following = false);
            tokio::select! {
                () = tokio::time::sleep(retry) => retry = (retry * 2).min(RETRY_MAX),
                () = shutdown.asked() => return,
            }
        }
    }

    async fn follow(&self, retry: &mut Duration, name: &str) -> Result<std::convert::Infallible, Error> {
        let progress = self.engines.store.progress(self.partition).await?;
        let mut events = Events::after(self.engines.log.as_ref(), self.partition, progress).await?;
        self.heard.0.send_modify(|state| {
            *state = State { following: true, heard: *events.progress(), projected: progress, ..*state };
        });
        (self.options.on_progress)(self.partition, &progress);
        loop {
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
            self.project(projection(seen, progress)).await?;
            self.heard.0.send_modify(|state| state.projected = progress);
            (self.options.on_progress)(self.partition, &progress);
            *retry = RETRY_MIN;
            self.options.health.good(name);
        }
    }

    async fn project(&self, projection: Projection) -> Result<(), Error> {
        publish::publish(self.engines.log.as_ref(), self.partition, &projection.counted).await?;
        let facts: usize = projection.counted.iter().map(|counted| counted.facts.len()).sum();
        let began = Instant::now();
        let mut retry = RETRY_MIN;
        loop {
            // Projecting again writes the same, so that an unknown outcome is simply repeated.
            match self.engines.store.project(self.partition, projection.clone()).await {
                Ok(()) => break,
                Err(error) if matches!(error.kind, ErrorKind::Overloaded | ErrorKind::OutcomeUnknown) => {
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
        counter!("events_projected_total").increment(facts as u64);
        histogram!("projection_duration_seconds").record(began.elapsed());
        Ok(())
    }
}

fn projection(seen: Vec<Seen>, progress: Progress) -> Projection {
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
