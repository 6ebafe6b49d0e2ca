use crate::Error;
use chat4all_model::api::{LastSeenTo, QuietHours, Scope};
use chat4all_model::id::UserId;
use std::fmt;
use std::sync::Arc;

/// SHA-256 of a secret that was given away (refresh token, API key, invite); the secret itself is kept nowhere.
pub type TokenHash = [u8; 32];

/// A person, or a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id, UUIDv7.
    pub user_id: UserId,
    /// In lower case.
    pub username: String,
    /// As its owner wrote it.
    pub email: Option<String>,
    /// The name to show.
    pub display_name: Option<String>,
    /// The avatar.
    pub avatar_file_id: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// Who may see when it was last online.
    pub last_seen_to: LastSeenTo,
    /// When not to push.
    pub quiet_hours: Option<QuietHours>,
    /// What it may do beyond what everybody may.
    pub permissions: Vec<String>,
    /// Of a bot: whose it is.
    pub owner: Option<UserId>,
    /// When it was made.
    pub created_at: u64,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// What everybody may know of it.
    pub account: Account,
    /// Argon2id in PHC form; none for who does not sign in by password.
    pub password_hash: Option<String>,
    /// The invite it spends.
    pub invite: Option<TokenHash>,
}

/// What somebody signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Compared in lower case.
    Username(String),
    /// Compared in lower case.
    Email(String),
    /// Who is signed in already.
    Id(UserId),
}

/// An account and how to know its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// Argon2id in PHC form; none for bots.
    pub password_hash: Option<String>,
}

/// New values of a profile; `None` leaves a field as it is, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// The name to show.
    pub display_name: Option<Option<String>>,
    /// Unique in lower case.
    pub email: Option<Option<String>>,
    /// The avatar.
    pub avatar_file_id: Option<Option<String>>,
    /// IANA name.
    pub time_zone: Option<Option<String>>,
    /// Who may see when it was last online.
    pub last_seen_to: Option<LastSeenTo>,
    /// When not to push.
    pub quiet_hours: Option<Option<QuietHours>>,
}

/// Why a step that needs something unique, unspent or below a limit was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another account has the username.
    UsernameTaken,
    /// Another account has the e-mail address.
    EmailTaken,
    /// The invite does not exist, is spent or has expired.
    InviteSpent,
    /// The owner has as many as are allowed.
    TooMany,
}

impl Refusal {
    /// The refusal that an error of the port stands for.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        std::error::Error::source(error)?.downcast_ref().copied()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UsernameTaken => "the username is taken",
            Self::EmailTaken => "the e-mail address is taken",
            Self::InviteSpent => "the invite is not good (any more)",
            Self::TooMany => "there are as many as are allowed",
        })
    }
}

impl std::error::Error for Refusal {}

/// A session's id, UUIDv7. The key of a bot is a session too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The id that is written so.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A session to begin.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub session_id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// Its first refresh token.
    pub refresh: TokenHash,
    /// When it begins.
    pub created_at: u64,
    /// Until when the refresh token is good.
    pub expires_at: u64,
}

/// A refresh token to be spent.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The token.
    pub spent: TokenHash,
    /// Its successor.
    pub next: TokenHash,
    /// When this happens.
    pub now: u64,
    /// How long after the spending the same answer is given again, in milliseconds.
    pub grace_ms: u64,
    /// Until when the successor is good.
    pub expires_at: u64,
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// It is spent, now or within the grace.
    Successor {
        /// Its session.
        session_id: SessionId,
        /// Whose it is.
        user_id: UserId,
        /// When it was spent first: what is derived from this is the same each time.
        spent_at: u64,
    },
    /// It was spent long before: somebody has a copy. The session is ended.
    Reused {
        /// Its session.
        session_id: SessionId,
        /// Whose it is.
        user_id: UserId,
    },
    /// It is unknown or expired, or its session has ended.
    Gone,
}

/// Which sessions of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// This one.
    One(SessionId),
    /// Every one; keys of bots are sessions of the bots, not of their owner.
    All,
}

/// A session that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub session_id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// When.
    pub ended_at: u64,
}

/// The key of a bot to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The key's session.
    pub session_id: SessionId,
    /// The key.
    pub hash: TokenHash,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// A bot with a living key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// Its account.
    pub account: Account,
    /// The key's session.
    pub session_id: SessionId,
    /// What the key may do.
    pub scopes: Vec<Scope>,
}

/// Who did what to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id, UUIDv7: the order of the log.
    pub entry_id: String,
    /// When.
    pub at: u64,
    /// A user's id, or `operator` (who has the machine).
    pub actor: String,
    /// A dotted verb, `user.permissions.set`.
    pub action: String,
    /// What it was done to: an id.
    pub target: Option<String>,
    /// More, without secrets.
    pub detail: Option<String>,
}
