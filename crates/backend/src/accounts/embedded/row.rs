//! Rows of the accounts file and what they stand for.

use super::super::{Account, AuditEntry, Bot, NewAccount, Refusal, SessionId};
use crate::sqlite::failed;
use crate::{Error, ErrorKind, Result};
use chat4all_model::api::{LastSeenTo, QuietHours, Scope};
use chat4all_model::id::UserId;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The columns that [`account`] reads, in its order.
pub(super) const ACCOUNT: &str = "a.user_id, a.username, a.email, a.display_name, a.avatar_file_id, a.time_zone, \
     a.last_seen_to, a.quiet_from, a.quiet_to, a.permissions, a.owner, a.created_at";

/// SQLite's integers are signed; no time of ours reaches their end.
pub(super) fn ms(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(|ms: i64| u64::try_from(ms).unwrap_or(0))
}

pub(super) fn time_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|ms| u64::try_from(ms).unwrap_or(0)))
}

pub(super) fn user(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    UserId::parse(row.get_ref(column)?.as_str()?).map_err(|e| unreadable(column, e))
}

pub(super) fn user_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<UserId>> {
    let id: Option<String> = row.get(column)?;
    id.map(|id| UserId::parse(&id)).transpose().map_err(|e| unreadable(column, e))
}

pub(super) fn session(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionId> {
    Ok(SessionId::new(row.get_ref(column)?.as_str()?))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|e| unreadable(column, e))
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::new(ErrorKind::Invalid, e))
}

pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let quiet = row.get::<_, Option<u16>>(7)?.zip(row.get::<_, Option<u16>>(8)?);
    Ok(Account {
        user_id: user(row, 0)?,
        username: row.get(1)?,
        email: row.get(2)?,
        display_name: row.get(3)?,
        avatar_file_id: row.get(4)?,
        time_zone: row.get(5)?,
        last_seen_to: json::<LastSeenTo>(row, 6)?,
        quiet_hours: quiet.map(|(from_minute, to_minute)| QuietHours { from_minute, to_minute }),
        permissions: json(row, 9)?,
        owner: user_if_any(row, 10)?,
        created_at: time(row, 11)?,
    })
}

/// A bot from the columns of [`ACCOUNT`], its session and its scopes.
pub(super) fn bot(row: &Row<'_>) -> rusqlite::Result<Bot> {
    Ok(Bot { account: account(row)?, session_id: session(row, 12)?, scopes: json::<Vec<Scope>>(row, 13)? })
}

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        entry_id: row.get(0)?,
        at: time(row, 1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        target: row.get(4)?,
        detail: row.get(5)?,
    })
}

pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    connection.prepare_cached(sql).and_then(|mut s| s.query_row(params, read).optional()).map_err(failed)
}

pub(super) fn many<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    connection
        .prepare_cached(sql)
        .and_then(|mut s| s.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>())
        .map_err(failed)
}

pub(super) fn run(connection: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    connection.prepare_cached(sql).and_then(|mut s| s.execute(params)).map_err(failed)
}

pub(super) fn refused(refusal: Refusal) -> Error {
    Error::new(ErrorKind::Conflict, refusal)
}

/// Makes an account, or says what is in the way.
pub(super) fn insert_account(connection: &Connection, new: &NewAccount) -> Result<()> {
    let account = &new.account;
    let username = account.username.to_lowercase();
    if one(connection, "SELECT 1 FROM accounts WHERE username = ?1", [&username], |_| Ok(()))?.is_some() {
        return Err(refused(Refusal::UsernameTaken));
    }
    if let Some(email) = &account.email {
        require_free(connection, email, &account.user_id)?;
    }
    if let Some(invite) = &new.invite {
        let spent = run(
            connection,
            "UPDATE invites SET spent_by = ?2 WHERE hash = ?1 AND spent_by IS NULL AND expires_at > ?3",
            params![invite.as_slice(), account.user_id.as_str(), ms(account.created_at)],
        )?;
        if spent == 0 {
            return Err(refused(Refusal::InviteSpent));
        }
    }
    run(
        connection,
        "INSERT INTO accounts (user_id, username, email, email_key, display_name, avatar_file_id, time_zone, \
         last_seen_to, quiet_from, quiet_to, permissions, owner, created_at, password_hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            account.user_id.as_str(),
            username,
            account.email,
            account.email.as_ref().map(|e| e.to_lowercase()),
            account.display_name,
            account.avatar_file_id,
            account.time_zone,
            to_json(&account.last_seen_to)?,
            account.quiet_hours.map(|q| q.from_minute),
            account.quiet_hours.map(|q| q.to_minute),
            to_json(&account.permissions)?,
            account.owner.as_ref().map(UserId::as_str),
            ms(account.created_at),
            new.password_hash,
        ],
    )?;
    insert_names(connection, account)
}

/// Refuses an e-mail address that is another account's.
pub(super) fn require_free(connection: &Connection, email: &str, user: &UserId) -> Result<()> {
    let sql = "SELECT 1 FROM accounts WHERE email_key = ?1 AND user_id <> ?2";
    match one(connection, sql, params![email.to_lowercase(), user.as_str()], |_| Ok(()))? {
        Some(()) => Err(refused(Refusal::EmailTaken)),
        None => Ok(()),
    }
}

/// Writes what an account is found by.
pub(super) fn insert_names(connection: &Connection, account: &Account) -> Result<()> {
    let shown = account.display_name.as_deref().unwrap_or_default().to_lowercase();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let tails = (0..words.len()).map(|first| words[first..].join(" "));
    for name in std::iter::once(account.username.to_lowercase()).chain(tails) {
        run(
            connection,
            "INSERT OR IGNORE INTO names (name, user_id) VALUES (?1, ?2)",
            params![name, account.user_id.as_str()],
        )?;
    }
    Ok(())
}

pub(super) fn insert_audit(connection: &Connection, entry: &AuditEntry) -> Result<()> {
    run(
        connection,
        "INSERT INTO audit (entry_id, at, actor, action, target, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![entry.entry_id, ms(entry.at), entry.actor, entry.action, entry.target, entry.detail],
    )
    .map(|_| ())
}

/// Ends the living sessions of an account but `keep`, and gives them.
pub(super) fn end_all(
    connection: &Connection,
    user: &UserId,
    keep: Option<&SessionId>,
    now: u64,
) -> Result<Vec<SessionId>> {
    many(
        connection,
        "UPDATE sessions SET ended_at = ?3 WHERE user_id = ?1 AND ended_at IS NULL AND session_id <> ?2 \
         RETURNING session_id",
        params![user.as_str(), keep.map_or("", SessionId::as_str), ms(now)],
        |row| session(row, 0),
    )
}

/// Ends one session of an account, if it lives.
pub(super) fn end_one(connection: &Connection, user: &UserId, which: &SessionId, now: u64) -> Result<bool> {
    let sql = "UPDATE sessions SET ended_at = ?3 WHERE session_id = ?2 AND user_id = ?1 AND ended_at IS NULL";
    run(connection, sql, params![user.as_str(), which.as_str(), ms(now)]).map(|changed| changed > 0)
}
