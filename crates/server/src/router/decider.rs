//! Deciding one partition: take a term, go on after the last command decided, append facts, stop at the first doubt.

use super::RouterOptions;
use super::inputs::{Inputs, topic};
use super::memory::Memory;
use super::projector::Hears;
use crate::engines::Engines;
use crate::shutdown::Shutdown;
use bytes::Bytes;
use chat4all_backend::log::{Record, Topic};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::command::Command;
use chat4all_model::decide::{Torn, decide};
use chat4all_model::record::{
    Dead, EventRecord, Facts, Input, Source, Undecodable, decode_command, encode_event,
};
use chat4all_model::state::{Key, Value, first_keys, further_keys};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use metrics::{gauge, histogram};
use std::cell::Cell;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// Records of facts on their way to the log. More would only wait there.
const IN_FLIGHT: usize = 64;
/// Records appended and not yet projected, before deciding waits for the store.
const UNPROJECTED: u64 = 4_096;
/// Bytes of commands that become one record of facts, so that it stays far below the log's limit: a fact is at
/// most its command and some hundred bytes.
const RUN_BYTES: usize = 96 * 1024;
/// Commands of one record.
const RUN_COMMANDS: usize = 256;
/// A term is renewed now and then, because `events` can be trimmed only before one.
const TERM_RECORDS: u64 = 20_000;
const TERM_AGE: Duration = Duration::from_secs(3_600);
/// How long a term may take to come back from the log.
const TERM_WAIT: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Decides one partition for as long as it is assigned here.
pub(super) struct Decider {
    engines: Engines,
    options: RouterOptions,
    partition: u32,
    hears: Hears,
}

/// Why a term ended.
enum End {
    /// The end was asked for; everything appended was answered.
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

/// A term that is this router's.
struct Term {
    number: u64,
    /// Of the next record.
    index: u64,
    began: Instant,
    memory: Memory,
    in_flight: FuturesUnordered<BoxFuture<'static, (u64, Result<Vec<u64>>)>>,
    /// Index and offset of the last record the log has acknowledged.
    acknowledged: Option<(u64, u64)>,
}

impl Decider {
    pub(super) fn new(engines: Engines, options: RouterOptions, partition: u32, hears: Hears) -> Self {
        Self { engines, options, partition, hears }
    }

    pub(super) async fn run(mut self, mut shutdown: Shutdown) {
        let mut backoff = BACKOFF_MIN;
        let name = format!("partition {}", self.partition);
        let mut without_term = Instant::now();
        while !shutdown.is_asked() {
            let end = match self.take_term(&mut shutdown).await {
                Ok(term) => {
                    backoff = BACKOFF_MIN;
                    self.options.health.good(&name);
                    self.decide_all(term, &mut shutdown).await
                }
                Err(end) => end,
            };
            match end {
                End::Shutdown => return,
                End::Renewal => continue,
                End::Fenced => tracing::info!(partition = self.partition, "another router took the term"),
                End::Failed(error) => {
                    tracing::warn!(partition = self.partition, %error, "deciding stopped; trying again");
                    let lasting = matches!(error.kind, ErrorKind::Truncated | ErrorKind::Corrupt);
                    if lasting || without_term.elapsed() > Duration::from_secs(10) {
                        self.options.health.bad(name.clone(), error.to_string());
                    }
                }
            }
            if backoff == BACKOFF_MIN {
                without_term = Instant::now();
            }
            let wait = backoff.mul_f64(rand::random_range(0.5..1.0));
            backoff = (backoff * 2).min(BACKOFF_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.asked() => return,
            }
        }
    }

    /// Appends a `TERM` and waits until it is read back and all before it is projected. The projector began to
    /// read before this, so it cannot miss it.
    async fn take_term(&mut self, shutdown: &mut Shutdown) -> Result<Term, End> {
        self.hears.ready(shutdown).await.map_err(|()| End::Shutdown)?;
        let nonce: u128 = rand::random();
        let record = encode_event(&EventRecord::Term { router: self.options.name.clone(), nonce });
        let offsets = self.engines.log.append(Topic::Events, vec![(self.partition, record)]).await?;
        let offset = offsets.first().copied();
        let deadline = Instant::now() + TERM_WAIT;
        let mine = async {
            let number = self.hears.term(nonce, offset).await?;
            self.hears.projected(number).await;
            Some(number)
        };
        let number = tokio::select! {
            number = tokio::time::timeout_at(deadline, mine) => number,
            () = shutdown.asked() => return Err(End::Shutdown),
        };
        match number {
            Ok(Some(number)) => Ok(Term {
                number,
                index: 0,
                began: Instant::now(),
                memory: Memory::default(),
                in_flight: FuturesUnordered::new(),
                acknowledged: None,
            }),
            Ok(None) => Err(End::Fenced),
            Err(_) => {
                let why = "the term did not come back from the log, or the store is behind";
                Err(End::Failed(Error::new(ErrorKind::Unavailable, why)))
            }
        }
    }

    async fn decide_all(&mut self, mut term: Term, shutdown: &mut Shutdown) -> End {
        match self.decide_until(&mut term, shutdown).await {
            Ok(end) => {
                // What is on its way was decided rightly; a term that follows goes on behind it.
                while let Some((_, outcome)) = term.in_flight.next().await {
                    if let Err(error) = outcome {
                        return End::Failed(error);
                    }
                }
                end
            }
            Err(end) => end,
        }
    }

    async fn decide_until(&mut self, term: &mut Term, shutdown: &mut Shutdown) -> Result<End, End> {
        let progress = self.hears.progress();
        if progress.term != Some(term.number) {
            return Ok(End::Fenced);
        }
        let mut inputs = Inputs::after(self.engines.log.as_ref(), self.partition, &progress).await?;
        loop {
            let open = term.in_flight.len() < IN_FLIGHT && term.index < self.projected(term) + UNPROJECTED;
            tokio::select! {
                biased;
                () = shutdown.asked() => return Ok(End::Shutdown),
                Some((index, outcome)) = term.in_flight.next() => {
                    let offset = outcome?.last().copied();
                    term.acknowledged = term.acknowledged.max(offset.map(|offset| (index, offset)));
                    self.check(term)?;
                }
                () = self.hears.changed() => self.check(term)?,
                run = inputs.next(), if open => {
                    let (input, records) = run?;
                    let began = Instant::now();
                    let last = records.last().map_or(0, |record| record.offset);
                    self.decide_run(term, input, records).await?;
                    histogram!("router_processing_duration_seconds").record(began.elapsed());
                    self.report_lag(input, last).await;
                }
            }
            if term.index >= TERM_RECORDS || (term.index > 0 && term.began.elapsed() > TERM_AGE) {
                return Ok(End::Renewal);
            }
        }
    }

    /// How many records of the term are in the store.
    fn projected(&self, term: &Term) -> u64 {
        let projected = self.hears.projected_progress();
        if projected.term == Some(term.number) { projected.index } else { 0 }
    }

    /// Whether the log still says what this router thinks.
    fn check(&self, term: &Term) -> Result<(), End> {
        let heard = self.hears.progress();
        let ignored =
            term.acknowledged.is_some_and(|(index, offset)| heard.covers(offset) && heard.index <= index);
        if heard.term != Some(term.number) || ignored { Err(End::Fenced) } else { Ok(()) }
    }

    async fn report_lag(&self, input: Input, decided: u64) {
        if let Ok(bounds) = self.engines.log.bounds(topic(input), self.partition).await {
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            let lag = bounds.end.saturating_sub(decided + 1) as f64;
            gauge!("kafka_consumer_lag", "topic" => topic(input).name(), "partition" => self.partition.to_string())
                .set(lag);
        }
    }

    async fn decide_run(&mut self, term: &mut Term, input: Input, records: Vec<Record>) -> Result<(), End> {
        let epoch = self.engines.log.epoch();
        let mut run = Vec::with_capacity(records.len());
        for record in records {
            let source = Source { input, epoch, offset: record.offset };
            match decode_command(&record.payload) {
                Ok(command) => run.push((source, record.payload.len(), Ok(command))),
                Err(Undecodable::Malformed(reason)) => {
                    tracing::error!(
                        topic = topic(input).name(),
                        offset = record.offset,
                        reason,
                        "dead letter"
                    );
                    let payload = record.payload.to_vec();
                    let len = payload.len();
                    run.push((source, len, Err(Dead { source, reason: reason.into(), payload })));
                }
                Err(newer @ Undecodable::Newer(_)) => {
                    // What stands before it is decided; then the partition waits for a newer binary.
                    self.decide_decoded(term, run).await?;
                    return Err(End::Failed(Error::new(ErrorKind::Corrupt, newer)));
                }
            }
        }
        self.decide_decoded(term, run).await
    }

    async fn decide_decoded(
        &mut self,
        term: &mut Term,
        run: Vec<(Source, usize, Result<Command, Dead>)>,
    ) -> Result<(), End> {
        term.memory.age(self.projected(term));
        self.learn(term, run.iter().filter_map(|(_, _, command)| command.as_ref().ok())).await?;
        let mut batch = Batch::default();
        for (source, bytes, command) in run {
            match command {
                Ok(command) => {
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
                    let facts = decide(&state, &command)?;
                    if missing.get() {
                        return Err(Torn("a command needs more than it names").into());
                    }
                    for fact in &facts {
                        term.memory.decided(fact, term.index);
                    }
                    batch.facts.extend(facts);
                }
                Err(dead) => batch.dead.push(dead),
            }
            batch.source = Some(source);
            batch.commands += 1;
            batch.bytes += bytes;
            if batch.bytes >= RUN_BYTES || batch.commands >= RUN_COMMANDS {
                self.append(term, std::mem::take(&mut batch));
            }
        }
        self.append(term, batch);
        Ok(())
    }

    fn append(&self, term: &mut Term, batch: Batch) {
        let Some(source) = batch.source else { return };
        let facts =
            Facts { term: term.number, index: term.index, source, facts: batch.facts, dead: batch.dead };
        let payload: Bytes = encode_event(&EventRecord::Facts(facts));
        let appended = self.engines.log.append(Topic::Events, vec![(self.partition, payload)]);
        let index = term.index;
        term.in_flight.push(async move { (index, appended.await) }.boxed());
        term.index += 1;
    }

    /// Reads what these commands need and the memory does not hold.
    async fn learn<'a>(
        &self,
        term: &mut Term,
        commands: impl Iterator<Item = &'a Command> + Clone,
    ) -> Result<(), End> {
        self.read(term, commands.clone().flat_map(first_keys)).await?;
        let further: Vec<Key> = commands
            .flat_map(|command| further_keys(command, |key| term.memory.get(key).flatten().cloned()))
            .collect();
        self.read(term, further.into_iter()).await
    }

    async fn read(&self, term: &mut Term, keys: impl Iterator<Item = Key>) -> Result<(), End> {
        let missing: HashSet<Key> = keys.filter(|key| !term.memory.knows(key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<Key> = missing.into_iter().collect();
        let values: Vec<Option<Value>> = self.engines.store.values(missing.clone()).await?;
        for (key, value) in missing.into_iter().zip(values) {
            term.memory.read(key, value);
        }
        Ok(())
    }
}

/// What becomes one record.
#[derive(Default)]
struct Batch {
    source: Option<Source>,
    facts: Vec<chat4all_model::fact::Fact>,
    dead: Vec<Dead>,
    commands: usize,
    bytes: usize,
}
