//! Appending: records are handed to librdkafka at once, and its reports answer the calls.
//!
//! One thread owns the producer: it takes the reports, makes another producer when a fatal error ended one, and
//! looks for the brokers when none can be reached, so that appends are refused meanwhile and not left to time out.
//!
//! When a record fails, those behind it are left to land or fail by themselves: librdkafka purges all partitions
//! or none, and whose record must not come late is fenced by its term.

use super::call::{Call, Limits, Report, Room, Waiting};
use super::context::Context;
use super::error;
use super::settings::{DELIVERY, Settings, client};
use crate::log::Appended;
use crate::{Error, ErrorKind, Result};
use futures_util::FutureExt;
use futures_util::future::ready;
use parking_lot::RwLock;
use rdkafka::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How long the thread waits for reports before it looks at everything else.
const POLL: Duration = Duration::from_millis(100);

/// How long brokers get to answer when none could be reached, before appends are refused.
const PROBE: Duration = Duration::from_millis(500);

/// A record on its way.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) payload: &'a [u8],
}

/// Appends until it is closed; dropping it closes it.
pub(super) struct Appender {
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

struct Shared {
    /// Replaced and taken away by the thread alone. Appends hold the lock while they hand over, so that what was
    /// replaced is the thread's alone: to drop a producer blocks.
    producer: RwLock<Option<Arc<BaseProducer<Context>>>>,
    waiting: Arc<Waiting>,
    /// No broker can be reached.
    unreachable: AtomicBool,
    /// The thread shall end.
    closing: AtomicBool,
}

impl Appender {
    /// Starts the thread. `probed` is a topic that brokers are asked about to see whether they are there. Blocks
    /// while librdkafka's threads start.
    pub(super) fn start(settings: Settings, probed: String, limits: Limits) -> Result<Self> {
        let producer = new_producer(&settings)?;
        let shared = Arc::new(Shared {
            producer: RwLock::new(Some(Arc::clone(&producer))),
            waiting: Arc::new(Waiting::new(limits)),
            unreachable: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let (end, ended) = watch::channel(false);
        let owner = Owner { shared: Arc::clone(&shared), producer, settings, probed };
        let thread = std::thread::Builder::new().name("kafka-append".to_owned());
        let run = move || {
            owner.run();
            end.send_replace(true);
        };
        thread.spawn(run).map_err(|error| Error::new(ErrorKind::Unavailable, error))?;
        Ok(Self { shared, ended })
    }

    /// Hands records over, in this order. The future gives their offsets.
    pub(super) fn append<'a>(
        &self,
        records: impl ExactSizeIterator<Item = Outgoing<'a>> + Clone,
    ) -> Appended {
        let count = records.len();
        if count == 0 {
            return ready(Ok(Vec::new())).boxed();
        }
        if self.shared.unreachable.load(Ordering::Relaxed) {
            return refused(ErrorKind::Unavailable, "no broker can be reached");
        }
        let bytes = records.clone().map(|record| record.payload.len()).sum();
        let Some(room) = Room::take(&self.shared.waiting, count, bytes) else {
            return refused(ErrorKind::Overloaded, "the log's queue is full");
        };
        let producer = self.shared.producer.read();
        let Some(producer) = producer.as_deref() else {
            return refused(ErrorKind::Unavailable, "the log is closed");
        };
        let (answer, answered) = oneshot::channel();
        let call = Arc::new(Call::new(count, room, answer));
        for (index, record) in records.enumerate() {
            let report = Box::new(Report { call: Arc::clone(&call), index });
            let mut out = BaseRecord::with_opaque_to(record.topic, report)
                .partition(record.partition.cast_signed())
                .payload(record.payload);
            out.key = record.key;
            if let Err((error, _)) = producer.send(out) {
                // Those behind it are not handed over: they would overtake it.
                call.failed(error::handing_over(&error));
                break;
            }
        }
        async move {
            answered.await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::OutcomeUnknown, "the log's producer ended before it answered"))
            })
        }
        .boxed()
    }

    /// Takes nothing more and returns when all that waits has its report.
    pub(super) async fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let mut ended = self.ended.clone();
        // An error says that the thread is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
    }
}

fn refused(kind: ErrorKind, why: &str) -> Appended {
    ready(Err(Error::new(kind, why))).boxed()
}

fn new_producer(settings: &Settings) -> Result<Arc<BaseProducer<Context>>> {
    client(&settings.producer(), Context::default()).map(Arc::new)
}

/// The thread that owns the producer.
struct Owner {
    shared: Arc<Shared>,
    producer: Arc<BaseProducer<Context>>,
    settings: Settings,
    probed: String,
}

impl Owner {
    fn run(mut self) {
        while !self.shared.closing.load(Ordering::Relaxed) {
            self.producer.poll(POLL);
            if let Some((code, why)) = self.producer.client().fatal_error() {
                tracing::warn!(%code, "the log's producer begins anew: {why}");
                self.begin_anew();
            }
            if self.producer.context().take_all_down() || self.shared.unreachable.load(Ordering::Relaxed) {
                self.look_for_brokers();
            }
        }
        drop(self.shared.producer.write().take());
        // Every record has its report by then.
        if let Err(error) = self.producer.flush(DELIVERY + POLL) {
            tracing::warn!(%error, "records were left when the log was closed");
        }
    }

    fn begin_anew(&mut self) {
        let producer = match new_producer(&self.settings) {
            Ok(producer) => producer,
            // Tried again at the next turn; appends are refused until then.
            Err(error) => return tracing::error!(%error, "the log has no producer"),
        };
        *self.shared.producer.write() = Some(Arc::clone(&producer));
        let ended = std::mem::replace(&mut self.producer, producer);
        ended.purge(PurgeConfig::default().queue().inflight());
    }

    fn look_for_brokers(&self) {
        let found = self.producer.client().fetch_metadata(Some(&self.probed), PROBE).is_ok();
        let before = self.shared.unreachable.swap(!found, Ordering::Relaxed);
        match (before, found) {
            (false, false) => tracing::warn!("no broker of the log can be reached"),
            (true, true) => tracing::info!("a broker of the log can be reached again"),
            _ => {}
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, report: Box<Report>) {
        match delivered {
            Ok(message) => report.call.landed(report.index, message.offset()),
            Err((error, _)) => report.call.failed(error::reported(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::EngineUrl;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A cluster in memory with a topic `t`, and an appender to it.
    fn cluster() -> (MockCluster<'static, DefaultProducerContext>, Appender) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let url = EngineUrl::parse(&format!("kafka://{}", cluster.bootstrap_servers())).unwrap();
        let limits = Limits { records: 100, bytes: 10_000 };
        let appender = Appender::start(Settings::read(url).unwrap(), "t".to_owned(), limits).unwrap();
        (cluster, appender)
    }

    fn append(appender: &Appender) -> Appended {
        let record = Outgoing { topic: "t", partition: 0, key: None, payload: b"x" };
        appender.append([record].into_iter())
    }

    /// Appends, without waiting long for an outcome, until one is as expected.
    async fn until(appender: &Appender, expected: impl Fn(&Result<Vec<u64>>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outcome = tokio::time::timeout(Duration::from_millis(200), append(appender)).await;
            if outcome.as_ref().is_ok_and(&expected) {
                return;
            }
            assert!(Instant::now() < deadline, "still {outcome:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_fatal_error_costs_no_later_append() {
        let (cluster, appender) = cluster();
        assert_eq!(append(&appender).await.unwrap(), [0]);
        cluster.request_errors(
            RDKafkaApiKey::Produce,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
        );
        assert_eq!(append(&appender).await.unwrap_err().kind, ErrorKind::OutcomeUnknown);
        until(&appender, Result::is_ok).await;
        appender.close().await;
    }

    #[tokio::test]
    async fn without_brokers_appends_are_refused_and_later_taken_again() {
        let (cluster, appender) = cluster();
        append(&appender).await.unwrap();
        cluster.broker_down(-1).unwrap();
        let refused = |outcome: &Result<_>| outcome.as_ref().is_err_and(|e| e.kind == ErrorKind::Unavailable);
        until(&appender, refused).await;
        cluster.broker_up(-1).unwrap();
        until(&appender, Result::is_ok).await;
        appender.close().await;
        assert!(refused(&append(&appender).await), "a closed log took a record");
    }
}
