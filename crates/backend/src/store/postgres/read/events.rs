//! Events and messages of a conversation.

use super::super::{PostgresStore, conversation_key};
use super::{conversation, limited, position};
use crate::postgres::{Row, Text, column, number};
use crate::store::split::{Split, from_blob};
use crate::store::{Slice, StoredEvent, StoredMessage};
use crate::{Error, ErrorKind, Result};
use chat4all_model::fact::MessageState;
use chat4all_model::id::ConversationId;
use chat4all_model::rows::Position;
use std::sync::Arc;
use uuid::Uuid;

const EVENTS: &str = "SELECT position, body, content, rest FROM (
        (SELECT seq, position, body, content, rest FROM message_events
         WHERE conversation = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4)
        UNION ALL
        (SELECT seq, position, body, content, rest FROM other_events
         WHERE conversation = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4)
    ) events ORDER BY seq LIMIT $4";

const DOWN: &str =
    "SELECT m.position, m.body, m.content, m.rest, c.state, c.state_position, c.text, c.text_position
    FROM message_events m LEFT JOIN changes c ON c.conversation = m.conversation AND c.seq = m.seq
    WHERE m.conversation = $1 AND m.seq <= $2 ORDER BY m.seq DESC LIMIT $3";

const UP: &str =
    "SELECT m.position, m.body, m.content, m.rest, c.state, c.state_position, c.text, c.text_position
    FROM message_events m LEFT JOIN changes c ON c.conversation = m.conversation AND c.seq = m.seq
    WHERE m.conversation = $1 AND m.seq >= $2 ORDER BY m.seq LIMIT $3";

/// Positions grow with `seq`, so it is found by halving: what is sought is above `low` and not above `high`.
const FIRST_AFTER: &str = "WITH RECURSIVE search (low, high) AS (
        SELECT 0::bigint, 1 + greatest(
            (SELECT seq FROM message_events WHERE conversation = $1 ORDER BY seq DESC LIMIT 1),
            (SELECT seq FROM other_events WHERE conversation = $1 ORDER BY seq DESC LIMIT 1))
        UNION ALL
        SELECT CASE WHEN found.position <= $2 THEN found.seq ELSE low END,
               CASE WHEN found.position <= $2 THEN high ELSE middle END
        FROM (SELECT low, high, (low + high) / 2 AS middle FROM search WHERE high - low > 1) halved,
        LATERAL (
            (SELECT seq, position FROM message_events WHERE conversation = $1 AND seq >= middle
             ORDER BY seq LIMIT 1)
            UNION ALL
            (SELECT seq, position FROM other_events WHERE conversation = $1 AND seq >= middle
             ORDER BY seq LIMIT 1)
            ORDER BY seq LIMIT 1
        ) found
    ), place AS (SELECT high FROM search WHERE high - low <= 1)
    SELECT min(seq) FROM place, LATERAL (
        (SELECT seq FROM message_events WHERE conversation = $1 AND seq >= high ORDER BY seq LIMIT 1)
        UNION ALL
        (SELECT seq FROM other_events WHERE conversation = $1 AND seq >= high ORDER BY seq LIMIT 1)
    ) found";

impl PostgresStore {
    pub(in super::super) async fn read_events(
        &self,
        conversation: &ConversationId,
        (after, upto): (u64, u64),
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let key = conversation_key(conversation);
        let rows =
            self.database.rows(EVENTS, &[&key, &number(after), &number(upto), &limited(limit)]).await?;
        rows.iter().map(|row| event(conversation, row, 0)).collect()
    }

    pub(in super::super) async fn read_messages(
        &self,
        conversation: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        let (sql, seq) = match slice {
            Slice::Down(seq) => (DOWN, seq),
            Slice::Up(seq) => (UP, seq),
        };
        let key = conversation_key(conversation);
        let rows = self.database.rows(sql, &[&key, &number(seq), &limited(limit)]).await?;
        rows.iter().map(|row| message(conversation, row)).collect()
    }

    pub(in super::super) async fn read_first_after(
        &self,
        conversation: &ConversationId,
        position: Position,
    ) -> Result<Option<u64>> {
        let key = conversation_key(conversation);
        let rows = self.database.rows(FIRST_AFTER, &[&key, &number(position.0)]).await?;
        let found = rows.first().map_or(Ok(None), |row| column::<Option<i64>>(row, 0))?;
        Ok(found.map(i64::unsigned_abs))
    }

    /// Conversations by key: each has an event, for its row comes with one.
    pub(in super::super) async fn read_conversations(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)> {
        let wrong = |_| Error::new(ErrorKind::Invalid, "this is no place in the list of conversations");
        let after = after.map(Uuid::parse_str).transpose().map_err(wrong)?;
        let sql = "SELECT id, key FROM conversations WHERE key > $1 ORDER BY key LIMIT $2";
        let first = "SELECT id, key FROM conversations ORDER BY key LIMIT $1";
        let rows = match &after {
            Some(after) => self.database.rows(sql, &[after, &limited(limit)]).await?,
            None => self.database.rows(first, &[&limited(limit)]).await?,
        };
        let last = rows.last().filter(|_| rows.len() == limit);
        let next = last.map(|row| column::<Uuid>(row, 1).map(|key| key.to_string())).transpose()?;
        let ids = rows.iter().map(|row| self::conversation(row, 0)).collect::<Result<_>>()?;
        Ok((ids, next))
    }
}

/// An event from the columns position, body, content, rest, from `first` on.
pub(super) fn event(conversation: &ConversationId, row: &Row, first: usize) -> Result<StoredEvent> {
    let text: Option<Text<'_>> = column(row, first + 2)?;
    let text = text.as_ref().map(|text| &*text.0);
    let fact = Split::join(conversation, column(row, first + 1)?, text, column(row, first + 3)?)?;
    Ok(StoredEvent { position: position(row, first)?, fact })
}

fn message(conversation: &ConversationId, row: &Row) -> Result<StoredMessage> {
    let event = event(conversation, row, 0)?;
    let state: Option<MessageState> = column::<Option<&[u8]>>(row, 4)?.map(from_blob).transpose()?;
    let text: Option<Text<'_>> = column(row, 6)?;
    let changed = column::<Option<i64>>(row, 5)?.max(column(row, 7)?).map_or(0, |at| at.max(0));
    let position = event.position.max(Position(changed.unsigned_abs()));
    Ok(StoredMessage { event, state, text: text.map(|text| Arc::from(&*text.0)), position })
}
