//! The simulated world of the spine: the real decider, reader, rows and cursor between logs, brokers, a store,
//! routers, a gateway and a client that fail, answer late and die between any two steps.
//!
//! A run is a list of choices, so it replays and shrinks. What the product does with state of its own (who reads
//! what when) is written here once more, each rule of it with a switch, to show that the world notices when it
//! is missing.

pub(crate) mod check;
pub(crate) mod gateway;
pub(crate) mod log;
pub(crate) mod router;
pub(crate) mod rules;
mod schedules;
pub(crate) mod sim;
pub(crate) mod store;
pub(crate) mod submit;

use self::gateway::{Gateway, Given, HistoryRead};
use self::log::Log;
use self::router::{Append, Worker};
use self::rules::{Rule, Rules};
use self::store::{Store, Write};
use chat4all_model::cursor::Cursor;
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::record::{EventRecord, decode_event};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The world as its tasks share it. Each borrows it for one step, never across a [`step`].
pub(crate) type Shared = Rc<RefCell<World>>;

pub(crate) const EPOCH: u32 = 1;

pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) choices: Choices,
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) users: [UserId; 3],
    /// A group whose newcomers see what follows, one whose newcomers see all, a direct conversation.
    pub(crate) conversations: [ConversationId; 3],
    pub(crate) store: Store,
    /// Per partition: `messages` and `status-updates`.
    pub(crate) inputs: Vec<[Log; 2]>,
    pub(crate) events: Vec<Log>,
    pub(crate) commands: Vec<submit::Made>,
    pub(crate) acked: Vec<RecordId>,
    /// Appends of the dead, and commands whose api gave up: they may land any time.
    pub(crate) ghosts: Vec<(usize, Append)>,
    pub(crate) command_ghosts: Vec<(usize, usize, bytes::Bytes)>,
    /// Writes that a slow projector repeats.
    pub(crate) late: Vec<Write>,
    pub(crate) nonce: u128,
    pub(crate) keys: u64,
    pub(crate) workers: Vec<Worker>,
    /// Per partition, who is assigned.
    pub(crate) owner: Vec<usize>,
    pub(crate) gateway: Gateway,
    /// The client: whose it is, the cursor it keeps, whether its socket is open and past its catch-up.
    pub(crate) user: UserId,
    pub(crate) cursor: Cursor,
    pub(crate) online: bool,
    pub(crate) live: bool,
    pub(crate) given: BTreeMap<(ConversationId, u64), Vec<Given>>,
    pub(crate) order: Vec<(ConversationId, u64)>,
    pub(crate) told: BTreeSet<(usize, u64, usize)>,
    pub(crate) reads: Vec<HistoryRead>,
    pub(crate) bad: Option<String>,
}

impl World {
    pub(crate) fn new(rules: Rules, mut choices: Choices, talk: bool) -> Self {
        let user = |s: &str| UserId::parse(s).expect("a user's id");
        let users = [user("u0"), user("u1"), user("u2")];
        let group = |s: &str| ConversationId::parse(s).expect("a group's id");
        let direct = ConversationId::direct(&users[0], &users[1]).expect("two people");
        let partitions = 1 + choices.take(2);
        // Offsets grow but need not be dense.
        let stride = 1 + 2 * choices.take(2) as u64;
        let watcher = users[1 + choices.take(2)].clone();
        let mut world = Self {
            rules,
            choices,
            trace: talk.then(Vec::new),
            users,
            conversations: [group("g:joined"), group("g:all"), direct],
            store: Store::default(),
            inputs: (0..partitions).map(|_| [Log::new(stride), Log::new(stride)]).collect(),
            events: (0..partitions).map(|_| Log::new(stride)).collect(),
            commands: Vec::new(),
            acked: Vec::new(),
            ghosts: Vec::new(),
            command_ghosts: Vec::new(),
            late: Vec::new(),
            nonce: 0,
            keys: 0,
            workers: Vec::new(),
            owner: Vec::new(),
            gateway: Gateway::default(),
            user: watcher,
            cursor: Cursor { epoch: EPOCH, next: vec![0; partitions], page: None },
            online: false,
            live: false,
            given: BTreeMap::new(),
            order: Vec::new(),
            told: BTreeSet::new(),
            reads: Vec::new(),
            bad: None,
        };
        world.start_gateway();
        world
    }

    pub(crate) fn partitions(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn partition(&self, conversation: &ConversationId) -> usize {
        let at = self.conversations.iter().position(|c| c == conversation);
        at.expect("one of the three") % self.partitions()
    }

    pub(crate) fn on(&self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    pub(crate) fn choose(&mut self, n: usize) -> usize {
        self.choices.take(n)
    }

    pub(crate) fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = line(self);
            self.trace.iter_mut().for_each(|t| t.push(line.clone()));
        }
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.bad.get_or_insert(what);
    }

    /// How far a partition is projected.
    pub(crate) fn progress(&self, partition: usize) -> Progress {
        self.store.progress(partition)
    }

    /// Writes a row.
    pub(crate) fn put(&mut self, write: Write) {
        self.say(|_| format!("    store {:?} @{}", write.key, write.version));
        if let Err(bad) = self.store.put(write) {
            self.fail(bad);
        }
    }

    /// A record arrives in `events`.
    pub(crate) fn land(&mut self, partition: usize, append: &Append) {
        let offset = self.events[partition].append(append.payload.clone());
        self.say(|_| format!("events/{partition} @{offset}: {}", describe(&append.payload)));
    }
}

/// A record of `events` for people.
pub(crate) fn describe(payload: &[u8]) -> String {
    match decode_event(payload) {
        Ok(EventRecord::Term { router, nonce }) => format!("TERM {router} {nonce}"),
        Ok(EventRecord::Facts(facts)) => {
            let what: Vec<String> = facts
                .facts
                .iter()
                .map(|f| format!("{} {}:{}", kind(f), f.conversation, f.seq()))
                .chain(facts.dead.iter().map(|d| format!("DEAD {}", d.source.offset)))
                .collect();
            let source = facts.source;
            format!(
                "FACTS term {} index {} source {:?} {} [{}]",
                facts.term,
                facts.index,
                source.input,
                source.offset,
                what.join(", ")
            )
        }
        Err(error) => format!("{error}"),
    }
}

/// The sort of a fact, as people call it.
pub(crate) fn kind(fact: &chat4all_model::fact::Fact) -> &'static str {
    use chat4all_model::fact::What;
    match &fact.what {
        What::Created { .. } => "CREATED",
        What::Renamed { .. } => "RENAMED",
        What::Added { .. } => "ADDED",
        What::Removed { .. } => "REMOVED",
        What::RoleSet { .. } => "ROLE",
        What::Message { .. } => "MESSAGE",
        What::Edited { .. } => "EDITED",
        What::Deleted { .. } => "DELETED",
        What::Reacted { .. } => "REACTED",
        What::Receipt { .. } => "RECEIPT",
        What::Settings { .. } => "SETTINGS",
        What::Rejected { .. } => "REJECTED",
    }
}

/// The choices of a run: made at random and noted, or given; beyond the given ones all are 0.
pub(crate) struct Choices {
    given: Option<Vec<u32>>,
    random: u64,
    pub(crate) made: Vec<u32>,
}

impl Choices {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { given: None, random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), made: Vec::new() }
    }

    pub(crate) fn given(choices: Vec<u32>) -> Self {
        Self { given: Some(choices), random: 0, made: Vec::new() }
    }

    /// From now on all choices are 0.
    pub(crate) fn calm(&mut self) {
        self.given = Some(Vec::new());
    }

    /// Whether the given ones are used up.
    pub(crate) fn spent(&self) -> bool {
        self.given.as_ref().is_some_and(|given| self.made.len() >= given.len())
    }

    fn take(&mut self, n: usize) -> usize {
        let n = u32::try_from(n).expect("a small choice");
        let choice = match &self.given {
            Some(given) => given.get(self.made.len()).map_or(0, |c| c % n),
            None => (self.next() >> 33) as u32 % n,
        };
        self.made.push(choice);
        choice as usize
    }

    // SplitMix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The end of a step: anything may happen before the next.
pub(crate) fn step() -> impl Future<Output = ()> {
    Step(false)
}

struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
