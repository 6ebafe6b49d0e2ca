//! The way out of `events`: the one place where a process reads facts.

use chat4all_backend::log::{EventLog, Follower, Record, Topic};
use chat4all_backend::store::Counted;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::id::short_hash;
use chat4all_model::reader::{Progress, Read, Reader};
use chat4all_model::record::{Source, Undecodable};
use chat4all_model::rows::Position;
use std::time::Duration;

/// How long a record that is there may take to come.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Follows one partition of `events` and gives what counts.
pub struct Events {
    follower: Box<dyn Follower>,
    reader: Reader,
    /// Came with the record at `Progress::last`, which was read again to see whether the log is the same.
    ahead: Vec<Record>,
    /// What stands at the next offset is newer than this binary.
    stopped: Option<Undecodable>,
}

/// A record of `events`, read.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its offset.
    pub offset: u64,
    /// What it is.
    pub what: Happening,
}

/// What a record of `events` means.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A term began.
    Term {
        /// By which its router knows it.
        nonce: u128,
    },
    /// Facts, or the trace of commands that changed nothing.
    Counted {
        /// The last command of the run.
        source: Source,
        /// The term's number and the record's index in it.
        place: (u64, u64),
        /// What happened.
        counted: Counted,
    },
    /// A record that does not count.
    Ignored,
}

impl Events {
    /// Goes on after `progress`; from a default one, at the log's start.
    ///
    /// # Errors
    /// `Truncated` if the log is not the one that `progress` came from, `Trimmed` if it begins later.
    pub async fn after(log: &dyn EventLog, partition: u32, progress: Progress) -> Result<Self> {
        // Of another incarnation even if nothing was read of it yet: what this log holds was mended away.
        if progress.epoch != 0 && progress.epoch != log.epoch() {
            let known = progress.epoch;
            return Err(Error::new(
                ErrorKind::Truncated,
                format!("progress is of epoch {known}, the log of {}", log.epoch()),
            ));
        }
        let bounds = log.bounds(Topic::Events, partition).await?;
        let mut ahead = Vec::new();
        let follower = match progress.last {
            Some(last) if last.offset >= bounds.end => {
                let why = format!("events were read up to {}, the log ends at {}", last.offset, bounds.end);
                return Err(Error::new(ErrorKind::Truncated, why));
            }
            // The record last read is read again: if it is another one, the log is another log.
            Some(last) if bounds.start <= last.offset => {
                let mut follower = log.follow(Topic::Events, partition, last.offset).await?;
                let late =
                    |_| Error::new(ErrorKind::Unavailable, "the record last read did not come in time");
                let records = tokio::time::timeout(READ_WITHIN, follower.next()).await.map_err(late)??;
                let mut records = records.into_iter();
                let same = |r: &Record| r.offset == last.offset && short_hash(&r.payload) == last.hash;
                if !records.next().as_ref().is_some_and(same) {
                    let at = last.offset;
                    let why = format!("the log holds another record at {at} than the one last read there");
                    return Err(Error::new(ErrorKind::Truncated, why));
                }
                ahead.extend(records);
                follower
            }
            last => {
                let from = last.map_or(bounds.start, |last| last.offset + 1);
                log.follow(Topic::Events, partition, from).await?
            }
        };
        let progress = Progress { epoch: log.epoch(), ..progress };
        Ok(Self { follower, reader: Reader::new(progress), ahead, stopped: None })
    }

    /// Starts at the `TERM` record at `offset`, which needs nothing of the past.
    ///
    /// # Errors
    /// `Trimmed` if it is gone.
    pub async fn at_term(log: &dyn EventLog, partition: u32, offset: u64) -> Result<Self> {
        let follower = log.follow(Topic::Events, partition, offset).await?;
        let reader = Reader::new(Progress { epoch: log.epoch(), ..Progress::default() });
        Ok(Self { follower, reader, ahead: Vec::new(), stopped: None })
    }

    /// How far it has come, all that [`next`](Self::next) has given included.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        self.reader.progress()
    }

    /// The next records: at least one, as many as are at hand.
    ///
    /// # Cancellation
    /// Safe.
    ///
    /// # Errors
    /// `Corrupt` at a record newer than this binary, again and again; the engine's own.
    pub async fn next(&mut self) -> Result<Vec<Seen>> {
        if let Some(newer) = &self.stopped {
            return Err(Error::new(ErrorKind::Corrupt, newer.clone()));
        }
        let records = match std::mem::take(&mut self.ahead) {
            none if none.is_empty() => self.follower.next().await?,
            ahead => ahead,
        };
        let mut seen = Vec::with_capacity(records.len());
        for record in records {
            let offset = record.offset;
            let what = match self.reader.read(offset, &record.payload) {
                Ok(Read::Term { nonce }) => Happening::Term { nonce },
                Ok(Read::Facts(facts)) => Happening::Counted {
                    source: facts.source,
                    place: (facts.term, facts.index),
                    counted: Counted {
                        position: Position::new(self.reader.progress().epoch, offset),
                        facts: facts.facts.into(),
                        dead: facts.dead.into(),
                    },
                },
                Ok(Read::Ignored) => Happening::Ignored,
                Err(newer) if seen.is_empty() => {
                    self.stopped = Some(newer.clone());
                    return Err(Error::new(ErrorKind::Corrupt, newer));
                }
                // What stands before it is given first.
                Err(newer) => {
                    self.stopped = Some(newer);
                    break;
                }
            };
            seen.push(Seen { offset, what });
        }
        Ok(seen)
    }
}
