//! Reading conversations: every read shows a membership and is clipped by it.
//!
//! Rows that change are read in this order: content; then the store catches up with the newest of what was read;
//! then the membership; then all is clipped by it. So nobody is given a text from after the leaving, even by an
//! engine without snapshots.

use crate::access::{Access, Membership};
use crate::error::{Failure, Result};
use crate::live::Hub;
use chat4all_backend::store::{Overview, Own, Slice, Store, StoredEvent, StoredMessage};
use chat4all_model::api::Code;
use chat4all_model::command::Marker;
use chat4all_model::fact::{Interval, MessageState, What};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Intervals read to tell who has received a page of messages.
const MAX_RECEIPT_INTERVALS: usize = 1_000;
/// Reactions read to count those of before somebody left.
const MAX_OLD_REACTIONS: usize = 1_000;
/// Events read back to find the name that a group had when somebody left.
const MAX_NAME_SEARCH: u64 = 2_000;

/// The only reader of conversations' rows. Cheap to clone.
#[derive(Clone)]
pub struct Content {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    access: Access,
}

/// Messages, and the membership by which they are clipped.
#[derive(Debug)]
pub(super) struct Clipped {
    pub(super) membership: Membership,
    pub(super) messages: Vec<StoredMessage>,
}

/// When a marker of a member rose, by `seq`, rising.
pub(super) type Rises = HashMap<(UserId, Marker), Vec<(u64, u64)>>;

/// Who reacts with what to the message at `seq`, since when: `(seq, user, emoji, since)`.
pub(super) type Reactions = Vec<(u64, UserId, Arc<str>, u64)>;

/// A message's text as a member may see it.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    pub(super) text: Option<Arc<str>>,
    pub(super) edited_at: Option<u64>,
}

impl Content {
    pub(super) fn new(store: Arc<dyn Store>, hub: Arc<Hub>, access: Access) -> Self {
        Self { store, hub, access }
    }

    /// The messages of a slice that the member may see, in the slice's order, at most `limit`.
    pub(super) async fn messages(&self, m: &Membership, slice: Slice, limit: usize) -> Result<Clipped> {
        let mut spans = m.sight().spans();
        if let Slice::Down(_) = slice {
            spans.reverse();
        }
        let mut messages: Vec<StoredMessage> = Vec::new();
        for (first, last) in spans {
            let left = limit - messages.len();
            let slice = match slice {
                Slice::Down(seq) if seq >= first => Slice::Down(seq.min(last)),
                Slice::Up(seq) if seq <= last => Slice::Up(seq.max(first)),
                Slice::Down(_) | Slice::Up(_) => continue,
            };
            let found = self.store.messages(m.conversation(), slice, left).await?;
            messages.extend(
                found.into_iter().filter(|message| (first..=last).contains(&message.event.fact.seq())),
            );
            if messages.len() >= limit {
                break;
            }
        }
        self.settle(m, messages.iter().map(|message| message.position).max()).await?;
        let membership = self.access.again(m).await?;
        messages.retain(|message| membership.sees(message.event.fact.seq()));
        Ok(Clipped { membership, messages })
    }

    /// The message at `seq`, if the member may see it.
    pub(super) async fn message(&self, m: &Membership, seq: u64) -> Result<Option<Clipped>> {
        let mut clipped = self.messages(m, Slice::Down(seq), 1).await?;
        clipped.messages.retain(|message| message.event.fact.seq() == seq);
        Ok((!clipped.messages.is_empty()).then_some(clipped))
    }

    /// Events after `after` that the member may see, rising, at most `limit`.
    pub(super) async fn events(&self, m: &Membership, after: u64, limit: usize) -> Result<Vec<StoredEvent>> {
        let mut events = Vec::new();
        for (first, last) in m.sight().spans().into_iter().filter(|(_, last)| *last > after) {
            let after = after.max(first.saturating_sub(1));
            let left = limit - events.len();
            events.extend(self.store.events(m.conversation(), after, last, left).await?);
            if events.len() >= limit {
                break;
            }
        }
        let membership = self.access.again(m).await?;
        events.retain(|event: &StoredEvent| membership.sees(event.fact.seq()));
        Ok(events)
    }

    /// The event at `seq`, if there is one and the member may see it.
    pub(super) async fn event(&self, m: &Membership, seq: u64) -> Result<Option<StoredEvent>> {
        if seq == 0 || !m.sees(seq) {
            return Ok(None);
        }
        Ok(self.store.events(m.conversation(), seq - 1, seq, 1).await?.pop())
    }

    /// A message's text: the newest one written while the member could see the conversation.
    pub(super) async fn text(&self, m: &Membership, message: &StoredMessage) -> Result<Text> {
        let What::Message { content, .. } = &message.event.fact.what else { return Ok(Text::default()) };
        let original = Text { text: content.text.clone(), edited_at: None };
        let Some(state) = &message.state else { return Ok(original) };
        if state.deleted_at.is_some() {
            return Ok(Text { text: None, edited_at: state.edited_at.filter(|_| sees_all(m, state)) });
        }
        if sees_all(m, state) {
            let text = message.text.clone().or(original.text);
            return Ok(Text { text, edited_at: state.edited_at });
        }
        let Some(last) = state.edits.iter().rev().find(|seq| m.sees(**seq)) else { return Ok(original) };
        match self.event(m, *last).await?.map(|event| event.fact) {
            Some(fact) => match fact.what {
                What::Edited { text, .. } => Ok(Text { text, edited_at: Some(fact.time) }),
                _ => Err(Failure::internal("an edit's seq names no edit")),
            },
            None => Err(Failure::internal("an edit without its event")),
        }
    }

    /// Name, maker and counters of a conversation, as they are for a member: to who has left, as they were then.
    pub(super) async fn overview(&self, m: &Membership) -> Result<Overview> {
        self.overviews(std::slice::from_ref(m)).await?.pop().flatten().ok_or_else(Failure::not_found)
    }

    /// The same of many conversations, in their order.
    pub(super) async fn overviews(&self, memberships: &[Membership]) -> Result<Vec<Option<Overview>>> {
        let ids: Vec<ConversationId> = memberships.iter().map(|m| m.conversation().clone()).collect();
        let mut overviews = self.store.overviews(ids).await?;
        for (m, overview) in memberships.iter().zip(&mut overviews) {
            if let (Some(to), Some(now)) = (m.left(), overview.as_mut()) {
                let last = match self.event(m, to.seq).await? {
                    Some(last) => last,
                    // The stream may have heard of the leaving before the store held it.
                    None => {
                        self.hub.readable(m.conversation()).await?;
                        let there = self.event(m, to.seq).await?;
                        there.ok_or_else(|| Failure::internal("a leaving without its event"))?
                    }
                };
                now.head = last.fact.head.unwrap_or_else(|| now.head.clone());
            }
        }
        Ok(overviews)
    }

    /// The name that a group had when the member left it; none if it was set too long before that.
    pub(super) async fn name_then(&self, m: &Membership, left: u64) -> Result<Option<Arc<str>>> {
        let (mut upto, floor) = (left, left.saturating_sub(MAX_NAME_SEARCH));
        while upto > floor {
            let after = upto.saturating_sub(500).max(floor);
            for event in self.store.events(m.conversation(), after, upto, 500).await?.into_iter().rev() {
                if let What::Created { about, .. } | What::Renamed { about } = event.fact.what {
                    return Ok(about.name);
                }
            }
            upto = after;
        }
        Ok(None)
    }

    /// What members have of their own in conversations, in their order. All memberships are `user`'s.
    pub(super) async fn own(&self, user: &UserId, memberships: &[Membership]) -> Result<Vec<Own>> {
        let ids = memberships.iter().map(|m| m.conversation().clone()).collect();
        Ok(self.store.own(user, ids).await?)
    }

    /// Members by time of joining, after a given one: of now, or, to who has left, of then.
    pub(super) async fn members(
        &self,
        m: &Membership,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let Some(to) = m.left() else {
            return Ok(self.store.members(m.conversation(), after, limit).await?);
        };
        let of_then =
            self.store.members_between(m.conversation(), to.seq, to.seq, MAX_RECEIPT_INTERVALS).await?;
        let mut members: Vec<Interval> = of_then.into_iter().filter(|i| i.since <= to.seq).collect();
        members.sort_by(|a, b| (a.joined_at, &a.user).cmp(&(b.joined_at, &b.user)));
        members.retain(|i| after.as_ref().is_none_or(|(at, user)| (i.joined_at, &i.user) > (*at, user)));
        members.truncate(limit);
        Ok(members)
    }

    /// Whether these people are members now.
    pub(super) async fn are_members(&self, m: &Membership, users: &[UserId]) -> Result<Vec<bool>> {
        let key = |user: &UserId| Key::Member(m.conversation().clone(), user.clone());
        let values = self.store.values(users.iter().map(key).collect()).await?;
        let here = |value| matches!(value, Some(Value::Member(Interval { to: None, .. })));
        Ok(values.into_iter().map(here).collect())
    }

    /// Who was a member anywhere in `from..=to`.
    pub(super) async fn members_between(&self, m: &Membership, from: u64, to: u64) -> Result<Vec<Interval>> {
        Ok(self.store.members_between(m.conversation(), from, to, MAX_RECEIPT_INTERVALS).await?)
    }

    /// When markers rose to or past `from..=to`, as far as the member may see.
    pub(super) async fn rises(&self, m: &Membership, from: u64, to: u64) -> Result<Rises> {
        let mut rises = Rises::new();
        for (user, marker, seq, time) in self.store.rises(m.conversation(), from, to).await? {
            if m.sees(seq) {
                rises.entry((user, marker)).or_default().push((seq, time));
            }
        }
        rises.values_mut().for_each(|of_one| of_one.sort_unstable());
        Ok(rises)
    }

    /// Markers of members who have any; only of one's own conversations of now.
    pub(super) async fn markers(
        &self,
        m: &Membership,
        limit: usize,
    ) -> Result<HashMap<UserId, chat4all_model::fact::Markers>> {
        m.present()?;
        Ok(self.store.markers(m.conversation(), limit).await?.into_iter().collect())
    }

    /// Who reacts to the messages at `seqs`, which the member sees; of one user if given. To who has left, those
    /// that came before.
    pub(super) async fn reactions(
        &self,
        m: &Membership,
        seqs: Vec<u64>,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Reactions> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let mut reactions = self.store.reactions(m.conversation(), seqs, user, limit).await?;
        reactions.retain(|(seq, ..)| m.sees(*seq));
        if let Some(to) = m.left() {
            let left_at = self.event(m, to.seq).await?.map_or(0, |event| event.fact.time);
            reactions.retain(|(.., since)| *since < left_at);
        }
        Ok(reactions)
    }

    /// How many react with what, counted one by one for who has left: the message's own counts go on.
    pub(super) async fn reactions_then(&self, m: &Membership, seqs: Vec<u64>) -> Result<Reactions> {
        self.reactions(m, seqs, None, MAX_OLD_REACTIONS).await
    }

    /// Waits until the store has come as far as the newest of what was read.
    async fn settle(&self, m: &Membership, newest: Option<Position>) -> Result<()> {
        match newest {
            Some(position) => self.hub.projected(m.conversation(), position).await,
            None => Ok(()),
        }
    }

    /// The `n` of the event at `seq`, which the client may have heard of before the store holds it.
    ///
    /// # Errors
    /// `InvalidRequest` naming `field` if there is no such event after a short wait; `Unavailable` if the store is
    /// behind.
    pub(super) async fn n(&self, m: &Membership, seq: u64, field: &str) -> Result<u64> {
        if let Some(event) = self.event(m, seq).await? {
            return Ok(event.fact.n());
        }
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
        let mut pause = std::time::Duration::from_millis(25);
        loop {
            let behind = match self.hub.readable(m.conversation()).await {
                Ok(()) => None,
                Err(failure) if failure.code == Code::Unavailable => Some(failure),
                Err(failure) => return Err(failure),
            };
            if let Some(event) = self.event(m, seq).await? {
                return Ok(event.fact.n());
            }
            if tokio::time::Instant::now() >= deadline {
                // A store that is behind does not know where the conversation ends.
                let beyond = || Failure::invalid(field, "lies beyond the end of the conversation");
                return Err(behind.unwrap_or_else(beyond));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_millis(400));
        }
    }
}

fn sees_all(m: &Membership, state: &MessageState) -> bool {
    state.edits.iter().all(|seq| m.sees(*seq))
}
