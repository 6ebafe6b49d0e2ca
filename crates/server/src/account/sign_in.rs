use super::limit::{Count, Limited, address_key};
use super::rules::{self, Faults};
use super::token::{self, ACCESS_SECONDS};
use super::watch::Life;
use super::{AccountService, Caller, Registration, encode, hash_of, me, refusal};
use crate::error::{Failure, RateLimit, Result};
use crate::secret::keyed_hash;
use chat4all_backend::accounts::{
    Account, Login, NewAccount, NewSession, Rotated, Rotation, SessionId, Which,
};
use chat4all_model::api::{
    Code, LastSeenTo, LoginRequest, LogoutRequest, RefreshRequest, RegisterRequest, Tokens, Validation,
};
use chat4all_model::id::UserId;
use std::net::IpAddr;

/// How long a refresh token is good.
const REFRESH_MS: u64 = 7 * 24 * 3600 * 1000;
/// How long a spent one gives its successor again: the answer was lost, or two tabs asked.
const GRACE_MS: u64 = 30_000;
/// `expires_at` of what does not expire: the last second of the year 9999, which every client can read.
const NEVER: u64 = 253_402_300_799_000;

impl AccountService {
    /// `POST /auth/register`
    ///
    /// # Errors
    /// `InvalidRequest`, `UsernameTaken`, `EmailTaken`, `Forbidden` where sign-up is not open, `RateLimited`.
    pub async fn register(&self, request: RegisterRequest, from: IpAddr) -> Result<Limited<Tokens>> {
        let mut faults = Faults::default();
        let username = faults.check("username", rules::username(&request.username));
        faults.check("password", rules::password(&request.password));
        let email = request.email.and_then(|e| faults.check("email", rules::email(&e)));
        let display_name =
            request.display_name.and_then(|n| faults.check("display_name", rules::display_name(&n)));
        faults.finish()?;
        let invite = match (self.settings.registration, request.invite) {
            (Registration::Open, _) => None,
            (Registration::Invite, Some(code)) => Some(hash_of(&code)),
            (Registration::Invite, None) => {
                return Err(Failure::forbidden("signing up needs an invite; ask an administrator"));
            }
            (Registration::Closed, _) => return Err(Failure::forbidden("signing up is closed here")),
        };
        let rule = self.settings.limits.register;
        let limit = self.limiter.take(&[Count { policy: "register", key: address_key(from), rule }]).await?;
        let made = async {
            let password_hash = Some(self.passwords.hash(request.password, &self.ambient).await?);
            let account = Account {
                user_id: self.new_user_id()?,
                username: username.unwrap_or_default(),
                email,
                display_name,
                avatar_file_id: None,
                time_zone: None,
                last_seen_to: LastSeenTo::Everyone,
                quiet_hours: None,
                permissions: Vec::new(),
                owner: None,
                created_at: self.ambient.now(),
            };
            let new = NewAccount { account: account.clone(), password_hash, invite };
            self.accounts.create(new).await.map_err(refusal)?;
            self.open_session(account).await
        };
        limited(made.await, limit)
    }

    /// `POST /auth/token`
    ///
    /// # Errors
    /// `InvalidCredentials`, the same for an unknown name and a wrong password; `RateLimited`, `Overloaded`.
    pub async fn login(&self, request: LoginRequest, from: IpAddr) -> Result<Limited<Tokens>> {
        let login = match (request.username, request.email) {
            // An address in the field of the name is an address: names have no `@`.
            (Some(name), None) if name.contains('@') => Login::Email(name),
            (Some(name), None) => Login::Username(name),
            (None, Some(email)) => Login::Email(email),
            (None, None) => return Err(Failure::invalid("username", "username or email is required")),
            (Some(_), Some(_)) => return Err(Failure::invalid("email", "only one of username and email")),
        };
        let limits = &self.settings.limits;
        let (Login::Username(name) | Login::Email(name)) = &login else { return Err(wrong_credentials()) };
        let name = encode(&hash_of(&name.to_lowercase()));
        let address = address_key(from);
        let limit = self
            .limiter
            .take(&[
                Count { policy: "login-address", key: address.clone(), rule: limits.login_address },
                Count { policy: "login", key: format!("{address}:{name}"), rule: limits.login_pair },
                Count { policy: "login-account", key: name, rule: limits.login_account },
            ])
            .await?;
        let signed_in = async {
            // What cannot be a password is wrong without hashing it.
            if rules::password(&request.password).is_err() {
                return Err(wrong_credentials());
            }
            let found = self.accounts.credentials(&login).await?;
            let (account, hash) = found.map(|c| (c.account, c.password_hash)).unzip();
            let known = self.passwords.verify(request.password, hash.flatten()).await?;
            match account {
                Some(account) if known => self.open_session(account).await,
                _ => Err(wrong_credentials()),
            }
        };
        limited(signed_in.await, limit)
    }

    /// `POST /auth/refresh`
    ///
    /// # Errors
    /// `RefreshReused` if the token was spent before, which ends its session; `Unauthenticated` if it is good for
    /// nothing; `RateLimited`.
    pub async fn refresh(&self, request: RefreshRequest, from: IpAddr) -> Result<Limited<Tokens>> {
        let rule = self.settings.limits.refresh;
        let limit = self.limiter.take(&[Count { policy: "refresh", key: address_key(from), rule }]).await?;
        limited(self.rotate(&request.refresh_token).await, limit)
    }

    async fn rotate(&self, spent: &str) -> Result<Tokens> {
        let gone = || Failure::unauthenticated("the refresh token is not good (any more); sign in again");
        let now = self.ambient.now();
        // Derived, so that a retry gets the same one though only hashes are kept.
        let next = encode(&keyed_hash(&self.refresh_key, spent.as_bytes()));
        let rotation = Rotation {
            spent: hash_of(spent),
            next: hash_of(&next),
            now,
            grace_ms: GRACE_MS,
            expires_at: now + REFRESH_MS,
        };
        match self.accounts.rotate(rotation).await? {
            Rotated::Successor { session_id, user_id, spent_at } => {
                let account = self.account(&user_id).await?.ok_or_else(gone)?;
                self.tokens(account, &session_id, next, spent_at)
            }
            Rotated::Reused { session_id, user_id } => {
                self.watch.note(&user_id, std::slice::from_ref(&session_id), now).await;
                tracing::warn!(user_id = %user_id, session_id = %session_id, "a spent refresh token came back");
                let entry = self.entry(
                    user_id.as_str(),
                    "session.refresh_reused",
                    Some(user_id.as_str()),
                    Some(session_id.to_string()),
                );
                self.accounts.append_audit(entry).await?;
                Err(Failure::new(
                    Code::RefreshReused,
                    "this refresh token was used before; the session is ended, sign in again",
                ))
            }
            Rotated::Gone => Err(gone()),
        }
    }

    /// `POST /auth/logout`
    ///
    /// # Errors
    /// `Forbidden` for bots.
    pub async fn logout(&self, caller: &Caller, request: &LogoutRequest) -> Result<()> {
        caller.require_person()?;
        let which = if request.all { Which::All } else { Which::One(caller.session_id.clone()) };
        let now = self.ambient.now();
        let ended = self.accounts.end_sessions(&caller.user_id, which, now).await?;
        self.watch.note(&caller.user_id, &ended, now).await;
        Ok(())
    }

    /// `POST /auth/validate`
    #[must_use]
    pub fn validate(&self, caller: &Caller) -> Validation {
        Validation {
            valid: true,
            user_id: caller.user_id.to_string(),
            username: caller.username.to_string(),
            expires_at: caller.expires_at.unwrap_or(NEVER),
        }
    }

    /// Who a bearer (access token or API key) speaks for. Access tokens need no engine.
    ///
    /// # Errors
    /// `TokenExpired` if a refresh helps, `Unauthenticated` if not.
    pub async fn authenticate(&self, bearer: &str) -> Result<Caller> {
        let now = self.ambient.now();
        if bearer.starts_with(super::bot::KEY_PREFIX) {
            return self.bot_caller(bearer, now).await;
        }
        let verified = self.tokens.verify(bearer, now)?;
        match self.watch.life(&verified.caller.session_id, verified.issued_at) {
            Life::Living => Ok(verified.caller),
            Life::Ended => Err(Failure::unauthenticated("the session has ended; sign in again")),
            Life::Unknown => Err(token::expired()),
        }
    }

    pub(super) fn new_user_id(&self) -> Result<UserId> {
        UserId::parse(&self.ambient.uuid()).map_err(Failure::internal)
    }

    pub(super) async fn account(&self, user: &UserId) -> Result<Option<Account>> {
        Ok(self.accounts.get(std::slice::from_ref(user)).await?.pop())
    }

    pub(super) async fn open_session(&self, account: Account) -> Result<Tokens> {
        let now = self.ambient.now();
        let refresh = self.random_token();
        let session_id = SessionId::new(&self.ambient.uuid());
        let session = NewSession {
            session_id: session_id.clone(),
            user_id: account.user_id.clone(),
            refresh: hash_of(&refresh),
            created_at: now,
            expires_at: now + REFRESH_MS,
        };
        self.accounts.open_session(session).await?;
        self.tokens(account, &session_id, refresh, now)
    }

    fn tokens(&self, account: Account, session: &SessionId, refresh: String, at: u64) -> Result<Tokens> {
        let access_token = self.tokens.sign(&account, session, at)?;
        let age = self.ambient.now().saturating_sub(at) / 1000;
        Ok(Tokens {
            user: me(account),
            access_token,
            token_type: "Bearer".into(),
            expires_in: ACCESS_SECONDS.saturating_sub(age),
            refresh_token: refresh,
        })
    }
}

fn wrong_credentials() -> Failure {
    Failure::new(Code::InvalidCredentials, "the name or the password is wrong")
}

fn limited<T>(outcome: Result<T>, limit: Option<RateLimit>) -> Result<Limited<T>> {
    match outcome {
        Ok(value) => Ok(Limited { value, limit }),
        Err(failure) => Err(failure.with_limit(limit)),
    }
}
