//! All that is kept, page by page, and taking such pages over.

use super::super::{Credentials, Kept, NewAccount, NewKey};
use super::CassandraAccounts;
use super::agenda::{Entry, Kind, Place};
use super::claims::{hex, unhex};
use super::people::AT_ONCE;
use super::user::{SESSION, TOKEN, User, user_id};
use super::users::{Decision, Part, Row, new_step};
use crate::cassandra::Change;
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::UserId;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The kinds of things in their order.
const KINDS: [&str; 6] = ["account", "session", "key", "token", "invite", "audit"];
/// From here on nothing expires.
const NEVER: u64 = i64::MAX as u64;

/// Things, and the place in their kind behind which the next page begins; none if there are no more.
type Page = (Vec<Kept>, Option<String>);
/// Rows of a user, and what of a kind they stand for.
type Rows = Vec<(Row, Option<Kept>)>;

impl CassandraAccounts {
    /// A page, and where the next one begins: `<kind>:<place>`.
    pub(super) async fn copy(&self, after: Option<&str>, limit: usize) -> Result<Page> {
        let (kind, place) = after.unwrap_or("account:").split_once(':').ok_or_else(nowhere)?;
        let number = KINDS.iter().position(|known| *known == kind).ok_or_else(nowhere)?;
        let (page, next) = match kind {
            "account" => self.copy_accounts(place, limit).await?,
            "session" => self.copy_rows(SESSION, sessions, place, limit).await?,
            "key" => self.copy_rows(SESSION, keys, place, limit).await?,
            "token" => self.copy_rows(TOKEN, tokens, place, limit).await?,
            "invite" => self.copy_invites(place, limit).await?,
            _ => self.copy_audit_log(place, limit).await?,
        };
        let next = match next {
            Some(place) => Some(format!("{kind}:{place}")),
            None => KINDS.get(number + 1).map(|kind| format!("{kind}:")),
        };
        Ok((page, next))
    }

    /// Behind the user whose id is the place.
    async fn copy_accounts(&self, place: &str, limit: usize) -> Result<Page> {
        let ids = self.ids.behind(place, limit).await?;
        let people = self.people(&ids).await?.into_iter().flatten();
        let accounts = people.map(|person| {
            let (account, password_hash) = (person.account, person.password_hash);
            Kept::Account(Credentials { account, password_hash })
        });
        Ok((accounts.collect(), ids.last().filter(|_| ids.len() == limit).map(UserId::to_string)))
    }

    /// What is of users, one after the other. The place is `<user>`, behind all of his, or
    /// `<user>:<id>:<hash>`, behind that row of his.
    async fn copy_rows(
        &self,
        kind: &'static str,
        things: fn(&UserId, User) -> Result<Rows>,
        place: &str,
        limit: usize,
    ) -> Result<Page> {
        let (user, row) = row_of(place).ok_or_else(nowhere)?;
        let behind = self.ids.behind(user, AT_ONCE).await?;
        let more = behind.len() == AT_ONCE;
        let mut users: Vec<(UserId, Row)> = Vec::new();
        if let Some(row) = row {
            users.push((user_id(user).map_err(|_| nowhere())?, row));
        }
        users.extend(behind.into_iter().map(|user| (user, Row::default())));
        let pages: Vec<_> = users.iter().map(|(user, row)| self.users.page(user, kind, row, limit)).collect();
        let pages: Vec<User> = stream::iter(pages).buffered(AT_ONCE).try_collect().await?;
        let mut page = Vec::new();
        for ((user, _), found) in users.iter().zip(pages) {
            let rows = things(user, found)?;
            let full = rows.len() == limit;
            let last = rows.last().map(|(row, _)| place_of(user, row));
            for (row, kept) in rows {
                page.extend(kept);
                if page.len() == limit {
                    return Ok((page, Some(place_of(user, &row))));
                }
            }
            if full {
                return Ok((page, last));
            }
        }
        Ok((page, users.last().filter(|_| more).map(|(user, _)| user.to_string())))
    }

    /// As the agenda has them, by the time of expiry. The place is `<time>:<name>`.
    async fn copy_invites(&self, place: &str, limit: usize) -> Result<Page> {
        let place = match place.split_once(':') {
            Some((at, name)) => (at.parse::<u64>().map_err(|_| nowhere())?, name.to_owned()),
            None => Place::default(),
        };
        let entries = self.agenda.page(Kind::Invite, &place, u64::MAX, limit).await?;
        let mut page = Vec::new();
        for entry in &entries {
            let Some(hash) = unhex(&entry.id) else { continue };
            if let Some((expires_at, spent_by)) = self.claims.invited(&hash).await? {
                page.push(Kept::Invite { hash, expires_at, spent_by });
            }
        }
        let last = entries.last().filter(|_| entries.len() == limit);
        Ok((page, last.map(|entry| format!("{}:{}", entry.at, entry.id))))
    }

    /// Newest first. The place is the id of an entry.
    async fn copy_audit_log(&self, place: &str, limit: usize) -> Result<Page> {
        let page = self.audit.page(Some(place).filter(|place| !place.is_empty()), limit).await?;
        let next = page.last().filter(|_| page.len() == limit).map(|entry| entry.entry_id.clone());
        Ok((page.into_iter().map(Kept::Audit).collect(), next))
    }

    /// Takes over what is not there yet: all of a user's in one step, many users at once.
    pub(super) async fn take_over(&self, kept: Vec<Kept>) -> Result<()> {
        let mut users: BTreeMap<UserId, Vec<Kept>> = BTreeMap::new();
        let mut others = Vec::new();
        for thing in kept {
            match owner(&thing) {
                Some(user) => users.entry(user.clone()).or_default().push(thing),
                None => others.push(thing),
            }
        }
        let users: Vec<_> = users.iter().map(|(user, things)| self.take_over_users(user, things)).collect();
        stream::iter(users).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let others: Vec<_> = others.iter().map(|thing| self.take_over_other(thing)).collect();
        stream::iter(others).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn take_over_users(&self, user: &UserId, things: &[Kept]) -> Result<()> {
        let step = new_step();
        self.users
            .step(user, Part::Whole, step, |found| async move {
                let mut changes = Vec::new();
                for thing in things {
                    changes.extend(self.take_over_users_one(user, thing, &found, step).await?);
                }
                Ok(if changes.is_empty() { Decision::Answer(()) } else { Decision::Change(changes, ()) })
            })
            .await
    }

    /// What makes one thing of a user, after all that must be there before.
    async fn take_over_users_one(
        &self,
        user: &UserId,
        thing: &Kept,
        found: &User,
        step: Uuid,
    ) -> Result<Vec<Change>> {
        let changes = &self.users.changes;
        match thing {
            Kept::Account(Credentials { account, password_hash }) if found.person.is_none() => {
                let (account, password_hash) = (account.clone(), password_hash.clone());
                let new = NewAccount { account, password_hash, invite: None };
                self.look(&new).await?;
                if let Some(owner) = &new.account.owner {
                    self.take_slot(owner, user, found.version, usize::MAX).await?;
                }
                self.claim(&new, found, step).await?;
                Ok(vec![changes.make(&new, step)?])
            }
            Kept::Session { session_id, created_at, expires_at, ended_at, .. }
                if !found.sessions.iter().any(|session| session.session_id == *session_id) =>
            {
                let mut made = vec![changes.session(user, session_id, *created_at, *expires_at)];
                if *expires_at < NEVER {
                    let expiry = Entry::session(*expires_at, session_id, user);
                    self.agenda.put(Kind::Expiry, &[expiry]).await?;
                }
                if let Some(at) = *ended_at {
                    self.agenda.put(Kind::Ended, &[Entry::session(at, session_id, user)]).await?;
                    made.push(changes.end(user, session_id, at));
                }
                Ok(made)
            }
            Kept::Key { hash, session_id, scopes, .. }
                if !found.sessions.iter().any(|session| session.key_hash == Some(*hash)) =>
            {
                self.tokens.put(hash, user, session_id).await?;
                let (session_id, scopes) = (session_id.clone(), scopes.clone());
                Ok(vec![changes.key(user, &NewKey { session_id, hash: *hash, scopes })?])
            }
            Kept::Token { hash, session_id, expires_at, spent_at, .. }
                if !found.tokens.iter().any(|token| token.hash == *hash) =>
            {
                self.tokens.put(hash, user, session_id).await?;
                let made = changes.token(user, session_id, hash, *expires_at);
                let spent = spent_at.map(|at| changes.spend(user, session_id, hash, at));
                Ok(std::iter::once(made).chain(spent).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn take_over_other(&self, thing: &Kept) -> Result<()> {
        match thing {
            Kept::Invite { hash, expires_at, spent_by } => {
                self.agenda.put(Kind::Invite, &[Entry::invite(*expires_at, hex(hash))]).await?;
                self.claims.import(hash, *expires_at, spent_by.as_ref()).await?;
                let Some(user) = spent_by else { return Ok(()) };
                self.users
                    .step(user, Part::Account, new_step(), |found| async move {
                        match found.person.is_some_and(|person| person.invite != Some(*hash)) {
                            true => Ok(Decision::Change(vec![self.users.changes.invite(user, hash)], ())),
                            false => Ok(Decision::Answer(())),
                        }
                    })
                    .await
            }
            Kept::Audit(entry) => match self.audit.has(&entry.entry_id).await? {
                true => Ok(()),
                false => self.audit.append(entry, None).await,
            },
            _ => Ok(()),
        }
    }
}

fn sessions(user: &UserId, found: User) -> Result<Rows> {
    let kept = found.sessions.into_iter().map(|session| {
        let row = (session.session_id.to_string(), Vec::new());
        let kept = Kept::Session {
            session_id: session.session_id,
            user_id: user.clone(),
            created_at: session.created_at,
            expires_at: session.expires_at,
            ended_at: session.ended_at,
        };
        (row, Some(kept))
    });
    Ok(kept.collect())
}

fn keys(user: &UserId, found: User) -> Result<Rows> {
    let kept = found.sessions.into_iter().map(|session| {
        let row = (session.session_id.to_string(), Vec::new());
        let Some(hash) = session.key_hash else { return Ok((row, None)) };
        let scopes = session.scopes()?;
        let session_id = session.session_id;
        Ok((row, Some(Kept::Key { hash, session_id, user_id: user.clone(), scopes })))
    });
    kept.collect()
}

fn tokens(user: &UserId, found: User) -> Result<Rows> {
    let kept = found.tokens.into_iter().map(|token| {
        let row = (token.session_id.to_string(), token.hash.to_vec());
        let kept = Kept::Token {
            hash: token.hash,
            session_id: token.session_id,
            user_id: user.clone(),
            expires_at: token.expires_at,
            spent_at: token.spent_at,
        };
        (row, Some(kept))
    });
    Ok(kept.collect())
}

/// In whose partition a thing is.
fn owner(thing: &Kept) -> Option<&UserId> {
    match thing {
        Kept::Account(credentials) => Some(&credentials.account.user_id),
        Kept::Session { user_id, .. } | Kept::Key { user_id, .. } | Kept::Token { user_id, .. } => {
            Some(user_id)
        }
        Kept::Invite { .. } | Kept::Audit(_) => None,
    }
}

fn place_of(user: &UserId, (id, hash): &Row) -> String {
    format!("{user}:{id}:{}", hex(hash))
}

/// The user and the row that a place names.
fn row_of(place: &str) -> Option<(&str, Option<Row>)> {
    let Some((user, row)) = place.split_once(':') else { return Some((place, None)) };
    let (id, hash) = row.rsplit_once(':')?;
    let hash = if hash.is_empty() { Vec::new() } else { unhex(hash)?.to_vec() };
    Some((user, Some((id.to_owned(), hash))))
}

fn nowhere() -> Error {
    Error::new(ErrorKind::Invalid, "this is no place in the list of what is kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back() {
        let user = UserId::parse("alice").unwrap();
        for row in [("s".to_owned(), Vec::new()), ("a:b".to_owned(), vec![7; 32])] {
            assert_eq!(row_of(&place_of(&user, &row)), Some(("alice", Some(row))));
        }
        assert_eq!(row_of("alice"), Some(("alice", None)));
        assert_eq!((row_of("alice:s"), row_of("alice:s:xx")), (None, None));
    }
}
