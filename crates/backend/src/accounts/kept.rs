use super::{AuditEntry, Credentials, SessionId, TokenHash};
use chat4all_model::api::Scope;
use chat4all_model::id::UserId;

/// One thing that is kept, secrets (as hashes) included: what one engine of accounts gives to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// An account, by its id.
    Account(Credentials),
    /// A session, or the life of a bot's key, by its id.
    Session {
        /// Its id.
        session_id: SessionId,
        /// Whose it is.
        user_id: UserId,
        /// When it began.
        created_at: u64,
        /// When its last token expires; `i64::MAX` or more for the key of a bot.
        expires_at: u64,
        /// When it ended, if it did.
        ended_at: Option<u64>,
    },
    /// The key of a bot, by its hash.
    Key {
        /// The key.
        hash: TokenHash,
        /// The key's session.
        session_id: SessionId,
        /// The bot.
        user_id: UserId,
        /// What the key may do.
        scopes: Vec<Scope>,
    },
    /// A refresh token, by its hash.
    Token {
        /// The token.
        hash: TokenHash,
        /// Its session.
        session_id: SessionId,
        /// Whose it is.
        user_id: UserId,
        /// Until when it is good.
        expires_at: u64,
        /// When it was spent first, if it was.
        spent_at: Option<u64>,
    },
    /// An invite, by its hash.
    Invite {
        /// The invite.
        hash: TokenHash,
        /// Until when it is good.
        expires_at: u64,
        /// Who used it, if somebody did.
        spent_by: Option<UserId>,
    },
    /// An entry of the audit log, by its id.
    Audit(AuditEntry),
}
