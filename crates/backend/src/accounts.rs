//! Accounts: people and bots, their sessions and keys, and who changed what of them.

pub mod cassandra;
mod contract;
mod embedded;
mod entity;
mod kept;
mod postgres;

pub use contract::{Case, Fixture, cases};
pub use embedded::EmbeddedAccounts;
pub use entity::*;
pub use kept::Kept;
pub use postgres::PostgresAccounts;

use crate::Result;
use async_trait::async_trait;
use chat4all_model::id::UserId;

/// The most entries one call takes or gives.
pub const MAX_ENTRIES: usize = 500;

/// Where accounts are kept, shared by all processes of an installation.
///
/// # Durability
/// What was answered `Ok` survives the kill of every process.
///
/// # Atomicity
/// One method is one step: all of what it says happens, or nothing. A method that takes an [`AuditEntry`]
/// appends it in the same step, and only if it changes something.
///
/// # Consistency
/// A read that begins after a write was answered sees it, from any process; [`ended_since`](Self::ended_since) too.
///
/// # Uniqueness
/// Of two accounts at once with the same username or e-mail (compared in lower case) one is made, the other is
/// `Conflict`, and [`Refusal::of`] the error tells which of the two is taken.
///
/// # Cancellation
/// A dropped call may have happened or not.
///
/// # Time
/// Engines read no clock: `now` and all times are the caller's, milliseconds since 1970 UTC.
///
/// # Limits
/// Lists are at most [`MAX_ENTRIES`] long: more ids are `Invalid`, a larger `limit` is cut. A full queue answers
/// `Overloaded`, a full disk `Unavailable`; both recover by themselves.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Makes an account, and spends the invite that it names.
    ///
    /// # Errors
    /// `Conflict` with a [`Refusal`].
    async fn create(&self, new: NewAccount) -> Result<()>;

    /// The accounts of these ids, in their order; those that do not exist are left out.
    async fn get(&self, ids: &[UserId]) -> Result<Vec<Account>>;

    /// The account that signs in so, with its password's hash.
    async fn credentials(&self, login: &Login) -> Result<Option<Credentials>>;

    /// Accounts whose username, or display name from the start of any of its words on, begins with `prefix`
    /// (without case), by username, after the username `after`.
    async fn search(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Account>>;

    /// All accounts by id (so by time of creation), after `after`.
    async fn list(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<Account>>;

    /// Changes a profile and gives the account as it is then; `None` if there is none.
    ///
    /// # Errors
    /// `Conflict` with [`Refusal::EmailTaken`].
    async fn update(&self, user: &UserId, change: ProfileChange) -> Result<Option<Account>>;

    /// Sets the password's hash and ends the account's sessions but `keep`. Gives those it ended.
    async fn set_password(
        &self,
        user: &UserId,
        hash: &str,
        keep: Option<&SessionId>,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>>;

    /// Sets the permissions. If one is taken away, ends all sessions, whose tokens still hold it; gives those it
    /// ended.
    async fn set_permissions(
        &self,
        user: &UserId,
        permissions: &[String],
        now: u64,
        audit: AuditEntry,
    ) -> Result<Vec<SessionId>>;

    /// Begins a session with its first refresh token.
    async fn open_session(&self, session: NewSession) -> Result<()>;

    /// Spends a refresh token for its successor.
    ///
    /// One that is spent already gives the same answer again within `grace_ms` of the spending; later its session
    /// is ended, in the same step.
    async fn rotate(&self, rotation: Rotation) -> Result<Rotated>;

    /// Ends sessions of an account and gives those it ended: those that lived.
    async fn end_sessions(&self, user: &UserId, which: Which, now: u64) -> Result<Vec<SessionId>>;

    /// Sessions ended at `since` or later by `(ended_at, session_id)`, behind the session `after` of that order.
    async fn ended_since(&self, since: u64, after: Option<&SessionId>, limit: usize) -> Result<Vec<Ended>>;

    /// Makes a bot's account with its key. The key is a session of the bot without an end.
    ///
    /// # Errors
    /// `Conflict` with a [`Refusal`]; [`Refusal::TooMany`] if the owner has `limit` living bots.
    async fn create_bot(&self, bot: NewAccount, key: NewKey, limit: usize, audit: AuditEntry) -> Result<()>;

    /// The living bots of an account, oldest first.
    async fn bots(&self, owner: &UserId) -> Result<Vec<Bot>>;

    /// Ends the key of a bot of `owner`; `None` if there is no such living one.
    async fn revoke_bot(
        &self,
        owner: &UserId,
        bot: &UserId,
        now: u64,
        audit: AuditEntry,
    ) -> Result<Option<SessionId>>;

    /// The bot whose living key has this hash.
    async fn bot_of_key(&self, hash: &TokenHash) -> Result<Option<Bot>>;

    /// Makes an invite that admits one registration until `expires_at`.
    async fn invite(&self, hash: &TokenHash, expires_at: u64, audit: AuditEntry) -> Result<()>;

    /// Appends to the audit log.
    async fn append_audit(&self, entry: AuditEntry) -> Result<()>;

    /// The audit log, newest first, before the entry `before`.
    async fn audit_log(&self, before: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>>;

    /// Forgets up to `limit` each of sessions that ended, refresh tokens and invites that expired before
    /// `before`. Gives how many it forgot.
    async fn sweep(&self, before: u64, limit: usize) -> Result<usize>;

    /// A page of all that is kept, each thing once, for another engine to [`import`](Self::import), and where the next
    /// page begins; none if there is none. The order is the engine's own, but accounts come before sessions, and those
    /// before keys and tokens. A page may be short though another follows. What changes meanwhile is given as it was
    /// or as it is.
    async fn export(&self, after: Option<String>, limit: usize) -> Result<(Vec<Kept>, Option<String>)>;

    /// Takes over what another engine gave, in its order. What is there already by its key stays as it is, so that the
    /// same may be imported again. Not one step: after an error some of it may be there.
    ///
    /// # Errors
    /// `Conflict` with a [`Refusal`] if a name is another account's.
    async fn import(&self, kept: Vec<Kept>) -> Result<()>;
}
