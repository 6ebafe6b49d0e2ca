//! The live path: every process with a gateway or an api follows the facts, keeps the newest in a ring, and gives
//! them to whoever is connected and may see them.
//!
//! One task a partition ([`follow`]) takes records under one lock ([`state`]): into the ring ([`ring`]), by the
//! index ([`index`]) into the queues of sessions ([`session`]), each fact encoded once ([`encode`]). A session that
//! resumes reads the shared ring, or the store where the ring does not reach back ([`catchup`]).

mod attach;
mod catchup;
mod encode;
mod follow;
mod index;
mod outcome;
mod readable;
mod ring;
mod session;
mod sight;
mod slab;
mod state;

pub use attach::{Attachment, Step};
pub use catchup::Given;
pub use encode::event;
pub use outcome::{Outcome, Waiter};
pub use session::{Cut, QueueLimits, Session};
pub use sight::Sight;

pub(crate) use encode::with_field;

use crate::engines::Engines;
use crate::error::{Failure, Result};
use chat4all_model::command::Command;
use chat4all_model::fact::Interval;
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::record::Input;
use chat4all_model::rows::Position;
use metrics::{Counter, Gauge};
use outcome::Outcomes;
use parking_lot::Mutex;
use readable::Tracker;
use state::State;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

/// How long a user's entry stays after the last connection, in seconds.
const LINGER_SECONDS: u64 = 60;
/// How many such entries are kept at most.
const MAX_LINGERING: usize = 50_000;

/// The settings of the live path.
#[derive(Debug, Clone, Copy)]
pub struct LiveSettings {
    /// Bytes of newest facts kept in memory.
    pub ring_bytes: usize,
    /// What the queue of one connection may hold.
    pub queue: QueueLimits,
    /// Catch-ups that read the store at once; others wait for their turn.
    pub catch_ups: usize,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self { ring_bytes: 64 << 20, queue: QueueLimits::default(), catch_ups: 16 }
    }
}

/// Where a fact stands in `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its partition.
    pub partition: u32,
    /// Its position there.
    pub position: Position,
}

/// Where a command stands in its topic, decided or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandPlace {
    /// Its partition.
    pub partition: u32,
    /// Its topic.
    pub input: Input,
    /// Its offset there.
    pub offset: u64,
}

/// What a request that names a position has to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Facts, and what comes of commands.
    Everything,
    /// Facts: a command need not be decided.
    Facts,
}

/// Follows the facts for one process.
pub struct Hub {
    engines: Engines,
    settings: LiveSettings,
    state: Mutex<State>,
    partitions: Vec<Partition>,
    tracker: Arc<Tracker>,
    outcomes: Arc<Outcomes>,
    /// Turns at reading the store for a catch-up.
    turns: Semaphore,
    /// How many partitions have not reached the progress that was there at the start. Zero: warm.
    cold: watch::Sender<usize>,
    /// Seconds since the start.
    second: AtomicU64,
    meters: Meters,
    tasks: Mutex<Vec<AbortHandle>>,
}

struct Partition {
    /// The offset after the last record whose facts are in all queues.
    heard: AtomicU64,
    /// The offset at which the partition is warm; `u64::MAX` before the start, 0 once it was reached.
    warm_at: AtomicU64,
    /// Whether the log could be followed at the last try.
    fresh: AtomicBool,
}

struct Meters {
    deliveries: Counter,
    ring_bytes: Gauge,
    users: Gauge,
}

impl Hub {
    /// A hub that follows these engines until it is dropped.
    #[must_use]
    pub fn start(engines: Engines, settings: LiveSettings) -> Arc<Self> {
        let count = engines.log.partitions();
        let tracker = Arc::new(Tracker::new(Arc::clone(&engines.store), count));
        let partition = |_| Partition {
            heard: AtomicU64::new(0),
            warm_at: AtomicU64::new(u64::MAX),
            fresh: AtomicBool::new(false),
        };
        let hub = Arc::new(Self {
            outcomes: Arc::new(Outcomes::new(engines.log.epoch())),
            state: Mutex::new(State::new(count, settings.ring_bytes)),
            partitions: (0..count).map(partition).collect(),
            tracker: Arc::clone(&tracker),
            turns: Semaphore::new(settings.catch_ups.max(1)),
            cold: watch::Sender::new(count as usize),
            second: AtomicU64::new(1),
            meters: Meters {
                deliveries: metrics::counter!("events_delivered_total"),
                ring_bytes: metrics::gauge!("live_ring_bytes"),
                users: metrics::gauge!("live_users"),
            },
            tasks: Mutex::default(),
            engines,
            settings,
        });
        let mut tasks = vec![tokio::spawn(tick(Arc::downgrade(&hub))).abort_handle()];
        for partition in 0..count {
            tasks.push(tokio::spawn(follow::follow(Arc::downgrade(&hub), partition)).abort_handle());
            tasks.push(tokio::spawn(Arc::clone(&tracker).look(partition)).abort_handle());
        }
        *hub.tasks.lock() = tasks;
        hub
    }

    /// A waiter for what becomes of a command. To be made before the command is appended.
    ///
    /// # Errors
    /// `Overloaded` if too many wait already.
    pub fn expect(&self, command: &Command) -> Result<Waiter> {
        self.outcomes.expect(command, self.partition(&command.conversation))
    }

    /// The offset after the last record that this process has heard of a partition.
    #[must_use]
    pub fn heard(&self, partition: u32) -> u64 {
        self.partitions.get(partition as usize).map_or(0, |p| p.heard.load(Ordering::Acquire))
    }

    /// The same for all partitions. What lies before is in every live session's queue, or was.
    #[must_use]
    pub fn positions(&self) -> Vec<u64> {
        self.partitions.iter().map(|p| p.heard.load(Ordering::Acquire)).collect()
    }

    /// Waits until the store holds all that this process has heard of a conversation.
    ///
    /// # Errors
    /// `Unavailable` after two seconds: never an older state.
    pub async fn readable(&self, conversation: &ConversationId) -> Result<()> {
        let partition = self.partition(conversation);
        let next = {
            let state = self.state.lock();
            let known = state.index.number(conversation).and_then(|number| state.index.conversation(number));
            let heard = known.map(|known| known.heard).filter(|heard| *heard > 0);
            // What left the ring was heard before it begins.
            heard
                .map_or_else(|| state.rings.get(partition as usize).map_or(0, |r| r.start), |heard| heard + 1)
        };
        self.tracker.reach(partition, next).await
    }

    /// Waits until the store holds all that this process has heard.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    pub async fn readable_everywhere(&self) -> Result<()> {
        self.tracker.reach_all(&self.positions()).await
    }

    /// Waits until the store holds a conversation's facts up to `position`.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    pub async fn projected(&self, conversation: &ConversationId, position: Position) -> Result<()> {
        if position.epoch() != self.epoch() {
            // Stored before this log began.
            return Ok(());
        }
        self.tracker.reach(self.partition(conversation), position.offset() + 1).await
    }

    /// A place as the header `Chat4All-Position` says it.
    #[must_use]
    pub fn seal(&self, place: Place) -> String {
        format!("{}.{}.{}", place.position.epoch(), place.partition, place.position.offset())
    }

    /// A command's place as the header says it.
    #[must_use]
    pub fn seal_command(&self, place: CommandPlace) -> String {
        format!("{}.{}.{}{}", self.epoch(), place.partition, letter(place.input), place.offset)
    }

    /// Waits until what `Chat4All-Position` names can be read here. A command's place can be read when it is decided
    /// and what came of it is stored.
    ///
    /// # Errors
    /// `InvalidRequest` if it names nothing; as [`readable`](Self::readable).
    pub async fn readable_at(&self, header: &str, after: After) -> Result<()> {
        let invalid = || Failure::invalid("Chat4All-Position", "is not one that this server gave");
        let mut parts = header.split('.');
        let (Some(epoch), Some(partition), Some(place), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        let input =
            [Input::Messages, Input::StatusUpdates].into_iter().find(|i| place.starts_with(letter(*i)));
        let place = if input.is_some() { &place[1..] } else { place };
        let (Ok(epoch), Ok(partition), Ok(offset)) =
            (epoch.parse::<u32>(), partition.parse::<u32>(), place.parse::<u64>())
        else {
            return Err(invalid());
        };
        if epoch < self.epoch() {
            // Given before the log was mended or moved: all of that is stored.
            return Ok(());
        }
        if epoch > self.epoch() || partition as usize >= self.partitions.len() {
            return Err(invalid());
        }
        match input {
            None => self.tracker.reach(partition, offset.saturating_add(1)).await,
            Some(_) if after == After::Facts => Ok(()),
            Some(input) => {
                self.outcomes.reach((partition, input), offset, readable::PATIENCE).await?;
                self.tracker.reach(partition, self.heard(partition)).await
            }
        }
    }

    /// Notes how far a partition has been projected, so that nobody needs to ask the store.
    pub fn note_progress(&self, partition: u32, progress: Progress) {
        self.tracker.note(partition, progress);
    }

    /// A connected user's intervals of a conversation, as the stream has them; none if they are not at hand, or
    /// the stream may be behind.
    #[must_use]
    pub fn intervals(&self, user: &UserId, conversation: &ConversationId) -> Option<Vec<Interval>> {
        let partition = self.partition(conversation) as usize;
        if !self.partitions.get(partition)?.fresh.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state.lock();
        let number = state.index.user_number(user)?;
        if !state.index.user(number)?.loaded.initialized() {
            return None;
        }
        let entry = state.index.conversation(state.index.number(conversation)?)?;
        entry.members.get(&number).map(|sight| sight.intervals().to_vec())
    }

    /// Whether every partition is followed and has come as far as the store was at the start.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.cold.borrow() == 0 && self.partitions.iter().all(|p| p.fresh.load(Ordering::Relaxed))
    }

    /// Tells every session to end: the process does.
    pub fn end_sessions(&self) {
        let state = self.state.lock();
        for attached in state.index.users().flat_map(|user| &user.sessions) {
            attached.session.cut(Cut::Restart);
        }
    }

    /// Seconds since the start, as [`Session::wake_at`] counts.
    #[must_use]
    pub fn second(&self) -> u64 {
        self.second.load(Ordering::Relaxed)
    }

    /// The log's incarnation.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.engines.log.epoch()
    }

    fn partition(&self, conversation: &ConversationId) -> u32 {
        conversation.partition(u32::try_from(self.partitions.len()).unwrap_or(1))
    }

    /// A partition's follower starts at `start`, and is warm when it has come to `progress`.
    fn begin(&self, partition: u32, start: u64, progress: Progress) {
        self.note_progress(partition, progress);
        self.outcomes.begin(partition, &progress);
        self.state.lock().restart(partition, start);
        if let Some(p) = self.partitions.get(partition as usize) {
            let warm = p.warm_at.load(Ordering::Relaxed) == 0;
            if !warm {
                p.warm_at.store(progress.next().max(1), Ordering::Relaxed);
            }
            p.fresh.store(true, Ordering::Relaxed);
        }
        self.publish_position(partition, start);
    }

    fn publish_position(&self, partition: u32, next: u64) {
        let Some(p) = self.partitions.get(partition as usize) else { return };
        p.heard.fetch_max(next, Ordering::Release);
        p.fresh.store(true, Ordering::Relaxed);
        let warm_at = p.warm_at.load(Ordering::Relaxed);
        if warm_at != 0 && (next >= warm_at || (warm_at == 1 && next == 0)) {
            p.warm_at.store(0, Ordering::Relaxed);
            self.cold.send_modify(|cold| *cold = cold.saturating_sub(1));
        }
    }

    /// A partition cannot be followed for now.
    fn lag_behind(&self, partition: u32) {
        if let Some(p) = self.partitions.get(partition as usize) {
            p.fresh.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

/// Before the offset of a command's place.
fn letter(input: Input) -> char {
    match input {
        Input::Messages => 'm',
        Input::StatusUpdates => 's',
    }
}

/// The one clock of all sessions: wakes whose time has come, and forgets who has been gone for a minute.
async fn tick(hub: Weak<Hub>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(hub) = hub.upgrade() else { return };
        let second = hub.second.fetch_add(1, Ordering::Relaxed) + 1;
        let mut state = hub.state.lock();
        for attached in state.index.users().flat_map(|user| &user.sessions) {
            attached.session.tick(second);
        }
        if second % 10 == 0 {
            state.index.sweep(second.saturating_sub(LINGER_SECONDS), MAX_LINGERING);
        }
        hub.meters.ring_bytes.set(state.ring_bytes() as f64);
        hub.meters.users.set(state.index.user_count() as f64);
    }
}
