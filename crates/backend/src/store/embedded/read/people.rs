//! Members, and what each has of its own.

use super::super::event::{from_blob, number};
use super::super::project::marker_number;
use super::{Read, blob, column, limited, position, unsigned};
use crate::Result;
use crate::store::page::{Whole, whole};
use crate::store::{MAX_MENTIONS, Own, OwnChange, OwnChanged, Reaction};
use chat4all_model::api::Role;
use chat4all_model::command::{Count, Marker};
use chat4all_model::fact::{Interval, Markers, Settings};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::Position;
use rusqlite::{Row, ToSql, params};

const INTERVAL: &str = "SELECT user, since, role, from_seq, from_n, to_seq, to_n, other_seq, joined_at, conversation FROM members";
/// Markers from the columns delivered and read.
const MARKERS: &str = "delivered_seq, delivered_n, read_seq, read_n";

impl Read<'_> {
    fn interval(&self, row: &Row<'_>) -> Result<Interval> {
        let end = column::<Option<i64>>(row, 5)?.zip(column::<Option<i64>>(row, 6)?);
        Ok(Interval {
            user: self.user(column(row, 0)?)?,
            role: if column(row, 2)? { Role::Admin } else { Role::Member },
            from: Count { seq: unsigned(row, 3)?, n: unsigned(row, 4)? },
            since: unsigned(row, 1)?,
            to: end.map(|(seq, n)| Count { seq: seq.unsigned_abs(), n: n.unsigned_abs() }),
            other_seq: unsigned(row, 7)?,
            joined_at: unsigned(row, 8)?,
        })
    }

    pub(in super::super) fn memberships(&self, user: &UserId) -> Result<Vec<(ConversationId, Interval)>> {
        let Some(user) = self.user_number(user)? else { return Ok(Vec::new()) };
        self.many(&format!("{INTERVAL} WHERE user = ? ORDER BY conversation, since"), [user], |row| {
            Ok((self.names.id(self.connection, column(row, 9)?)?, self.interval(row)?))
        })
    }

    pub(in super::super) fn intervals(
        &self,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<Vec<Interval>> {
        let (Some(c), Some(user)) = (self.number(conversation)?, self.user_number(user)?) else {
            return Ok(Vec::new());
        };
        let sql = format!("{INTERVAL} WHERE conversation = ? AND user = ? ORDER BY since");
        self.many(&sql, [c, user], |row| self.interval(row))
    }

    pub(super) fn newest_interval(
        &self,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<Option<Interval>> {
        let (Some(c), Some(user)) = (self.number(conversation)?, self.user_number(user)?) else {
            return Ok(None);
        };
        let sql = format!("{INTERVAL} WHERE conversation = ? AND user = ? ORDER BY since DESC LIMIT 1");
        self.one(&sql, [c, user], |row| self.interval(row))
    }

    pub(in super::super) fn members(
        &self,
        conversation: &ConversationId,
        after: Option<&(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let Some(c) = self.number(conversation)? else { return Ok(Vec::new()) };
        let (joined_at, id) = after.map_or((-1, ""), |(joined_at, user)| (number(*joined_at), user.as_str()));
        let sql = format!(
            "{INTERVAL} WHERE conversation = ? AND to_seq IS NULL AND (joined_at, id) > (?, ?)
             ORDER BY joined_at, id LIMIT ?"
        );
        self.many(&sql, params![c, joined_at, id, limited(limit)], |row| self.interval(row))
    }

    pub(in super::super) fn members_between(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let Some(c) = self.number(conversation)? else { return Ok(Vec::new()) };
        let sql = format!(
            "{INTERVAL} WHERE conversation = ? AND from_seq <= ? AND (to_seq IS NULL OR to_seq >= ?)
             ORDER BY user, since LIMIT ?"
        );
        self.many(&sql, params![c, number(to), number(from), limited(limit)], |row| self.interval(row))
    }

    pub(super) fn own_markers(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Markers>> {
        let (Some(c), Some(user)) = (self.number(conversation)?, self.user_number(user)?) else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT {MARKERS} FROM own WHERE user = ? AND conversation = ? AND markers_position >= 0"
        );
        self.one(&sql, [user, c], |row| markers(row, 0))
    }

    pub(super) fn own_settings(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Settings>> {
        let (Some(c), Some(user)) = (self.number(conversation)?, self.user_number(user)?) else {
            return Ok(None);
        };
        let sql = "SELECT settings FROM own WHERE user = ? AND conversation = ? AND settings_position >= 0";
        self.one(sql, [user, c], |row| from_blob(blob(row, 0)?))
    }

    pub(in super::super) fn own(&self, user: &UserId, conversation: &ConversationId) -> Result<Own> {
        let markers = self.own_markers(user, conversation)?.unwrap_or_default();
        let settings = self.own_settings(user, conversation)?.unwrap_or_default();
        // Of all, who has no number yet is meant by those of all.
        let user = self.user_number(user)?.unwrap_or(0);
        let Some(c) = self.number(conversation)? else {
            return Ok(Own { markers, settings, mentions: Vec::new() });
        };
        let mut mentions = self.mentions(user, c, markers.read.seq)?;
        mentions.append(&mut self.mentions(0, c, markers.read.seq)?);
        mentions.sort_unstable();
        mentions.dedup();
        mentions.truncate(MAX_MENTIONS);
        Ok(Own { markers, settings, mentions })
    }

    fn mentions(&self, user: i64, conversation: i64, after: u64) -> Result<Vec<u64>> {
        let sql =
            "SELECT seq FROM mentions WHERE user = ? AND conversation = ? AND seq > ? ORDER BY seq LIMIT ?";
        let values = params![user, conversation, number(after), limited(MAX_MENTIONS)];
        self.many(sql, values, |row| unsigned(row, 0))
    }

    pub(in super::super) fn own_changes(
        &self,
        user: &UserId,
        partition: u32,
        (from, to): (Position, Position),
        limit: usize,
    ) -> Result<Vec<OwnChange>> {
        let Some(user) = self.user_number(user)? else { return Ok(Vec::new()) };
        let page = |first: i64, last: i64, limit: i64| {
            self.many(
                &format!(
                    "SELECT conversation, markers_position AS position, markers_time, NULL, {MARKERS} FROM own
                     WHERE user = ?1 AND partition = ?2 AND markers_position BETWEEN ?3 AND ?4
                     UNION ALL
                     SELECT conversation, settings_position, settings_time, settings, 0, 0, 0, 0 FROM own
                     WHERE user = ?1 AND partition = ?2 AND settings_position BETWEEN ?3 AND ?4
                     ORDER BY position, conversation LIMIT ?5"
                ),
                params![user, partition, first, last, limit],
                |row| self.own_change(row),
            )
        };
        let found = page(number(from.0).saturating_add(1), number(to.0), limited(limit).saturating_add(1))?;
        match whole(found, limit, |change| change.position) {
            Whole::Page(page) => Ok(page),
            Whole::Position(only) => page(number(only.0), number(only.0), i64::MAX),
        }
    }

    fn own_change(&self, row: &Row<'_>) -> Result<OwnChange> {
        let what = match column::<Option<Vec<u8>>>(row, 3)? {
            Some(settings) => OwnChanged::Settings(from_blob(&settings)?),
            None => OwnChanged::Markers(markers(row, 4)?),
        };
        Ok(OwnChange {
            conversation: self.names.id(self.connection, column(row, 0)?)?,
            position: position(row, 1)?,
            time: unsigned(row, 2)?,
            what,
        })
    }

    pub(in super::super) fn markers(
        &self,
        conversation: &ConversationId,
        limit: usize,
    ) -> Result<Vec<(UserId, Markers)>> {
        let Some(c) = self.number(conversation)? else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT user, {MARKERS} FROM own WHERE conversation = ? AND markers_position >= 0 ORDER BY user LIMIT ?"
        );
        self.many(&sql, params![c, limited(limit)], |row| Ok((self.user(column(row, 0)?)?, markers(row, 1)?)))
    }

    pub(in super::super) fn rises(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<(UserId, Marker, u64, u64)>> {
        let Some(c) = self.number(conversation)? else { return Ok(Vec::new()) };
        let next = "SELECT user, marker FROM rises WHERE conversation = ? AND (user, marker) > (?, ?)
                    ORDER BY user, marker LIMIT 1";
        let within = "SELECT seq, time FROM rises WHERE conversation = ?1 AND user = ?2 AND marker = ?3
                      AND seq >= ?4 ORDER BY seq";
        let mut all = Vec::new();
        let mut register = (0_i64, 0_i64);
        while let Some(found) = self.one(next, params![c, register.0, register.1], |row| {
            Ok((column::<i64>(row, 0)?, column::<i64>(row, 1)?))
        })? {
            register = found;
            let user = self.user(found.0)?;
            let marker =
                if found.1 == marker_number(Marker::Read) { Marker::Read } else { Marker::Delivered };
            let mut query = self.connection.prepare_cached(within).map_err(crate::sqlite::failed)?;
            let mut rows =
                query.query(params![c, found.0, found.1, number(from)]).map_err(crate::sqlite::failed)?;
            while let Some(row) = rows.next().map_err(crate::sqlite::failed)? {
                let seq = unsigned(row, 0)?;
                all.push((user.clone(), marker, seq, unsigned(row, 1)?));
                if seq > to {
                    break;
                }
            }
        }
        Ok(all)
    }

    pub(in super::super) fn reactions(
        &self,
        conversation: &ConversationId,
        seqs: &[u64],
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>> {
        let Some(c) = self.number(conversation)? else { return Ok(Vec::new()) };
        let user = match user.map(|user| self.user_number(user)).transpose()? {
            Some(None) => return Ok(Vec::new()),
            known => known.flatten(),
        };
        let whose = if user.is_some() { "user = ?4" } else { "?4 IS NULL" };
        let sql = format!(
            "SELECT user, emoji, since FROM reactions WHERE conversation = ?1 AND seq = ?2 AND {whose}
             AND since IS NOT NULL ORDER BY user, emoji LIMIT ?3"
        );
        let mut all = Vec::new();
        for seq in seqs {
            let values: [&dyn ToSql; 4] = [&c, &number(*seq), &limited(limit - all.len()), &user];
            all.append(&mut self.many(&sql, values, |row| {
                Ok((*seq, self.user(column(row, 0)?)?, column(row, 1)?, unsigned(row, 2)?))
            })?);
        }
        Ok(all)
    }
}

fn markers(row: &Row<'_>, first: usize) -> Result<Markers> {
    Ok(Markers {
        delivered: Count { seq: unsigned(row, first)?, n: unsigned(row, first + 1)? },
        read: Count { seq: unsigned(row, first + 2)?, n: unsigned(row, first + 3)? },
    })
}
