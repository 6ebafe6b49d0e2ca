use super::profile::{bad_cursor, page, page_size};
use super::rules::{self, Faults};
use super::{ADMIN, AccountService, Caller, hash_of, me};
use crate::error::{Failure, Result};
use chat4all_backend::accounts::{Account, AuditEntry, Login};
use chat4all_model::api::{Me, Page};
use chat4all_model::id::UserId;
use std::time::Duration;

/// Who does what only administrators may.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// Who has the machine: `chat4all admin`.
    Operator,
    /// An administrator, from afar.
    Admin(&'a Caller),
}

impl Actor<'_> {
    /// The actor's name in the audit log; refuses an administrator who is none.
    pub(crate) fn name(&self) -> Result<&str> {
        match self {
            Self::Operator => Ok("operator"),
            Self::Admin(caller) => caller.require_admin().map(|()| caller.user_id.as_str()),
        }
    }
}

/// What `chat4all admin` and administrators do. Each refuses (`Forbidden`) an [`Actor::Admin`] who is none, and
/// answers `NotFound` where there is no such account.
impl AccountService {
    /// Makes somebody an administrator. Tokens learn of it with their next refresh.
    ///
    /// # Errors
    /// See above.
    pub async fn grant_admin(&self, actor: Actor<'_>, username: &str) -> Result<Me> {
        self.set_permissions(actor, username, "user.admin.grant", |permissions| {
            if !permissions.iter().any(|p| p == ADMIN) {
                permissions.push(ADMIN.to_owned());
            }
        })
        .await
    }

    /// Takes it away, and ends the account's sessions.
    ///
    /// # Errors
    /// See above.
    pub async fn revoke_admin(&self, actor: Actor<'_>, username: &str) -> Result<Me> {
        self.set_permissions(actor, username, "user.admin.revoke", |permissions| {
            permissions.retain(|p| p != ADMIN);
        })
        .await
    }

    async fn set_permissions(
        &self,
        actor: Actor<'_>,
        username: &str,
        action: &str,
        change: impl FnOnce(&mut Vec<String>) + Send,
    ) -> Result<Me> {
        let actor = actor.name()?;
        let mut account = self.named(username).await?;
        if account.owner.is_some() {
            return Err(Failure::forbidden("a bot has no permissions of its own"));
        }
        change(&mut account.permissions);
        let now = self.ambient.now();
        let entry = self.entry(actor, action, Some(account.user_id.as_str()), None);
        let ended = self.accounts.set_permissions(&account.user_id, &account.permissions, now, entry).await?;
        self.watch.note(&account.user_id, &ended, now).await;
        Ok(me(account))
    }

    /// Sets a new password, made up unless one is given, and ends all sessions. Gives the password.
    ///
    /// # Errors
    /// See above; `InvalidRequest` for a password against the rules.
    pub async fn reset_password(
        &self,
        actor: Actor<'_>,
        username: &str,
        password: Option<String>,
    ) -> Result<String> {
        let actor = actor.name()?;
        let password = password.unwrap_or_else(|| super::encode(&self.ambient.random::<15>()));
        let mut faults = Faults::default();
        faults.check("password", rules::password(&password));
        faults.finish()?;
        let account = self.named(username).await?;
        if account.owner.is_some() {
            return Err(Failure::forbidden("a bot has no password"));
        }
        let hash = self.passwords.hash(password.clone(), &self.ambient).await?;
        let now = self.ambient.now();
        let entry = self.entry(actor, "user.password.reset", Some(account.user_id.as_str()), None);
        let ended = self.accounts.set_password(&account.user_id, &hash, None, now, entry).await?;
        self.watch.note(&account.user_id, &ended, now).await;
        Ok(password)
    }

    /// All accounts, oldest first.
    ///
    /// # Errors
    /// See above.
    pub async fn list_accounts(
        &self,
        actor: Actor<'_>,
        cursor: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Page<Me>> {
        actor.name()?;
        let limit = page_size(limit)?;
        let after = cursor.map(UserId::parse).transpose().map_err(|_| bad_cursor())?;
        let found = self.accounts.list(after.as_ref(), limit + 1).await?;
        Ok(page(found.into_iter().map(me).collect(), limit, |m| m.user_id.clone()))
    }

    /// A code that lets one person sign up within `ttl`.
    ///
    /// # Errors
    /// See above.
    pub async fn create_invite(&self, actor: Actor<'_>, ttl: Duration) -> Result<String> {
        let actor = actor.name()?;
        let code = super::encode(&self.ambient.random::<15>());
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let expires_at = self.ambient.now().saturating_add(ttl);
        let entry = self.entry(actor, "invite.create", None, None);
        self.accounts.invite(&hash_of(&code), expires_at, entry).await?;
        Ok(code)
    }

    /// The audit log, newest first.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_log(
        &self,
        actor: Actor<'_>,
        cursor: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Page<AuditEntry>> {
        actor.name()?;
        let limit = page_size(limit)?;
        let found = self.accounts.audit_log(cursor, limit + 1).await?;
        Ok(page(found, limit, |entry| entry.entry_id.clone()))
    }

    async fn named(&self, username: &str) -> Result<Account> {
        let found = self.accounts.credentials(&Login::Username(username.to_owned())).await?;
        found
            .map(|c| c.account)
            .ok_or_else(|| Failure::new(chat4all_model::api::Code::NotFound, "no such account"))
    }
}
