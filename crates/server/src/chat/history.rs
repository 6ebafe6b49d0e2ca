//! Reading back: pages of messages, single ones, the log itself, and what is known of a message beside its text.

use super::content::Clipped;
use super::page::{Paging, cut, limit};
use super::{Chat, message};
use crate::access::Membership;
use crate::account::Caller;
use crate::error::{Failure, Result};
use crate::live;
use chat4all_backend::store::Slice;
use chat4all_model::api::{Edit, Event, Message, MessagePage, Page, Reaction};
use chat4all_model::fact::What;
use std::time::Duration;
use tokio::time::Instant;

/// How long a message that was accepted here a moment ago is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Reactions that a list of them reaches back to.
const MAX_REACTIONS: usize = 10_000;

/// Which page of a conversation's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The newest before this `seq`, or the newest of all; newest first.
    Before(Option<u64>),
    /// The oldest after this `seq`; oldest first.
    After(u64),
    /// As many before as after this `seq`; newest first.
    Around(u64),
}

impl Chat {
    /// A page of messages.
    ///
    /// # Errors
    /// `InvalidRequest` for a bad limit.
    pub async fn history(&self, m: &Membership, window: Window, size: Option<usize>) -> Result<MessagePage> {
        let size = limit(size)?;
        let head = self.content.overview(m).await?.head;
        let (mut page, has_before, has_after) = match window {
            Window::Before(before) => {
                let from = before.map_or(u64::MAX, |seq| seq.saturating_sub(1));
                let (page, more) = self.slice(m, Slice::Down(from), size).await?;
                let after = match before {
                    Some(seq) => self.any(m, Slice::Up(seq)).await?,
                    None => false,
                };
                (page, more, after)
            }
            Window::After(after) => {
                let (page, more) = self.slice(m, Slice::Up(after.saturating_add(1)), size).await?;
                let before = after > 0 && self.any(m, Slice::Down(after)).await?;
                (page, before, more)
            }
            Window::Around(seq) => {
                let (newer, after) = self.slice(m, Slice::Up(seq.saturating_add(1)), size / 2).await?;
                let (older, before) = self.slice(m, Slice::Down(seq), size - newer.messages.len()).await?;
                let mut messages = newer.messages;
                messages.reverse();
                messages.extend(older.messages);
                (Clipped { membership: older.membership, messages }, before, after)
            }
        };
        page.messages.retain(|message| page.membership.sees(message.event.fact.seq()));
        let seqs = message::seqs(&page.messages);
        let messages =
            message::assemble(&self.content, &page.membership, head.participants, &page.messages).await?;
        Ok(MessagePage {
            messages,
            first_seq: seqs.map(|(first, _)| first),
            last_seq: seqs.map(|(_, last)| last),
            has_before,
            has_after,
            // A message may have come between the two reads.
            head_seq: m.clip(head.seq).max(seqs.map_or(0, |(_, last)| last)),
        })
    }

    /// A message, by its id alone or within a conversation.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn message(&self, caller: &Caller, within: Option<&str>, message: &str) -> Result<Message> {
        let found = self.find(caller, within, message).await?;
        let participants = self.content.overview(&found.membership).await?.head.participants;
        let mut messages =
            message::assemble(&self.content, &found.membership, participants, &found.messages).await?;
        messages.pop().ok_or_else(Failure::not_found)
    }

    /// The conversation's log after a `seq`, as far as the member may see it. `next` is the `after` of the page
    /// that follows.
    ///
    /// # Errors
    /// `InvalidRequest` for a bad limit.
    pub async fn events(&self, m: &Membership, after: u64, size: Option<usize>) -> Result<Page<Event>> {
        let size = limit(size)?;
        let mut events = self.content.events(m, after, size + 1).await?;
        let more = events.len() > size;
        events.truncate(size);
        let next = events.last().filter(|_| more).map(|last| last.fact.seq().to_string());
        let items = events.iter().filter_map(|event| live::event(&event.fact, m.user(), m.sight(), false));
        Ok(Page { items: items.collect(), next })
    }

    /// Who reacts to a message with what.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidRequest`.
    pub async fn reactions(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
        paging: &Paging,
    ) -> Result<Page<Reaction>> {
        let (limit, after) = (paging.limit()?, paging.after::<(u64, String, String)>()?);
        let found = self.find(caller, within, message).await?;
        let live = |s: &&chat4all_backend::store::StoredMessage| {
            s.state.as_ref().is_some_and(|s| s.deleted_at.is_none())
        };
        let seqs = found.messages.iter().filter(live).map(|message| message.event.fact.seq()).collect();
        let mut reactions: Vec<(u64, String, String)> = self
            .content
            .reactions(&found.membership, seqs, None, MAX_REACTIONS)
            .await?
            .into_iter()
            .map(|(_, user, emoji, since)| (since, user.to_string(), emoji.to_string()))
            .collect();
        reactions.sort_unstable();
        reactions.retain(|reaction| after.as_ref().is_none_or(|after| reaction > after));
        let (page, next) = cut(reactions, limit, Clone::clone);
        let items =
            page.into_iter().map(|(timestamp, user_id, emoji)| Reaction { user_id, emoji, timestamp });
        Ok(Page { items: items.collect(), next })
    }

    /// The earlier texts of a message, oldest first; none once it is deleted.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn edits(&self, caller: &Caller, within: Option<&str>, message: &str) -> Result<Page<Edit>> {
        let found = self.find(caller, within, message).await?;
        let m = &found.membership;
        let mut items = Vec::new();
        for stored in &found.messages {
            let Some(state) = stored.state.as_ref().filter(|state| state.deleted_at.is_none()) else {
                continue;
            };
            let seen = state.edits.iter().filter(|seq| m.sees(**seq));
            let all: Vec<u64> = std::iter::once(stored.event.fact.seq()).chain(seen.copied()).collect();
            // The last one is the present text.
            for seq in &all[..all.len() - 1] {
                let Some(event) = self.content.event(m, *seq).await? else { continue };
                let content = match event.fact.what {
                    What::Message { content, .. } => content.text,
                    What::Edited { text, .. } => text,
                    _ => None,
                };
                items.push(Edit {
                    seq: *seq,
                    content: message::owned(content.as_ref()),
                    timestamp: event.fact.time,
                });
            }
        }
        Ok(Page { items, next: None })
    }

    /// A message that the caller may see.
    pub(super) async fn find(&self, caller: &Caller, within: Option<&str>, message: &str) -> Result<Clipped> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, conversation, known) = self.locate(message, within).await?;
            let m = self.access.member(caller, &conversation).await?;
            match known {
                Some(known) => {
                    return self.content.message(&m, known.seq).await?.ok_or_else(Failure::not_found);
                }
                None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
                None => return Err(Failure::not_found()),
            }
        }
    }

    /// Up to `size` messages of a slice, and whether there are more.
    async fn slice(&self, m: &Membership, slice: Slice, size: usize) -> Result<(Clipped, bool)> {
        let mut page = self.content.messages(m, slice, size + 1).await?;
        let more = page.messages.len() > size;
        page.messages.truncate(size);
        Ok((page, more))
    }

    async fn any(&self, m: &Membership, slice: Slice) -> Result<bool> {
        Ok(!self.content.messages(m, slice, 1).await?.messages.is_empty())
    }
}
