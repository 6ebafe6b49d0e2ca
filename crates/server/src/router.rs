//! The router: the only decider. It takes commands, gives them their place, and projects what came of them.
//!
//! The way of a command: the owner of `messages/p` reads it ([`inputs`]), decides it on the state it knows
//! ([`memory`]) and appends the facts to `events/p` under its term ([`decider`]). What is read back and counts is
//! published and written into the store ([`projector`]).

mod decider;
mod inputs;
mod memory;
mod projector;
mod publish;
mod retention;

pub(crate) use publish::publish;

use crate::clock::Clock;
use crate::engines::Engines;
use crate::health::Health;
use crate::shutdown::{self, Shutdown, Stopper};
use chat4all_backend::log::Topic;
use chat4all_model::reader::Progress;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The group that shares out the partitions of `messages`.
const GROUP: &str = "router";

/// Is told how far a partition is projected, each time it moves.
pub type OnProgress = Arc<dyn Fn(u32, &Progress) + Send + Sync>;

/// What a router needs to run.
#[derive(Clone)]
pub struct RouterOptions {
    /// Its name in the log and for people.
    pub name: Arc<str>,
    /// How long the log keeps what is decided and projected; none keeps it for ever.
    pub retention: Option<Duration>,
    /// Holds back all deciding, to measure what stands before it.
    pub paused: bool,
    /// The time, for retention.
    pub clock: Clock,
    /// Where it says what is not well.
    pub health: Health,
    /// Who waits for the store in this process.
    pub on_progress: OnProgress,
}

/// Runs until `shutdown`: joins the group, and decides and projects whatever partitions it is given. Leaves the
/// group when everything decided is appended, so that an heir can go on at once.
pub async fn run(engines: Engines, options: RouterOptions, mut shutdown: Shutdown) {
    let mut workers: BTreeMap<u32, Worker> = BTreeMap::new();
    'join: while !shutdown.is_asked() {
        let mut member = match engines.log.join(GROUP, Topic::Messages).await {
            Ok(member) => member,
            Err(error) => {
                options.health.bad("router group", error.to_string());
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                    () = shutdown.asked() => break,
                }
            }
        };
        options.health.good("router group");
        loop {
            let mine = tokio::select! {
                mine = member.assignment() => mine,
                () = shutdown.asked() => {
                    stop_all(&mut workers).await;
                    if let Err(error) = member.leave().await {
                        tracing::warn!(%error, "leaving the group failed; the others wait for a time-out");
                    }
                    return;
                }
            };
            let mine = match mine {
                Ok(mine) => mine,
                Err(error) => {
                    options.health.bad("router group", error.to_string());
                    stop_all(&mut workers).await;
                    continue 'join;
                }
            };
            tracing::info!(router = %options.name, partitions = ?mine, "assigned");
            let gone: Vec<u32> = workers.keys().copied().filter(|p| !mine.contains(p)).collect();
            for partition in gone {
                if let Some(worker) = workers.remove(&partition) {
                    worker.stop().await;
                }
            }
            for partition in mine {
                workers
                    .entry(partition)
                    .or_insert_with(|| Worker::spawn(engines.clone(), options.clone(), partition));
            }
        }
    }
    stop_all(&mut workers).await;
}

async fn stop_all(workers: &mut BTreeMap<u32, Worker>) {
    for worker in workers.values() {
        worker.stopper.stop();
    }
    while let Some((_, worker)) = workers.pop_first() {
        worker.stop().await;
    }
}

/// What runs for one partition.
struct Worker {
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    fn spawn(engines: Engines, options: RouterOptions, partition: u32) -> Self {
        let (stopper, shutdown) = shutdown::channel();
        let (heard, hears) = projector::channel();
        let projector = projector::Projector::new(engines.clone(), options.clone(), partition, heard);
        let mut tasks = vec![
            tokio::spawn(projector.run(shutdown.clone())),
            tokio::spawn(retention::run(engines.clone(), options.clone(), partition, shutdown.clone())),
        ];
        if !options.paused {
            let decider = decider::Decider::new(engines, options, partition, hears);
            tasks.push(tokio::spawn(decider.run(shutdown)));
        }
        Self { stopper, tasks }
    }

    async fn stop(self) {
        self.stopper.stop();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of a partition ended badly");
            }
        }
    }
}
