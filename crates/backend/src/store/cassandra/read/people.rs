//! Who is and was a member.

use super::super::column::{IntervalColumns, conversation, interval, number, user as user_of};
use super::Read;
use crate::Result;
use chat4all_model::fact::Interval;
use chat4all_model::id::{ConversationId, UserId};
use scylla::value::CqlTimestamp;
use std::ops::ControlFlow;

/// Of a user or a conversation: since, admin, from, to, other, joined.
type Named = (String, i64, bool, i64, i64, Option<i64>, Option<i64>, i64, CqlTimestamp);

fn split(
    (name, since, admin, from_seq, from_n, to_seq, to_n, other, joined): Named,
) -> (String, IntervalColumns) {
    (name, (since, admin, from_seq, from_n, to_seq, to_n, other, joined))
}

impl Read<'_> {
    pub(in super::super) async fn memberships(
        &self,
        user: &UserId,
    ) -> Result<Vec<(ConversationId, Interval)>> {
        let found: Vec<Named> = self.rows(&self.queries.memberships, &(user.as_str(),)).await?;
        let membership = |row: Named| {
            let (id, columns) = split(row);
            Ok((conversation(&id)?, interval(user.clone(), columns)))
        };
        found.into_iter().map(membership).collect()
    }

    pub(in super::super) async fn intervals(
        &self,
        c: &ConversationId,
        user: &UserId,
    ) -> Result<Vec<Interval>> {
        let found: Vec<IntervalColumns> =
            self.rows(&self.queries.intervals, &(user.as_str(), c.as_str())).await?;
        Ok(found.into_iter().map(|columns| interval(user.clone(), columns)).collect())
    }

    pub(in super::super) async fn members(
        &self,
        c: &ConversationId,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        self.participants(c, after, limit, |interval| interval.to.is_none()).await
    }

    pub(in super::super) async fn members_between(
        &self,
        c: &ConversationId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        let reaches = |i: &Interval| i.from.seq <= to && i.to.is_none_or(|end| end.seq >= from);
        self.participants(c, None, limit, reaches).await
    }

    /// Those that are asked for, by time of joining and id.
    async fn participants(
        &self,
        c: &ConversationId,
        after: Option<(u64, UserId)>,
        limit: usize,
        asked: impl Fn(&Interval) -> bool + Send + Sync,
    ) -> Result<Vec<Interval>> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let (joined_at, user) =
            after.as_ref().map_or((i64::MIN, ""), |(at, user)| (number(*at), user.as_str()));
        let values = (c.as_str(), CqlTimestamp(joined_at), user);
        let each = |row: Named| {
            let (user, columns) = split(row);
            let interval = interval(user_of(&user)?, columns);
            if asked(&interval) {
                found.push(interval);
            }
            Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        self.scan(&self.queries.participants, &values, each).await?;
        Ok(found)
    }
}
