//! The one reader of `events`, which applies the rule of terms for everybody.
//!
//! A record counts only if its term is the newest seen before it in the log and its index is the number of
//! records that counted in that term so far. A duplicate, whatever follows a lost append, and everything of an
//! older term is so ignored by all readers, the same way, for ever.

use crate::id::short_hash;
use crate::record::{EventRecord, Facts, Input, Source, Undecodable, decode_event};
use serde::{Deserialize, Serialize};

/// How far a reader has come: all that it needs to go on. One value, written as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The incarnation of `events`.
    pub epoch: u32,
    /// The last record read; none before the first.
    pub last: Option<LastRead>,
    /// The term in force there.
    pub term: Option<u64>,
    /// The index of the next record that counts.
    pub index: u64,
    /// The last command decided of `messages`.
    pub messages: Option<Source>,
    /// The last command decided of `status-updates`.
    pub status_updates: Option<Source>,
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRead {
    /// Its offset.
    pub offset: u64,
    /// A hash of its bytes: where the log holds another record here, it is not the log this came from.
    pub hash: u64,
}

impl Progress {
    /// The offset to read next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.offset + 1)
    }

    /// Whether the record at `offset` has been read.
    #[must_use]
    pub fn covers(&self, offset: u64) -> bool {
        self.last.is_some_and(|last| last.offset >= offset)
    }

    /// The last command decided of an input topic.
    #[must_use]
    pub fn source(&self, input: Input) -> Option<Source> {
        match input {
            Input::Messages => self.messages,
            Input::StatusUpdates => self.status_updates,
        }
    }
}

/// What a record turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A new term is in force.
    Term {
        /// By which its router knows it.
        nonce: u128,
    },
    /// It counts.
    Facts(Facts),
    /// It does not count.
    Ignored,
}

/// Reads the records of one partition of `events`, in order.
#[derive(Debug, Clone)]
pub struct Reader {
    progress: Progress,
}

impl Reader {
    /// A reader that goes on from `progress`. From a default one it starts anywhere at a `TERM` record, which
    /// needs nothing of the past.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        Self { progress }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`Undecodable::Newer`]: nothing was taken, and the partition must wait for a newer binary. A malformed
    /// record never counts and is no error.
    pub fn read(&mut self, offset: u64, payload: &[u8]) -> Result<Read, Undecodable> {
        let record = match decode_event(payload) {
            Ok(record) => Some(record),
            Err(Undecodable::Malformed(_)) => None,
            Err(newer) => return Err(newer),
        };
        let p = &mut self.progress;
        p.last = Some(LastRead { offset, hash: short_hash(payload) });
        Ok(match record {
            Some(EventRecord::Term { nonce, .. }) => {
                (p.term, p.index) = (Some(offset), 0);
                Read::Term { nonce }
            }
            Some(EventRecord::Facts(facts)) if p.term == Some(facts.term) && p.index == facts.index => {
                p.index += 1;
                match facts.source.input {
                    Input::Messages => p.messages = Some(facts.source),
                    Input::StatusUpdates => p.status_updates = Some(facts.source),
                }
                Read::Facts(facts)
            }
            Some(EventRecord::Facts(_)) | None => Read::Ignored,
        })
    }
}
