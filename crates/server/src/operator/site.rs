//! Works on a store that must be finished before anybody serves it, noted in the store itself.

use chat4all_backend::Result;
use chat4all_backend::store::{ReaderName, Store};
use chat4all_model::reader::{LastRead, Progress};

/// What is done to a store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It is being filled from another installation.
    Migration,
    /// Its tables are being made anew from its events.
    Rebuild,
}

/// How far a work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was never begun, or it is over and done; `of` tells what it was about.
    Rest {
        /// None if it was never begun.
        of: Option<u64>,
    },
    /// It was begun and is not finished.
    UnderWay {
        /// What it is about.
        of: u64,
    },
}

impl Work {
    const ALL: [Self; 2] = [Self::Migration, Self::Rebuild];

    /// A durable reader's place that no reader has. Its epoch is odd while the work is under way, its last record's
    /// hash tells what it is about: a place never moves back, so neither does this.
    const fn place(self) -> ReaderName {
        match self {
            Self::Migration => ReaderName("migration"),
            Self::Rebuild => ReaderName("rebuild"),
        }
    }

    /// What to do about it if it was cut off.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Migration => {
                "an installation is being migrated here and is not complete; run `chat4all migrate` again to its end"
            }
            Self::Rebuild => {
                "the store is being rebuilt and is not complete; run `chat4all rebuild --write` again to its end"
            }
        }
    }

    pub(super) async fn state(self, store: &dyn Store) -> Result<State> {
        let place = store.reader(&self.place(), 0).await?;
        let of = place.last.map(|last| last.hash);
        Ok(match of {
            Some(of) if place.epoch % 2 == 1 => State::UnderWay { of },
            of => State::Rest { of },
        })
    }

    /// Notes that it is under way; again, if it was already.
    pub(super) async fn begin(self, store: &dyn Store, of: u64) -> Result<()> {
        let epoch = store.reader(&self.place(), 0).await?.epoch;
        self.note(store, epoch | 1, of).await
    }

    /// Notes that it is done.
    pub(super) async fn finish(self, store: &dyn Store, of: u64) -> Result<()> {
        let epoch = store.reader(&self.place(), 0).await?.epoch;
        self.note(store, (epoch | 1) + 1, of).await
    }

    async fn note(self, store: &dyn Store, epoch: u32, of: u64) -> Result<()> {
        let last = Some(LastRead { offset: 0, hash: of });
        store.save_reader(&self.place(), 0, Progress { epoch, last, ..Progress::default() }).await
    }
}

/// A work that was begun on this store and not finished: nobody may serve it.
///
/// # Errors
/// Of the store.
pub async fn unfinished(store: &dyn Store) -> Result<Option<Work>> {
    for work in Work::ALL {
        if matches!(work.state(store).await?, State::UnderWay { .. }) {
            return Ok(Some(work));
        }
    }
    Ok(None)
}
