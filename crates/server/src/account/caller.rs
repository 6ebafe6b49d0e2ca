use crate::error::{Failure, Result};
use chat4all_backend::accounts::SessionId;
use chat4all_model::api::Scope;
use chat4all_model::id::UserId;
use std::sync::Arc;

/// The permission of those who run an installation.
pub const ADMIN: &str = "admin";

/// Who asks: what a good bearer proves. Made only by [`AccountService::authenticate`](super::AccountService).
#[derive(Debug, Clone)]
#[expect(clippy::manual_non_exhaustive, reason = "not even the rest of this crate may make one")]
pub struct Caller {
    /// Who.
    pub user_id: UserId,
    /// By name, as of the token.
    pub username: Arc<str>,
    /// What beyond the usual, as of the token.
    pub permissions: Arc<[String]>,
    /// The session; of a bot, its key's.
    pub session_id: SessionId,
    /// What the bearer may be used for.
    pub scopes: Arc<[Scope]>,
    /// A person or a bot.
    pub kind: CallerKind,
    /// Until when the bearer is good; `None`: until it is revoked.
    pub expires_at: Option<u64>,
    /// No access without a check.
    pub(super) _checked: (),
}

/// Whether a person asks or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// Signed in, with an access token.
    Person,
    /// With an API key.
    Bot,
}

impl Caller {
    /// Whether the caller runs the installation.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.kind == CallerKind::Person && self.permissions.iter().any(|p| p == ADMIN)
    }

    /// Refuses a bearer that may not be used for this.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn require(&self, scope: Scope) -> Result<()> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let name = if scope == Scope::Read { "read" } else { "write" };
        Err(Failure::forbidden(format!("this API key lacks the scope `{name}`")))
    }

    /// Refuses who does not run the installation.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn require_admin(&self) -> Result<()> {
        if self.is_admin() { Ok(()) } else { Err(Failure::forbidden("only for administrators")) }
    }

    /// Refuses bots: accounts are managed by people.
    pub(super) fn require_person(&self) -> Result<()> {
        match self.kind {
            CallerKind::Person => Ok(()),
            CallerKind::Bot => Err(Failure::forbidden("not with an API key")),
        }
    }
}
