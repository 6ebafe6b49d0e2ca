//! Catching up from the store, where the ring does not reach back: what the ring would have given, read page by
//! page up to a point that the store had reached when it began.

use super::sight::Sight;
use super::{Attachment, Hub, encode};
use crate::error::{Failure, Result};
use bytes::Bytes;
use chat4all_model::api::Event;
use chat4all_model::command::Count;
use chat4all_model::cursor::{Cursor, Page, Stage};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::Position;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Conversations whose heads are read at once.
const CHUNK: usize = 128;

/// A page of a catch-up from the store.
#[derive(Debug)]
pub struct Given {
    /// In order of `seq` within each conversation.
    pub events: Vec<Event>,
    /// Where the next page, or the ring, begins.
    pub cursor: Cursor,
}

impl Given {
    /// The events as frames.
    #[must_use]
    pub fn frames(&self) -> Vec<Bytes> {
        self.events.iter().map(encode::frame).collect()
    }
}

/// What is for one user and belongs to no conversation's events.
#[derive(Debug, Clone, Copy)]
enum Personal {
    /// Of the own markers and settings.
    Changes,
    /// Of commands that were refused.
    Rejections,
}

/// One page in the making.
struct CatchUp<'a> {
    hub: &'a Hub,
    user: &'a UserId,
    epoch: u32,
    from: Vec<u64>,
    to: Vec<u64>,
    limit: usize,
    events: Vec<Event>,
}

impl Attachment {
    /// The next page of a catch-up from the store. Waits for its turn.
    ///
    /// # Errors
    /// `Unavailable` if the store is behind the ring; the store's own.
    pub async fn store_page(&self, cursor: Cursor, limit: usize) -> Result<Given> {
        let hub = self.hub();
        let _turn = hub.turns.acquire().await.map_err(Failure::internal)?;
        let Cursor { epoch, next: from, page } = cursor;
        let (to, stage) = match page {
            Some(Page { to, stage }) => (to, stage),
            None => (hub.end_point(&from).await?, Stage::Events { conversation: None, seq: 0 }),
        };
        let page =
            CatchUp { hub, user: self.user(), epoch, from, to, limit: limit.max(1), events: Vec::new() };
        page.read(stage).await
    }
}

impl Attachment {
    /// By the heads of the store: how far each conversation has been delivered to a client that has everything
    /// before `to`, where it was not known to be so far. Waits for its turn.
    ///
    /// # Errors
    /// The store's own.
    pub async fn received_by_heads(&self, to: &[u64]) -> Result<Vec<(ConversationId, Count)>> {
        let hub = self.hub();
        let _turn = hub.turns.acquire().await.map_err(Failure::internal)?;
        let store = &hub.engines.store;
        let open =
            store.memberships(self.user()).await?.into_iter().filter(|(_, interval)| interval.to.is_none());
        let open: Vec<ConversationId> = open.map(|(conversation, _)| conversation).collect();
        let mut received = Vec::new();
        for chunk in open.chunks(CHUNK) {
            let overviews = store.overviews(chunk.to_vec()).await?;
            let own = store.own(self.user(), chunk.to_vec()).await?;
            for ((conversation, overview), own) in chunk.iter().zip(overviews).zip(own) {
                let Some(overview) = overview else { continue };
                let end = to.get(hub.partition(conversation) as usize).copied().unwrap_or(0);
                let head = overview.head;
                // What is newer than the client's cursor is acknowledged by a later one.
                let has_it = overview.position < Position::new(hub.epoch(), end);
                if has_it && head.last_by_others(self.user()) > own.markers.delivered.seq {
                    received.push((conversation.clone(), Count { seq: head.seq, n: head.n }));
                }
            }
        }
        Ok(received)
    }
}

impl Hub {
    /// Whether a cursor is of this log.
    #[must_use]
    pub fn admits(&self, cursor: &Cursor) -> bool {
        let count = self.partitions.len();
        let page_fits = cursor.page.as_ref().is_none_or(|page| page.to.len() == count);
        cursor.epoch == self.engines.log.epoch() && cursor.next.len() == count && page_fits
    }

    async fn end_of(&self, partition: u32, from: u64) -> Result<u64> {
        let progress = self.engines.store.progress(partition).await?;
        self.note_progress(partition, progress);
        Ok(progress.next().max(from))
    }

    /// Where a catch-up ends: as far as the store has come, which is what the ring can go on from.
    async fn end_point(&self, from: &[u64]) -> Result<Vec<u64>> {
        let starts: Vec<u64> = self.state.lock().rings.iter().map(|ring| ring.start).collect();
        self.tracker.reach_all(&starts).await?;
        let ends = (0..).zip(from).map(|(partition, from)| self.end_of(partition, *from));
        try_join_all(ends).await
    }
}

impl CatchUp<'_> {
    async fn read(mut self, stage: Stage) -> Result<Given> {
        let mut stage = Some(stage);
        while let Some(at) = stage {
            stage = match at {
                Stage::Events { conversation, seq } => self.conversations(conversation, seq).await?,
                Stage::Own { partition, after } => self.own(partition, after).await?,
                Stage::Rejections { partition, after } => self.rejections(partition, after).await?,
            };
            if self.events.len() >= self.limit
                && let Some(stage) = stage
            {
                let page = Some(Page { to: self.to, stage });
                let cursor = Cursor { epoch: self.epoch, next: self.from, page };
                return Ok(Given { events: self.events, cursor });
            }
        }
        let cursor = Cursor { epoch: self.epoch, next: self.to, page: None };
        Ok(Given { events: self.events, cursor })
    }

    fn room(&self) -> usize {
        self.limit - self.events.len().min(self.limit)
    }

    /// The last position before `next`.
    fn before(&self, next: &[u64], partition: u32) -> Position {
        let next = next.get(partition as usize).copied().unwrap_or(0);
        Position(Position::new(self.epoch, next).0.saturating_sub(1))
    }

    async fn conversations(&mut self, first: Option<ConversationId>, seq: u64) -> Result<Option<Stage>> {
        // Read after the end point was: whoever joined before it is seen to have joined.
        let mut mine: BTreeMap<ConversationId, Sight> = BTreeMap::new();
        for (conversation, interval) in self.hub.engines.store.memberships(self.user).await? {
            mine.entry(conversation).or_default().merge(interval);
        }
        let start = first.clone().map_or(Bound::Unbounded, Bound::Included);
        let rest: Vec<_> = mine.range((start, Bound::Unbounded)).collect();
        for chunk in rest.chunks(CHUNK) {
            let ids: Vec<_> = chunk.iter().map(|(conversation, _)| (*conversation).clone()).collect();
            let overviews = self.hub.engines.store.overviews(ids).await?;
            for ((conversation, sight), overview) in chunk.iter().zip(overviews) {
                let partition = self.hub.partition(conversation);
                let changed = overview.filter(|o| o.position > self.before(&self.from, partition));
                let Some(overview) = changed else { continue };
                let given = if first.as_ref() == Some(*conversation) { seq } else { 0 };
                let head = overview.head.seq;
                if let Some(seq) = self.conversation(conversation, partition, sight, given, head).await? {
                    let conversation = Some((*conversation).clone());
                    return Ok(Some(Stage::Events { conversation, seq }));
                }
            }
        }
        Ok(Some(Stage::Own { partition: 0, after: 0 }))
    }

    /// The events of one conversation after `given`; the last `seq` looked at if the page is full.
    async fn conversation(
        &mut self,
        conversation: &ConversationId,
        partition: u32,
        sight: &Sight,
        given: u64,
        head: u64,
    ) -> Result<Option<u64>> {
        let store = &self.hub.engines.store;
        let from = self.before(&self.from, partition);
        let Some(first) = store.first_after(conversation, from).await? else { return Ok(None) };
        let end = self.before(&self.to, partition);
        let mut after = given.max(first.saturating_sub(1));
        for (low, high) in sight.spans() {
            after = after.max(low.saturating_sub(1));
            let high = high.min(head);
            while after < high {
                let room = self.room();
                if room == 0 {
                    return Ok(Some(after));
                }
                let events = store.events(conversation, after, high, room).await?;
                let full = events.len() == room;
                for stored in events {
                    if stored.position > end {
                        return Ok(None);
                    }
                    after = stored.fact.seq();
                    self.events.extend(encode::event(&stored.fact, self.user, sight, false));
                }
                if !full {
                    break;
                }
            }
        }
        Ok(None)
    }

    async fn own(&mut self, partition: u32, after: u64) -> Result<Option<Stage>> {
        Ok(Some(match self.by_partition(Personal::Changes, partition, after).await? {
            Some((partition, after)) => Stage::Own { partition, after },
            None => Stage::Rejections { partition: 0, after: 0 },
        }))
    }

    async fn rejections(&mut self, partition: u32, after: u64) -> Result<Option<Stage>> {
        let next = self.by_partition(Personal::Rejections, partition, after).await?;
        Ok(next.map(|(partition, after)| Stage::Rejections { partition, after }))
    }

    /// Takes what is found in each partition from `first` on, in order, until the page is full: then it gives the
    /// partition to go on with, and after which position. All are asked at once, for most have nothing.
    async fn by_partition(
        &mut self,
        what: Personal,
        first: u32,
        mut after: u64,
    ) -> Result<Option<(u32, u64)>> {
        let partitions = (first..).take(self.to.len().saturating_sub(first as usize));
        let asked = self.room();
        let after_of = |partition| if partition == first { after } else { 0 };
        let found = partitions.clone().map(|partition| self.personal(what, partition, after_of(partition)));
        let found = try_join_all(found).await?;
        for (partition, mut found) in partitions.zip(found) {
            while let Some((last, _)) = found.last() {
                // More than there is room for now is read again, so that the page ends with a whole position.
                let room = self.room();
                if room < asked && found.len() > room {
                    return Ok(Some((partition, after)));
                }
                after = last.0;
                self.events.extend(found.into_iter().map(|(_, event)| event));
                if self.room() == 0 {
                    return Ok(Some((partition, after)));
                }
                // It may have been shorter than its room and not the last: only an empty one is.
                found = self.personal(what, partition, after).await?;
            }
            after = 0;
        }
        Ok(None)
    }

    /// What a partition has for the user alone, after a position.
    async fn personal(&self, what: Personal, partition: u32, after: u64) -> Result<Vec<(Position, Event)>> {
        let (from, to) = self.range(partition, after);
        let (store, user, room) = (&self.hub.engines.store, self.user, self.room());
        if from >= to {
            return Ok(Vec::new());
        }
        Ok(match what {
            Personal::Changes => {
                let changes = store.own_changes(user, partition, from, to, room).await?;
                changes.iter().map(|change| (change.position, encode::own_change(change, user))).collect()
            }
            Personal::Rejections => {
                let rejected = store.rejections(user, partition, from, to, room).await?;
                let event = |fact| encode::event_in(fact, encode::Form::Plain, false);
                rejected.iter().map(|stored| (stored.position, event(&stored.fact))).collect()
            }
        })
    }

    fn range(&self, partition: u32, after: u64) -> (Position, Position) {
        (self.before(&self.from, partition).max(Position(after)), self.before(&self.to, partition))
    }
}
