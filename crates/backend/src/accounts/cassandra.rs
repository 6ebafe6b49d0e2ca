//! Accounts on Apache Cassandra.
//!
//! Cassandra changes one partition at once and nothing more, so each method is made of one *step*: a lightweight
//! transaction on the partition of one user, which holds his account, sessions, tokens, and what he did. A step
//! follows on the version that was read and leads to one of its own; of two at once one is first, and the other reads
//! again ([`Users::step`]). What stands in other partitions is written *before* the step and read with a glance at the
//! user's partition, so it counts from the step on and not before; what a step outdates is taken away *after* it, and
//! misleads nobody if it is not. A process that dies anywhere leaves nothing that is half done.
//!
//! | method | before the step | the step | looked at through |
//! |---|---|---|---|
//! | `create` | claims of username, e-mail, invite; names, id | makes the account | `credentials`, `search`, `list` compare with the account |
//! | `update` | claim of the e-mail, new names | writes the profile | the same |
//! | `set_password`, `set_permissions`, `end_sessions`, `revoke_bot` | sessions on the agenda as ended; audit entry | ends them, says that the entry is true | `ended_since` and `audit_log` ask whether it was taken |
//! | `open_session` | whose the token is; expiry on the agenda | makes session and token | `rotate` |
//! | `rotate` | whose the successor is, or the session on the agenda as ended | spends the token and makes its successor, or ends the session | `rotate`, `ended_since` |
//! | `create_bot` | a slot of the owner, and what `create` and `open_session` need; audit entry | makes account and key | `bots` asks each bot's partition |
//! | `invite` | the invite (and when it expires, on the agenda) | the audit entry, alone, which is one plain write | an invite is good if its entry is there |
//! | `append_audit` | | the entry, one plain write | |
//! | `import` | all of the above | what is new of one user | |
//! | `sweep` | takes the owners of tokens away, puts prolonged sessions on the agenda again | forgets the session | takes the entry off the agenda afterwards |
//!
//! Names, e-mail addresses, invites and the slots of bots are [claims]: the one thing that two users want. Those, and
//! the steps, are the lightweight transactions, in tables of their own (`users`, `claims`) that nothing else writes to;
//! an invite must admit one and no more, so it is one of them. All else is plain writes that repeat harmlessly.
//!
//! A transaction that timed out may have been applied: a serial read, which ends what is under way, then tells by the
//! last steps that the partition remembers. So `OutcomeUnknown` is left for when that read fails too. Plain reads see
//! whatever was answered, as reads and writes both ask a majority.

mod access;
mod agenda;
mod audit;
mod bots;
mod buckets;
mod changes;
mod claims;
mod copy;
mod ids;
mod names;
mod people;
mod sweep;
mod tokens;
mod user;
mod users;

use super::{
    Account, Accounts, AuditEntry, Bot, Credentials, Ended, Kept, Login, MAX_ENTRIES, NewAccount, NewKey,
    NewSession, ProfileChange, Rotated, Rotation, SessionId, TokenHash, Which,
};
use crate::address::EngineUrl;
use crate::cassandra::{Cassandra, Schema};
use crate::{Error, ErrorKind, Result};
use agenda::{Agenda, Entry, Kind};
use async_trait::async_trait;
use audit::AuditLog;
use buckets::Buckets;
use chat4all_model::id::UserId;
use claims::Claims;
use ids::Ids;
use names::Names;
use std::sync::Arc;
use tokens::Tokens;
use tokio::try_join;
use users::{Users, certain};

const SCHEMA: Schema = Schema { part: "accounts", migrations: &[include_str!("cassandra/schema_1.cql")] };

/// Accounts in a keyspace of Cassandra, shared by all processes that open it.
///
/// `search` finds nobody by an empty prefix.
pub struct CassandraAccounts {
    users: Arc<Users>,
    claims: Claims,
    names: Names,
    ids: Ids,
    tokens: Tokens,
    agenda: Agenda,
    audit: Arc<AuditLog>,
}

impl CassandraAccounts {
    /// Opens the accounts of a keyspace, or makes them.
    ///
    /// # Errors
    /// `Invalid` if the URL is wrong or a newer program made the tables, `Unavailable` if no node can be reached.
    pub async fn open(url: EngineUrl) -> Result<Self> {
        let c = &Arc::new(Cassandra::open(url, &SCHEMA).await?);
        let (users, buckets) = try_join!(Users::prepare(c), Buckets::prepare(c))?;
        let (users, buckets) = (Arc::new(users), Arc::new(buckets));
        let audit = Arc::new(AuditLog::prepare(c, &users, &buckets).await?);
        let (claims, names, ids, tokens, agenda) = try_join!(
            Claims::prepare(c, &users, &audit),
            Names::prepare(c),
            Ids::prepare(c, &buckets),
            Tokens::prepare(c),
            Agenda::prepare(c, &users),
        )?;
        Ok(Self { users, claims, names, ids, tokens, agenda, audit })
    }
}

#[async_trait]
impl Accounts for CassandraAccounts {
    async fn create(&self, new: NewAccount) -> Result<()> {
        self.make(&new).await
    }

    async fn get(&self, ids: &[UserId]) -> Result<Vec<Account>> {
        if ids.len() > MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Invalid, format!("more than {MAX_ENTRIES} ids")));
        }
        Ok(self.people(ids).await?.into_iter().flatten().map(|person| person.account).collect())
    }

    async fn credentials(&self, login: &Login) -> Result<Option<Credentials>> {
        self.signing_in(login).await
    }

    async fn search(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        self.find(prefix, after, limit.min(MAX_ENTRIES)).await
    }

    async fn list(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<Account>> {
        self.all(after, limit.min(MAX_ENTRIES)).await
    }

    async fn update(&self, user: &UserId, change: ProfileChange) -> Result<Option<Account>> {
        self.change(user, &change).await
    }

    async fn set_password(
        &self,
        user: &UserId,
        hash: &str,
        keep: Option<&SessionId>,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>> {
        self.set_hash(user, hash, keep, now, &audit).await
    }

    async fn set_permissions(
        &self,
        user: &UserId,
        permissions: &[String],
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>> {
        self.permit(user, permissions, now, &audit).await
    }

    async fn open_session(&self, session: NewSession) -> Result<()> {
        self.begin(&session).await
    }

    async fn rotate(&self, rotation: Rotation) -> Result<Rotated> {
        self.turn(&rotation).await
    }

    async fn end_sessions(&self, user: &UserId, which: Which, now: u64) -> Result<Vec<SessionId>> {
        self.end_some(user, &which, now).await
    }

    async fn ended_since(&self, since: u64, after: Option<&SessionId>, limit: usize) -> Result<Vec<Ended>> {
        self.agenda.ended(since, after, limit.min(MAX_ENTRIES)).await
    }

    async fn create_bot(&self, bot: NewAccount, key: NewKey, limit: usize, audit: AuditEntry) -> Result<()> {
        Box::pin(self.make_bot(&bot, &key, limit, &audit)).await
    }

    async fn bots(&self, owner: &UserId) -> Result<Vec<Bot>> {
        self.bots_of(owner).await
    }

    async fn revoke_bot(
        &self,
        owner: &UserId,
        bot: &UserId,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Option<SessionId>> {
        self.end_bot(owner, bot, now, &audit).await
    }

    async fn bot_of_key(&self, hash: &TokenHash) -> Result<Option<Bot>> {
        self.with_key(hash).await
    }

    async fn invite(&self, hash: &TokenHash, expires_at: u64, audit: AuditEntry) -> Result<()> {
        let expiry = Entry::invite(expires_at, claims::hex(hash));
        let made = async {
            self.agenda.put(Kind::Invite, &[expiry]).await?;
            self.claims.invite(hash, expires_at, &audit.entry_id).await
        };
        made.await.map_err(|error| certain(error, true))?;
        self.audit.append(&audit, None).await
    }

    async fn append_audit(&self, entry: AuditEntry) -> Result<()> {
        self.audit.append(&entry, None).await
    }

    async fn audit_log(&self, before: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>> {
        self.audit.page(before, limit.min(MAX_ENTRIES)).await
    }

    async fn sweep(&self, before: u64, limit: usize) -> Result<usize> {
        self.forget(before, limit.min(MAX_ENTRIES)).await
    }

    async fn export(&self, after: Option<String>, limit: usize) -> Result<(Vec<Kept>, Option<String>)> {
        self.copy(after.as_deref(), limit.min(MAX_ENTRIES)).await
    }

    async fn import(&self, kept: Vec<Kept>) -> Result<()> {
        if kept.len() > MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Invalid, format!("more than {MAX_ENTRIES} things")));
        }
        self.take_over(kept).await
    }
}
