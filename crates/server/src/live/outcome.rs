//! What became of a command: who appended it waits here until the log has decided it.

use super::Place;
use crate::error::{Failure, Result};
use chat4all_model::api::Code;
use chat4all_model::command::Command;
use chat4all_model::fact::{Fact, What};
use chat4all_model::id::RecordId;
use chat4all_model::reader::Progress;
use chat4all_model::record::{Input, Source};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Commands that may be waited for at once.
const MAX_WAITERS: usize = 65_536;

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It happened; its fact stands there.
    Done(Place),
    /// Things were that way already.
    Unchanged,
    /// It broke a rule.
    Rejected(Code),
    /// Not known in time.
    Pending,
}

/// Commands that are waited for, and how far each input topic has been decided.
#[derive(Debug)]
pub(super) struct Outcomes {
    epoch: u32,
    waiting: Mutex<Waiting>,
}

/// Who waits for which command of one input topic.
type ByOffset = BTreeMap<u64, Vec<Arc<Slot>>>;

#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<RecordId, Vec<Arc<Slot>>>,
    by_offset: HashMap<(u32, Input), ByOffset>,
    /// Offset of the last command decided.
    decided: HashMap<(u32, Input), u64>,
    count: usize,
}

#[derive(Debug)]
struct Slot {
    /// Tells this command from another one under the same id.
    hash: u64,
    found: Mutex<Option<Outcome>>,
    decided: Notify,
}

/// Waits for one command. Made before it is appended, so that nothing is missed.
#[derive(Debug)]
pub struct Waiter {
    outcomes: Arc<Outcomes>,
    slot: Arc<Slot>,
    id: Option<RecordId>,
    topic: (u32, Input),
    offset: Option<u64>,
}

impl Outcomes {
    pub(super) fn new(epoch: u32) -> Self {
        Self { epoch, waiting: Mutex::default() }
    }

    pub(super) fn expect(self: &Arc<Self>, command: &Command, partition: u32) -> Result<Waiter> {
        let mut waiting = self.waiting.lock();
        if waiting.count >= MAX_WAITERS {
            return Err(Failure::new(Code::Overloaded, "too many changes wait for their outcome"));
        }
        waiting.count += 1;
        let slot = Arc::new(Slot { hash: command.hash, found: Mutex::new(None), decided: Notify::new() });
        if let Some(id) = command.id {
            waiting.by_id.entry(id).or_default().push(Arc::clone(&slot));
        }
        drop(waiting);
        let topic = (partition, command.action.input());
        Ok(Waiter { outcomes: Arc::clone(self), slot, id: command.id, topic, offset: None })
    }

    /// Waits until the command at `offset` is decided, as far as this process has heard.
    pub(super) async fn reach(
        self: &Arc<Self>,
        topic: (u32, Input),
        offset: u64,
        patience: Duration,
    ) -> Result<()> {
        {
            let mut waiting = self.waiting.lock();
            if waiting.decided.get(&topic).is_some_and(|last| *last >= offset) {
                return Ok(());
            }
            if waiting.count >= MAX_WAITERS {
                return Err(Failure::new(Code::Overloaded, "too many reads wait for their write"));
            }
            waiting.count += 1;
        }
        let slot = Arc::new(Slot { hash: 0, found: Mutex::new(None), decided: Notify::new() });
        let waiter = Waiter { outcomes: Arc::clone(self), slot, id: None, topic, offset: None };
        match waiter.outcome(offset, patience).await {
            Outcome::Pending => Err(Failure::new(Code::Unavailable, "what was written is not decided yet")),
            _ => Ok(()),
        }
    }

    /// Takes note of what was decided before this process began to listen.
    pub(super) fn begin(&self, partition: u32, progress: &Progress) {
        let mut waiting = self.waiting.lock();
        for input in [Input::Messages, Input::StatusUpdates] {
            if let Some(source) = progress.source(input).filter(|source| source.epoch == self.epoch) {
                let decided = waiting.decided.entry((partition, input)).or_default();
                *decided = source.offset.max(*decided);
            }
        }
    }

    /// Takes a record that counts.
    pub(super) fn hear(&self, place: Place, source: Source, facts: &[Fact]) {
        if source.epoch != self.epoch {
            return;
        }
        let waiting = &mut *self.waiting.lock();
        if !waiting.by_id.is_empty() {
            for fact in facts {
                let slots = fact.id.and_then(|id| waiting.by_id.get(&id)).into_iter().flatten();
                for slot in slots.filter(|slot| slot.hash == fact.hash) {
                    slot.find(place, fact);
                }
            }
        }
        let topic = (place.partition, source.input);
        let decided = waiting.decided.entry(topic).or_default();
        *decided = source.offset.max(*decided);
        if let Some(by_offset) = waiting.by_offset.get_mut(&topic) {
            while let Some(first) = by_offset.first_entry().filter(|first| *first.key() <= source.offset) {
                first.remove().iter().for_each(|slot| slot.decided.notify_one());
            }
        }
    }
}

impl Slot {
    /// Of a command that was refused at first and happened at a retry, the latter counts.
    fn find(&self, place: Place, fact: &Fact) {
        let mut found = self.found.lock();
        match (&fact.what, *found) {
            (_, Some(Outcome::Done(_))) => {}
            (What::Rejected { code, .. }, _) => *found = Some(Outcome::Rejected(*code)),
            _ => *found = Some(Outcome::Done(place)),
        }
    }
}

impl Waiter {
    /// What became of the command, which was appended at `offset`.
    pub async fn outcome(mut self, offset: u64, patience: Duration) -> Outcome {
        let decided = {
            let mut waiting = self.outcomes.waiting.lock();
            let decided = waiting.decided.get(&self.topic).is_some_and(|last| *last >= offset);
            if !decided {
                let by_offset = waiting.by_offset.entry(self.topic).or_default();
                by_offset.entry(offset).or_default().push(Arc::clone(&self.slot));
                self.offset = Some(offset);
            }
            decided
        };
        if !decided && tokio::time::timeout(patience, self.slot.decided.notified()).await.is_err() {
            return Outcome::Pending;
        }
        let found = *self.slot.found.lock();
        found.unwrap_or(Outcome::Unchanged)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let waiting = &mut *self.outcomes.waiting.lock();
        waiting.count = waiting.count.saturating_sub(1);
        let others = |slots: &mut Vec<Arc<Slot>>| {
            slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
            slots.is_empty()
        };
        if let Some(id) = self.id
            && waiting.by_id.get_mut(&id).is_some_and(others)
        {
            waiting.by_id.remove(&id);
        }
        if let Some(offset) = self.offset
            && let Some(by_offset) = waiting.by_offset.get_mut(&self.topic)
            && by_offset.get_mut(&offset).is_some_and(others)
        {
            by_offset.remove(&offset);
        }
    }
}
