//! A run: who takes the next step, until the choices are used up and all has become quiet.

use super::gateway::{history, session};
use super::router::{Outcome, decider, projector};
use super::rules::Rules;
use super::{Choices, Shared, World, check};
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Steps of a random run before it becomes quiet.
const STEPS: usize = 420;
/// Commands of one input that a run makes at most, so that it stays readable.
const COMMANDS: usize = 20;

type Task = Option<Pin<Box<dyn Future<Output = ()>>>>;

/// Takes one step of a task.
fn poll(task: &mut Task) {
    if let Some(future) = task
        && future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    {
        *task = None;
    }
}

/// The world and its tasks.
pub(crate) struct Sim {
    pub(crate) world: Shared,
    deciders: Vec<Task>,
    projectors: Vec<Task>,
    session: Task,
    history: Task,
}

impl Sim {
    pub(crate) fn new(rules: Rules, choices: Choices, talk: bool) -> Self {
        let world = Rc::new(RefCell::new(World::new(rules, choices, talk)));
        let mut sim =
            Self { world, deciders: Vec::new(), projectors: Vec::new(), session: None, history: None };
        sim.w(World::found);
        for partition in 0..sim.w(|w| w.partitions()) {
            sim.assign(partition, 0);
        }
        sim
    }

    /// Borrows the world for one step.
    pub(crate) fn w<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        act(&mut self.world.borrow_mut())
    }

    /// Assigns a partition and gives the worker.
    pub(crate) fn assign(&mut self, partition: usize, name: usize) -> usize {
        let worker = self.w(|w| w.assign(partition, name));
        self.deciders.push(Some(Box::pin(decider(self.world.clone(), worker))));
        self.projectors.push(Some(Box::pin(projector(self.world.clone(), worker))));
        self.bury();
        worker
    }

    pub(crate) fn kill(&mut self, worker: usize) {
        self.w(|w| w.end(worker));
        self.bury();
    }

    fn bury(&mut self) {
        for (worker, k) in self.world.borrow().workers.iter().enumerate() {
            if k.dead {
                (self.deciders[worker], self.projectors[worker]) = (None, None);
            }
        }
    }

    pub(crate) fn decide(&mut self, worker: usize) {
        poll(&mut self.deciders[worker]);
    }

    pub(crate) fn project(&mut self, worker: usize) {
        poll(&mut self.projectors[worker]);
    }

    pub(crate) fn connect(&mut self) {
        self.session = Some(Box::pin(session(self.world.clone())));
    }

    pub(crate) fn cut(&mut self, forget: bool) {
        self.session = None;
        self.w(|w| {
            (w.online, w.live) = (false, false);
            w.say(|w| format!("{} is cut", w.user));
            if forget || !w.gateway.loaded {
                w.unregister();
            }
        });
    }

    pub(crate) fn read_history(&mut self, conversation: usize) {
        let conversation = self.w(|w| w.conversations[conversation].clone());
        self.history = Some(Box::pin(history(self.world.clone(), conversation)));
    }

    /// A step of the session and of the history being read.
    pub(crate) fn jobs(&mut self) {
        poll(&mut self.session);
        poll(&mut self.history);
    }

    fn random_step(&mut self) {
        let (what, partition, n) = self.w(|w| (w.choose(100), w.choose(w.partitions()), w.choose(3)));
        let owner = self.w(|w| w.owner[partition]);
        let anybody = |w: &mut World| {
            let alive = w.alive();
            alive[w.choose(alive.len())]
        };
        match what {
            0..18 => self.decide(owner),
            18..34 => (0..=n).for_each(|_| self.project(owner)),
            34..39 => {
                let worker = self.w(anybody);
                self.decide(worker);
            }
            39..44 => {
                let worker = self.w(anybody);
                self.project(worker);
            }
            44..57 => self.w(|w| broker(w, owner)),
            57..60 => self.w(|w| {
                let worker = anybody(w);
                broker(w, worker);
            }),
            60 => self.w(|w| {
                if !w.ghosts.is_empty() {
                    let at = w.choose(w.ghosts.len());
                    let (partition, append) = w.ghosts.remove(at);
                    w.land(partition, &append);
                }
            }),
            61 => self.w(|w| {
                if !w.late.is_empty() {
                    let write = w.late.remove(0);
                    w.put(write);
                }
            }),
            62 => self.w(|w| {
                if !w.command_ghosts.is_empty() {
                    let (partition, input, payload) = w.command_ghosts.remove(0);
                    let at = w.inputs[partition][input].append(payload);
                    w.say(|_| format!("command {input}.{at} of p{partition} lands late"));
                }
            }),
            63 | 64 => {
                self.assign(partition, n);
            }
            65 => {
                self.kill(owner);
                self.assign(partition, n);
            }
            66..78 => self.w(|w| {
                if w.inputs[partition].iter().map(super::log::Log::len).sum::<usize>() < COMMANDS {
                    w.submit();
                }
            }),
            78..84 => self.w(|w| w.follow(partition)),
            84 => {
                if self.w(|w| w.online) {
                    self.cut(n == 0);
                }
            }
            85 => {
                if n == 0 {
                    self.cut(true);
                    self.w(World::start_gateway);
                }
            }
            86 | 87 => {
                if !self.w(|w| w.online) {
                    self.connect();
                }
            }
            88 | 89 => {
                let conversation = self.w(|w| w.choose(3));
                if self.history.is_none() {
                    self.read_history(conversation);
                }
            }
            _ => (0..=n).for_each(|_| self.jobs()),
        }
    }

    /// Everything that is under way ends well; then what must hold is looked at.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.w(|w| {
            w.say(|_| "-- quiet".to_owned());
            w.choices.calm();
            for (partition, append) in std::mem::take(&mut w.ghosts) {
                w.land(partition, &append);
            }
            for write in std::mem::take(&mut w.late) {
                w.put(write);
            }
        });
        // Zombies first; the owners have the last word.
        let owners = self.w(|w| w.owner.clone());
        let mut workers = self.w(|w| w.alive());
        workers.sort_by_key(|worker| owners.contains(worker));
        for worker in workers {
            self.settle(worker);
        }
        for (partition, owner) in owners.into_iter().enumerate() {
            self.settle(owner);
            for _ in 0..self.w(|w| w.events[partition].len()) {
                self.w(|w| w.follow(partition));
            }
        }
        (0..200).for_each(|_| self.jobs());
        self.cut(false);
        self.connect();
        (0..300).for_each(|_| self.jobs());
        let world = self.world.borrow();
        world.bad.clone().or_else(|| check::check(&world).err())
    }

    /// A router works until it has nothing to do.
    pub(crate) fn settle(&mut self, worker: usize) {
        let mut idle = 0;
        for _ in 0..2_000 {
            let before = self.w(|w| (w.events[w.workers[worker].partition].len(), w.store.rows.len()));
            self.decide(worker);
            self.w(|w| w.broker(worker, Outcome::Lands));
            (0..3).for_each(|_| self.project(worker));
            let after = self.w(|w| (w.events[w.workers[worker].partition].len(), w.store.rows.len()));
            idle = if before == after { idle + 1 } else { 0 };
            if idle > 40 {
                break;
            }
        }
    }
}

fn broker(world: &mut World, worker: usize) {
    let outcome = match world.choose(20) {
        17 | 18 => Outcome::Lost,
        19 => Outcome::LandsTwice,
        16 => Outcome::LandsUnknown,
        _ => Outcome::Lands,
    };
    world.broker(worker, outcome);
}

/// How a run ended: what was broken, the choices that were made, what happened.
pub(crate) struct Ending {
    pub(crate) bad: Option<String>,
    pub(crate) choices: Vec<u32>,
    pub(crate) trace: Vec<String>,
}

/// Runs a seed.
pub(crate) fn run(rules: Rules, seed: u64) -> Ending {
    attempt(rules, Choices::seeded(seed), false)
}

fn attempt(rules: Rules, choices: Choices, talk: bool) -> Ending {
    let mut sim = Sim::new(rules, choices, talk);
    let mut random = Vec::new();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            if sim.w(|w| w.choices.spent() || w.bad.is_some()) {
                break;
            }
            sim.random_step();
        }
        random.clone_from(&sim.world.borrow().choices.made);
        sim.finish()
    }));
    let bad = ended.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Some(format!("PANIC {}", message.unwrap_or_default()))
    });
    let trace = sim.world.borrow_mut().trace.take().unwrap_or_default();
    Ending { bad, choices: random, trace }
}

/// The sort of a violation: the promise and the words before the first colon.
pub(crate) fn sort(bad: &str) -> String {
    bad.split(':').next().unwrap_or(bad).to_owned()
}

/// Takes choices away for as long as the same sort of violation remains, then tells what happens.
pub(crate) fn shrink(rules: Rules, ending: &Ending, limit: Duration) -> Ending {
    let wanted = ending.bad.as_deref().map(sort);
    let mut best = ending.choices.clone();
    let until = Instant::now() + limit;
    let mut size = (best.len() / 2).max(1);
    while size > 0 && Instant::now() < until {
        let (mut at, mut hit) = (0, false);
        while at < best.len() && Instant::now() < until {
            let mut fewer = best.clone();
            fewer.drain(at..(at + size).min(best.len()));
            let attempt = attempt(rules, Choices::given(fewer.clone()), false);
            if attempt.bad.as_deref().map(sort) == wanted {
                (best, hit) = (fewer, true);
            } else {
                at += size;
            }
        }
        if !(hit && size == 1) {
            size /= 2;
        }
    }
    attempt(rules, Choices::given(best), true)
}
