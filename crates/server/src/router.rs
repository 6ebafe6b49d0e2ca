//! The router: the only decider. It takes commands, gives them their place, and projects what came of them.
//!
//! The way of a command: the owner of `messages/p` reads it ([`inputs`]), decides it on the state it knows
//! ([`memory`]) and appends the facts ([`batch`]) to `events/p` under its term ([`decider`], [`term`]). What is
//! read back and counts is published and written into the store ([`projector`]), and told to others ([`teller`]).

mod batch;
mod decider;
mod inputs;
mod lag;
mod memory;
mod projector;
mod publish;
mod relief;
mod retention;
mod teller;
mod term;
mod trouble;

pub(crate) use inputs::topic;
pub(crate) use publish::publish;

use crate::clock::Clock;
use crate::engines::Engines;
use crate::health::Health;
use crate::public_topics::PublicTopics;
use crate::shutdown::{self, Shutdown, Stopper};
use chat4all_backend::Result;
use chat4all_backend::log::Topic;
use chat4all_model::reader::Progress;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trouble::Trouble;

/// The group that shares out the partitions of `messages`.
pub(crate) const GROUP: &str = "router";

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
    /// What others are told; none if they are told nothing.
    pub public_topics: Option<Arc<PublicTopics>>,
}

/// How long the tasks of a partition may take to end before they are cut off, which harms nothing: what they had
/// under way is decided by the heir, or is no longer counted.
const STOP_WAIT: Duration = Duration::from_secs(10);
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// After a defect that ended a task, so that it does not keep a core busy.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// Runs until `shutdown`: joins the group, and decides and projects whatever partitions it is given. Leaves the
/// group when everything decided is appended, so that an heir can go on at once.
pub async fn run(engines: Engines, options: RouterOptions, mut shutdown: Shutdown) {
    let mut workers: BTreeMap<u32, Worker> = BTreeMap::new();
    let (mine, theirs) = watch::channel(Vec::new());
    let relief = tokio::spawn(relief::run(engines.clone(), options.clone(), theirs, shutdown.clone()));
    let mut trouble = Trouble::none(options.health.clone(), "router group".into());
    while !shutdown.is_asked() {
        let part = take_part(&engines, &options, &mut workers, &mine, &mut trouble, &mut shutdown).await;
        let Err(error) = part else { break };
        tracing::warn!(%error, "the group of routers is lost; joining again");
        trouble.lasts(error.to_string());
        stop(std::mem::take(&mut workers)).await;
        tokio::select! {
            () = tokio::time::sleep(REJOIN_PAUSE) => {}
            () = shutdown.asked() => {}
        }
    }
    if let Err(error) = relief.await {
        tracing::error!(%error, "projecting for others ended badly");
    }
}

/// Does the work of a member of the group. An `Ok` is the end.
async fn take_part(
    engines: &Engines,
    options: &RouterOptions,
    workers: &mut BTreeMap<u32, Worker>,
    owned: &watch::Sender<Vec<u32>>,
    trouble: &mut Trouble,
    shutdown: &mut Shutdown,
) -> Result<()> {
    let mut member = tokio::select! {
        member = engines.log.join(GROUP, Topic::Messages) => member?,
        () = shutdown.asked() => return Ok(()),
    };
    loop {
        let mine = tokio::select! {
            mine = member.assignment() => mine?,
            () = shutdown.asked() => break,
        };
        trouble.over();
        tracing::info!(router = %options.name, partitions = ?mine, "assigned");
        let keep = |partition: &u32| mine.contains(partition);
        let (kept, gone) = std::mem::take(workers).into_iter().partition(|(partition, _)| keep(partition));
        *workers = kept;
        owned.send_replace(mine.clone());
        stop(gone).await;
        for partition in mine {
            workers
                .entry(partition)
                .or_insert_with(|| Worker::spawn(engines.clone(), options.clone(), partition));
        }
    }
    owned.send_replace(Vec::new());
    stop(std::mem::take(workers)).await;
    if let Err(error) = member.leave().await {
        tracing::warn!(%error, "leaving the group failed; the others wait for a time-out");
    }
    Ok(())
}

/// Ends them all at once, for the group waits meanwhile.
async fn stop(workers: BTreeMap<u32, Worker>) {
    for worker in workers.values() {
        worker.stopper.stop();
    }
    let deadline = tokio::time::Instant::now() + STOP_WAIT;
    for mut task in workers.into_values().flat_map(|worker| worker.tasks) {
        if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
            tracing::warn!("a task of a partition did not end in time and is cut off");
            task.abort();
        }
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
        let place = teller::Place::default();
        let parts = Parts { engines, options, partition, shutdown };
        let mut tasks = vec![
            parts.keep("projector", move |Parts { engines, options, partition, shutdown }| {
                projector::Projector::new(engines, options, partition, heard.clone()).run(shutdown)
            }),
            parts.keep("retention", {
                let hears = hears.clone();
                move |Parts { engines, options, partition, shutdown }| {
                    retention::run(engines, options, partition, hears.clone(), shutdown)
                }
            }),
            parts.keep("lag", {
                let (hears, place) = (hears.clone(), place.clone());
                move |Parts { engines, partition, shutdown, .. }| {
                    lag::run(engines, partition, hears.clone(), place.subscribe(), shutdown)
                }
            }),
        ];
        if let Some(topics) = parts.options.public_topics.clone() {
            tasks.push(parts.keep("teller", move |Parts { engines, partition, shutdown, .. }| {
                teller::Teller::new(engines, Arc::clone(&topics), partition, place.clone()).run(shutdown)
            }));
        }
        if !parts.options.paused {
            tasks.push(parts.keep("decider", move |Parts { engines, options, partition, shutdown }| {
                decider::Decider::new(engines, options, partition, hears.clone(), shutdown).run()
            }));
        }
        Self { stopper, tasks }
    }
}

/// What every task of a partition gets.
#[derive(Clone)]
struct Parts {
    engines: Engines,
    options: RouterOptions,
    partition: u32,
    shutdown: Shutdown,
}

impl Parts {
    /// Runs a task to its end, beginning again after a panic: a defect must not leave a partition to nobody.
    fn keep<F>(&self, what: &'static str, start: impl Fn(Self) -> F + Send + 'static) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let parts = self.clone();
        tokio::spawn(async move {
            let name = format!("{what} {}", parts.partition);
            let mut trouble = Trouble::none(parts.options.health.clone(), name);
            let mut shutdown = parts.shutdown.clone();
            while AssertUnwindSafe(start(parts.clone())).catch_unwind().await.is_err() {
                tracing::error!(
                    partition = parts.partition,
                    what,
                    "a task of a partition panicked; beginning again"
                );
                trouble.lasts("it panicked".into());
                tokio::select! {
                    () = tokio::time::sleep(RESTART_PAUSE) => trouble.over(),
                    () = shutdown.asked() => return,
                }
            }
        })
    }
}
