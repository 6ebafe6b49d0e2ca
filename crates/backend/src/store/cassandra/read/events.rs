//! Events and messages of a conversation, bucket by bucket.

use super::super::column::{
    bucket, conversation, known, milliseconds, number, position, unsigned, user as user_of,
};
use super::{KEYS, Read, limited};
use crate::store::split::Split;
use crate::store::{Reaction, Slice, StoredEvent, StoredMessage};
use crate::{Error, ErrorKind, Result};
use chat4all_model::command::Content;
use chat4all_model::fact::{MessageState, What};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::Position;
use futures_util::try_join;
use scylla::value::CqlTimestamp;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// How many events at the end of a conversation are looked at first for a position: a reader is seldom further behind.
const NEWEST: usize = 100;

/// Seq, position, body, content, rest.
type MessageColumns = (i64, Option<i64>, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
/// Seq, position, body, content.
type EventColumns = (i64, Option<i64>, Option<Vec<u8>>, Option<String>);
/// Seq, state, content, position.
type ChangeColumns = (i64, Option<Vec<u8>>, Option<String>, Option<i64>);

impl Read<'_> {
    pub(in super::super) async fn events(
        &self,
        c: &ConversationId,
        after: u64,
        upto: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let mut found = Vec::new();
        let from = after.saturating_add(1);
        let (mut here, mut last) = (bucket(from), None);
        while found.len() < limit && from <= upto && here <= bucket(upto) {
            let some = limited(limit - found.len());
            let values = (c.as_str(), number(here), number(from), number(upto), some);
            let messages = self.rows(&self.queries.messages_up, &values);
            let others = self.rows(&self.queries.events_up, &values);
            let (messages, others): (Vec<MessageColumns>, Vec<EventColumns>) = try_join!(messages, others)?;
            let messages = messages.into_iter().filter_map(|row| message(c, row).transpose());
            let others = others.into_iter().filter_map(|row| event(c, row).transpose());
            let mut page: Vec<StoredEvent> = messages.chain(others).collect::<Result<_>>()?;
            page.sort_unstable_by_key(|event| event.fact.seq());
            found.append(&mut page);
            here += 1;
            if found.len() < limit && here <= bucket(upto) && here > self.last_bucket(c, &mut last).await? {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    pub(in super::super) async fn messages(
        &self,
        c: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        let mut found = Vec::new();
        let (seq, mut last) = (slice.seq(), None);
        let mut here = bucket(seq);
        while found.len() < limit {
            found.append(&mut self.page(c, here, slice, limit - found.len()).await?);
            if found.len() == limit {
                break;
            }
            // Who asks begins where there is something, so the last bucket is seldom asked for.
            here = match slice {
                Slice::Down(_) if here == 0 => break,
                Slice::Down(_) => (here - 1).min(self.last_bucket(c, &mut last).await?),
                Slice::Up(_) => here + 1,
            };
            if matches!(slice, Slice::Up(_)) && here > self.last_bucket(c, &mut last).await? {
                break;
            }
        }
        Ok(found)
    }

    /// Messages of one bucket. The changes among the same number of changed messages hold all of theirs.
    async fn page(
        &self,
        c: &ConversationId,
        bucket: u64,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        let (id, bucket, limit) = (c.as_str(), number(bucket), limited(limit));
        let (messages, changes): (Vec<MessageColumns>, Vec<ChangeColumns>) = match slice {
            Slice::Down(seq) => {
                let values = (id, bucket, number(seq), limit);
                let messages = self.rows(&self.queries.messages_down, &values);
                try_join!(messages, self.rows(&self.queries.changes_down, &values))?
            }
            Slice::Up(seq) => {
                let values = (id, bucket, number(seq), i64::MAX, limit);
                let messages = self.rows(&self.queries.messages_up, &values);
                let values = (id, bucket, number(seq), limit);
                try_join!(messages, self.rows(&self.queries.changes_up, &values))?
            }
        };
        let mut changes: HashMap<i64, ChangeColumns> = changes.into_iter().map(|c| (c.0, c)).collect();
        let mut page = Vec::with_capacity(messages.len());
        for row in messages {
            let seq = row.0;
            if let Some(event) = message(c, row)? {
                page.push(changed(event, changes.remove(&seq))?);
            }
        }
        Ok(page)
    }

    pub(super) async fn message_at(&self, c: &ConversationId, seq: u64) -> Result<Option<StoredEvent>> {
        let found = self.row(&self.queries.message, &key(c, seq)).await?;
        found.map_or(Ok(None), |row| message(c, row))
    }

    /// The state of a message to which something happened.
    pub(super) async fn changed(&self, c: &ConversationId, seq: u64) -> Result<Option<MessageState>> {
        let found = self.row(&self.queries.change, &key(c, seq)).await?;
        found.map_or(Ok(None), |(state,)| known(state))
    }

    /// The last bucket that has events, 0 if none has, asked for once.
    async fn last_bucket(&self, c: &ConversationId, last: &mut Option<u64>) -> Result<u64> {
        if let Some(last) = last {
            return Ok(*last);
        }
        let found: Option<(i64,)> = self.row(&self.queries.last_bucket, &(c.as_str(),)).await?;
        Ok(*last.insert(found.map_or(0, |(bucket,)| unsigned(bucket))))
    }

    /// Positions grow with `seq`, and seqs have no holes: if it is not among the newest, it is found by halving.
    pub(in super::super) async fn first_after(
        &self,
        c: &ConversationId,
        at: Position,
    ) -> Result<Option<u64>> {
        let last = self.last_bucket(c, &mut None).await?;
        let mut newest = self.newest(c, last).await?;
        if newest.is_empty() && last > 0 {
            // It has just begun.
            newest = self.newest(c, last - 1).await?;
        }
        let Some((first, _)) = newest.first().copied() else { return Ok(None) };
        let after = newest.iter().find(|(_, position)| *position > at).map(|(seq, _)| *seq);
        if after != Some(first) {
            return Ok(after);
        }
        let (mut low, mut high) = (1, first);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.position_of(c, middle).await? {
                Some(position) if position <= at => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(Some(low))
    }

    /// Seqs and positions at the end of a bucket, rising.
    async fn newest(&self, c: &ConversationId, bucket: u64) -> Result<Vec<(u64, Position)>> {
        let values = (c.as_str(), number(bucket), limited(NEWEST));
        let messages = self.rows(&self.queries.message_positions, &values);
        let others = self.rows(&self.queries.event_positions, &values);
        let (mut found, mut others): (Vec<(i64, Option<i64>)>, Vec<_>) = try_join!(messages, others)?;
        found.append(&mut others);
        found.sort_unstable_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        found.truncate(NEWEST);
        Ok(found.into_iter().rev().filter_map(|(seq, at)| Some((unsigned(seq), position(at?)))).collect())
    }

    async fn position_of(&self, c: &ConversationId, seq: u64) -> Result<Option<Position>> {
        let key = key(c, seq);
        let message = self.row(&self.queries.message_position, &key);
        let (message, other) = try_join!(message, self.row(&self.queries.event_position, &key))?;
        let found: Option<(Option<i64>,)> = message.or(other);
        Ok(found.and_then(|(at,)| at).map(position))
    }

    /// Conversations with events, in the order of their tokens.
    pub(in super::super) async fn conversations(
        &self,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)> {
        if limit == 0 {
            return Ok((Vec::new(), None));
        }
        let found: Vec<(String,)> = match after {
            Some(after) => self.rows(&self.queries.listed, &(after.as_str(), limited(limit))).await?,
            None => self.rows(&self.queries.first_listed, &(limited(limit),)).await?,
        };
        let next = found.last().filter(|_| found.len() == limit).map(|(id,)| id.clone());
        Ok((found.iter().map(|(id,)| conversation(id)).collect::<Result<_>>()?, next))
    }

    pub(in super::super) async fn reactions(
        &self,
        c: &ConversationId,
        mut seqs: Vec<u64>,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>> {
        seqs.sort_unstable();
        seqs.dedup();
        let mut buckets: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        for seq in seqs {
            buckets.entry(bucket(seq)).or_default().push(number(seq));
        }
        let mut all: Vec<Reaction> = Vec::new();
        let take = |all: &mut Vec<Reaction>, row: ReactionColumns| {
            if let (seq, user, emoji, Some(true), Some(since)) = row {
                all.push((unsigned(seq), user_of(&user)?, emoji.into(), milliseconds(since)));
            }
            Ok(if all.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        for (bucket, seqs) in &buckets {
            for seqs in seqs.chunks(KEYS) {
                if all.len() >= limit {
                    return Ok(all);
                }
                let (id, bucket, each) = (c.as_str(), number(*bucket), |row| take(&mut all, row));
                match user {
                    Some(user) => {
                        let values = (id, bucket, seqs, user.as_str());
                        self.scan(&self.queries.reactions_of, &values, each).await?;
                    }
                    None => self.scan(&self.queries.reactions, &(id, bucket, seqs), each).await?,
                }
            }
        }
        Ok(all)
    }
}

/// Seq, user, emoji, whether it is there, since when.
type ReactionColumns = (i64, String, String, Option<bool>, Option<CqlTimestamp>);

impl Slice {
    fn seq(self) -> u64 {
        match self {
            Self::Down(seq) | Self::Up(seq) => seq,
        }
    }
}

fn key(c: &ConversationId, seq: u64) -> (&str, i64, i64) {
    (c.as_str(), number(bucket(seq)), number(seq))
}

/// A row of the table of messages; none if it has been blanked and not written yet.
fn message(c: &ConversationId, row: MessageColumns) -> Result<Option<StoredEvent>> {
    let (seq, position, body, content, rest) = row;
    stored(c, (seq, position, body, content), rest.as_deref())
}

fn event(c: &ConversationId, row: EventColumns) -> Result<Option<StoredEvent>> {
    stored(c, row, None)
}

fn stored(c: &ConversationId, row: EventColumns, rest: Option<&[u8]>) -> Result<Option<StoredEvent>> {
    let (seq, at, body, content) = row;
    let (Some(at), Some(body)) = (at, body) else { return Ok(None) };
    let fact = Split::join(c, &body, content.as_deref(), rest)?;
    if fact.seq() != unsigned(seq) {
        let why = format!("the event at {seq} of {c} says that it is at {}", fact.seq());
        return Err(Error::new(ErrorKind::Corrupt, why));
    }
    Ok(Some(StoredEvent { position: position(at), fact }))
}

/// A message with what became of it. The two were read one beside the other, so a message that is known to be deleted
/// may still have its text; it is not given.
fn changed(mut event: StoredEvent, change: Option<ChangeColumns>) -> Result<StoredMessage> {
    let Some((_, state, text, at)) = change else {
        let position = event.position;
        return Ok(StoredMessage { event, state: None, text: None, position });
    };
    let state: Option<MessageState> = known(state)?;
    let deleted = state.as_ref().is_some_and(|state| state.deleted_at.is_some());
    if let (true, What::Message { content, .. }) = (deleted, &mut event.fact.what) {
        *content = Content::default();
    }
    let position = event.position.max(position(at.unwrap_or_default()));
    Ok(StoredMessage { event, state, text: text.map(Into::into), position })
}
