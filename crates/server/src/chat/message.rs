//! A stored message as one member sees it, put together in this one place.

use super::content::{Content, Reactions, Rises};
use crate::access::Membership;
use crate::error::Result;
use chat4all_backend::store::StoredMessage;
use chat4all_model::api::{Message, ReactionCount, Status};
use chat4all_model::command::Marker;
use chat4all_model::decide::MAX_RECEIPT_PARTICIPANTS;
use chat4all_model::fact::{Interval, What};
use chat4all_model::id::{ConversationKind, UserId};
use std::collections::HashSet;
use std::sync::Arc;

/// The messages of one conversation as `m`, by whom they are clipped already, sees them. `participants` is how
/// many members the conversation has.
pub(super) async fn assemble(
    content: &Content,
    m: &Membership,
    participants: u32,
    stored: &[StoredMessage],
) -> Result<Vec<Message>> {
    let receipts = match seqs(stored) {
        Some((first, last)) if has_receipts(m, participants) => Some(Receipts {
            rises: content.rises(m, first, last).await?,
            members: content.members_between(m, first, last).await?,
        }),
        _ => None,
    };
    let reacted = stored.iter().filter(|s| s.state.as_ref().is_some_and(|s| !s.reactions.is_empty()));
    let reacted: Vec<u64> = reacted.map(|s| s.event.fact.seq()).collect();
    let reactions = if m.left().is_some() {
        content.reactions_then(m, reacted).await?
    } else {
        let most = reacted.len().saturating_mul(chat4all_model::decide::MAX_REACTION_KINDS);
        content.reactions(m, reacted, Some(m.user()), most).await?
    };
    let mut messages = Vec::with_capacity(stored.len());
    for one in stored {
        let text = content.text(m, one).await?;
        let mut message = base(m, one);
        (message.content, message.edited_at) = (text.text.as_deref().map(str::to_owned), text.edited_at);
        if message.deleted_at.is_none() {
            message.reactions = counts(m, one, &reactions);
        }
        if let Some(receipts) = &receipts {
            receipts.put(&mut message, &one.event.fact.actor);
        } else if let ConversationKind::Channel { .. } = m.conversation().kind() {
            message.status = Some(Status::Sent);
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Whether messages of the conversation have a status made of its members' markers.
pub(super) fn has_receipts(m: &Membership, participants: u32) -> bool {
    let channel = matches!(m.conversation().kind(), ConversationKind::Channel { .. });
    !channel && participants <= MAX_RECEIPT_PARTICIPANTS
}

/// All that needs no further reading.
fn base(m: &Membership, stored: &StoredMessage) -> Message {
    let fact = &stored.event.fact;
    let deleted_at = stored.state.as_ref().and_then(|state| state.deleted_at);
    let mut message = Message {
        message_id: fact.id.map(|id| id.to_string()).unwrap_or_default(),
        conversation_id: m.conversation().to_string(),
        seq: fact.seq(),
        kind: chat4all_model::api::MessageKind::Text,
        sender_id: fact.actor.to_string(),
        recipient_id: recipient(m, &fact.actor),
        content: None,
        data: None,
        file_id: None,
        files: Vec::new(),
        timestamp: fact.time,
        status: None,
        error: None,
        delivered_at: None,
        read_at: None,
        edited_at: None,
        deleted_at,
        reply_to: None,
        reactions: Vec::new(),
        mentions: Vec::new(),
        client_id: None,
    };
    if let What::Message { kind, content, reply_to, client_id } = &fact.what {
        message.kind = *kind;
        message.reply_to = reply_to.map(|id| id.to_string());
        message.client_id = client_id.as_deref().filter(|_| fact.actor == *m.user()).map(str::to_owned);
        // An engine may not have blanked it yet.
        if deleted_at.is_none() {
            message.data = content.data.as_deref().and_then(|data| serde_json::from_str(data).ok());
            message.files = content.files.iter().map(|file| file.to_string()).collect();
            message.file_id = message.files.first().cloned();
            message.mentions = content.mentions.iter().map(|who| who.to_string()).collect();
        }
    }
    message
}

/// To whom a message of `sender` went, where that is one person or address.
fn recipient(m: &Membership, sender: &UserId) -> Option<String> {
    match m.conversation().kind() {
        ConversationKind::Direct(a, b) => Some(if *sender == a { b } else { a }.to_string()),
        ConversationKind::Channel { address, .. } => Some(address.to_string()),
        ConversationKind::Group => None,
    }
}

/// The message's reactions. `read` holds the member's own, or, of who has left, all that came before.
fn counts(m: &Membership, stored: &StoredMessage, read: &Reactions) -> Vec<ReactionCount> {
    let seq = stored.event.fact.seq();
    let here = || read.iter().filter(|(at, ..)| *at == seq);
    let Some(state) = &stored.state else { return Vec::new() };
    let counts = state.reactions.iter().filter_map(|(emoji, count)| {
        let then = || u32::try_from(here().filter(|(_, _, e, _)| e == emoji).count()).unwrap_or(u32::MAX);
        let count = if m.left().is_some() { then() } else { *count };
        let mine = here().any(|(_, user, e, _)| user == m.user() && e == emoji);
        (count > 0).then(|| ReactionCount { emoji: emoji.to_string(), count, mine })
    });
    counts.collect()
}

/// Smallest and largest `seq`.
pub(super) fn seqs(stored: &[StoredMessage]) -> Option<(u64, u64)> {
    let seqs = || stored.iter().map(|message| message.event.fact.seq());
    Some((seqs().min()?, seqs().max()?))
}

/// Who was a member, and how far the members have come.
pub(super) struct Receipts {
    pub(super) rises: Rises,
    pub(super) members: Vec<Interval>,
}

impl Receipts {
    /// The members but `sender` at `seq`.
    pub(super) fn others<'a>(&'a self, seq: u64, sender: &'a UserId) -> HashSet<&'a UserId> {
        let at =
            move |i: &&Interval| i.user != *sender && i.since <= seq && i.to.is_none_or(|to| seq <= to.seq);
        self.members.iter().filter(at).map(|i| &i.user).collect()
    }

    /// When a member's marker rose to `seq` or past it first.
    pub(super) fn time(&self, user: &UserId, marker: Marker, seq: u64) -> Option<u64> {
        let rises = self.rises.get(&(user.clone(), marker))?;
        rises.get(rises.partition_point(|(at, _)| *at < seq)).map(|(_, time)| *time)
    }

    /// When the last of `users` came as far; none if somebody has not.
    fn all(&self, users: &HashSet<&UserId>, marker: Marker, seq: u64) -> Option<u64> {
        let times: Option<Vec<u64>> = users.iter().map(|user| self.time(user, marker, seq)).collect();
        times?.into_iter().max()
    }

    fn put(&self, message: &mut Message, sender: &UserId) {
        let others = self.others(message.seq, sender);
        message.delivered_at = self.all(&others, Marker::Delivered, message.seq);
        message.read_at = self.all(&others, Marker::Read, message.seq);
        message.status = Some(match (message.delivered_at, message.read_at) {
            (_, Some(_)) => Status::Read,
            (Some(_), None) => Status::Delivered,
            (None, None) => Status::Sent,
        });
    }
}

/// `text` as JSON strings want it.
pub(super) fn owned(text: Option<&Arc<str>>) -> Option<String> {
    text.map(|text| text.to_string())
}
