//! Telling others: a reader of `events` of its own, which writes the public topics and keeps its place in the store.
//!
//! Nothing waits for it but the trimming of `events`: a publisher or a schema registry that is away holds back what
//! others are told, and nothing that users see.

use super::projector::answer;
use crate::engines::Engines;
use crate::events::{Events, Happening};
use crate::public_topics::{Gap, PublicTopics, READER};
use crate::shutdown::Shutdown;
use chat4all_backend::log::Topic;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use metrics::{Gauge, gauge};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long it may take for the last word of a process that stops.
const LAST_ANSWER: Duration = Duration::from_secs(3);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often the place is written. A crash makes what was told since be told again.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Where the teller reads next; none before it knows. Written by the teller alone, read by what measures.
pub(super) type Place = watch::Sender<Option<u64>>;

/// See the module.
pub(super) struct Teller {
    engines: Engines,
    topics: Arc<PublicTopics>,
    partition: u32,
    place: Place,
    /// Told up to here; none before the store has said so.
    told: Option<Progress>,
    /// Whether the store does not know it yet.
    unsaved: bool,
    saved_at: Instant,
    held: Gauge,
}

impl Teller {
    pub(super) fn new(engines: Engines, topics: Arc<PublicTopics>, partition: u32, place: Place) -> Self {
        let held = gauge!("public_topics_held", "partition" => partition.to_string());
        Self { engines, topics, partition, place, told: None, unsaved: false, saved_at: Instant::now(), held }
    }

    /// Telling may be cut off anywhere: what was not saved is told again.
    pub(super) async fn run(mut self, mut shutdown: Shutdown) {
        let mut retry = RETRY_MIN;
        loop {
            let outcome = tokio::select! {
                outcome = self.follow(&mut retry) => outcome,
                () = shutdown.asked() => break,
            };
            let Err(error) = outcome;
            if is_gap(&error) && self.topics.gap() == Gap::Skip && self.told != Some(Progress::default()) {
                tracing::warn!(partition = self.partition, %error, "the public topics skip what is gone");
                self.told = Some(Progress::default());
                continue;
            }
            self.is_held(&error);
            if is_gap(&error) {
                // It stays, until an operator says so.
                retry = RETRY_MAX;
            }
            tokio::select! {
                () = sleep(retry) => retry = (retry * 2).min(RETRY_MAX),
                () = shutdown.asked() => break,
            }
        }
        // So that the heir tells nothing twice. If it does not work, it does.
        if let Ok(Err(error)) = timeout(LAST_ANSWER, self.save()).await {
            tracing::debug!(partition = self.partition, %error, "the place in the public topics is not saved");
        }
        // From now on another router tells.
        self.held.set(0.0);
    }

    async fn follow(&mut self, retry: &mut Duration) -> Result<Infallible> {
        let mut events = self.resume().await?;
        let end = answer(self.engines.log.bounds(Topic::Events, self.partition)).await?.end;
        // Known before the registry answers: what waits for it is measured.
        self.place.send_replace(Some(events.progress().next()));
        self.topics.register().await?;
        if events.progress().next() >= end {
            self.held.set(0.0);
        }
        loop {
            let seen = tokio::select! {
                seen = events.next() => seen?,
                () = sleep_until(self.saved_at + SAVE_EVERY), if self.unsaved => {
                    self.save().await?;
                    continue;
                }
            };
            let counted: Vec<_> = seen
                .into_iter()
                .filter_map(|seen| match seen.what {
                    Happening::Counted { counted, .. } => Some(counted),
                    Happening::Term { .. } | Happening::Ignored => None,
                })
                .collect();
            self.topics.publish(self.partition, &counted).await?;
            (self.told, self.unsaved) = (Some(*events.progress()), true);
            self.place.send_replace(Some(events.progress().next()));
            self.held.set(0.0);
            *retry = RETRY_MIN;
        }
    }

    /// Reads on after what was told last.
    async fn resume(&mut self) -> Result<Events> {
        let told = match self.told {
            Some(told) => told,
            None => answer(self.engines.store.reader(&READER, self.partition)).await?,
        };
        answer(Events::after(self.engines.log.as_ref(), self.partition, told)).await
    }

    async fn save(&mut self) -> Result<()> {
        if let Some(told) = self.told.filter(|_| self.unsaved) {
            answer(self.engines.store.save_reader(&READER, self.partition, told)).await?;
        }
        (self.unsaved, self.saved_at) = (false, Instant::now());
        Ok(())
    }

    fn is_held(&self, error: &Error) {
        self.held.set(1.0);
        let partition = self.partition;
        if is_gap(error) {
            tracing::error!(
                partition,
                %error,
                "the public topics stop: what was to be told next is gone from the log; to go on behind the gap, \
                 start once with `--public-topics skip-gap`"
            );
        } else {
            tracing::warn!(partition, %error, "the public topics are held back; trying again");
        }
    }
}

/// Whether the log no longer goes on where the teller was.
fn is_gap(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Trimmed | ErrorKind::Truncated)
}
