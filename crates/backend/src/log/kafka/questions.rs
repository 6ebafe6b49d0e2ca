//! What partitions hold, asked of their leaders. librdkafka blocks for it, so it is done on blocking threads, a few
//! at a time.

use super::context::{Context, Trouble};
use super::error;
use super::readers::Place;
use super::settings::REQUEST;
use crate::log::Bounds;
use crate::{Error, ErrorKind, Result};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Questions at once. Each has a thread while it waits, which is most of its time.
const AT_ONCE: usize = 16;

/// How long a cluster may take to answer for the first time, and how often it is looked why it does not.
const REACH: Duration = Duration::from_secs(8);
const TRY: Duration = Duration::from_millis(500);

/// How long to wait for a partition's next leader before asking again.
const AGAIN: Duration = Duration::from_millis(50);

type Consumer = BaseConsumer<Context>;

pub(super) struct Questions {
    /// Gone with the thread that owns it.
    consumer: Weak<Consumer>,
    permits: Arc<Semaphore>,
}

impl Questions {
    pub(super) fn new(consumer: Weak<Consumer>) -> Self {
        Self { consumer, permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    pub(super) async fn bounds(&self, place: &Place) -> Result<Bounds> {
        let Place { topic, partition } = place.clone();
        let question = move |consumer: &Consumer, limit| {
            consumer.fetch_watermarks(&topic, partition.cast_signed(), limit)
        };
        let (start, end) = self.ask(&place.topic, question).await?;
        Ok(Bounds { start: start.cast_unsigned(), end: end.cast_unsigned() })
    }

    /// The first offset whose record has this time or a later one; none if there is none.
    pub(super) async fn offset_at(&self, place: &Place, time_ms: u64) -> Result<Option<u64>> {
        let times = place.at(Offset::Offset(i64::try_from(time_ms).unwrap_or(i64::MAX)))?;
        let question = move |consumer: &Consumer, limit| {
            let found = consumer.offsets_for_times(times.clone(), limit)?;
            let elements = found.elements();
            let element = elements.first().ok_or(KafkaError::OffsetFetch(Code::NoOffset))?;
            element.error().map(|()| element.offset())
        };
        Ok(match self.ask(&place.topic, question).await? {
            Offset::Offset(offset) => Some(offset.cast_unsigned()),
            _ => None,
        })
    }

    /// All brokers and topics.
    pub(super) async fn metadata(&self) -> Result<Metadata> {
        self.ask("the cluster", |consumer: &Consumer, limit| consumer.fetch_metadata(None, limit)).await
    }

    /// The same at the very first: says why there is no answer, and soon if there will be none.
    pub(super) async fn reach(&self) -> Result<Metadata> {
        let deadline = Instant::now() + REACH;
        loop {
            let answer = self.ask_once(|consumer: &Consumer| consumer.fetch_metadata(None, TRY)).await?;
            let error = match answer {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            let trouble = self.consumer.upgrade().and_then(|consumer| consumer.context().trouble());
            match trouble {
                Some(Trouble { code: Code::Authentication | Code::SSL, reason }) => {
                    return Err(Error::new(ErrorKind::Invalid, reason));
                }
                Some(Trouble { reason, .. }) if Instant::now() > deadline => {
                    return Err(Error::new(ErrorKind::Unavailable, reason));
                }
                None if Instant::now() > deadline => return Err(error::asking("the cluster", &error)),
                _ => {}
            }
        }
    }

    /// Asks until there is an answer that holds: a partition's leader may just have changed.
    async fn ask<T: Send + 'static>(
        &self,
        about: &str,
        question: impl Fn(&Consumer, Duration) -> KafkaResult<T> + Clone + Send + 'static,
    ) -> Result<T> {
        let deadline = Instant::now() + REQUEST;
        loop {
            let question = question.clone();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.ask_once(move |consumer| question(consumer, left)).await? {
                Ok(answer) => return Ok(answer),
                Err(error) if passing(&error) && Instant::now() + AGAIN < deadline => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error::asking(about, &error)),
            }
        }
    }

    async fn ask_once<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Consumer) -> KafkaResult<T> + Send + 'static,
    ) -> Result<KafkaResult<T>> {
        let gone = || Error::new(ErrorKind::Unavailable, "the log's reading thread ended");
        let permit = tokio::time::timeout(REQUEST, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit
            .map_err(|_| Error::new(ErrorKind::Overloaded, "too many questions wait for the log's brokers"))?
            .map_err(|_| gone())?;
        let consumer = self.consumer.upgrade().ok_or_else(gone)?;
        let task = tokio::task::spawn_blocking(move || {
            // Held until the answer is there, also when the caller has gone.
            let _permit = permit;
            question(&consumer)
        });
        task.await.map_err(|_| gone())
    }
}

/// Whether another try may find the leader.
fn passing(error: &KafkaError) -> bool {
    matches!(
        error::code(error),
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::BrokerTransportFailure
        )
    )
}
