//! Copying an installation to other engines.
//!
//! The source rests: nobody else has it open. Everything is written into the target at the positions it has in the
//! source, whose log is of an older epoch than the target's, so that whatever happens there later comes after it. Each
//! step may be repeated, and of a conversation the head is written last, so that a run that was cut off goes on with
//! what is missing. Refused commands are not copied: only cursors of the old log could ask for them, and those expire.

mod accounts;
mod log;
mod people;
mod target;
mod verify;

pub use verify::Counts;

use super::alone::alone;
use super::catch_up::catch_up_all;
use super::copy::{events_and_rises, project};
use super::difference::Differences;
use super::site::{State, Work};
use crate::engines::Engines;
use chat4all_backend::store::{Counted, Store};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::id::ConversationId;
use chat4all_model::rows::Position;
use futures_util::stream::{self, TryStreamExt};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Conversations and people worked on at once.
const AT_ONCE: usize = 8;
/// Conversations asked for at once.
const CONVERSATIONS: usize = 200;
/// Dead letters asked for at once.
const LETTERS: usize = 100;

/// Is told what is being done, and how much of it is done.
pub type Note<'n> = &'n (dyn Fn(&'static str, u64) + Sync);

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Migrated {
    /// The epoch of the target's log.
    pub epoch: u32,
    /// What both hold; none if the target was complete before.
    pub counts: Option<Counts>,
    /// What they hold differently. If there is anything, the target is not complete and cannot be served.
    pub differences: Differences,
}

/// Copies all that `from` holds to `to`, compares, and makes the target ready to be served. Run again after it was cut
/// off, it goes on.
///
/// # Errors
/// `Invalid` if log and store of the source are not of one history, or the target's epoch is not a later one;
/// `Conflict` if the target is not empty, was begun from something else, or a server runs there; of the engines.
pub async fn migrate(from: &Engines, to: &Engines, note: Note<'_>) -> Result<Migrated> {
    let (old, epoch) = (from.log.epoch(), to.log.epoch());
    if epoch <= old {
        let why =
            format!("the target's log is of epoch {epoch}, it must be a later one than the source's, {old}");
        return Err(Error::new(ErrorKind::Invalid, why));
    }
    let migration = Migration { from, to, note };
    Box::pin(alone(to.log.as_ref(), migration.run())).await
}

struct Migration<'m> {
    from: &'m Engines,
    to: &'m Engines,
    note: Note<'m>,
}

impl Migration<'_> {
    async fn run(&self) -> Result<Migrated> {
        let decided = catch_up_all(self.from).await?;
        let source = target::fingerprint(self.from).await?;
        let store = self.to.store.as_ref();
        let epoch = self.to.log.epoch();
        let otherwise = |why: &str| Err(Error::new(ErrorKind::Conflict, why));
        match Work::Migration.state(store).await? {
            State::Rest { of: None } => target::require_empty(self.to).await?,
            State::UnderWay { of } if of == source => {}
            State::UnderWay { .. } => {
                return otherwise(
                    "a migration to this target was begun from another folder, or a server ran on the folder since: \
                     empty the target and begin again",
                );
            }
            State::Rest { of: Some(of) } if of == source => {
                return Ok(Migrated { epoch, counts: None, differences: Differences::default() });
            }
            State::Rest { .. } => {
                return otherwise("an installation was migrated to this target already; choose an empty one");
            }
        }
        Work::Migration.begin(store, source).await?;
        accounts::copy(self.from, self.to, self.note).await?;
        self.conversations().await?;
        people::copy(self.from, self.to, self.note).await?;
        self.dead_letters().await?;
        let taken = log::take_over_all(self.from, self.to, &decided).await?;
        let (counts, differences) = verify::verify(self.from, self.to, taken, self.note).await?;
        if differences.is_empty() {
            target::open(self.to).await?;
            Work::Migration.finish(store, source).await?;
        }
        Ok(Migrated { epoch, counts: Some(counts), differences })
    }

    async fn conversations(&self) -> Result<()> {
        let (done, mut after) = (AtomicU64::new(0), None);
        loop {
            let (page, next) = self.from.store.conversations(after, CONVERSATIONS).await?;
            let missing = missing(self.from.store.as_ref(), self.to.store.as_ref(), page).await?;
            stream::iter(missing.iter().map(Ok))
                .try_for_each_concurrent(AT_ONCE, |conversation| async {
                    let partition = conversation.partition(self.to.log.partitions());
                    let (from, to) = (self.from.store.as_ref(), self.to.store.as_ref());
                    let events = events_and_rises(from, to, partition, conversation).await?;
                    (self.note)("events copied", done.fetch_add(events, Ordering::Relaxed) + events);
                    Ok::<_, Error>(())
                })
                .await?;
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Dead letters stand at positions of their own: in the order in which they are listed.
    async fn dead_letters(&self) -> Result<()> {
        let (from, to) = (self.from.store.as_ref(), self.to.store.as_ref());
        let (mut after, mut number) = (None, 0);
        loop {
            let page = from.dead_letters(after, LETTERS).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            let letters = (number..).zip(page.iter()).map(|(number, letter)| Counted {
                position: Position::new(self.from.log.epoch(), number),
                facts: Arc::default(),
                dead: [letter.dead.clone()].into(),
            });
            let letters: Vec<_> = letters.collect();
            number += letters.len() as u64;
            project(to, 0, letters).await?;
        }
        let (mut theirs, mut ours) = (None, None);
        loop {
            let (page, copies) =
                (from.dead_letters(theirs, LETTERS).await?, to.dead_letters(ours, LETTERS).await?);
            let (Some(last), Some(last_copy)) = (page.last(), copies.last()) else { return Ok(()) };
            (theirs, ours) = (Some(last.id.clone()), Some(last_copy.id.clone()));
            for (letter, copy) in page.iter().zip(&copies) {
                if let (Some(time), None) = (letter.replayed_at, copy.replayed_at) {
                    to.mark_replayed(&copy.id, time).await?;
                }
            }
        }
    }
}

/// The conversations that are not wholly there. Their heads are, last of all, if they are.
async fn missing(
    from: &dyn Store,
    to: &dyn Store,
    conversations: Vec<ConversationId>,
) -> Result<Vec<ConversationId>> {
    let theirs = from.overviews(conversations.clone()).await?;
    let ours = to.overviews(conversations.clone()).await?;
    let both = conversations.into_iter().zip(theirs.into_iter().zip(ours));
    Ok(both.filter(|(_, (theirs, ours))| theirs != ours).map(|(conversation, _)| conversation).collect())
}
