//! What is to be looked at, and when: sessions that ended, sessions that will expire, invites.
//!
//! An entry is written before the step that it tells of, so none is ever missing; readers ask the user's partition
//! whether the step was taken, unless the entry says that it was (`settled`).

use super::super::{Ended, MAX_ENTRIES, SessionId};
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

    fn place(&self) -> (u64, &str) {
        (self.at, &self.id)
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
    after: PreparedStatement,
    before: PreparedStatement,
}

impl Agenda {
    pub(super) async fn prepare(cassandra: &Arc<Cassandra>, users: &Arc<Users>) -> Result<Self> {
        let c = cassandra;
        let put = "INSERT INTO agenda (kind, shard, at, id, user_id, settled) VALUES (?, ?, ?, ?, ?, ?)";
        let remove = "DELETE FROM agenda WHERE kind = ? AND shard = ? AND at = ? AND id = ?";
        let page = "SELECT at, id, user_id, settled FROM agenda WHERE kind = ? AND shard = ?";
        Ok(Self {
            put: c.write_statement(put).await?,
            remove: c.write_statement(remove).await?,
            after: c.read_statement(&format!("{page} AND (at, id) > (?, ?) LIMIT ?")).await?,
            before: c.read_statement(&format!("{page} AND at < ? LIMIT ?")).await?,
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
        let row = (kind.name(), shard(&entry.id), ms(entry.at), &entry.id, user, entry.settled);
        self.cassandra.write(&bind(&self.put, &row)?).await
    }

    pub(super) async fn remove(&self, kind: Kind, entry: &Entry) -> Result<()> {
        let row = (kind.name(), shard(&entry.id), ms(entry.at), &entry.id);
        self.cassandra.write(&bind(&self.remove, &row)?).await
    }

    /// The first entries before `before`.
    pub(super) async fn due(&self, kind: Kind, before: u64, limit: usize) -> Result<Vec<Entry>> {
        let cut = i32::try_from(limit).unwrap_or(i32::MAX);
        let shards = (0..i32::from(SHARDS)).map(|shard| async move {
            self.cassandra.rows::<EntryRow>(&self.before, &(kind.name(), shard, ms(before), cut)).await
        });
        let mut due =
            try_join_all(shards).await?.into_iter().flatten().map(entry).collect::<Result<Vec<_>>>()?;
        due.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        due.truncate(limit);
        Ok(due)
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
            let (entries, more) = self.behind(&place).await?;
            let Some(last) = entries.last() else { break };
            place = (last.at, last.id.clone());
            let asked = entries.into_iter().map(|entry| self.happened(entry));
            ended.extend(try_join_all(asked).await?.into_iter().flatten());
            if !more {
                break;
            }
        }
        ended.truncate(limit);
        Ok(ended)
    }

    /// The next entries behind a place, and whether there may be more.
    async fn behind(&self, (at, id): &(u64, String)) -> Result<(Vec<Entry>, bool)> {
        let limit = i32::try_from(MAX_ENTRIES).unwrap_or(i32::MAX);
        let shards = (0..i32::from(SHARDS)).map(|shard| async move {
            let values = (Kind::Ended.name(), shard, ms(*at), id, limit);
            let rows = self.cassandra.rows::<EntryRow>(&self.after, &values).await?;
            rows.into_iter().map(entry).collect::<Result<Vec<_>>>()
        });
        Ok(merged(try_join_all(shards).await?, MAX_ENTRIES))
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

/// The entries of all shards in order, as far as none is missing, and whether there may be more: behind a page of
/// `full` length may be more of its shard.
fn merged(shards: Vec<Vec<Entry>>, full: usize) -> (Vec<Entry>, bool) {
    let ends = shards.iter().filter(|page| page.len() >= full).filter_map(|page| page.last());
    let end = ends.map(Entry::place).min().map(|(at, id)| (at, id.to_owned()));
    let mut entries: Vec<Entry> = shards.into_iter().flatten().collect();
    if let Some((at, id)) = &end {
        entries.retain(|entry| entry.place() <= (*at, id));
    }
    entries.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
    (entries, end.is_some())
}

fn entry(row: EntryRow) -> Result<Entry> {
    Ok(Entry {
        at: time(Some(row.at)),
        id: row.id,
        user: row.user_id.as_deref().map(user_id).transpose()?,
        settled: row.settled.unwrap_or_default(),
    })
}

/// The same in every build.
fn shard(id: &str) -> i32 {
    (id.bytes().fold(0, u8::wrapping_add) % SHARDS).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_merged_without_a_gap() {
        let page = |times: &[u64]| times.iter().map(|at| Entry::invite(*at, at.to_string())).collect();
        let times = |shards, full| {
            let (entries, more) = merged(shards, full);
            (entries.iter().map(|entry| entry.at).collect::<Vec<_>>(), more)
        };
        assert_eq!(times(vec![page(&[2, 5]), page(&[1, 9])], 3), (vec![1, 2, 5, 9], false));
        assert_eq!(times(vec![page(&[2, 5, 7]), page(&[1, 9])], 3), (vec![1, 2, 5, 7], true));
        assert_eq!(times(vec![page(&[2, 5, 7]), page(&[1, 3, 6])], 3), (vec![1, 2, 3, 5, 6], true));
        assert_eq!(times(vec![page(&[]), page(&[])], 3), (vec![], false));
    }

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
