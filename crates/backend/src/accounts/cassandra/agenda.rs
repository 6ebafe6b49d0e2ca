//! What is to be looked at, and when: sessions that ended, sessions that will expire, invites.
//!
//! An entry is written before the step that it tells of, so none is ever missing; readers ask the user's partition
//! whether the step was taken, unless the entry says that it was (`settled`).

use super::super::{Ended, SessionId};
use super::user::{ms, time, user_id};
use super::users::{Part, Users};
use crate::Result;
use crate::cassandra::{Cassandra, bind};
use chat4all_model::id::UserId;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;

/// Into how many partitions each kind is spread, by the ids. With a million users who open two sessions a week each
/// of them holds some 125,000 expiries, 16 MB.
const SHARDS: u8 = 16;

/// How many entries of a call are written at once.
const AT_ONCE: usize = 32;

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A session that ended at this time.
    Ended,
    /// A session that expires at this time, if it was not prolonged.
    Expiry,
    /// An invite that is good until this time.
    Invite,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Expiry => "expiry",
            Self::Invite => "invite",
        }
    }
}

/// Where an entry stands: its time and its id.
pub(super) type Place = (u64, String);

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: u64,
    /// A session's id, or an invite's name.
    pub(super) id: String,
    /// Whose session it is.
    pub(super) user: Option<UserId>,
    settled: bool,
}

impl Entry {
    pub(super) fn session(at: u64, session: &SessionId, user: &UserId) -> Self {
        Self { at, id: session.to_string(), user: Some(user.clone()), settled: false }
    }

    pub(super) fn invite(at: u64, name: String) -> Self {
        Self { at, id: name, user: None, settled: false }
    }

    /// The same, of a step that was taken.
    pub(super) fn settled(self) -> Self {
        Self { settled: true, ..self }
    }

    pub(super) fn place(&self) -> Place {
        (self.at, self.id.clone())
    }
}

#[derive(DeserializeRow)]
struct EntryRow {
    at: i64,
    id: String,
    user_id: Option<String>,
    settled: Option<bool>,
}

/// The table `agenda`.
pub(super) struct Agenda {
    cassandra: Arc<Cassandra>,
    users: Arc<Users>,
    put: PreparedStatement,
    remove: PreparedStatement,
    page: PreparedStatement,
}

impl Agenda {
    pub(super) async fn prepare(cassandra: &Arc<Cassandra>, users: &Arc<Users>) -> Result<Self> {
        let c = cassandra;
        let put = "INSERT INTO agenda (kind, shard, at, id, user_id, settled) VALUES (?, ?, ?, ?, ?, ?)";
        let remove = "DELETE FROM agenda WHERE kind = ? AND shard = ? AND at = ? AND id = ?";
        let page = "SELECT at, id, user_id, settled FROM agenda \
                    WHERE kind = ? AND shard = ? AND (at, id) > (?, ?) AND (at) < (?) LIMIT ?";
        Ok(Self {
            put: c.write_statement(put).await?,
            remove: c.write_statement(remove).await?,
            page: c.read_statement(page).await?,
            cassandra: Arc::clone(c),
            users: Arc::clone(users),
        })
    }

    pub(super) async fn put(&self, kind: Kind, entries: &[Entry]) -> Result<()> {
        let put: Vec<_> = entries.iter().map(|entry| self.put_one(kind, entry)).collect();
        stream::iter(put).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn put_one(&self, kind: Kind, entry: &Entry) -> Result<()> {
        let user = entry.user.as_ref().map(UserId::as_str);
        let row = (kind.name(), shard(&entry.id), at(entry), &entry.id, user, entry.settled);
        self.cassandra.write(&bind(&self.put, &row)?).await
    }

    pub(super) async fn remove(&self, kind: Kind, entry: &Entry) -> Result<()> {
        let row = (kind.name(), shard(&entry.id), at(entry), &entry.id);
        self.cassandra.write(&bind(&self.remove, &row)?).await
    }

    /// The next entries behind a place and before a time, in order.
    pub(super) async fn page(
        &self,
        kind: Kind,
        place: &Place,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let cut = i32::try_from(limit).unwrap_or(i32::MAX);
        let shards = (0..i32::from(SHARDS)).map(|shard| async move {
            let values = (kind.name(), shard, ms(place.0), &place.1, ms(before), cut);
            self.cassandra.rows::<EntryRow>(&self.page, &values).await
        });
        let mut page =
            try_join_all(shards).await?.into_iter().flatten().map(entry).collect::<Result<Vec<_>>>()?;
        page.sort_unstable_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        page.truncate(limit);
        Ok(page)
    }

    /// Sessions that ended at `since` or later, behind `after` of those at `since`, in order.
    pub(super) async fn ended(
        &self,
        since: u64,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let mut place = (since, after.map(SessionId::to_string).unwrap_or_default());
        let mut ended = Vec::new();
        while ended.len() < limit {
            let wanted = limit - ended.len();
            let page = self.page(Kind::Ended, &place, u64::MAX, wanted).await?;
            let more = page.len() == wanted;
            if let Some(last) = page.last() {
                place = last.place();
            }
            let asked = page.into_iter().map(|entry| self.happened(entry));
            ended.extend(try_join_all(asked).await?.into_iter().flatten());
            if !more {
                break;
            }
        }
        Ok(ended)
    }

    async fn happened(&self, entry: Entry) -> Result<Option<Ended>> {
        let Some(user_id) = entry.user else { return Ok(None) };
        let session_id = SessionId::new(&entry.id);
        let ended = Ended { session_id, user_id, ended_at: entry.at };
        if !entry.settled {
            let found = self.users.read(&ended.user_id, Part::Session(&ended.session_id)).await?;
            if !found.sessions.iter().any(|session| session.ended_at == Some(ended.ended_at)) {
                return Ok(None);
            }
        }
        Ok(Some(ended))
    }
}

fn entry(row: EntryRow) -> Result<Entry> {
    Ok(Entry {
        at: time(Some(row.at)),
        id: row.id,
        user: row.user_id.as_deref().map(user_id).transpose()?,
        settled: row.settled.unwrap_or_default(),
    })
}

/// Before the end of time, so that there is a time behind every entry.
fn at(entry: &Entry) -> i64 {
    ms(entry.at).min(i64::MAX - 1)
}

/// The same in every build.
fn shard(id: &str) -> i32 {
    (id.bytes().fold(0, u8::wrapping_add) % SHARDS).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_spread_evenly() {
        let mut counts = [0; SHARDS as usize];
        for _ in 0..16_000 {
            let id = uuid::Uuid::now_v7().to_string();
            counts[usize::try_from(shard(&id)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (700..1_300).contains(count)), "{counts:?}");
    }
}
