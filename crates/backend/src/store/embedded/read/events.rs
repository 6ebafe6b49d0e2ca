//! Events and messages of a conversation.

use super::super::event::{self, from_blob, number, place};
use super::{Read, blob, column, limited};
use crate::store::{Slice, StoredEvent, StoredMessage};
use crate::{Error, ErrorKind, Result};
use chat4all_model::fact::MessageState;
use chat4all_model::id::ConversationId;
use chat4all_model::rows::Position;
use rusqlite::{Row, params};
use std::sync::Arc;

const MESSAGES: &str = "SELECT place, key, body, content, state, state_position, text, text_position
    FROM events e LEFT JOIN changes c ON c.conversation = e.conversation AND c.seq = e.place >> 1
    WHERE e.conversation = ?1 AND e.place & 1";

impl Read<'_> {
    pub(in super::super) fn events(
        &self,
        conversation: &ConversationId,
        after: u64,
        upto: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let Some(c) = self.number(conversation)? else { return Ok(Vec::new()) };
        self.many(
            "SELECT place, key, body, content FROM events WHERE conversation = ? AND place > ? AND place <= ?
             ORDER BY place LIMIT ?",
            params![c, place(after) + 1, place(upto) + 1, limited(limit)],
            |row| self.event(conversation, row),
        )
    }

    pub(in super::super) fn messages(
        &self,
        conversation: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        let Some(c) = self.number(conversation)? else { return Ok(Vec::new()) };
        let read = |row: &Row<'_>| self.message(conversation, row);
        match slice {
            Slice::Down(seq) => self.many(
                &format!("{MESSAGES} AND place <= ?2 ORDER BY place DESC LIMIT ?3"),
                params![c, place(seq) + 1, limited(limit)],
                read,
            ),
            Slice::Up(seq) => self.many(
                &format!("{MESSAGES} AND place >= ?2 ORDER BY place LIMIT ?3"),
                params![c, place(seq), limited(limit)],
                read,
            ),
        }
    }

    fn message(&self, conversation: &ConversationId, row: &Row<'_>) -> Result<StoredMessage> {
        let event = self.event(conversation, row)?;
        let state: Option<MessageState> = match column::<Option<i64>>(row, 5)? {
            Some(0..) => Some(from_blob(blob(row, 4)?)?),
            _ => None,
        };
        let text: Option<Arc<str>> = column(row, 6)?;
        let highest = column::<Option<i64>>(row, 5)?.max(column(row, 7)?).unwrap_or_default().max(0);
        let position = event.position.max(Position(highest.unsigned_abs()));
        Ok(StoredMessage { event, state, text, position })
    }

    /// Positions grow with `seq`, so it is found by halving.
    pub(in super::super) fn first_after(
        &self,
        conversation: &ConversationId,
        position: Position,
    ) -> Result<Option<u64>> {
        let Some(c) = self.number(conversation)? else { return Ok(None) };
        let at_or_after = |seq: u64| {
            let sql =
                "SELECT place, body FROM events WHERE conversation = ? AND place >= ? ORDER BY place LIMIT 1";
            self.one(sql, params![c, place(seq)], |row| {
                Ok((column::<i64>(row, 0)?.unsigned_abs() >> 1, event::position(blob(row, 1)?)?))
            })
        };
        let last = "SELECT max(place) FROM events WHERE conversation = ?";
        let last = self.one(last, [c], |row| column::<Option<i64>>(row, 0))?.flatten();
        let Some(last) = last.map(|place| place.unsigned_abs() >> 1) else { return Ok(None) };
        let (mut low, mut high) = (1, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match at_or_after(middle)? {
                Some((seq, at)) if at <= position => low = seq + 1,
                _ => high = middle,
            }
        }
        Ok(at_or_after(low)?.map(|(seq, _)| seq))
    }

    /// Conversations with events, by number.
    pub(in super::super) fn conversations(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)> {
        let found = self.many(
            "SELECT no, id FROM conversations c WHERE no > ?1
             AND EXISTS (SELECT 1 FROM events e WHERE e.conversation = c.no) ORDER BY no LIMIT ?2",
            params![after, limited(limit)],
            |row| {
                let id = ConversationId::parse(&column::<String>(row, 1)?);
                Ok((column::<i64>(row, 0)?, id.map_err(|e| Error::new(ErrorKind::Corrupt, e))?))
            },
        )?;
        let next = found.last().filter(|_| found.len() == limit).map(|(no, _)| no.to_string());
        Ok((found.into_iter().map(|(_, id)| id).collect(), next))
    }

    /// The event at a seq.
    pub(super) fn event_at(&self, conversation: &ConversationId, seq: u64) -> Result<Option<StoredEvent>> {
        let Some(c) = self.number(conversation)? else { return Ok(None) };
        let sql = "SELECT place, key, body, content FROM events WHERE conversation = ? AND place IN (?, ?)";
        self.one(sql, params![c, place(seq), place(seq) + 1], |row| self.event(conversation, row))
    }

    /// The state of a message to which something happened.
    pub(super) fn changed(&self, conversation: &ConversationId, seq: u64) -> Result<Option<MessageState>> {
        let Some(c) = self.number(conversation)? else { return Ok(None) };
        let sql = "SELECT state FROM changes WHERE conversation = ? AND seq = ? AND state_position >= 0";
        self.one(sql, params![c, number(seq)], |row| from_blob(blob(row, 0)?))
    }
}
