//! Mending an installation whose log is on Kafka: the new log goes on in the same topics, behind the old one, which is
//! trimmed.

use super::{Mended, Plan, plan};
use crate::engines::Engines;
use crate::operator::alone::alone;
use crate::operator::take_over::{Present, take_over};
use chat4all_backend::log::Topic;
use chat4all_backend::log::kafka::KafkaLog;
use chat4all_backend::store::Projection;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::{LastRead, Progress};

/// What is decided and what was. Records on their way to other platforms stay as they are, and so do the places of
/// those who read them.
const OURS: [Topic; 3] = [Topic::Messages, Topic::StatusUpdates, Topic::Events];

/// Mends an installation over `log`, which is the log of `engines`. With nothing wrong it changes nothing.
///
/// A kill at any step leaves what disagrees still and can be mended again. Commands that were taken over twice then are
/// decided once.
///
/// # Errors
/// `Conflict` if a server runs on the engines. `Invalid` where mending cannot help: the log lacks events that the store
/// needs, or has another number of partitions than the store was made of. Of the engines.
pub async fn mend_kafka(engines: &Engines, log: &KafkaLog) -> Result<Mended> {
    let work = async {
        match plan(engines, true).await? {
            Some(plan) => follow(&plan, engines, log).await,
            None => Ok(Mended::NOTHING),
        }
    };
    Box::pin(alone(engines.log.as_ref(), work)).await
}

async fn follow(plan: &Plan, engines: &Engines, kafka: &KafkaLog) -> Result<Mended> {
    let log = engines.log.as_ref();
    if plan.partitions != log.partitions() {
        let (theirs, ours) = (plan.partitions, log.partitions());
        let why = format!(
            "the store was made of {theirs} partitions, the log has {ours}; name a prefix in the log's URL that holds \
             nothing, start a server once with `--partitions {theirs}`, and mend that"
        );
        return Err(Error::new(ErrorKind::Invalid, why));
    }
    let mut ends = Vec::new();
    for partition in 0..plan.partitions {
        for topic in OURS {
            ends.push((topic, partition, log.bounds(topic, partition).await?.end));
        }
    }
    let mut commands = 0;
    for (partition, (messages, status_updates)) in (0..).zip(&plan.undecided) {
        for (topic, from) in [(Topic::Messages, *messages), (Topic::StatusUpdates, *status_updates)] {
            commands += take_over(log, log, (topic, partition), from, &mut Present::default()).await?;
        }
    }
    // First of all, so that nothing of what follows can be taken for the old history.
    kafka.begin_epoch(plan.epoch).await?;
    for (topic, partition, end) in ends {
        log.trim(topic, partition, end).await?;
        if topic == Topic::Events {
            // Of what is trimmed only the place counts.
            let last = end.checked_sub(1).map(|offset| LastRead { offset, hash: 0 });
            let progress = Progress { epoch: plan.epoch, last, ..Progress::default() };
            engines.store.project(partition, Projection { progress, ..Projection::default() }).await?;
        }
    }
    Ok(Mended { epoch: Some(plan.epoch), commands, old_log: None })
}
