//! How far members have come: moving the caller's markers, reading everybody's.

use super::message::{Receipts, has_receipts};
use super::page::{Paging, cut};
use super::submit::{Changed, unanswered};
use super::{Chat, conversation_id};
use crate::access::Membership;
use crate::account::Caller;
use crate::error::{Failure, Result};
use chat4all_backend::log::Topic;
use chat4all_model::api::{Markers, Page, Receipt};
use chat4all_model::command::{Action, Count, Marker};
use chat4all_model::decide::MAX_RECEIPT_PARTICIPANTS;
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::record::encode_command;

impl Chat {
    /// Moves one of the caller's markers to `seq`. It never moves back.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`; `InvalidRequest` if `seq` lies beyond the head.
    pub async fn mark(
        &self,
        caller: &Caller,
        conversation: &str,
        marker: Marker,
        seq: u64,
    ) -> Result<Changed> {
        self.mark_at(caller, &conversation_id(conversation)?, marker, seq).await
    }

    /// Moves a marker up to and including a message.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn mark_message(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
        marker: Marker,
    ) -> Result<Changed> {
        let (_, conversation, known) = self.locate(message, within).await?;
        let seq = known.ok_or_else(Failure::not_found)?.seq;
        self.mark_at(caller, &conversation, marker, seq).await
    }

    /// Notes what has arrived at one of the caller's devices, many conversations at once. Returns when it is
    /// durable and does not wait for what comes of it. Conversations that the caller has left are passed over.
    ///
    /// # Errors
    /// `Forbidden` to keys that may not write; the log's.
    pub async fn delivered(&self, caller: &Caller, upto: Vec<(ConversationId, Count)>) -> Result<()> {
        let partitions = self.log.partitions();
        let mut records = Vec::with_capacity(upto.len());
        for (conversation, at) in upto {
            let writer = match self.access.writer(caller, &conversation).await {
                Ok(writer) => writer,
                Err(failure) if failure.is_fault() => return Err(failure),
                Err(_) => continue,
            };
            let action = Action::Mark { marker: Marker::Delivered, at };
            let command = writer.command(self.ambient.now(), "", action);
            records.push((conversation.partition(partitions), encode_command(&command)));
        }
        if !records.is_empty() {
            self.log.append(Topic::StatusUpdates, records).await.map_err(|error| unanswered(error, ""))?;
        }
        Ok(())
    }

    async fn mark_at(
        &self,
        caller: &Caller,
        conversation: &ConversationId,
        marker: Marker,
        seq: u64,
    ) -> Result<Changed> {
        let writer = self.access.writer(caller, conversation).await?;
        let Some(m) = writer.membership().filter(|m| m.first_seq() <= seq) else {
            return Ok(Changed::Same(None));
        };
        let at = Count { seq, n: self.content.n(m, seq, "seq").await? };
        let command = writer.command(self.ambient.now(), "", Action::Mark { marker, at });
        self.submit(command, "").await
    }

    /// How far each member has come; above a hundred members, and to who has left, one's own only.
    ///
    /// # Errors
    /// The engine's own.
    pub async fn markers(&self, m: &Membership) -> Result<Page<Markers>> {
        let participants = self.content.overview(m).await?.head.participants;
        let api = |user: &UserId, markers: chat4all_model::fact::Markers| Markers {
            user_id: user.to_string(),
            delivered_seq: markers.delivered.seq,
            read_seq: markers.read.seq,
        };
        if m.left().is_none() && participants <= MAX_RECEIPT_PARTICIPANTS {
            // Past members keep their rows, so there may be more of them than members.
            let markers = self.content.markers(m, 10 * MAX_RECEIPT_PARTICIPANTS as usize).await?;
            let members = self.content.members(m, None, MAX_RECEIPT_PARTICIPANTS as usize).await?;
            if self.access.again(m).await?.left().is_none() {
                let of = |user: &UserId| markers.get(user).copied().unwrap_or_default();
                let items = members.iter().map(|member| api(&member.user, of(&member.user))).collect();
                return Ok(Page { items, next: None });
            }
        }
        let own = self.content.own(m.user(), std::slice::from_ref(m)).await?;
        let items = own.iter().map(|own| api(m.user(), own.markers)).collect();
        Ok(Page { items, next: None })
    }

    /// Who has received and read a message, and when, by user. Nobody above a hundred members.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn receipts(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
        paging: &Paging,
    ) -> Result<Page<Receipt>> {
        let (limit, after) = (paging.limit()?, paging.after::<UserId>()?);
        let found = self.find(caller, within, message).await?;
        let m = &found.membership;
        let participants = self.content.overview(m).await?.head.participants;
        let fact = found.messages.first().map(|message| &message.event.fact);
        let Some(fact) = fact.filter(|_| has_receipts(m, participants)) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let seq = fact.seq();
        let receipts = Receipts {
            rises: self.content.rises(m, seq, seq).await?,
            members: self.content.members_between(m, seq, seq).await?,
        };
        let mut users: Vec<&UserId> = receipts.others(seq, &fact.actor).into_iter().collect();
        users.sort_unstable();
        let page = users.into_iter().filter(|user| after.as_ref().is_none_or(|after| *user > after));
        let (users, next) = cut(page.take(limit + 1).collect(), limit, |user| (*user).clone());
        let receipt = |user: &UserId| Receipt {
            user_id: user.to_string(),
            delivered_at: receipts.time(user, Marker::Delivered, seq),
            read_at: receipts.time(user, Marker::Read, seq),
        };
        Ok(Page { items: users.into_iter().map(receipt).collect(), next })
    }
}
