//! Accounts: signing up and in, profiles, bots, and what administrators do to them.

mod admin;
mod ambient;
mod bot;
mod caller;
mod limit;
mod password;
mod profile;
mod rules;
mod seed;
mod sign_in;
mod token;
mod watch;

pub use admin::Actor;
pub use ambient::{Ambient, Entropy};
pub use caller::{ADMIN, Caller, CallerKind};
pub use limit::{AuthLimits, Limited, Rule};
pub use password::PasswordCost;
pub use token::ACCESS_SECONDS;
pub use watch::{EndedSession, SessionWatch};

use crate::error::{Failure, Result};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat4all_backend::accounts::{Account, Accounts, AuditEntry, Refusal, TokenHash};
use chat4all_backend::bus::Bus;
use chat4all_model::api::{Code, Me, User};
use limit::Limiter;
use password::Passwords;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use token::AccessTokens;

/// How often what is over is swept from the store.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How long ended sessions stay in the store: longer than any token of theirs is good anywhere.
const KEEP_ENDED_MS: u64 = 2 * ACCESS_SECONDS * 1000;

/// Who may sign up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registration {
    /// Everybody.
    #[default]
    Open,
    /// Who has an invite.
    Invite,
    /// Nobody.
    Closed,
}

/// The settings of accounts.
#[derive(Debug, Clone, Copy)]
pub struct AccountSettings {
    /// Who may sign up.
    pub registration: Registration,
    /// How often one may knock.
    pub limits: AuthLimits,
    /// What passwords cost.
    pub password: PasswordCost,
    /// How many living bots one may have.
    pub bots: usize,
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self {
            registration: Registration::default(),
            limits: AuthLimits::default(),
            password: PasswordCost::default(),
            bots: 50,
        }
    }
}

/// The use-cases of accounts.
pub struct AccountService {
    accounts: Arc<dyn Accounts>,
    ambient: Ambient,
    settings: AccountSettings,
    tokens: AccessTokens,
    passwords: Passwords,
    limiter: Limiter,
    watch: Arc<SessionWatch>,
    keys: bot::Keys,
    /// Successors of refresh tokens derive from it.
    refresh_key: [u8; 32],
}

impl AccountService {
    /// The use-cases over these engines. Reads the sessions that ended lately; [`run`](Self::run) follows them.
    ///
    /// # Errors
    /// Of the store.
    pub async fn open(
        accounts: Arc<dyn Accounts>,
        bus: Arc<dyn Bus>,
        secret: &Secret,
        ambient: Ambient,
        settings: AccountSettings,
    ) -> Result<Arc<Self>> {
        let watch = SessionWatch::open(Arc::clone(&accounts), Arc::clone(&bus), ambient.clone()).await?;
        Ok(Arc::new(Self {
            tokens: AccessTokens::new(secret),
            passwords: Passwords::new(settings.password)?,
            limiter: Limiter::new(bus),
            keys: bot::Keys::default(),
            refresh_key: secret.derive("refresh-token"),
            accounts,
            ambient,
            settings,
            watch,
        }))
    }

    /// Follows ended sessions and sweeps what is over, for ever. One task a process.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(Arc::clone(&self.watch).run(), self.sweep());
    }

    /// Tells of sessions that end.
    #[must_use]
    pub fn watch(&self) -> &Arc<SessionWatch> {
        &self.watch
    }

    async fn sweep(&self) {
        const AT_ONCE: usize = 200;
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let before = self.ambient.now().saturating_sub(KEEP_ENDED_MS);
            loop {
                match self.accounts.sweep(before, AT_ONCE).await {
                    Ok(0) => break,
                    // Between two steps others may write.
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => {
                        tracing::warn!(%error, "ended sessions were not swept");
                        break;
                    }
                }
            }
        }
    }

    fn entry(&self, actor: &str, action: &str, target: Option<&str>, detail: Option<String>) -> AuditEntry {
        AuditEntry {
            entry_id: self.ambient.uuid(),
            at: self.ambient.now(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            target: target.map(str::to_owned),
            detail,
        }
    }

    /// A token of 256 random bits.
    fn random_token(&self) -> String {
        encode(&self.ambient.random::<32>())
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored of a token that was given away. It is random, so a plain hash cannot be guessed back.
fn hash_of(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// An engine's error, with a refusal in the words of the API.
fn refusal(error: chat4all_backend::Error) -> Failure {
    match Refusal::of(&error) {
        Some(Refusal::UsernameTaken) => Failure::new(Code::UsernameTaken, "this username is taken"),
        Some(Refusal::EmailTaken) => {
            Failure::new(Code::EmailTaken, "this e-mail address has an account already")
        }
        Some(Refusal::InviteSpent) => Failure::forbidden("this invite is not good (any more)"),
        Some(Refusal::TooMany) => {
            Failure::new(Code::LimitReached, "you have as many bots as you may; revoke one")
        }
        None => error.into(),
    }
}

/// An account as its owner sees it.
fn me(account: Account) -> Me {
    Me {
        user_id: account.user_id.to_string(),
        username: account.username,
        email: account.email,
        display_name: account.display_name,
        avatar_file_id: account.avatar_file_id,
        time_zone: account.time_zone,
        last_seen_to: account.last_seen_to,
        quiet_hours: account.quiet_hours,
        permissions: account.permissions,
        created_at: account.created_at,
    }
}

/// An account as everybody signed in sees it.
#[must_use]
pub fn user(account: Account) -> User {
    User {
        user_id: account.user_id.to_string(),
        username: account.username,
        display_name: account.display_name,
        avatar_file_id: account.avatar_file_id,
    }
}
