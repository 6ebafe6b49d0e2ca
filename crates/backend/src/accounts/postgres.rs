//! Accounts in PostgreSQL, 13 or newer: the tables of `postgres/schema_1.sql`, in the store's database or one of their
//! own.
//!
//! A method that writes is one statement, or a transaction that locks the rows it decides by. What must be unique is
//! so by an index: who comes second is told by the server.

mod copy;
mod row;
mod session;

use self::row::{ACCOUNT, BOTS, taken};
use super::{
    Account, Accounts, AuditEntry, Bot, Credentials, Ended, Kept, Login, MAX_ENTRIES, NewAccount, NewKey,
    NewSession, ProfileChange, Refusal, Rotated, Rotation, SessionId, TokenHash, Which,
};
use crate::address::EngineUrl;
use crate::postgres::{Cell, Database, Fault, Schema, Step, number, unsigned};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use chat4all_model::id::UserId;
use std::fmt;

const SCHEMA: Schema = Schema { name: "accounts", steps: &[include_str!("postgres/schema_1.sql")] };

/// The accounts of an installation of many processes, in a database of PostgreSQL.
pub struct PostgresAccounts {
    database: Database,
}

impl PostgresAccounts {
    /// Connects to `postgres://user:password@host:5432/database`, making the tables if they are not there. The
    /// parameters are those of [`PostgresStore::open`](crate::store::PostgresStore::open).
    ///
    /// # Errors
    /// `Invalid` if the URL, the credentials, the database or its settings are wrong, or a newer program wrote the
    /// tables; `Unavailable` within ten seconds if no server answers.
    pub async fn open(url: EngineUrl) -> Result<Self> {
        Ok(Self { database: Database::open(url, &SCHEMA).await? })
    }
}

impl fmt::Debug for PostgresAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresAccounts").finish_non_exhaustive()
    }
}

fn cut(limit: usize) -> i64 {
    number(limit.min(MAX_ENTRIES) as u64)
}

#[async_trait]
impl Accounts for PostgresAccounts {
    async fn create(&self, new: NewAccount) -> Result<()> {
        let new = &new;
        self.database.transaction(|step| async move { row::insert_account(&step, new).await }).await
    }

    async fn get(&self, ids: &[UserId]) -> Result<Vec<Account>> {
        if ids.len() > MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Invalid, format!("more than {MAX_ENTRIES} ids")));
        }
        let ids: Vec<_> = ids.iter().map(UserId::as_str).collect();
        let sql = format!(
            "SELECT {ACCOUNT} FROM unnest($1::text[]) WITH ORDINALITY AS k (user_id, i)
             JOIN users a ON a.user_id = k.user_id ORDER BY i"
        );
        self.database.rows(&sql, &[&ids]).await?.iter().map(row::account).collect()
    }

    async fn credentials(&self, login: &Login) -> Result<Option<Credentials>> {
        let (column, key) = match login {
            Login::Username(name) => ("username", name.to_lowercase()),
            Login::Email(email) => ("email_key", email.to_lowercase()),
            Login::Id(user) => ("user_id", user.to_string()),
        };
        let sql = format!("SELECT {ACCOUNT}, a.password_hash FROM users a WHERE a.{column} = $1");
        self.database.rows(&sql, &[&Cell(&key)]).await?.first().map(row::credentials).transpose()
    }

    async fn search(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        let from = prefix.to_lowercase();
        let to = format!("{from}{}", char::MAX);
        let sql = format!(
            "SELECT {ACCOUNT} FROM (SELECT DISTINCT user_id FROM user_names WHERE name >= $1 AND name < $2) n
             JOIN users a ON a.user_id = n.user_id WHERE a.username > $3 ORDER BY a.username LIMIT $4"
        );
        let after = Cell(after.unwrap_or_default());
        let rows = self.database.rows(&sql, &[&Cell(&from), &Cell(&to), &after, &cut(limit)]).await?;
        rows.iter().map(row::account).collect()
    }

    async fn list(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<Account>> {
        let sql = format!("SELECT {ACCOUNT} FROM users a WHERE a.user_id > $1 ORDER BY a.user_id LIMIT $2");
        let after = after.map_or("", UserId::as_str);
        self.database.rows(&sql, &[&after, &cut(limit)]).await?.iter().map(row::account).collect()
    }

    async fn update(&self, user: &UserId, change: ProfileChange) -> Result<Option<Account>> {
        let change = &change;
        self.database.transaction(|step| async move { update(&step, user, change).await }).await
    }

    async fn set_password(
        &self,
        user: &UserId,
        hash: &str,
        keep: Option<&SessionId>,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>> {
        let audit = &audit;
        let set = |step: Step| async move {
            let sql = "UPDATE users SET password_hash = $2 WHERE user_id = $1";
            if step.run(sql, &[&user.as_str(), &Cell(hash)]).await? == 0 {
                return Ok(Vec::new());
            }
            row::insert_audit(&step, audit).await?;
            session::end_all(&step, user, keep, now).await
        };
        self.database.transaction(set).await
    }

    async fn set_permissions(
        &self,
        user: &UserId,
        permissions: &[String],
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>> {
        let audit = &audit;
        let set = |step: Step| async move {
            let Some(before) = row::locked_account(&step, user).await? else { return Ok(Vec::new()) };
            if before.permissions == permissions {
                return Ok(Vec::new());
            }
            let sql = "UPDATE users SET permissions = $2 WHERE user_id = $1";
            step.run(sql, &[&user.as_str(), &row::cells(permissions)]).await?;
            row::insert_audit(&step, audit).await?;
            if before.permissions.iter().all(|p| permissions.contains(p)) {
                return Ok(Vec::new());
            }
            session::end_all(&step, user, None, now).await
        };
        self.database.transaction(set).await
    }

    async fn open_session(&self, session: NewSession) -> Result<()> {
        let NewSession { session_id, user_id, refresh, created_at, expires_at } = &session;
        let open = |step: Step| async move {
            session::insert(&step, session_id, user_id, *created_at, *expires_at).await?;
            session::insert_refresh(&step, refresh, session_id, *expires_at).await
        };
        self.database.transaction(open).await
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Rotated> {
        let rotation = &rotation;
        self.database.transaction(|step| async move { session::rotate(&step, rotation).await }).await
    }

    async fn end_sessions(&self, user: &UserId, which: Which, now: u64) -> Result<Vec<SessionId>> {
        let which = &which;
        let end = |step: Step| async move {
            match which {
                Which::All => session::end_all(&step, user, None, now).await,
                Which::One(one) => session::end_one(&step, user, one, now).await,
            }
        };
        self.database.transaction(end).await
    }

    async fn ended_since(&self, since: u64, after: Option<&SessionId>, limit: usize) -> Result<Vec<Ended>> {
        let sql = "SELECT session_id, user_id, ended_at FROM sessions
            WHERE ended_at IS NOT NULL AND (ended_at, session_id) > ($1, $2)
            ORDER BY ended_at, session_id LIMIT $3";
        let after = after.map_or("", SessionId::as_str);
        let rows = self.database.rows(sql, &[&number(since), &after, &cut(limit)]).await?;
        let ended = |row| {
            let (session_id, user_id) = (row::session(row, 0)?, row::user(row, 1)?);
            Ok(Ended { session_id, user_id, ended_at: unsigned(row, 2)? })
        };
        rows.iter().map(ended).collect()
    }

    async fn create_bot(&self, bot: NewAccount, key: NewKey, limit: usize, audit: AuditEntry) -> Result<()> {
        let (bot, key, audit) = (&bot, &key, &audit);
        let create = |step: Step| async move {
            let owner = bot.account.owner.as_ref().map_or("", UserId::as_str);
            if row::locked_bots(&step, owner).await?.len() >= limit {
                return Err(row::refused(Refusal::TooMany));
            }
            row::insert_account(&step, bot).await?;
            let Account { user_id, created_at, .. } = &bot.account;
            session::insert(&step, &key.session_id, user_id, *created_at, u64::MAX).await?;
            session::insert_key(&step, key).await?;
            row::insert_audit(&step, audit).await
        };
        self.database.transaction(create).await
    }

    async fn bots(&self, owner: &UserId) -> Result<Vec<Bot>> {
        let rows = self.database.rows(BOTS, &[&owner.as_str(), &cut(MAX_ENTRIES)]).await?;
        rows.iter().map(row::bot).collect()
    }

    async fn revoke_bot(
        &self,
        owner: &UserId,
        bot: &UserId,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Option<SessionId>> {
        let audit = &audit;
        let revoke = |step: Step| async move {
            let bots = row::locked_bots(&step, owner.as_str()).await?;
            let Some(found) = bots.into_iter().find(|found| found.account.user_id == *bot) else {
                return Ok(None);
            };
            session::end_one(&step, bot, &found.session_id, now).await?;
            row::insert_audit(&step, audit).await?;
            Ok(Some(found.session_id))
        };
        self.database.transaction(revoke).await
    }

    async fn bot_of_key(&self, hash: &TokenHash) -> Result<Option<Bot>> {
        let rows = self.database.rows(row::BOT_OF_KEY, &[&hash.as_slice()]).await?;
        rows.first().map(row::bot).transpose()
    }

    async fn invite(&self, hash: &TokenHash, expires_at: u64, audit: AuditEntry) -> Result<()> {
        let audit = &audit;
        let invite = |step: Step| async move {
            let sql = "INSERT INTO invites (hash, expires_at) VALUES ($1, $2)";
            step.run(sql, &[&hash.as_slice(), &number(expires_at)]).await?;
            row::insert_audit(&step, audit).await
        };
        self.database.transaction(invite).await
    }

    async fn append_audit(&self, entry: AuditEntry) -> Result<()> {
        let entry = &entry;
        self.database.transaction(|step| async move { row::insert_audit(&step, entry).await }).await
    }

    async fn audit_log(&self, before: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>> {
        let sql = "SELECT entry_id, at, actor, action, target, detail FROM audit
            WHERE entry_id < $1 ORDER BY entry_id DESC LIMIT $2";
        // Behind every id.
        let end = char::MAX.to_string();
        let before = Cell(before.unwrap_or(&end));
        self.database.rows(sql, &[&before, &cut(limit)]).await?.iter().map(row::entry).collect()
    }

    async fn sweep(&self, before: u64, limit: usize) -> Result<usize> {
        let (before, limit) = (number(before), cut(limit));
        self.database.transaction(|step| async move { session::sweep(&step, before, limit).await }).await
    }

    async fn export(&self, after: Option<String>, limit: usize) -> Result<(Vec<Kept>, Option<String>)> {
        copy::export(&self.database, after.as_deref(), cut(limit)).await
    }

    async fn import(&self, kept: Vec<Kept>) -> Result<()> {
        if kept.len() > MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Invalid, format!("more than {MAX_ENTRIES} things")));
        }
        let kept = &kept;
        self.database.transaction(|step| async move { copy::import(&step, kept).await }).await
    }
}

async fn update(step: &Step, user: &UserId, change: &ProfileChange) -> Result<Option<Account>, Fault> {
    let Some(mut account) = row::locked_account(step, user).await? else { return Ok(None) };
    let change = change.clone();
    let renamed = change.display_name.is_some();
    account.display_name = change.display_name.unwrap_or(account.display_name);
    account.email = change.email.unwrap_or(account.email);
    account.avatar_file_id = change.avatar_file_id.unwrap_or(account.avatar_file_id);
    account.time_zone = change.time_zone.unwrap_or(account.time_zone);
    account.last_seen_to = change.last_seen_to.unwrap_or(account.last_seen_to);
    account.quiet_hours = change.quiet_hours.unwrap_or(account.quiet_hours);
    row::update_profile(step, &account).await.map_err(taken)?;
    if renamed {
        step.run("DELETE FROM user_names WHERE user_id = $1", &[&user.as_str()]).await?;
        row::insert_names(step, &account).await?;
    }
    Ok(Some(account))
}
