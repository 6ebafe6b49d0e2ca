//! All that is kept, page by page, and taking such pages over.

use super::super::{Credentials, Kept, NewAccount, TokenHash};
use super::row;
use crate::postgres::{Database, Fault, Row, Step, column, number, unsigned};
use crate::{Error, ErrorKind, Result};
use futures_util::future::try_join_all;

/// What is kept of one kind.
struct Kind {
    name: &'static str,
    /// Those whose key is greater than `$1`, by key, at most `$2`; the last column is the key as text.
    sql: &'static str,
    read: fn(&Row) -> Result<Kept>,
}

/// In the order in which they are given.
const KINDS: [Kind; 6] = [
    Kind { name: "account", sql: row::ACCOUNTS_BY_ID, read: |row| row::credentials(row).map(Kept::Account) },
    Kind {
        name: "session",
        sql: "SELECT session_id, user_id, created_at, expires_at, ended_at, session_id FROM sessions
            WHERE session_id > $1 ORDER BY session_id LIMIT $2",
        read: |row| {
            Ok(Kept::Session {
                session_id: row::session(row, 0)?,
                user_id: row::user(row, 1)?,
                created_at: unsigned(row, 2)?,
                expires_at: unsigned(row, 3)?,
                ended_at: time_if_any(row, 4)?,
            })
        },
    },
    Kind {
        name: "key",
        sql: "SELECT k.hash, s.session_id, s.user_id, k.scopes, encode(k.hash, 'hex')
            FROM api_keys k JOIN sessions s ON s.session_id = k.session_id
            WHERE k.hash > decode($1, 'hex') ORDER BY k.hash LIMIT $2",
        read: |row| {
            Ok(Kept::Key {
                hash: hash(row, 0)?,
                session_id: row::session(row, 1)?,
                user_id: row::user(row, 2)?,
                scopes: row::scopes(row, 3)?,
            })
        },
    },
    Kind {
        name: "token",
        sql: "SELECT t.hash, s.session_id, s.user_id, t.expires_at, t.spent_at, encode(t.hash, 'hex')
            FROM refresh_tokens t JOIN sessions s ON s.session_id = t.session_id
            WHERE t.hash > decode($1, 'hex') ORDER BY t.hash LIMIT $2",
        read: |row| {
            Ok(Kept::Token {
                hash: hash(row, 0)?,
                session_id: row::session(row, 1)?,
                user_id: row::user(row, 2)?,
                expires_at: unsigned(row, 3)?,
                spent_at: time_if_any(row, 4)?,
            })
        },
    },
    Kind {
        name: "invite",
        sql: "SELECT hash, expires_at, spent_by, encode(hash, 'hex') FROM invites
            WHERE hash > decode($1, 'hex') ORDER BY hash LIMIT $2",
        read: |row| {
            Ok(Kept::Invite {
                hash: hash(row, 0)?,
                expires_at: unsigned(row, 1)?,
                spent_by: row::user_if_any(row, 2)?,
            })
        },
    },
    Kind {
        name: "audit",
        sql: "SELECT entry_id, at, actor, action, target, detail, entry_id FROM audit
            WHERE entry_id > $1 ORDER BY entry_id LIMIT $2",
        read: |row| row::entry(row).map(Kept::Audit),
    },
];

/// A page of at most `limit`, and where the next one begins: `<kind>:<key of the last>`.
pub(super) async fn export(
    database: &Database,
    after: Option<&str>,
    limit: i64,
) -> Result<(Vec<Kept>, Option<String>)> {
    let unknown = || Error::new(ErrorKind::Invalid, "this is no place in the list of what is kept");
    let (name, after) = after.unwrap_or("account:").split_once(':').ok_or_else(unknown)?;
    let place = KINDS.iter().position(|kind| kind.name == name).ok_or_else(unknown)?;
    let Kind { sql, read, .. } = &KINDS[place];
    let rows = database.rows(sql, &[&after, &limit]).await?;
    let page = rows.iter().map(read).collect::<Result<_>>()?;
    let next = match rows.last() {
        Some(last) if number(rows.len() as u64) >= limit => {
            Some(format!("{name}:{}", column::<&str>(last, last.len() - 1)?))
        }
        _ => KINDS.get(place + 1).map(|kind| format!("{}:", kind.name)),
    };
    Ok((page, next))
}

/// Writes what is not there yet.
pub(super) async fn import(step: &Step, kept: &[Kept]) -> Result<(), Fault> {
    for kept in kept {
        if let Kept::Account(Credentials { account, password_hash }) = kept
            && row::locked_account(step, &account.user_id).await?.is_none()
        {
            let (account, password_hash) = (account.clone(), password_hash.clone());
            row::insert_account(step, &NewAccount { account, password_hash, invite: None }).await?;
        }
    }
    // All on their way at once.
    try_join_all(kept.iter().map(|kept| insert(step, kept))).await.map(|_| ())
}

async fn insert(step: &Step, kept: &Kept) -> Result<(), Fault> {
    match kept {
        Kept::Account(_) => return Ok(()),
        Kept::Session { session_id, user_id, created_at, expires_at, ended_at } => {
            let sql = "INSERT INTO sessions (session_id, user_id, created_at, expires_at, ended_at)
                VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            let times = (number(*created_at), number(*expires_at), ended_at.map(number));
            let params = (session_id.as_str(), user_id.as_str());
            step.run(sql, &[&params.0, &params.1, &times.0, &times.1, &times.2]).await
        }
        Kept::Key { hash, session_id, scopes, .. } => {
            let scopes: Vec<_> = scopes.iter().copied().map(row::scope).collect();
            let sql =
                "INSERT INTO api_keys (hash, session_id, scopes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            step.run(sql, &[&hash.as_slice(), &session_id.as_str(), &scopes]).await
        }
        Kept::Token { hash, session_id, expires_at, spent_at, .. } => {
            let sql = "INSERT INTO refresh_tokens (hash, session_id, expires_at, spent_at)
                VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            let (expires_at, spent_at) = (number(*expires_at), spent_at.map(number));
            step.run(sql, &[&hash.as_slice(), &session_id.as_str(), &expires_at, &spent_at]).await
        }
        Kept::Invite { hash, expires_at, spent_by } => {
            let sql =
                "INSERT INTO invites (hash, expires_at, spent_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let spent_by = spent_by.as_ref().map(|user| user.as_str());
            step.run(sql, &[&hash.as_slice(), &number(*expires_at), &spent_by]).await
        }
        Kept::Audit(entry) => return row::insert_audit(step, entry).await,
    }
    .map(|_| ())
}

fn hash(row: &Row, index: usize) -> Result<TokenHash> {
    let unreadable = |_| Error::new(ErrorKind::Corrupt, "a hash of another length");
    column::<&[u8]>(row, index)?.try_into().map_err(unreadable)
}

fn time_if_any(row: &Row, index: usize) -> Result<Option<u64>> {
    Ok(column::<Option<i64>>(row, index)?.map(i64::unsigned_abs))
}
