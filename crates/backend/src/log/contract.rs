//! The contract of the event log as a table of cases that every engine passes.

mod following;
mod groups;
mod keeping;

use super::{Bounds, EventLog, Follower, Record, Topic};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// One sentence of the contract, tried.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What should hold, as a name of a test.
    pub name: &'static str,
    /// What the fixture must be able to do; without it the case does not concern the engine.
    pub needs: &'static [Capability],
    /// Tries it on a fresh log. Needs a tokio runtime with timers.
    pub run: for<'a> fn(&'a dyn Fixture) -> BoxFuture<'a, Outcome>,
}

/// What a case found.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What not every fixture can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// [`Fixture::reopen`].
    Reopen,
    /// [`Fixture::pass`].
    Clock,
    /// [`Fixture::narrow`].
    Narrow,
}

/// Makes the log that a case is tried on: its own, empty, with four partitions.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Whether the methods below that not every fixture has work.
    fn can(&self, capability: Capability) -> bool;

    /// Makes the log. Called first, and once.
    async fn open(&self) -> Result<Arc<dyn EventLog>>;

    /// Makes a log whose queue is full after a few records, instead of [`open`](Self::open).
    async fn narrow(&self) -> Result<Arc<dyn EventLog>>;

    /// Ends the engine and starts it on what it kept. Earlier logs do not work any more.
    async fn reopen(&self) -> Result<Arc<dyn EventLog>>;

    /// Moves the clock that the log sees.
    fn pass(&self, time: Duration);

    /// The time that the log sees, in milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Every case.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    keeping::CASES.iter().chain(following::CASES).chain(groups::CASES)
}

/// Fails a case with a sentence unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+).into());
        }
    };
}
use ensure;

/// A row of the table: the function's name is the case's.
macro_rules! case {
    ($name:ident) => { case!($name,) };
    ($name:ident, $($needs:ident),*) => {
        Case { name: stringify!($name), needs: &[$(Capability::$needs),*], run: |fixture| Box::pin($name(fixture)) }
    };
}
use case;

/// How long a case waits for what should happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn in_time<T>(what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(ErrorKind::Unavailable, format!("waited {PATIENCE:?} in vain: {what}"))),
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn append_one(log: &dyn EventLog, partition: u32, payload: &str) -> Result<u64> {
    let offsets = in_time("append", log.append(Topic::Events, vec![(partition, text(payload))])).await?;
    match offsets[..] {
        [offset] => Ok(offset),
        _ => Err(Error::new(ErrorKind::Corrupt, format!("one record appended, offsets {offsets:?}"))),
    }
}

/// Appends `names` one after another to partition 0.
async fn append_all(log: &dyn EventLog, names: std::ops::Range<usize>) -> Result<Vec<u64>> {
    let records = names.map(|name| (0, text(&name.to_string()))).collect();
    in_time("append", log.append(Topic::Events, records)).await
}

/// Reads until `count` records were given.
async fn take(follower: &mut dyn Follower, count: usize) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    while all.len() < count {
        let records = in_time(&format!("{count} records, {} came", all.len()), follower.next()).await?;
        if records.is_empty() {
            return Err(Error::new(ErrorKind::Corrupt, "a follower gave nothing instead of waiting"));
        }
        all.extend(records);
    }
    Ok(all)
}

/// All that partition 0 of `events` holds.
async fn everything(log: &dyn EventLog, count: usize) -> Result<Vec<Record>> {
    let Bounds { start, .. } = log.bounds(Topic::Events, 0).await?;
    take(log.follow(Topic::Events, 0, start).await?.as_mut(), count).await
}

fn payloads(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}

fn kind<T>(outcome: Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind)
}
