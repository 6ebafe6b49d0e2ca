//! Routers: the decider and the projector of one partition, and the broker between them and `events`.

use super::log::{EventReader, INPUTS};
use super::rules::Rule;
use super::store::{RowKey, RowValue, Write, last_of_each, writes};
use super::{EPOCH, Shared, World, describe, step};
use bytes::Bytes;
use chat4all_model::command::Command;
use chat4all_model::decide::{State, Torn, decide};
use chat4all_model::fact::{Fact, Head};
use chat4all_model::reader::Read;
use chat4all_model::record::{Dead, EventRecord, Facts, Source, decode_command, decode_event, encode_event};
use chat4all_model::rows::{Position, values};
use chat4all_model::state::{Key, Value, first_keys, further_keys};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// An append on its way.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    pub(crate) payload: Bytes,
}

/// One router's work on one partition.
pub(crate) struct Worker {
    pub(crate) partition: usize,
    pub(crate) name: usize,
    pub(crate) dead: bool,
    pub(crate) flight: VecDeque<Append>,
    /// An append failed, or its outcome is unknown.
    failed: bool,
    term: Option<u64>,
    /// Where in `events` its records of this term stand, by index.
    at: BTreeMap<u64, u64>,
    /// What it has decided in the record `index` and the store may not hold.
    overlay: HashMap<Key, (Value, u64)>,
    /// What it has read or decided in this term.
    cache: HashMap<Key, Option<Value>>,
}

impl Worker {
    fn evict(&mut self, projected: u64) {
        let at = &self.at;
        self.overlay.retain(|_, (_, index)| at.get(index).is_none_or(|offset| *offset >= projected));
    }

    fn drop_caches(&mut self) {
        self.overlay.clear();
        self.cache.clear();
    }
}

/// What the broker does with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Lands,
    Lost,
    LandsTwice,
    LandsUnknown,
}

impl World {
    /// A partition is assigned to a router; whoever had it lives on. Gives the new worker.
    pub(crate) fn assign(&mut self, partition: usize, name: usize) -> usize {
        let old = self.workers.iter().position(|k| k.partition == partition && k.name == name && !k.dead);
        let mut worker = Worker {
            partition,
            name,
            dead: false,
            flight: VecDeque::new(),
            failed: false,
            term: None,
            at: BTreeMap::new(),
            overlay: HashMap::new(),
            cache: HashMap::new(),
        };
        if let Some(old) = old {
            self.end(old);
            if !self.on(Rule::DropCaches) {
                worker.overlay = std::mem::take(&mut self.workers[old].overlay);
                worker.cache = std::mem::take(&mut self.workers[old].cache);
            }
        }
        self.workers.push(worker);
        let id = self.workers.len() - 1;
        self.say(|_| format!("p{partition} is assigned to r{name}"));
        match self.owner.get_mut(partition) {
            Some(owner) => *owner = id,
            None => self.owner.push(id),
        }
        id
    }

    /// A worker dies; what it was appending may still land.
    pub(crate) fn end(&mut self, worker: usize) {
        let k = &mut self.workers[worker];
        k.dead = true;
        let (partition, name) = (k.partition, k.name);
        self.ghosts.extend(k.flight.drain(..).map(|append| (partition, append)));
        self.say(|_| format!("r{name} ends on p{partition}"));
    }

    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|k| !self.workers[*k].dead).collect()
    }

    /// The next append of a worker comes to its end.
    pub(crate) fn broker(&mut self, worker: usize, outcome: Outcome) {
        let k = &mut self.workers[worker];
        let Some(append) = k.flight.pop_front() else { return };
        let (partition, name) = (k.partition, k.name);
        if matches!(outcome, Outcome::Lost | Outcome::LandsUnknown) {
            k.failed = true;
            self.say(|_| format!("r{name} thinks lost ({outcome:?}): {}", describe(&append.payload)));
        }
        if outcome != Outcome::Lost {
            self.land(partition, &append);
        }
        if outcome == Outcome::LandsTwice {
            self.land(partition, &append);
        }
    }
}

/// Decides a partition, term after term, for as long as it is assigned.
pub(crate) async fn decider(world: Shared, me: usize) {
    let partition = world.borrow().workers[me].partition;
    loop {
        let Some(mut reader) = take_term(&world, me, partition).await else { continue };
        if decide_term(&world, me, partition, &mut reader).await == Ended::Fenced {
            let mut w = world.borrow_mut();
            if !(w.on(Rule::Retake) && w.owner[partition] == me) {
                w.say(|w| format!("r{} reads a newer term and stops", w.workers[me].name));
                return;
            }
        }
    }
}

/// Appends `TERM` and reads up to it; none if that failed.
async fn take_term(world: &Shared, me: usize, partition: usize) -> Option<EventReader> {
    let mut reader = {
        let mut w = world.borrow_mut();
        if w.on(Rule::DropCaches) {
            w.workers[me].drop_caches();
        }
        let flight = std::mem::take(&mut w.workers[me].flight);
        w.ghosts.extend(flight.into_iter().map(|append| (partition, append)));
        let k = &mut w.workers[me];
        (k.term, k.failed) = (None, false);
        k.at.clear();
        w.on(Rule::ProgressFirst).then(|| w.reader(partition))
    };
    step().await;
    let mine = {
        let mut w = world.borrow_mut();
        w.nonce += 1;
        let (nonce, name) = (w.nonce, w.workers[me].name);
        let payload = encode_event(&EventRecord::Term { router: format!("r{name}").into(), nonce });
        w.workers[me].flight.push_back(Append { payload });
        nonce
    };
    let term = loop {
        {
            let w = world.borrow();
            if w.workers[me].failed {
                return None;
            }
            if reader.is_none() && w.workers[me].flight.is_empty() {
                reader = Some(w.reader(partition));
            }
            match reader.as_mut().and_then(|reader| reader.next(&w.events[partition])) {
                Some((offset, Read::Term { nonce })) if nonce == mine => break offset,
                Some(_) => continue,
                None => {}
            }
        }
        step().await;
    };
    {
        let mut w = world.borrow_mut();
        w.workers[me].term = Some(term);
        w.say(|w| format!("r{} has term {term} of p{partition}", w.workers[me].name));
    }
    while world.borrow().on(Rule::ProjectUpToTerm) && !world.borrow().progress(partition).covers(term) {
        step().await;
    }
    reader
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// There is a newer term, or a record of its own did not count.
    Fenced,
    /// An append failed.
    Failed,
}

async fn decide_term(world: &Shared, me: usize, partition: usize, reader: &mut EventReader) -> Ended {
    let mut next = INPUTS.map(|input| reader.progress().source(input).map_or(0, |s| s.offset + 1));
    let mut index = 0;
    loop {
        step().await;
        let (input, run) = {
            let mut w = world.borrow_mut();
            let term = w.workers[me].term.expect("a term");
            while let Some((offset, read)) = reader.next(&w.events[partition]) {
                let foreign = matches!(read, Read::Term { .. });
                let refused = read == Read::Ignored && term_of(&w, partition, offset) == Some(term);
                if foreign || refused {
                    return Ended::Fenced;
                }
            }
            if w.workers[me].failed {
                return Ended::Failed;
            }
            let waits =
                |w: &World, input: usize| w.inputs[partition][input].at_or_after(next[input]).is_some();
            let mut input = w.choose(2);
            if !waits(&w, input) {
                input = 1 - input;
            }
            if !waits(&w, input) || w.workers[me].flight.len() > 2 {
                continue;
            }
            if w.on(Rule::EvictBetween) {
                let projected = w.progress(partition).next();
                w.workers[me].evict(projected);
            }
            let run = if w.choose(4) == 3 { 2 + w.choose(2) } else { 1 };
            (input, run)
        };
        let (mut facts, mut dead, mut last) = (Vec::new(), Vec::new(), None);
        for _ in 0..run {
            let at = next[input];
            let read = world.borrow().inputs[partition][input].at_or_after(at).map(|(o, b)| (o, b.clone()));
            let Some((offset, payload)) = read else { break };
            let source = Source { input: INPUTS[input], epoch: EPOCH, offset };
            match decode_command(&payload) {
                Ok(command) => match decide_one(world, me, &command, index).await {
                    Ok(more) => facts.extend(more),
                    // Somebody else changes the state: the next look at the log says who.
                    Err(_) => break,
                },
                Err(error) => {
                    dead.push(Dead { source, reason: error.to_string().into(), payload: payload.to_vec() });
                }
            }
            next[input] = offset + 1;
            last = Some(source);
        }
        let Some(source) = last else { continue };
        let mut w = world.borrow_mut();
        if facts.is_empty() && dead.is_empty() && !w.on(Rule::EmptyRecords) {
            continue;
        }
        let term = w.workers[me].term.expect("a term");
        let payload = encode_event(&EventRecord::Facts(Facts { term, index, source, facts, dead }));
        w.say(|w| format!("r{} decides {}", w.workers[me].name, describe(&payload)));
        w.workers[me].flight.push_back(Append { payload });
        index += 1;
    }
}

fn term_of(world: &World, partition: usize, offset: u64) -> Option<u64> {
    let (_, payload) = world.events[partition].at_or_after(offset)?;
    match decode_event(payload) {
        Ok(EventRecord::Facts(facts)) => Some(facts.term),
        _ => None,
    }
}

/// Reads the state of a command row by row, anything happening between, and decides it.
async fn decide_one(world: &Shared, me: usize, command: &Command, index: u64) -> Result<Vec<Fact>, Torn> {
    let mut got: HashMap<Key, Option<Value>> = HashMap::new();
    let mut keys = VecDeque::from(first_keys(command));
    let mut further = true;
    loop {
        while let Some(key) = keys.pop_front() {
            {
                let mut w = world.borrow_mut();
                let cached = w.workers[me].cache.get(&key).cloned();
                let cached = if w.choose(2) == 1 { cached } else { None };
                let value = cached.unwrap_or_else(|| w.store.value(&key));
                got.insert(key, value);
                if w.choose(3) > 0 {
                    continue;
                }
            }
            step().await;
        }
        if !std::mem::take(&mut further) {
            break;
        }
        let w = world.borrow();
        keys.extend(further_keys(command, |key| merged(&w, me, &got, key)));
    }
    let mut w = world.borrow_mut();
    let state = |key: &Key| {
        assert!(got.contains_key(key), "{key:?} was not among the keys to read of {command:?}");
        merged(&w, me, &got, key)
    };
    let facts = decide(&Known { state: &state, command, others: w.on(Rule::OthersInHead) }, command)?;
    let cached: Vec<_> = if w.on(Rule::CacheMerged) {
        got.keys().map(|key| (key.clone(), merged(&w, me, &got, key))).collect()
    } else {
        got.clone().into_iter().collect()
    };
    let k = &mut w.workers[me];
    k.cache.extend(cached);
    for (key, value) in facts.iter().flat_map(values) {
        k.cache.insert(key.clone(), Some(value.clone()));
        k.overlay.insert(key, (value, index));
    }
    Ok(facts)
}

/// What was read, or what has been decided since.
fn merged(world: &World, me: usize, got: &HashMap<Key, Option<Value>>, key: &Key) -> Option<Value> {
    match world.workers[me].overlay.get(key) {
        Some((value, _)) if world.on(Rule::Overlay) => Some(value.clone()),
        _ => got.get(key).cloned().flatten(),
    }
}

/// A state whose head may not know the last message by others.
pub(crate) struct Known<'a, S> {
    pub(crate) state: &'a S,
    pub(crate) command: &'a Command,
    pub(crate) others: bool,
}

impl<S: State> State for Known<'_, S> {
    fn get(&self, key: &Key) -> Option<Value> {
        match self.state.get(key) {
            Some(Value::Head(head)) if !self.others && head.sender.as_ref() == Some(&self.command.actor) => {
                Some(Value::Head(Head { other_seq: 0, ..head }))
            }
            value => value,
        }
    }
}

/// Projects a partition, whoever else does.
pub(crate) async fn projector(world: Shared, me: usize) {
    let partition = world.borrow().workers[me].partition;
    let mut reader = world.borrow().reader(partition);
    loop {
        step().await;
        let mut todo = Vec::new();
        {
            let mut w = world.borrow_mut();
            let most = 1 + w.choose(3);
            let mut any = false;
            for _ in 0..most {
                let Some((offset, read)) = reader.next(&w.events[partition]) else { break };
                any = true;
                let Read::Facts(facts) = read else { continue };
                if w.workers[me].term == Some(facts.term) {
                    w.workers[me].at.insert(facts.index, offset);
                }
                let record = writes(&facts, partition, Position::new(EPOCH, offset));
                todo.extend(if w.on(Rule::LastOfRecord) { last_of_each(record) } else { record });
            }
            if !any {
                continue;
            }
            shuffle(&mut w, &mut todo);
            let progress = *reader.progress();
            todo.push(Write {
                stage: 2,
                key: RowKey::Progress(partition),
                version: progress.next(),
                value: RowValue::Progress(progress),
            });
            if w.on(Rule::Stages) {
                todo.sort_by_key(|write| write.stage);
            } else {
                let (end, at) = (todo.len() - 1, w.choose(todo.len()));
                todo.swap(end, at);
            }
        }
        for write in todo {
            step().await;
            let mut w = world.borrow_mut();
            if w.choose(16) == 15 {
                w.late.push(write.clone());
            }
            w.put(write);
        }
        let mut w = world.borrow_mut();
        if !w.on(Rule::EvictBetween) {
            w.workers[me].evict(reader.progress().next());
        }
    }
}

fn shuffle(world: &mut World, writes: &mut [Write]) {
    for end in (1..writes.len()).rev() {
        let at = end - world.choose(end + 1);
        writes.swap(end, at);
    }
}
