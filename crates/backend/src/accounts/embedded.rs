//! Accounts in a SQLite file of their own, every commit synced.

mod copy;
mod row;

use super::{
    Account, Accounts, AuditEntry, Bot, Credentials, Ended, Kept, Login, MAX_ENTRIES, NewAccount, NewKey,
    NewSession, ProfileChange, Refusal, Rotated, Rotation, SessionId, TokenHash, Which,
};
use crate::sqlite::Database;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use chat4all_model::id::UserId;
use row::{ACCOUNT, many, ms, one, run};
use rusqlite::{Connection, params};
use std::path::Path;

const MIGRATIONS: &[&str] = &[include_str!("embedded/schema_1.sql")];

/// The embedded engine: `accounts.db` in the data folder.
pub struct EmbeddedAccounts {
    database: Database,
}

impl EmbeddedAccounts {
    /// Opens the accounts of a data folder, or makes them.
    ///
    /// # Errors
    /// `Invalid` if a newer program wrote them, `Unavailable` if the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self { database: Database::open(&folder.join("accounts.db"), MIGRATIONS)? })
    }
}

fn cut(limit: usize) -> i64 {
    i64::try_from(limit.min(MAX_ENTRIES)).unwrap_or(i64::MAX)
}

fn account_by_id(connection: &Connection, user: &UserId) -> Result<Option<Account>> {
    let sql = select_account("WHERE a.user_id = ?1");
    one(connection, &sql, [user.as_str()], row::account)
}

fn select_account(rest: &str) -> String {
    format!("SELECT {ACCOUNT} FROM accounts a {rest}")
}

#[async_trait]
impl Accounts for EmbeddedAccounts {
    async fn create(&self, new: NewAccount) -> Result<()> {
        self.database.write(move |c| row::insert_account(c, &new)).await
    }

    async fn get(&self, ids: &[UserId]) -> Result<Vec<Account>> {
        if ids.len() > MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Invalid, format!("more than {MAX_ENTRIES} ids")));
        }
        let ids = ids.to_vec();
        self.database
            .read(move |c| ids.iter().filter_map(|id| account_by_id(c, id).transpose()).collect())
            .await
    }

    async fn credentials(&self, login: &Login) -> Result<Option<Credentials>> {
        let (column, key) = match login {
            Login::Username(name) => ("username", name.to_lowercase()),
            Login::Email(email) => ("email_key", email.to_lowercase()),
            Login::Id(user) => ("user_id", user.to_string()),
        };
        let sql = format!("SELECT {ACCOUNT}, a.password_hash FROM accounts a WHERE a.{column} = ?1");
        self.database
            .read(move |c| {
                one(c, &sql, [key], |r| {
                    Ok(Credentials { account: row::account(r)?, password_hash: r.get(12)? })
                })
            })
            .await
    }

    async fn search(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        let from = prefix.to_lowercase();
        let to = format!("{from}{}", char::MAX);
        let after = after.unwrap_or_default().to_owned();
        let sql = select_account(
            "WHERE a.username > ?3 AND a.user_id IN (SELECT n.user_id FROM names n WHERE n.name >= ?1 AND n.name < ?2) \
             ORDER BY a.username LIMIT ?4",
        );
        self.database.read(move |c| many(c, &sql, params![from, to, after, cut(limit)], row::account)).await
    }

    async fn list(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<Account>> {
        let after = after.map(UserId::to_string).unwrap_or_default();
        let sql = select_account("WHERE a.user_id > ?1 ORDER BY a.user_id LIMIT ?2");
        self.database.read(move |c| many(c, &sql, params![after, cut(limit)], row::account)).await
    }

    async fn update(&self, user: &UserId, change: ProfileChange) -> Result<Option<Account>> {
        let user = user.clone();
        self.database.write(move |c| update(c, &user, change)).await
    }

    async fn set_password(
        &self,
        user: &UserId,
        hash: &str,
        keep: Option<&SessionId>,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>> {
        let (user, hash, keep) = (user.clone(), hash.to_owned(), keep.cloned());
        self.database
            .write(move |c| {
                let sql = "UPDATE accounts SET password_hash = ?2 WHERE user_id = ?1";
                if run(c, sql, params![user.as_str(), hash])? == 0 {
                    return Ok(Vec::new());
                }
                row::insert_audit(c, &audit)?;
                row::end_all(c, &user, keep.as_ref(), now)
            })
            .await
    }

    async fn set_permissions(
        &self,
        user: &UserId,
        permissions: &[String],
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>> {
        let (user, permissions) = (user.clone(), permissions.to_vec());
        self.database
            .write(move |c| {
                let Some(before) = account_by_id(c, &user)? else { return Ok(Vec::new()) };
                if before.permissions == permissions {
                    return Ok(Vec::new());
                }
                let sql = "UPDATE accounts SET permissions = ?2 WHERE user_id = ?1";
                run(c, sql, params![user.as_str(), row::to_json(&permissions)?])?;
                row::insert_audit(c, &audit)?;
                if before.permissions.iter().all(|p| permissions.contains(p)) {
                    return Ok(Vec::new());
                }
                row::end_all(c, &user, None, now)
            })
            .await
    }

    async fn open_session(&self, session: NewSession) -> Result<()> {
        self.database
            .write(move |c| {
                insert_session(
                    c,
                    &session.session_id,
                    &session.user_id,
                    session.created_at,
                    session.expires_at,
                )?;
                insert_refresh(c, &session.refresh, &session.session_id, session.expires_at)
            })
            .await
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Rotated> {
        self.database.write(move |c| rotate(c, &rotation)).await
    }

    async fn end_sessions(&self, user: &UserId, which: Which, now: u64) -> Result<Vec<SessionId>> {
        let user = user.clone();
        self.database
            .write(move |c| match which {
                Which::All => row::end_all(c, &user, None, now),
                Which::One(session) => {
                    Ok(if row::end_one(c, &user, &session, now)? { vec![session] } else { Vec::new() })
                }
            })
            .await
    }

    async fn ended_since(&self, since: u64, after: Option<&SessionId>, limit: usize) -> Result<Vec<Ended>> {
        let after = after.map(SessionId::to_string).unwrap_or_default();
        let sql = "SELECT session_id, user_id, ended_at FROM sessions \
                   WHERE ended_at IS NOT NULL AND (ended_at, session_id) > (?1, ?2) \
                   ORDER BY ended_at, session_id LIMIT ?3";
        self.database
            .read(move |c| {
                many(c, sql, params![ms(since), after, cut(limit)], |r| {
                    Ok(Ended {
                        session_id: row::session(r, 0)?,
                        user_id: row::user(r, 1)?,
                        ended_at: row::time(r, 2)?,
                    })
                })
            })
            .await
    }

    async fn create_bot(&self, bot: NewAccount, key: NewKey, limit: usize, audit: AuditEntry) -> Result<()> {
        self.database
            .write(move |c| {
                let owner = bot.account.owner.as_ref().map(UserId::to_string).unwrap_or_default();
                if bots(c, &owner)?.len() >= limit {
                    return Err(row::refused(Refusal::TooMany));
                }
                row::insert_account(c, &bot)?;
                insert_session(c, &key.session_id, &bot.account.user_id, bot.account.created_at, u64::MAX)?;
                run(
                    c,
                    "INSERT INTO keys (hash, session_id, scopes) VALUES (?1, ?2, ?3)",
                    params![key.hash.as_slice(), key.session_id.as_str(), row::to_json(&key.scopes)?],
                )?;
                row::insert_audit(c, &audit)
            })
            .await
    }

    async fn bots(&self, owner: &UserId) -> Result<Vec<Bot>> {
        let owner = owner.to_string();
        self.database.read(move |c| bots(c, &owner)).await
    }

    async fn revoke_bot(
        &self,
        owner: &UserId,
        bot: &UserId,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Option<SessionId>> {
        let (owner, bot) = (owner.to_string(), bot.clone());
        self.database
            .write(move |c| {
                let Some(found) = bots(c, &owner)?.into_iter().find(|b| b.account.user_id == bot) else {
                    return Ok(None);
                };
                row::end_one(c, &bot, &found.session_id, now)?;
                row::insert_audit(c, &audit)?;
                Ok(Some(found.session_id))
            })
            .await
    }

    async fn bot_of_key(&self, hash: &TokenHash) -> Result<Option<Bot>> {
        let hash = *hash;
        let sql = format!("{} WHERE k.hash = ?1 AND s.ended_at IS NULL", bot_sql());
        self.database.read(move |c| one(c, &sql, [hash.as_slice()], row::bot)).await
    }

    async fn invite(&self, hash: &TokenHash, expires_at: u64, audit: AuditEntry) -> Result<()> {
        let hash = *hash;
        self.database
            .write(move |c| {
                let sql = "INSERT INTO invites (hash, expires_at) VALUES (?1, ?2)";
                run(c, sql, params![hash.as_slice(), ms(expires_at)])?;
                row::insert_audit(c, &audit)
            })
            .await
    }

    async fn append_audit(&self, entry: AuditEntry) -> Result<()> {
        self.database.write(move |c| row::insert_audit(c, &entry)).await
    }

    async fn audit_log(&self, before: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>> {
        let before = before.map(str::to_owned);
        let sql = "SELECT entry_id, at, actor, action, target, detail FROM audit \
                   WHERE ?1 IS NULL OR entry_id < ?1 ORDER BY entry_id DESC LIMIT ?2";
        self.database.read(move |c| many(c, sql, params![before, cut(limit)], row::entry)).await
    }

    async fn sweep(&self, before: u64, limit: usize) -> Result<usize> {
        self.database.write(move |c| sweep(c, before, limit)).await
    }

    async fn export(&self, after: Option<String>, limit: usize) -> Result<(Vec<Kept>, Option<String>)> {
        self.database.read(move |c| copy::export(c, after.as_deref(), limit)).await
    }

    async fn import(&self, kept: Vec<Kept>) -> Result<()> {
        if kept.len() > MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Invalid, format!("more than {MAX_ENTRIES} things")));
        }
        self.database.write(move |c| kept.iter().try_for_each(|kept| copy::import(c, kept))).await
    }
}

fn update(c: &Connection, user: &UserId, change: ProfileChange) -> Result<Option<Account>> {
    let Some(mut account) = account_by_id(c, user)? else { return Ok(None) };
    if let Some(Some(email)) = &change.email {
        row::require_free(c, email, user)?;
    }
    let renamed = change.display_name.is_some();
    account.display_name = change.display_name.unwrap_or(account.display_name);
    account.email = change.email.unwrap_or(account.email);
    account.avatar_file_id = change.avatar_file_id.unwrap_or(account.avatar_file_id);
    account.time_zone = change.time_zone.unwrap_or(account.time_zone);
    account.last_seen_to = change.last_seen_to.unwrap_or(account.last_seen_to);
    account.quiet_hours = change.quiet_hours.unwrap_or(account.quiet_hours);
    run(
        c,
        "UPDATE accounts SET display_name = ?2, email = ?3, email_key = ?4, avatar_file_id = ?5, time_zone = ?6, \
         last_seen_to = ?7, quiet_from = ?8, quiet_to = ?9 WHERE user_id = ?1",
        params![
            user.as_str(),
            account.display_name,
            account.email,
            account.email.as_ref().map(|e| e.to_lowercase()),
            account.avatar_file_id,
            account.time_zone,
            row::to_json(&account.last_seen_to)?,
            account.quiet_hours.map(|q| q.from_minute),
            account.quiet_hours.map(|q| q.to_minute),
        ],
    )?;
    if renamed {
        run(c, "DELETE FROM names WHERE user_id = ?1", [user.as_str()])?;
        row::insert_names(c, &account)?;
    }
    Ok(Some(account))
}

fn insert_session(
    c: &Connection,
    session: &SessionId,
    user: &UserId,
    created_at: u64,
    expires_at: u64,
) -> Result<()> {
    run(
        c,
        "INSERT INTO sessions (session_id, user_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![session.as_str(), user.as_str(), ms(created_at), ms(expires_at)],
    )
    .map(|_| ())
}

fn insert_refresh(c: &Connection, hash: &TokenHash, session: &SessionId, expires_at: u64) -> Result<()> {
    run(
        c,
        "INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES (?1, ?2, ?3)",
        params![hash.as_slice(), session.as_str(), ms(expires_at)],
    )
    .map(|_| ())
}

fn rotate(c: &Connection, rotation: &Rotation) -> Result<Rotated> {
    let sql = "SELECT s.session_id, s.user_id, t.spent_at FROM refresh_tokens t \
               JOIN sessions s ON s.session_id = t.session_id \
               WHERE t.hash = ?1 AND t.expires_at > ?2 AND s.ended_at IS NULL";
    let found = one(c, sql, params![rotation.spent.as_slice(), ms(rotation.now)], |r| {
        Ok((row::session(r, 0)?, row::user(r, 1)?, row::time_if_any(r, 2)?))
    })?;
    let Some((session_id, user_id, spent_at)) = found else { return Ok(Rotated::Gone) };
    if let Some(spent_at) = spent_at {
        if rotation.now.saturating_sub(spent_at) <= rotation.grace_ms {
            return Ok(Rotated::Successor { session_id, user_id, spent_at });
        }
        row::end_one(c, &user_id, &session_id, rotation.now)?;
        return Ok(Rotated::Reused { session_id, user_id });
    }
    let spent = "UPDATE refresh_tokens SET spent_at = ?2 WHERE hash = ?1";
    run(c, spent, params![rotation.spent.as_slice(), ms(rotation.now)])?;
    insert_refresh(c, &rotation.next, &session_id, rotation.expires_at)?;
    let prolonged = "UPDATE sessions SET expires_at = ?2 WHERE session_id = ?1";
    run(c, prolonged, params![session_id.as_str(), ms(rotation.expires_at)])?;
    Ok(Rotated::Successor { session_id, user_id, spent_at: rotation.now })
}

fn bot_sql() -> String {
    format!(
        "SELECT {ACCOUNT}, s.session_id, k.scopes FROM accounts a \
         JOIN sessions s ON s.user_id = a.user_id JOIN keys k ON k.session_id = s.session_id"
    )
}

fn bots(c: &Connection, owner: &str) -> Result<Vec<Bot>> {
    let sql = format!("{} WHERE a.owner = ?1 AND s.ended_at IS NULL ORDER BY a.user_id LIMIT ?2", bot_sql());
    many(c, &sql, params![owner, cut(MAX_ENTRIES)], row::bot)
}

fn sweep(c: &Connection, before: u64, limit: usize) -> Result<usize> {
    let (before, limit) = (ms(before), cut(limit));
    let over = "SELECT session_id FROM sessions WHERE ended_at < ?1 \
                UNION SELECT session_id FROM sessions WHERE expires_at < ?1 LIMIT ?2";
    let over = many(c, over, params![before, limit], |r| row::session(r, 0))?;
    for session in &over {
        for sql in [
            "DELETE FROM refresh_tokens WHERE session_id = ?1",
            "DELETE FROM keys WHERE session_id = ?1",
            "DELETE FROM sessions WHERE session_id = ?1",
        ] {
            run(c, sql, [session.as_str()])?;
        }
    }
    let mut forgotten = over.len();
    for sql in [
        "DELETE FROM refresh_tokens WHERE hash IN (SELECT hash FROM refresh_tokens WHERE expires_at < ?1 LIMIT ?2)",
        "DELETE FROM invites WHERE hash IN (SELECT hash FROM invites WHERE expires_at < ?1 LIMIT ?2)",
    ] {
        forgotten += run(c, sql, params![before, limit])?;
    }
    Ok(forgotten)
}
