//! All that the tables hold, page by page, and taking such pages over.

use super::super::{Credentials, Kept, NewAccount, NewKey, TokenHash};
use super::row::{self, ACCOUNT};
use super::{cut, session};
use crate::postgres::{Fault, Row, Step, ToSql, column, number, unsigned};
use crate::{Error, ErrorKind, Result};

/// What is kept of one kind.
struct Kind {
    name: &'static str,
    /// Those behind the key `$1`, by key, at most `$2`; the last column is the key as text.
    page: &'static str,
    read: fn(&Row) -> Result<Kept>,
    /// The column that has the key.
    key: usize,
}

/// In the order in which they are given. Accounts are read by [`account_page`].
const KINDS: [Kind; 6] = [
    Kind { name: "account", page: "", read: |r| row::credentials(r).map(Kept::Account), key: 13 },
    Kind {
        name: "session",
        page: "SELECT session_id, user_id, created_at, expires_at, ended_at, session_id FROM sessions
               WHERE session_id > $1 ORDER BY session_id LIMIT $2",
        read: |r| {
            Ok(Kept::Session {
                session_id: row::session(r, 0)?,
                user_id: row::user(r, 1)?,
                created_at: unsigned(r, 2)?,
                expires_at: unsigned(r, 3)?,
                ended_at: time(r, 4)?,
            })
        },
        key: 5,
    },
    Kind {
        name: "key",
        page: "SELECT k.hash, s.session_id, s.user_id, k.scopes, encode(k.hash, 'hex') FROM api_keys k
               JOIN sessions s ON s.session_id = k.session_id
               WHERE k.hash > decode($1, 'hex') ORDER BY k.hash LIMIT $2",
        read: |r| {
            Ok(Kept::Key {
                hash: hash(r)?,
                session_id: row::session(r, 1)?,
                user_id: row::user(r, 2)?,
                scopes: row::scopes(r, 3)?,
            })
        },
        key: 4,
    },
    Kind {
        name: "token",
        page: "SELECT t.hash, s.session_id, s.user_id, t.expires_at, t.spent_at, encode(t.hash, 'hex')
               FROM refresh_tokens t JOIN sessions s ON s.session_id = t.session_id
               WHERE t.hash > decode($1, 'hex') ORDER BY t.hash LIMIT $2",
        read: |r| {
            Ok(Kept::Token {
                hash: hash(r)?,
                session_id: row::session(r, 1)?,
                user_id: row::user(r, 2)?,
                expires_at: unsigned(r, 3)?,
                spent_at: time(r, 4)?,
            })
        },
        key: 5,
    },
    Kind {
        name: "invite",
        page: "SELECT hash, expires_at, spent_by, encode(hash, 'hex') FROM invites
               WHERE hash > decode($1, 'hex') ORDER BY hash LIMIT $2",
        read: |r| {
            let spent = column::<Option<&str>>(r, 2)?.is_some();
            Ok(Kept::Invite {
                hash: hash(r)?,
                expires_at: unsigned(r, 1)?,
                spent_by: spent.then(|| row::user(r, 2)).transpose()?,
            })
        },
        key: 3,
    },
    Kind {
        name: "audit",
        page: "SELECT entry_id, at, actor, action, target, detail, entry_id FROM audit
               WHERE entry_id > $1 ORDER BY entry_id LIMIT $2",
        read: |r| row::entry(r).map(Kept::Audit),
        key: 6,
    },
];

/// A page to be asked for, and what to make of it.
pub(super) struct Page {
    pub(super) sql: String,
    pub(super) after: String,
    pub(super) limit: i64,
    kind: usize,
}

impl Page {
    /// The page at a place that [`kept`](Self::kept) gave, or the first.
    pub(super) fn at(after: Option<&str>, limit: usize) -> Result<Self> {
        let unknown = || Error::new(ErrorKind::Invalid, "this is no place in the list of what is kept");
        let (name, after) = after.unwrap_or("account:").split_once(':').ok_or_else(unknown)?;
        let kind = KINDS.iter().position(|kind| kind.name == name).ok_or_else(unknown)?;
        let sql = match kind {
            0 => format!(
                "SELECT {ACCOUNT}, a.password_hash, a.user_id FROM users a
                 WHERE a.user_id > $1 ORDER BY a.user_id LIMIT $2"
            ),
            _ => KINDS[kind].page.to_owned(),
        };
        Ok(Self { sql, after: after.to_owned(), limit: cut(limit), kind })
    }

    /// What the rows are, and where the next page begins.
    pub(super) fn kept(&self, rows: &[Row]) -> Result<(Vec<Kept>, Option<String>)> {
        let Kind { name, read, key, .. } = KINDS[self.kind];
        let page = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        let next = match rows.last() {
            Some(last) if number(page.len() as u64) >= self.limit => {
                Some(format!("{name}:{}", column::<&str>(last, key)?))
            }
            _ => KINDS.get(self.kind + 1).map(|kind| format!("{}:", kind.name)),
        };
        Ok((page, next))
    }
}

/// Writes what is not there yet.
pub(super) async fn import(step: &Step, kept: &Kept) -> Result<(), Fault> {
    match kept {
        Kept::Account(Credentials { account, password_hash }) => {
            let there = "SELECT 1 FROM users WHERE user_id = $1";
            if step.row(there, &[&account.user_id.as_str()]).await?.is_some() {
                return Ok(());
            }
            let (account, password_hash) = (account.clone(), password_hash.clone());
            row::insert_account(step, &NewAccount { account, password_hash, invite: None }).await
        }
        Kept::Session { session_id, user_id, created_at, expires_at, ended_at } => {
            let sql = "INSERT INTO sessions (session_id, user_id, created_at, expires_at, ended_at)
                       VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            let (created_at, expires_at) = (number(*created_at), number(*expires_at));
            let values: [&(dyn ToSql + Sync); 5] =
                [&session_id.as_str(), &user_id.as_str(), &created_at, &expires_at, &ended_at.map(number)];
            step.run(sql, &values).await.map(|_| ())
        }
        Kept::Key { hash, session_id, scopes, .. } => {
            let there = "SELECT 1 FROM api_keys WHERE hash = $1";
            if step.row(there, &[&hash.as_slice()]).await?.is_some() {
                return Ok(());
            }
            let key = NewKey { hash: *hash, session_id: session_id.clone(), scopes: scopes.clone() };
            session::insert_key(step, &key).await
        }
        Kept::Token { hash, session_id, expires_at, spent_at, .. } => {
            let sql = "INSERT INTO refresh_tokens (hash, session_id, expires_at, spent_at)
                       VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            let values: [&(dyn ToSql + Sync); 4] =
                [&hash.as_slice(), &session_id.as_str(), &number(*expires_at), &spent_at.map(number)];
            step.run(sql, &values).await.map(|_| ())
        }
        Kept::Invite { hash, expires_at, spent_by } => {
            let sql = "INSERT INTO invites (hash, expires_at, spent_by) VALUES ($1, $2, $3)
                       ON CONFLICT DO NOTHING";
            let spender = spent_by.as_ref().map(|user| user.as_str());
            step.run(sql, &[&hash.as_slice(), &number(*expires_at), &spender]).await.map(|_| ())
        }
        Kept::Audit(entry) => {
            let there = "SELECT 1 FROM audit WHERE entry_id = $1";
            match step.row(there, &[&entry.entry_id.as_str()]).await? {
                Some(_) => Ok(()),
                None => row::insert_audit(step, entry).await,
            }
        }
    }
}

fn hash(row: &Row) -> Result<TokenHash> {
    let wrong = |_| Error::new(ErrorKind::Corrupt, "a hash in a row of the accounts is of another length");
    column::<&[u8]>(row, 0)?.try_into().map_err(wrong)
}

fn time(row: &Row, index: usize) -> Result<Option<u64>> {
    Ok(column::<Option<i64>>(row, index)?.map(i64::unsigned_abs))
}
