//! Members and what each has of its own.

use super::super::{PostgresStore, conversation_key, conversation_keys, words};
use super::{conversation, in_order, limited, position, user};
use crate::Result;
use crate::postgres::{Row, Text, column, number, unsigned};
use crate::store::page::{Whole, whole};
use crate::store::{MAX_MENTIONS, Own, OwnChange, OwnChanged, Reaction};
use chat4all_model::command::{Count, Marker};
use chat4all_model::fact::{Interval, Markers, Settings};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::Position;

/// What [`interval`] reads, of `members m`.
macro_rules! interval_columns {
    () => {
        "m.user_id, m.since, m.role, m.from_seq, m.from_n, m.to_seq, m.to_n, m.other_seq, m.joined_at"
    };
}
pub(super) use interval_columns;

/// What [`markers`] reads, of `markers o`.
macro_rules! marker_columns {
    () => {
        "o.delivered_seq, o.delivered_n, o.read_seq, o.read_n"
    };
}
pub(super) use marker_columns;

const MEMBERSHIPS: &str = concat!(
    "SELECT ",
    interval_columns!(),
    ", c.id FROM members m JOIN conversations c ON c.key = m.conversation WHERE m.user_id = $1"
);

const INTERVALS: &str = concat!(
    "SELECT ",
    interval_columns!(),
    " FROM members m WHERE m.conversation = $1 AND m.user_id = $2 ORDER BY m.since"
);

const MEMBERS: &str = concat!(
    "SELECT ",
    interval_columns!(),
    " FROM members m WHERE m.conversation = $1 AND m.to_seq IS NULL AND (m.joined_at, m.user_id) > ($2, $3)
      ORDER BY m.joined_at, m.user_id LIMIT $4"
);

const BETWEEN: &str = concat!(
    "SELECT ",
    interval_columns!(),
    " FROM members m WHERE m.conversation = $1 AND m.from_seq <= $3 AND (m.to_seq IS NULL OR m.to_seq >= $2)
      ORDER BY m.user_id, m.since LIMIT $4"
);

/// Mentions of the user and of all, each of them at most as many as are given.
const OWN: &str = concat!(
    "SELECT i, s.muted_until, s.archived, s.pinned, ARRAY(
        (SELECT seq FROM mentions WHERE user_id = $1 AND conversation = k.conversation
         AND seq > coalesce(o.read_seq, 0) ORDER BY seq LIMIT $3)
        UNION
        (SELECT seq FROM mentions WHERE user_id = 'all' AND conversation = k.conversation
         AND seq > coalesce(o.read_seq, 0) ORDER BY seq LIMIT $3)
        ORDER BY seq LIMIT $3), ",
    marker_columns!(),
    " FROM unnest($2::uuid[]) WITH ORDINALITY AS k (conversation, i)
     LEFT JOIN markers o ON o.user_id = $1 AND o.conversation = k.conversation
     LEFT JOIN settings s ON s.user_id = $1 AND s.conversation = k.conversation"
);

const OWN_CHANGES: &str = concat!(
    "SELECT c.id, changed.position, changed.time, changed.muted_until, changed.archived, changed.pinned,
        changed.delivered_seq, changed.delivered_n, changed.read_seq, changed.read_n
     FROM (
        SELECT o.conversation, o.position, o.time, NULL::bigint AS muted_until, NULL::boolean AS archived,
               NULL::boolean AS pinned, ",
    marker_columns!(),
    " FROM markers o WHERE o.user_id = $1 AND o.partition = $2 AND o.position BETWEEN $3 AND $4
        UNION ALL
        SELECT conversation, position, time, muted_until, archived, pinned, 0, 0, 0, 0
        FROM settings WHERE user_id = $1 AND partition = $2 AND position BETWEEN $3 AND $4
        ORDER BY position, conversation LIMIT $5
     ) changed JOIN conversations c ON c.key = changed.conversation
     ORDER BY changed.position, changed.conversation"
);

const OF_MEMBERS: &str = concat!(
    "SELECT ",
    marker_columns!(),
    ", o.user_id FROM markers o WHERE o.conversation = $1 ORDER BY o.user_id LIMIT $2"
);

/// Who has rises is found from one to the next, whatever their number.
const RISES: &str = "WITH RECURSIVE registers AS (
        (SELECT user_id, marker FROM rises WHERE conversation = $1 ORDER BY user_id, marker LIMIT 1)
        UNION ALL
        SELECT next.user_id, next.marker FROM registers r,
        LATERAL (SELECT user_id, marker FROM rises
                 WHERE conversation = $1 AND (user_id, marker) > (r.user_id, r.marker)
                 ORDER BY user_id, marker LIMIT 1) next
    )
    SELECT r.user_id, r.marker, risen.seq, risen.time FROM registers r, LATERAL (
        (SELECT seq, time FROM rises WHERE conversation = $1 AND user_id = r.user_id AND marker = r.marker
         AND seq >= $2 AND seq <= $3)
        UNION ALL
        (SELECT seq, time FROM rises WHERE conversation = $1 AND user_id = r.user_id AND marker = r.marker
         AND seq >= $2 AND seq > $3 ORDER BY seq LIMIT 1)
    ) risen";

const REACTIONS: &str = "SELECT k.seq, r.user_id, r.emoji, r.since
    FROM unnest($2::bigint[]) WITH ORDINALITY AS k (seq, i),
    LATERAL (SELECT user_id, emoji, since FROM reactions WHERE conversation = $1 AND seq = k.seq
             AND since IS NOT NULL AND ($3::text IS NULL OR user_id = $3) ORDER BY user_id, emoji LIMIT $4) r
    ORDER BY i, r.user_id, r.emoji LIMIT $4";

impl PostgresStore {
    pub(in super::super) async fn read_memberships(
        &self,
        user: &UserId,
    ) -> Result<Vec<(ConversationId, Interval)>> {
        let rows = self.database.rows(MEMBERSHIPS, &[&user.as_str()]).await?;
        rows.iter().map(|row| Ok((conversation(row, 9)?, interval(row, 0)?))).collect()
    }

    pub(in super::super) async fn read_intervals(
        &self,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<Vec<Interval>> {
        let key = conversation_key(conversation);
        let rows = self.database.rows(INTERVALS, &[&key, &user.as_str()]).await?;
        rows.iter().map(|row| interval(row, 0)).collect()
    }

    pub(in super::super) async fn read_members(
        &self,
        conversation: &ConversationId,
        after: Option<&(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let (joined_at, user) =
            after.map_or((-1, ""), |(joined_at, user)| (number(*joined_at), user.as_str()));
        let key = conversation_key(conversation);
        let rows = self.database.rows(MEMBERS, &[&key, &joined_at, &user, &limited(limit)]).await?;
        rows.iter().map(|row| interval(row, 0)).collect()
    }

    pub(in super::super) async fn read_members_between(
        &self,
        conversation: &ConversationId,
        (from, to): (u64, u64),
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let key = conversation_key(conversation);
        let rows = self.database.rows(BETWEEN, &[&key, &number(from), &number(to), &limited(limit)]).await?;
        rows.iter().map(|row| interval(row, 0)).collect()
    }

    pub(in super::super) async fn read_own(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Own>> {
        let keys = conversation_keys(conversations);
        let rows = self.database.rows(OWN, &[&user.as_str(), &keys, &limited(MAX_MENTIONS)]).await?;
        let found = in_order(conversations.len(), &rows, |row| own(row).map(Some))?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    pub(in super::super) async fn read_own_changes(
        &self,
        user: &UserId,
        partition: u32,
        (from, to): (Position, Position),
        limit: usize,
    ) -> Result<Vec<OwnChange>> {
        let page = async |first: i64, last: i64, limit: i64| {
            let partition = number(partition.into());
            let rows =
                self.database.rows(OWN_CHANGES, &[&user.as_str(), &partition, &first, &last, &limit]).await?;
            rows.iter().map(own_change).collect::<Result<Vec<_>>>()
        };
        let found = page(number(from.0).saturating_add(1), number(to.0), limited(limit).saturating_add(1));
        match whole(found.await?, limit, |change| change.position) {
            Whole::Page(page) => Ok(page),
            Whole::Position(only) => page(number(only.0), number(only.0), i64::MAX).await,
        }
    }

    pub(in super::super) async fn read_markers(
        &self,
        conversation: &ConversationId,
        limit: usize,
    ) -> Result<Vec<(UserId, Markers)>> {
        let key = conversation_key(conversation);
        let rows = self.database.rows(OF_MEMBERS, &[&key, &limited(limit)]).await?;
        rows.iter().map(|row| Ok((user(row, 4)?, markers(row, 0)?))).collect()
    }

    pub(in super::super) async fn read_rises(
        &self,
        conversation: &ConversationId,
        (from, to): (u64, u64),
    ) -> Result<Vec<(UserId, Marker, u64, u64)>> {
        let key = conversation_key(conversation);
        let rows = self.database.rows(RISES, &[&key, &number(from), &number(to)]).await?;
        let rise = |row| {
            Ok((user(row, 0)?, words::to_marker(column(row, 1)?)?, unsigned(row, 2)?, unsigned(row, 3)?))
        };
        rows.iter().map(rise).collect()
    }

    pub(in super::super) async fn read_reactions(
        &self,
        conversation: &ConversationId,
        seqs: &[u64],
        by: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>> {
        let key = conversation_key(conversation);
        let seqs: Vec<_> = seqs.iter().copied().map(number).collect();
        let by = by.map(UserId::as_str);
        let rows = self.database.rows(REACTIONS, &[&key, &seqs, &by, &limited(limit)]).await?;
        let reaction = |row| {
            let emoji: Text<'_> = column(row, 2)?;
            Ok((unsigned(row, 0)?, user(row, 1)?, (*emoji.0).into(), unsigned(row, 3)?))
        };
        rows.iter().map(reaction).collect()
    }
}

/// An interval from [`interval_columns`].
pub(super) fn interval(row: &Row, first: usize) -> Result<Interval> {
    let end = column::<Option<i64>>(row, first + 5)?.zip(column::<Option<i64>>(row, first + 6)?);
    Ok(Interval {
        user: user(row, first)?,
        since: unsigned(row, first + 1)?,
        role: words::to_role(column(row, first + 2)?)?,
        from: Count { seq: unsigned(row, first + 3)?, n: unsigned(row, first + 4)? },
        to: end.map(|(seq, n)| Count { seq: seq.unsigned_abs(), n: n.unsigned_abs() }),
        other_seq: unsigned(row, first + 7)?,
        joined_at: unsigned(row, first + 8)?,
    })
}

/// Markers from [`marker_columns`].
pub(super) fn markers(row: &Row, first: usize) -> Result<Markers> {
    Ok(Markers {
        delivered: Count { seq: unsigned(row, first)?, n: unsigned(row, first + 1)? },
        read: Count { seq: unsigned(row, first + 2)?, n: unsigned(row, first + 3)? },
    })
}

/// Settings from the columns muted_until, archived, pinned.
pub(super) fn settings(row: &Row, first: usize) -> Result<Settings> {
    Ok(Settings {
        muted_until: column::<Option<i64>>(row, first)?.map(i64::unsigned_abs),
        archived: column(row, first + 1)?,
        pinned: column(row, first + 2)?,
    })
}

fn own(row: &Row) -> Result<Own> {
    let mentions: Vec<i64> = column(row, 4)?;
    let (set, moved) = (column::<Option<bool>>(row, 2)?, column::<Option<i64>>(row, 5)?);
    Ok(Own {
        markers: if moved.is_some() { markers(row, 5)? } else { Markers::default() },
        settings: if set.is_some() { settings(row, 1)? } else { Settings::default() },
        mentions: mentions.into_iter().map(i64::unsigned_abs).collect(),
    })
}

fn own_change(row: &Row) -> Result<OwnChange> {
    let what = match column::<Option<bool>>(row, 4)? {
        Some(_) => OwnChanged::Settings(settings(row, 3)?),
        None => OwnChanged::Markers(markers(row, 6)?),
    };
    Ok(OwnChange {
        conversation: conversation(row, 0)?,
        position: position(row, 1)?,
        time: unsigned(row, 2)?,
        what,
    })
}
