//! What only one user may have. A claim says who may come to have it, and the user's partition, who has.
//!
//! A claim names a user and the version of his that was read before it was made. Versions never recur, so a claim is
//! - *good* if the user has what it claims: nobody else gets it;
//! - *open* if not, but his version is still that one: the step that it was made for may come;
//! - *void* if he is beyond that version: whoever comes next takes it over.
//!
//! So nothing is taken back when a step fails or its process dies: its claims become void by the next step of the
//! user, which somebody who wants the same takes for him if he does not do so within half a second.

use super::super::{Refusal, TokenHash};
use super::audit::AuditLog;
use super::user::{Person, ms, time, user_id};
use super::users::{LIMIT, Part, Users, pause};
use crate::cassandra::Cassandra;
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::UserId;
use scylla::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// What only one user may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unique {
    /// In lower case.
    Username(String),
    /// In lower case.
    Email(String),
    /// Of invites, those that are good at that time.
    Invite { hash: TokenHash, at: u64 },
}

impl Unique {
    fn kind(&self) -> &'static str {
        match self {
            Self::Username(_) => "username",
            Self::Email(_) => "email",
            Self::Invite { .. } => INVITE,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Username(name) | Self::Email(name) => name.clone(),
            Self::Invite { hash, .. } => hex(hash),
        }
    }

    /// What to say to who cannot have it.
    pub(super) fn refused(&self) -> Error {
        Error::new(
            ErrorKind::Conflict,
            match self {
                Self::Username(_) => Refusal::UsernameTaken,
                Self::Email(_) => Refusal::EmailTaken,
                Self::Invite { .. } => Refusal::InviteSpent,
            },
        )
    }
}

const INVITE: &str = "invite";

/// How an invite is named.
pub(super) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The invite of a name; none if no invite is named so.
pub(super) fn unhex(name: &str) -> Option<TokenHash> {
    let mut hash = TokenHash::default();
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    (name.len() == 2 * hash.len()).then_some(hash)
}

/// The table `claims`.
pub(super) struct Claims {
    cassandra: Arc<Cassandra>,
    users: Arc<Users>,
    audit: Arc<AuditLog>,
    read: PreparedStatement,
    read_decided: PreparedStatement,
    take: PreparedStatement,
    leave: PreparedStatement,
    invite: PreparedStatement,
    forget_invite: PreparedStatement,
    import: PreparedStatement,
}

#[derive(Default, DeserializeRow)]
struct Claim {
    user_id: Option<String>,
    version: Option<Uuid>,
    expires_at: Option<i64>,
    entry_id: Option<String>,
}

impl Claims {
    pub(super) async fn prepare(
        cassandra: &Arc<Cassandra>,
        users: &Arc<Users>,
        audit: &Arc<AuditLog>,
    ) -> Result<Self> {
        let c = cassandra;
        let read = "SELECT user_id, version, expires_at, entry_id FROM claims WHERE kind = ? AND name = ?";
        let take = "UPDATE claims SET user_id = ?, version = ? WHERE kind = ? AND name = ? \
                    IF user_id = ? AND version = ? AND expires_at = ?";
        let leave = "DELETE FROM claims WHERE kind = ? AND name = ? IF user_id = ? AND version = ?";
        let invite =
            "INSERT INTO claims (kind, name, expires_at, entry_id) VALUES (?, ?, ?, ?) IF NOT EXISTS";
        let forget_invite = "DELETE FROM claims WHERE kind = ? AND name = ? IF expires_at = ?";
        let import = "INSERT INTO claims (kind, name, expires_at, user_id) VALUES (?, ?, ?, ?) IF NOT EXISTS";
        Ok(Self {
            import: c.condition_statement(import).await?,
            read: c.read_statement(read).await?,
            read_decided: c.serial_read_statement(read).await?,
            take: c.condition_statement(take).await?,
            leave: c.condition_statement(leave).await?,
            invite: c.condition_statement(invite).await?,
            forget_invite: c.condition_statement(forget_invite).await?,
            cassandra: Arc::clone(c),
            users: Arc::clone(users),
            audit: Arc::clone(audit),
        })
    }

    /// Who has it.
    pub(super) async fn holder(&self, what: &Unique) -> Result<Option<Person>> {
        let Some(user) = self.claim(&self.read, what).await?.by()? else { return Ok(None) };
        let found = self.users.read(&user, Part::Account).await?;
        Ok(if found.has(what) { found.person } else { None })
    }

    /// Refuses what cannot be had, as far as can be seen without claiming it.
    pub(super) async fn look(&self, what: &Unique) -> Result<()> {
        let claim = self.claim(&self.read, what).await?;
        let taken = match claim.by()? {
            Some(user) => self.users.read(&user, Part::Account).await?.has(what),
            None => false,
        };
        if taken || !self.admits(what, &claim).await? { Err(what.refused()) } else { Ok(()) }
    }

    /// Claims it for the step of a user that follows on `version`, which was read before.
    ///
    /// # Errors
    /// `Conflict` if another has it or it is not to be had.
    pub(super) async fn take(&self, what: &Unique, user: &UserId, version: Option<Uuid>) -> Result<()> {
        let began = Instant::now();
        let mut read = &self.read;
        for tries in 1.. {
            let claim = self.claim(read, what).await?;
            let by = claim.by()?;
            if by.as_ref() == Some(user) && claim.version == version {
                return Ok(());
            }
            if !self.admits(what, &claim).await? || self.is_good(what, &claim, user).await? {
                return Err(what.refused());
            }
            let free = (claim.user_id, claim.version, claim.expires_at);
            let values = (user.as_str(), version, what.kind(), what.name(), free.0, free.1, free.2);
            match self.cassandra.condition(&self.take, &values).await {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(error) if error.kind == ErrorKind::OutcomeUnknown => read = &self.read_decided,
                Err(error) => return Err(error),
            }
            if began.elapsed() > LIMIT {
                break;
            }
            pause(tries).await;
        }
        Err(Error::new(ErrorKind::Unavailable, "too many claim one name at once"))
    }

    /// Whether another than `user` has it; waits until that is decided.
    async fn is_good(&self, what: &Unique, claim: &Claim, user: &UserId) -> Result<bool> {
        let Some(other) = claim.by()?.filter(|by| by != user) else { return Ok(false) };
        let found = self.users.read(&other, Part::Account).await?;
        Ok(found.has(what) || self.users.beyond(&other, claim.version).await?.has(what))
    }

    /// Forgets a claim of a user that is void, so that nothing tells of what he had.
    pub(super) async fn clear(&self, what: &Unique, user: &UserId) -> Result<()> {
        let claim = self.claim(&self.read, what).await?;
        if claim.by()?.as_ref() != Some(user) {
            return Ok(());
        }
        let found = self.users.read_decided(user, Part::Account).await?;
        if found.has(what) || found.version == claim.version {
            return Ok(());
        }
        let values = (what.kind(), what.name(), claim.user_id, claim.version);
        self.cassandra.condition(&self.leave, &values).await.map(|_| ())
    }

    /// Makes an invite. It is good once the audit log has the entry.
    pub(super) async fn invite(&self, hash: &TokenHash, expires_at: u64, entry: &str) -> Result<()> {
        let invite = Unique::Invite { hash: *hash, at: 0 };
        let values = (invite.kind(), invite.name(), ms(expires_at), entry);
        if self.cassandra.condition(&self.invite, &values).await?.is_none() {
            return Ok(());
        }
        match self.claim(&self.read_decided, &invite).await?.entry_id {
            Some(by) if by == entry => Ok(()),
            _ => Err(Error::new(ErrorKind::Conflict, "there is such an invite")),
        }
    }

    /// Until when an invite is good and who spent it; none if it does not exist.
    pub(super) async fn invited(&self, hash: &TokenHash) -> Result<Option<(u64, Option<UserId>)>> {
        let invite = Unique::Invite { hash: *hash, at: 0 };
        let claim = self.claim(&self.read, &invite).await?;
        if !self.is_made(&claim).await? {
            return Ok(None);
        }
        let spent_by = self.holder(&invite).await?.map(|person| person.account.user_id);
        Ok(Some((time(claim.expires_at), spent_by)))
    }

    /// Makes an invite that another engine gave, if there is none; spent if that user's account says so.
    pub(super) async fn import(
        &self,
        hash: &TokenHash,
        expires_at: u64,
        spent_by: Option<&UserId>,
    ) -> Result<()> {
        let invite = Unique::Invite { hash: *hash, at: 0 };
        let by = spent_by.map(UserId::as_str);
        let values = (invite.kind(), invite.name(), ms(expires_at), by);
        self.cassandra.condition(&self.import, &values).await.map(|_| ())
    }

    /// Forgets an invite; false if there is no such one.
    pub(super) async fn forget_invite(&self, name: &str, expires_at: u64) -> Result<bool> {
        let values = (INVITE, name, ms(expires_at));
        Ok(self.cassandra.condition(&self.forget_invite, &values).await?.is_none())
    }

    async fn claim(&self, read: &PreparedStatement, what: &Unique) -> Result<Claim> {
        let rows = self.cassandra.rows(read, &(what.kind(), what.name())).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    async fn admits(&self, what: &Unique, claim: &Claim) -> Result<bool> {
        match what {
            Unique::Invite { at, .. } => Ok(time(claim.expires_at) > *at && self.is_made(claim).await?),
            Unique::Username(_) | Unique::Email(_) => Ok(true),
        }
    }

    /// Whether the audit log tells of an invite, unless it was imported.
    async fn is_made(&self, invite: &Claim) -> Result<bool> {
        match &invite.entry_id {
            Some(entry) => self.audit.has(entry).await,
            None => Ok(invite.expires_at.is_some()),
        }
    }
}

impl Claim {
    /// Whose it is.
    fn by(&self) -> Result<Option<UserId>> {
        self.user_id.as_deref().map(user_id).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_an_invite_is_read_back() {
        let hash: TokenHash = std::array::from_fn(|n| u8::try_from(n * 8).unwrap());
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        for wrong in [String::new(), hex(&hash) + "00", "é".repeat(32), hex(&hash).replace('0', "x")] {
            assert_eq!(unhex(&wrong), None, "{wrong}");
        }
    }
}
