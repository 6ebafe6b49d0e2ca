//! The way out of `events`: the one place where a process reads facts.

use chat4all_backend::log::{EventLog, Follower, Topic};
use chat4all_backend::store::Counted;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::id::short_hash;
use chat4all_model::reader::{Progress, Read, Reader};
use chat4all_model::record::{Source, Undecodable};
use chat4all_model::rows::Position;

/// Follows one partition of `events` and gives what counts.
pub struct Events {
    follower: Box<dyn Follower>,
    reader: Reader,
    /// The record at `Progress::last`, to be checked against the log before anything is given.
    unchecked: bool,
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
        if progress.last.is_some() && progress.epoch != log.epoch() {
            let known = progress.epoch;
            return Err(Error::new(
                ErrorKind::Truncated,
                format!("progress is of epoch {known}, the log of {}", log.epoch()),
            ));
        }
        // The record last read is read again: if it is another one, the log is another log.
        let (from, unchecked) = match progress.last {
            Some(last) if log.bounds(Topic::Events, partition).await?.start <= last.offset => (last.offset, true),
            Some(last) => (last.offset + 1, false),
            None => (log.bounds(Topic::Events, partition).await?.start, false),
        };
        let follower = log.follow(Topic::Events, partition, from).await?;
        let progress = Progress { epoch: log.epoch(), ..progress };
        Ok(Self { follower, reader: Reader::new(progress), unchecked })
    }

    /// Starts at the `TERM` record at `offset`, which needs nothing of the past.
    ///
    /// # Errors
    /// `Trimmed` if it is gone.
    pub async fn at_term(log: &dyn EventLog, partition: u32, offset: u64) -> Result<Self> {
        let follower = log.follow(Topic::Events, partition, offset).await?;
        let reader = Reader::new(Progress { epoch: log.epoch(), ..Progress::default() });
        Ok(Self { follower, reader, unchecked: false })
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
    /// `Truncated` if the log is not the one that the progress came from, `Corrupt` at a record newer than this
    /// binary; the engine's own.
    pub async fn next(&mut self) -> Result<Vec<Seen>> {
        let mut records = self.follower.next().await?.into_iter();
        let mut seen = Vec::with_capacity(records.len());
        if std::mem::take(&mut self.unchecked)
            && let (Some(last), Some(record)) = (self.reader.progress().last, records.next())
            && (record.offset != last.offset || short_hash(&record.payload) != last.hash)
        {
            self.unchecked = true;
            let why = format!("the log holds another record at {} than the one last read there", last.offset);
            return Err(Error::new(ErrorKind::Truncated, why));
        }
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
                Err(newer @ (Undecodable::Newer(_) | Undecodable::Malformed(_))) => {
                    return Err(Error::new(ErrorKind::Corrupt, newer));
                }
            };
            seen.push(Seen { offset, what });
        }
        Ok(seen)
    }
}
