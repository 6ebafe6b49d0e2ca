//! The consumers of a process: one thread makes them, serves them, and gives partitions out.
//!
//! A consumer reads a partition at one position, so a follower gets its partition from the first consumer that
//! does not read it yet: there are as many consumers as one partition has followers, each with few threads and
//! connections for all its partitions. Each follower takes records from a queue of its own, which librdkafka
//! bounds.

use super::context::Context;
use super::settings::{Settings, client};
use crate::{Error, ErrorKind, Result};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// How often librdkafka's log is taken, and how long that may take.
const SERVE_EVERY: Duration = Duration::from_millis(250);
const SERVE_FOR: Duration = Duration::from_millis(1);

/// A partition of a topic of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
}

impl Place {
    /// The form in which librdkafka takes it.
    pub(super) fn at(&self, offset: Offset) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&self.topic, self.partition.cast_signed(), offset);
        added.map_err(|error| Error::new(ErrorKind::Invalid, error))?;
        Ok(list)
    }
}

/// Where partitions are given out. The thread ends when this, and all that it gave out, is dropped.
#[derive(Clone)]
pub(super) struct Readers {
    /// Holds what is wanted or given back now: as many as there are callers.
    desk: mpsc::Sender<Order>,
}

enum Order {
    Take {
        place: Place,
        from: u64,
        filled: Arc<Notify>,
        answer: oneshot::Sender<Result<Reading>>,
        desk: mpsc::Sender<Order>,
    },
    GiveBack(Taken),
}

/// A partition that is read. Given back when dropped.
pub(super) struct Reading {
    taken: Option<Taken>,
    desk: mpsc::Sender<Order>,
}

struct Taken {
    place: Place,
    /// Which consumer reads it.
    consumer: usize,
    queue: PartitionQueue<Context>,
}

impl Reading {
    /// What is read and waits for the follower.
    pub(super) fn queue(&self) -> Option<&PartitionQueue<Context>> {
        self.taken.as_ref().map(|taken| &taken.queue)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            // An error says that the thread is gone, and its consumers with it.
            let _ = self.desk.send(Order::GiveBack(taken));
        }
    }
}

impl Readers {
    /// Starts the thread. It also owns the consumer with which questions are asked: to drop one blocks.
    pub(super) fn start(settings: Settings) -> Result<(Self, Weak<BaseConsumer<Context>>)> {
        let inquirer = Arc::new(client(&settings.inquirer(), Context::default())?);
        let asked = Arc::downgrade(&inquirer);
        let (desk, orders) = mpsc::channel();
        let owner = Owner { settings, inquirer, consumers: Vec::new() };
        let thread = std::thread::Builder::new().name("kafka-read".to_owned());
        thread
            .spawn(move || owner.run(&orders))
            .map_err(|error| Error::new(ErrorKind::Unavailable, error))?;
        Ok((Self { desk }, asked))
    }

    /// Begins to read a partition. `filled` is told whenever its queue stops being empty.
    pub(super) async fn take(&self, place: Place, from: u64, filled: Arc<Notify>) -> Result<Reading> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Unavailable, "the log's reading thread ended");
        let order = Order::Take { place, from, filled, answer, desk: self.desk.clone() };
        self.desk.send(order).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// The thread that owns the consumers.
struct Owner {
    settings: Settings,
    inquirer: Arc<BaseConsumer<Context>>,
    consumers: Vec<Reader>,
}

struct Reader {
    consumer: Arc<BaseConsumer<Context>>,
    reads: HashSet<Place>,
}

impl Owner {
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            match orders.recv_timeout(SERVE_EVERY) {
                Ok(Order::Take { place, from, filled, answer, desk }) => {
                    let taken = self.take(place, from, filled);
                    // Who no longer waits drops what was taken, which gives it back.
                    let _ = answer.send(taken.map(|taken| Reading { taken: Some(taken), desk }));
                }
                Ok(Order::GiveBack(taken)) => self.give_back(taken),
                Err(RecvTimeoutError::Timeout) => self.serve(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, place: Place, from: u64, filled: Arc<Notify>) -> Result<Taken> {
        let free = self.consumers.iter().position(|reader| !reader.reads.contains(&place));
        let index = match free {
            Some(index) => index,
            None => {
                let consumer = Arc::new(client(&self.settings.reader(), Context::default())?);
                self.consumers.push(Reader { consumer, reads: HashSet::new() });
                self.consumers.len() - 1
            }
        };
        let Reader { consumer, reads } = &mut self.consumers[index];
        let failed = |why: String| Error::new(ErrorKind::Unavailable, format!("{place:?}: {why}"));
        // Before it is read, so that no record goes to the consumer's own queue.
        let mut queue = consumer
            .split_partition_queue(&place.topic, place.partition.cast_signed())
            .ok_or_else(|| failed("no queue".to_owned()))?;
        queue.set_nonempty_callback(move || filled.notify_one());
        let offset = i64::try_from(from).map_err(|_| Error::new(ErrorKind::Truncated, "no such offset"))?;
        let assigned = consumer.incremental_assign(&place.at(Offset::Offset(offset))?);
        assigned.map_err(|error| failed(error.to_string()))?;
        reads.insert(place.clone());
        Ok(Taken { place, consumer: index, queue })
    }

    fn give_back(&mut self, taken: Taken) {
        let Taken { place, consumer: index, queue } = taken;
        let Reader { consumer, reads } = &mut self.consumers[index];
        drop(queue);
        // From here on librdkafka gives nobody what it had read of it.
        let unassigned = place.at(Offset::Invalid).map(|list| consumer.incremental_unassign(&list));
        match unassigned {
            Ok(Ok(())) => {
                reads.remove(&place);
            }
            // It stays taken: others read it with another consumer.
            other => tracing::error!(?place, ?other, "a partition of the log could not be given back"),
        }
    }

    fn serve(&self) {
        for consumer in self.consumers.iter().map(|reader| &reader.consumer).chain([&self.inquirer]) {
            // All records go to queues of their own; errors have reached the context.
            let _ = consumer.poll(SERVE_FOR);
        }
    }
}
