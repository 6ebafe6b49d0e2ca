//! Groups: a consumer that takes part and reads nothing, on a thread of its own.

use super::context::Context;
use super::error;
use crate::log::Member;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long the thread waits for a change before it looks whether it shall leave.
const POLL: Duration = Duration::from_millis(50);

/// Leaves when dropped.
pub(super) struct KafkaMember {
    /// Closed when it has left.
    owned: watch::Receiver<BTreeSet<u32>>,
    leaving: Arc<AtomicBool>,
}

impl KafkaMember {
    /// Joins the group that `config` names. Blocks while librdkafka's threads start.
    pub(super) fn join(config: &ClientConfig, topic: &str) -> Result<Self> {
        let (sender, owned) = watch::channel(BTreeSet::new());
        let shares = Shares { owned: sender, began: AtomicBool::new(false), base: Context::default() };
        let consumer: BaseConsumer<Shares> = config.create_with_context(shares).map_err(error::making)?;
        consumer.subscribe(&[topic]).map_err(|error| Error::new(ErrorKind::Unavailable, error))?;
        let leaving = Arc::new(AtomicBool::new(false));
        let run = {
            let leaving = Arc::clone(&leaving);
            move || {
                while !leaving.load(Ordering::Relaxed) {
                    // Changes and errors have reached the context; records there are none.
                    let _ = consumer.poll(POLL);
                }
                // Dropping the consumer leaves the group and then closes the watch.
            }
        };
        let thread = std::thread::Builder::new().name("kafka-group".to_owned());
        thread.spawn(run).map_err(|error| Error::new(ErrorKind::Unavailable, error))?;
        Ok(Self { owned, leaving })
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Member for KafkaMember {
    async fn assignment(&mut self) -> Result<Vec<u32>> {
        let left = |_| Error::new(ErrorKind::Unavailable, "the member's thread ended");
        self.owned.changed().await.map_err(left)?;
        Ok(self.owned.borrow_and_update().iter().copied().collect())
    }

    async fn leave(mut self: Box<Self>) -> Result<()> {
        self.leaving.store(true, Ordering::Relaxed);
        while self.owned.changed().await.is_ok() {}
        Ok(())
    }
}

/// Takes in what the group gives to this member and takes from it.
struct Shares {
    owned: watch::Sender<BTreeSet<u32>>,
    /// Whether it was given anything yet, be it nothing.
    began: AtomicBool,
    base: Context,
}

impl Shares {
    fn change(&self, change: impl FnOnce(&mut BTreeSet<u32>)) {
        let first = !self.began.swap(true, Ordering::Relaxed);
        self.owned.send_if_modified(|owned| {
            let before = owned.len();
            change(owned);
            owned.len() != before || first
        });
    }
}

impl ConsumerContext for Shares {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions =
            list.elements().iter().map(|one| one.partition().cast_unsigned()).collect::<Vec<_>>();
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let done = take(consumer, list);
            self.change(|owned| owned.extend(partitions));
            done
        } else {
            self.change(|owned| owned.retain(|partition| !partitions.contains(partition)));
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::error!(%error, "a change of a group could not be taken in");
        }
    }
}

/// Partitions are read by followers, not here: they begin at the end and are paused.
fn take(consumer: &BaseConsumer<Shares>, list: &mut TopicPartitionList) -> KafkaResult<()> {
    list.set_all_offsets(Offset::End)?;
    consumer.incremental_assign(list)?;
    consumer.pause(list)
}

impl ClientContext for Shares {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.base.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.base.error(error, reason);
    }
}
