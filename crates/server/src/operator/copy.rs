//! Projecting what a store has of a conversation into another, or anew into itself.

use super::digest::{END, PAGE};
use chat4all_backend::store::{Counted, Projection, Store, StoredEvent};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::command::{Count, Marker};
use chat4all_model::fact::{Fact, Markers, Rises, What};
use chat4all_model::id::{ConversationId, UserId};
use std::sync::Arc;

/// The events of a conversation, in runs.
pub(super) struct Runs<'s> {
    store: &'s dyn Store,
    conversation: &'s ConversationId,
    /// Read, and not given yet.
    ahead: Vec<StoredEvent>,
    after: u64,
    over: bool,
}

impl<'s> Runs<'s> {
    pub(super) fn of(store: &'s dyn Store, conversation: &'s ConversationId) -> Self {
        Self { store, conversation, ahead: Vec::new(), after: 0, over: false }
    }

    /// The next events; none at the end. What stands at one position is never parted: of the rows with one key that a
    /// record writes, only who projects it as a whole knows the last.
    ///
    /// # Errors
    /// `Corrupt` if an event is missing; of the store.
    pub(super) async fn next(&mut self) -> Result<Vec<StoredEvent>> {
        while !self.over {
            let page = self.store.events(self.conversation, self.after, END, PAGE).await?;
            self.over = page.is_empty();
            for event in &page {
                self.after += 1;
                if event.fact.seq() != self.after {
                    let why = format!("{}: there is no event {}", self.conversation, self.after);
                    return Err(Error::new(ErrorKind::Corrupt, why));
                }
            }
            self.ahead.extend(page);
            let last = self.ahead.last().map(|event| event.position);
            let whole = self.ahead.iter().rposition(|event| Some(event.position) != last);
            if let (Some(whole), false) = (whole, self.over) {
                let rest = self.ahead.split_off(whole + 1);
                return Ok(std::mem::replace(&mut self.ahead, rest));
            }
        }
        Ok(std::mem::take(&mut self.ahead))
    }
}

/// Projects the events of a conversation of `from` into `partition` of `to`, and gives their number.
pub(super) async fn events(
    from: &dyn Store,
    to: &dyn Store,
    partition: u32,
    conversation: &ConversationId,
) -> Result<u64> {
    let (mut runs, mut count) = (Runs::of(from, conversation), 0);
    loop {
        let run = runs.next().await?;
        if run.is_empty() {
            return Ok(count);
        }
        count += run.len() as u64;
        project(to, partition, run.into_iter().map(|event| counted(event, Vec::new())).collect()).await?;
    }
}

/// The same, and when the members' markers rose.
pub(super) async fn events_and_rises(
    from: &dyn Store,
    to: &dyn Store,
    partition: u32,
    conversation: &ConversationId,
) -> Result<u64> {
    let (mut runs, mut count) = (Runs::of(from, conversation), 0);
    loop {
        let run = runs.next().await?;
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(count) };
        let (first, last) = (first.fact.seq(), last.fact.seq());
        let mut rises = from.rises(conversation, first, last).await?;
        rises.sort_unstable_by_key(|(_, _, seq, _)| *seq);
        let mut rises = rises.into_iter().peekable();
        let mut records = Vec::with_capacity(run.len());
        for event in run {
            let at = Count { seq: event.fact.seq(), n: event.fact.n() };
            let mut risen = Vec::new();
            while let Some((user, marker, _, time)) = rises.next_if(|(_, _, seq, _)| *seq <= at.seq) {
                risen.push(rise(conversation, user, marker, at, time));
            }
            records.push(counted(event, risen));
        }
        count += records.len() as u64;
        project(to, partition, records).await?;
    }
}

/// Projects records of the past: the progress stays as it is.
pub(super) async fn project(store: &dyn Store, partition: u32, counted: Vec<Counted>) -> Result<()> {
    store.project(partition, Projection { counted, ..Projection::default() }).await
}

/// A stored event as it was read from the log, with facts without a `seq` that stand where it does.
pub(super) fn counted(event: StoredEvent, further: Vec<Fact>) -> Counted {
    let facts: Vec<Fact> = std::iter::once(event.fact).chain(further).collect();
    Counted { position: event.position, facts: facts.into(), dead: Arc::default() }
}

/// A fact that somebody's marker reached a message, at a position where it can still rise.
fn rise(conversation: &ConversationId, user: UserId, marker: Marker, at: Count, time: u64) -> Fact {
    let (markers, rises) = match marker {
        Marker::Delivered => {
            (Markers { delivered: at, ..Markers::default() }, Rises { delivered: true, read: false })
        }
        Marker::Read => (Markers { read: at, ..Markers::default() }, Rises { delivered: false, read: true }),
    };
    own(conversation, user, time, What::Receipt { markers, rises })
}

/// A fact about what somebody has of its own in a conversation.
pub(super) fn own(conversation: &ConversationId, user: UserId, time: u64, what: What) -> Fact {
    Fact { conversation: conversation.clone(), actor: user, time, id: None, hash: 0, head: None, what }
}
