//! What is read, each call on one snapshot of the file.

mod events;
mod people;
mod state;

use super::event::{self, from_blob, number};
use super::names::Names;
use crate::sqlite::failed;
use crate::store::page::{LetterId, Whole, whole};
use crate::store::{DeadLetter, StoredEvent};
use crate::{Error, ErrorKind, Result};
use chat4all_model::fact::Fact;
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, params};
use std::collections::HashMap;

/// A snapshot.
pub(super) struct Read<'a> {
    pub(super) connection: &'a Connection,
    pub(super) names: &'a Names,
}

/// The progress of every partition.
pub(super) fn all_progress(connection: &Connection) -> Result<HashMap<u32, Progress>> {
    let mut query = connection.prepare("SELECT partition, value FROM progress").map_err(failed)?;
    let mut rows = query.query([]).map_err(failed)?;
    let mut all = HashMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        all.insert(column(row, 0)?, from_blob(blob(row, 1)?)?);
    }
    Ok(all)
}

impl Read<'_> {
    /// All rows of a query.
    fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut query = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = query.query(params).map_err(failed)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    /// The first row of a query.
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut query = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = query.query(params).map_err(failed)?;
        rows.next().map_err(failed)?.map(read).transpose()
    }

    fn number(&self, conversation: &ConversationId) -> Result<Option<i64>> {
        self.names.number(self.connection, conversation)
    }

    fn user_number(&self, user: &UserId) -> Result<Option<i64>> {
        self.names.number(self.connection, user)
    }

    fn user(&self, number: i64) -> Result<UserId> {
        self.names.id(self.connection, number)
    }

    /// An event from the columns place, key, body, content.
    fn event(&self, conversation: &ConversationId, row: &Row<'_>) -> Result<StoredEvent> {
        let content = row.get_ref(3).and_then(|value| Ok(value.as_blob_or_null()?)).map_err(failed)?;
        event::read(conversation, column(row, 0)?, column(row, 1)?, blob(row, 2)?, content, |no| {
            self.user(no)
        })
    }

    pub(super) fn terms(&self, partition: u32) -> Result<Vec<u64>> {
        let sql = "SELECT offset FROM terms WHERE partition = ?1
                   AND epoch = (SELECT max(epoch) FROM terms WHERE partition = ?1) ORDER BY offset";
        self.many(sql, [partition], |row| unsigned(row, 0))
    }

    pub(super) fn reader(&self, name: &str, partition: u32) -> Result<Progress> {
        let sql = "SELECT value FROM readers WHERE name = ? AND partition = ?";
        let found = self.one(sql, (name, partition), |row| from_blob(blob(row, 0)?))?;
        Ok(found.unwrap_or_default())
    }

    pub(super) fn dead_letters(&self, after: Option<LetterId>, limit: usize) -> Result<Vec<DeadLetter>> {
        let after = after.unwrap_or(LetterId { partition: 0, position: -1, part: 0 });
        self.many(
            "SELECT partition, position, part, dead, replayed_at FROM dead_letters
             WHERE (position, partition, part) > (?, ?, ?) ORDER BY position, partition, part LIMIT ?",
            params![after.position, after.partition, after.part, limited(limit)],
            |row| {
                let (partition, position, part): (u32, i64, u32) =
                    (column(row, 0)?, column(row, 1)?, column(row, 2)?);
                Ok(DeadLetter {
                    id: format!("{partition}-{position}-{part}"),
                    time: 0,
                    dead: from_blob(blob(row, 3)?)?,
                    replayed_at: column::<Option<i64>>(row, 4)?.map(i64::unsigned_abs),
                })
            },
        )
    }

    pub(super) fn rejections(
        &self,
        user: &UserId,
        partition: u32,
        (from, to): (Position, Position),
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let Some(user) = self.user_number(user)? else { return Ok(Vec::new()) };
        let page = |first: i64, last: i64, limit: i64| {
            self.many(
                "SELECT position, fact FROM rejections WHERE user = ? AND partition = ?
                 AND position BETWEEN ? AND ? ORDER BY position, part LIMIT ?",
                params![user, partition, first, last, limit],
                |row| {
                    let fact: Fact = from_blob(blob(row, 1)?)?;
                    Ok(StoredEvent { position: position(row, 0)?, fact })
                },
            )
        };
        let found = page(number(from.0).saturating_add(1), number(to.0), limited(limit).saturating_add(1))?;
        match whole(found, limit, |rejection| rejection.position) {
            Whole::Page(page) => Ok(page),
            Whole::Position(only) => page(number(only.0), number(only.0), i64::MAX),
        }
    }
}

fn limited(limit: usize) -> i64 {
    number(limit as u64)
}

fn column<T: FromSql>(row: &Row<'_>, index: usize) -> Result<T> {
    row.get(index).map_err(failed)
}

fn unsigned(row: &Row<'_>, index: usize) -> Result<u64> {
    column::<i64>(row, index).map(i64::unsigned_abs)
}

fn position(row: &Row<'_>, index: usize) -> Result<Position> {
    unsigned(row, index).map(Position)
}

fn blob<'r>(row: &'r Row<'_>, index: usize) -> Result<&'r [u8]> {
    let value = row.get_ref(index).map_err(failed)?;
    value.as_blob().map_err(|e| Error::new(ErrorKind::Corrupt, e))
}
