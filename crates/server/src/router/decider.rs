//! Deciding one partition: take a term, go on after the last command decided, append facts, stop at the first doubt.

use super::RouterOptions;
use super::batch::{Batch, Outcome};
use super::inputs::{Inputs, topic};
use super::projector::Hears;
use super::term::Term;
use super::trouble::Trouble;
use crate::engines::Engines;
use crate::shutdown::Shutdown;
use chat4all_backend::log::{Record, Topic};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::command::Command;
use chat4all_model::decide::{Torn, decide};
use chat4all_model::record::{EventRecord, Input, Source, Undecodable, decode_command, encode_event};
use chat4all_model::state::{Key, first_keys, further_keys};
use futures_util::{FutureExt, StreamExt};
use metrics::{Histogram, histogram};
use std::cell::Cell;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long an engine may take to answer, and a term to come back once the store has caught up.
const ANSWER: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How often the log is asked again for room in its queue, and for how long.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// Decides one partition for as long as it is assigned here.
pub(super) struct Decider {
    engines: Engines,
    options: RouterOptions,
    partition: u32,
    hears: Hears,
    shutdown: Shutdown,
    trouble: Trouble,
    /// Of a run of commands: from reading the state until its facts are handed to the log.
    duration: Histogram,
}

/// Why a term ended.
enum End {
    /// The end was asked for.
    Shutdown,
    /// It has lasted long enough.
    Renewal,
    /// Another router has the partition, or thinks so.
    Fenced,
    /// Something failed.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Torn> for End {
    fn from(torn: Torn) -> Self {
        Self::Failed(Error::new(ErrorKind::Corrupt, torn))
    }
}

/// A command and its place, or what comes of what is none.
type Decoded = (Source, Result<Command, Outcome>);

impl Decider {
    pub(super) fn new(
        engines: Engines,
        options: RouterOptions,
        partition: u32,
        hears: Hears,
        shutdown: Shutdown,
    ) -> Self {
        let trouble = Trouble::none(options.health.clone(), format!("partition {partition}"));
        let duration = histogram!("router_processing_duration_seconds");
        Self { engines, options, partition, hears, shutdown, trouble, duration }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        self.trouble.is("it has no term yet".into());
        while !self.shutdown.is_asked() {
            let began = Instant::now();
            let end = self.one_term().await;
            // One that ended at once would, taken again at once, only fill the log with terms.
            if began.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            match end {
                End::Shutdown => return,
                End::Renewal => continue,
                End::Fenced => {
                    tracing::info!(partition = self.partition, "another router took the term");
                    self.trouble.is("another router took the term".into());
                }
                End::Failed(error) => {
                    tracing::warn!(partition = self.partition, %error, "deciding stopped; trying again");
                    match passes(&error) {
                        true => self.trouble.is(error.to_string()),
                        false => self.trouble.lasts(error.to_string()),
                    }
                }
            }
            if self.pause(&mut backoff).await.is_err() {
                return;
            }
        }
    }

    async fn one_term(&mut self) -> End {
        let Self { engines, options, partition, hears, shutdown, trouble, .. } = self;
        let taking = trouble.during(take_term(engines, options, *partition, hears));
        let taken = tokio::select! {
            taken = taking => taken,
            () = shutdown.asked() => return End::Shutdown,
        };
        let mut term = match taken {
            Ok(term) => term,
            Err(end) => return end,
        };
        match self.decide_until_end(&mut term).await {
            // What is on its way was decided rightly; a term that follows goes on behind it.
            Ok(end) => match term.drain().await {
                Ok(()) => end,
                Err(error) => End::Failed(error),
            },
            Err(end) => end,
        }
    }

    async fn decide_until_end(&mut self, term: &mut Term) -> Result<End, End> {
        let progress = self.hears.progress();
        if progress.term != Some(term.number) {
            return Err(End::Fenced);
        }
        let mut inputs = Inputs::after(self.engines.log.as_ref(), self.partition, &progress).await?;
        self.trouble.may_be_over();
        loop {
            term.projected(&self.hears.projected_progress());
            tokio::select! {
                biased;
                () = self.shutdown.asked() => return Ok(End::Shutdown),
                Some((index, outcome)) = term.in_flight.next() => {
                    term.appended(index, &outcome?);
                    self.check(term)?;
                }
                () = self.hears.changed() => self.check(term)?,
                run = inputs.next(), if term.has_room() => {
                    let (input, records) = run?;
                    let began = Instant::now();
                    self.decide_run(term, input, records).await?;
                    self.duration.record(began.elapsed());
                }
            }
            if term.is_old() {
                return Ok(End::Renewal);
            }
        }
    }

    /// Whether the log still says what this router thinks.
    fn check(&mut self, term: &Term) -> Result<(), End> {
        match term.agrees(&self.hears.progress()) {
            Some(false) => return Err(End::Fenced),
            Some(true) if !term.parked => self.trouble.over(),
            Some(true) | None => {}
        }
        Ok(())
    }

    async fn decide_run(&mut self, term: &mut Term, input: Input, records: Vec<Record>) -> Result<(), End> {
        let epoch = self.engines.log.epoch();
        let mut run: Vec<Decoded> = Vec::with_capacity(records.len());
        for Record { offset, payload } in records {
            let source = Source { input, epoch, offset };
            run.push((
                source,
                match decode_command(&payload) {
                    Ok(command) => Ok(command),
                    Err(Undecodable::Malformed(reason)) => {
                        tracing::error!(topic = topic(input).name(), offset, reason, "dead letter");
                        Err(Outcome::dead(source, reason, &payload))
                    }
                    Err(newer @ Undecodable::Newer(_)) => {
                        // What stands before it is decided; then the partition waits for a newer binary.
                        let why = format!("{} at offset {offset}: {newer}", topic(input).name());
                        tracing::error!(
                            partition = self.partition,
                            why,
                            "the partition waits for a newer version"
                        );
                        self.decide_decoded(term, run).await?;
                        term.parked = true;
                        self.trouble.lasts(why);
                        return Ok(());
                    }
                },
            ));
        }
        self.decide_decoded(term, run).await
    }

    async fn decide_decoded(&mut self, term: &mut Term, run: Vec<Decoded>) -> Result<(), End> {
        let projected = term.projected(&self.hears.projected_progress());
        term.memory.age(projected);
        self.learn(term, run.iter().filter_map(|(_, command)| command.as_ref().ok())).await?;
        let mut batch = Batch::default();
        for (source, command) in run {
            let outcome = match command {
                Ok(command) => decide_one(term, &command)?,
                Err(dead) => dead,
            };
            if batch.is_full_for(outcome.bytes) {
                self.append(term, std::mem::take(&mut batch)).await?;
                // A run may take some ten milliseconds, and others have work too.
                tokio::task::yield_now().await;
            }
            for fact in &outcome.facts {
                term.memory.decided(fact, term.index);
            }
            batch.push(source, outcome);
        }
        self.append(term, batch).await
    }

    async fn append(&mut self, term: &mut Term, batch: Batch) -> Result<(), End> {
        let commands = batch.commands();
        let Some(payload) = batch.encode(term.number, term.index) else { return Ok(()) };
        let deadline = Instant::now() + ROOM_WAIT;
        loop {
            let mut appended =
                self.engines.log.append(Topic::Events, vec![(self.partition, payload.clone())]);
            // A queue that is full says so at once, and nothing follows that could pass this record.
            match (&mut appended).now_or_never() {
                Some(Err(error)) if error.kind == ErrorKind::Overloaded && Instant::now() < deadline => {
                    tokio::select! {
                        () = tokio::time::sleep(ROOM_PAUSE) => {}
                        () = self.shutdown.asked() => return Err(End::Shutdown),
                    }
                    self.check(term)?;
                }
                Some(outcome) => {
                    term.appending(commands, std::future::ready(outcome).boxed());
                    return Ok(());
                }
                None => {
                    term.appending(commands, appended);
                    return Ok(());
                }
            }
        }
    }

    /// Reads what these commands need and the memory does not hold.
    async fn learn<'a>(
        &mut self,
        term: &mut Term,
        commands: impl Iterator<Item = &'a Command> + Clone,
    ) -> Result<(), End> {
        self.read(term, commands.clone().flat_map(first_keys)).await?;
        let further: Vec<Key> = commands
            .flat_map(|command| further_keys(command, |key| term.memory.get(key).flatten().cloned()))
            .collect();
        self.read(term, further.into_iter()).await
    }

    /// A store that does not answer pauses the partition and is asked again: the term is not in doubt.
    async fn read(&mut self, term: &mut Term, keys: impl Iterator<Item = Key>) -> Result<(), End> {
        let missing: HashSet<Key> = keys.filter(|key| !term.memory.knows(key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<Key> = missing.into_iter().collect();
        let mut backoff = BACKOFF_MIN;
        let values = loop {
            match answer(self.engines.store.values(missing.clone())).await {
                Ok(values) => break values,
                Err(error) if passes(&error) => {
                    tracing::warn!(partition = self.partition, %error, "deciding waits for the store");
                    self.trouble.is(error.to_string());
                    self.pause(&mut backoff).await?;
                    self.check(term)?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        for (key, value) in missing.into_iter().zip(values) {
            term.memory.read(key, value);
        }
        Ok(())
    }

    /// Waits before the next attempt, the longer the more there were.
    async fn pause(&mut self, backoff: &mut Duration) -> Result<(), End> {
        let wait = backoff.mul_f64(rand::random_range(0.5..1.0));
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
        tokio::select! {
            () = self.trouble.during(tokio::time::sleep(wait)) => Ok(()),
            () = self.shutdown.asked() => Err(End::Shutdown),
        }
    }
}

/// Appends a `TERM` and waits until it is read back and all before it is projected. The projector began to read
/// before this, so it cannot miss it.
async fn take_term(
    engines: &Engines,
    options: &RouterOptions,
    partition: u32,
    hears: &mut Hears,
) -> Result<Term, End> {
    hears.following().await;
    // The store comes as far as the log first, however long that takes: a term that nobody can use yet would
    // only stop whoever decides, and with a store that is away for long they would fill the log.
    let bounds = answer(engines.log.bounds(Topic::Events, partition)).await?;
    if bounds.start < bounds.end {
        while timeout(ANSWER, hears.projected(bounds.end - 1)).await.is_err() && !hears.is_idle() {}
    }
    let nonce: u128 = rand::random();
    let record = encode_event(&EventRecord::Term { router: options.name.clone(), nonce });
    let offsets = answer(engines.log.append(Topic::Events, vec![(partition, record)])).await?;
    let offset = offsets.first().copied();
    let mine = async {
        let number = hears.term(nonce, offset).await?;
        hears.projected(number).await;
        Some(number)
    };
    match timeout(ANSWER, mine).await {
        Ok(Some(number)) => Ok(Term::new(number)),
        Ok(None) => Err(End::Fenced),
        Err(_) => {
            let why = "the term did not come back from the log, or the store is behind";
            Err(Error::new(ErrorKind::Unavailable, why).into())
        }
    }
}

fn decide_one(term: &Term, command: &Command) -> Result<Outcome, Torn> {
    let missing = Cell::new(false);
    let state = |key: &Key| match term.memory.get(key) {
        Some(value) => value.cloned(),
        // A reaction to a message of this very run: nobody can have read it before.
        None if matches!(key, Key::Reaction(..)) => None,
        None => {
            missing.set(true);
            None
        }
    };
    let facts = decide(&state, command)?;
    if missing.get() {
        return Err(Torn("a command needs more than it names"));
    }
    Ok(Outcome::decided(command, facts))
}

/// What an engine answers, in time.
async fn answer<T>(question: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::new(ErrorKind::OutcomeUnknown, "an engine did not answer in time");
    timeout(ANSWER, question).await.map_err(late).and_then(|answer| answer)
}

/// Whether it may be otherwise when tried again.
fn passes(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::OutcomeUnknown)
}
