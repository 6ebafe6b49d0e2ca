//! The values of the decider's state, and conversations as a whole.

use super::super::event::{self, from_blob, number};
use super::{Read, blob, column, position, unsigned};
use crate::store::Overview;
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::{ConversationId, RecordId};
use chat4all_model::rows::new_message;
use chat4all_model::state::{Key, Known, Value};
use rusqlite::params;

impl Read<'_> {
    pub(in super::super) fn value(&self, key: &Key) -> Result<Option<Value>> {
        Ok(match key {
            Key::About(c) => {
                let sql = "SELECT about FROM conversations WHERE id = ? AND about_position >= 0";
                self.one(sql, [c.as_str()], |row| from_blob(blob(row, 0)?))?.map(Value::About)
            }
            Key::Head(c) => {
                let sql = "SELECT head FROM conversations WHERE id = ? AND head_position >= 0";
                self.one(sql, [c.as_str()], |row| from_blob(blob(row, 0)?))?.map(Value::Head)
            }
            Key::Member(c, user) => self.newest_interval(c, user)?.map(Value::Member),
            Key::Id(id) => self.known(id)?.map(Value::Id),
            Key::Message(c, seq) => {
                let state = match self.changed(c, *seq)? {
                    Some(state) => Some(state),
                    None => self.event_at(c, *seq)?.and_then(|event| new_message(&event.fact)),
                };
                state.map(Value::Message)
            }
            Key::Markers(c, user) => self.own_markers(user, c)?.map(Value::Markers),
            Key::Reaction(c, seq, user, emoji) => {
                let (Some(c), Some(user)) = (self.number(c)?, self.user_number(user)?) else {
                    return Ok(None);
                };
                let sql = "SELECT since IS NOT NULL FROM reactions
                           WHERE conversation = ? AND seq = ? AND user = ? AND emoji = ?";
                self.one(sql, params![c, number(*seq), user, emoji], |row| column(row, 0))?
                    .map(Value::Reaction)
            }
            Key::Settings(c, user) => self.own_settings(user, c)?.map(Value::Settings),
        })
    }

    pub(in super::super) fn known(&self, id: &RecordId) -> Result<Option<Known>> {
        let sql = "SELECT conversation, place, body FROM events WHERE key = ?";
        let same_key = self.many(sql, [event::key(id)], |row| {
            Ok(match event::hash_if(id, blob(row, 2)?)? {
                Some(hash) => Some((column::<i64>(row, 0)?, unsigned(row, 1)?, hash)),
                None => None,
            })
        })?;
        let Some((c, place, hash)) = same_key.into_iter().flatten().next() else { return Ok(None) };
        let conversation = self.names.id(self.connection, c)?;
        Ok(Some(Known { conversation, seq: place >> 1, hash, message: place & 1 == 1 }))
    }

    pub(in super::super) fn overview(&self, conversation: &ConversationId) -> Result<Option<Overview>> {
        let sql = "SELECT about, about_position, head, head_position FROM conversations
                   WHERE id = ? AND head_position >= 0";
        self.one(sql, [conversation.as_str()], |row| {
            if column::<i64>(row, 1)? < 0 {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{conversation} has a head but no beginning"),
                ));
            }
            Ok(Overview {
                about: from_blob(blob(row, 0)?)?,
                head: from_blob(blob(row, 2)?)?,
                position: position(row, 1)?.max(position(row, 3)?),
            })
        })
    }
}
