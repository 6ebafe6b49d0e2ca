use crate::{Client, ClientError};
use chat4all_model::api::{RefreshRequest, Tokens};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An access token is renewed this long before its end, or at half its life if that is short.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// A sign-in: who, and the tokens that prove it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account.
    pub user_id: String,
    /// Its username.
    pub username: String,
    /// The bearer of every call.
    pub access_token: String,
    /// When to renew it, milliseconds since 1970 by this machine's clock.
    pub renew_at: u64,
    /// Buys the next pair of tokens, once.
    pub refresh_token: String,
}

impl From<Tokens> for Session {
    fn from(tokens: Tokens) -> Self {
        let life = Duration::from_secs(tokens.expires_in);
        let good_for = life.saturating_sub(RENEW_BEFORE).max(life / 2);
        Self {
            user_id: tokens.user.user_id,
            username: tokens.user.username,
            access_token: tokens.access_token,
            renew_at: now_ms().saturating_add(u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX)),
            refresh_token: tokens.refresh_token,
        }
    }
}

impl Session {
    /// How long the access token may still be used before it should be renewed.
    #[must_use]
    pub fn usable_for(&self) -> Duration {
        Duration::from_millis(self.renew_at.saturating_sub(now_ms()))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Keeps a session where other processes of the same person find it.
///
/// Called on a thread that may block. Processes that share a store never spend one refresh token twice: each looks
/// here for newer tokens before it asks the server for some.
pub trait SessionStore: Send + Sync + 'static {
    /// What was saved last, by whomever.
    fn load(&self) -> Option<Session>;

    /// Replaces it.
    ///
    /// # Errors
    /// Whatever the storage says.
    fn save(&self, session: &Session) -> std::io::Result<()>;
}

/// What a client signs its calls with.
#[derive(Debug, Clone, Default)]
pub(crate) enum Credentials {
    #[default]
    None,
    Session(Session),
    ApiKey(String),
}

/// The credentials of a client, shared by its clones.
#[derive(Default)]
pub(crate) struct Keyring {
    /// Never held across an await.
    current: Mutex<Credentials>,
    /// Held by whoever renews the tokens; the others wait and use the result.
    renewing: tokio::sync::Mutex<()>,
}

impl Keyring {
    pub(crate) fn get(&self) -> Credentials {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, credentials: Credentials) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = credentials;
    }
}

impl Client {
    /// The tokens in use, to be kept by the caller.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        match self.keyring().get() {
            Credentials::Session(session) => Some(session),
            Credentials::None | Credentials::ApiKey(_) => None,
        }
    }

    /// Continues a session that was kept.
    pub fn set_session(&self, session: Session) {
        self.keyring().set(Credentials::Session(session));
    }

    /// Signs calls with a bot's API key.
    pub fn set_api_key(&self, key: impl Into<String>) {
        self.keyring().set(Credentials::ApiKey(key.into()));
    }

    /// A token that is good for the next minute, renewed if need be.
    ///
    /// # Errors
    /// Not signed in, or the session has ended, or the server cannot be reached.
    pub async fn access_token(&self) -> Result<String, ClientError> {
        match self.keyring().get() {
            Credentials::None => Err(ClientError::NotSignedIn),
            Credentials::ApiKey(key) => Ok(key),
            Credentials::Session(session) if !session.usable_for().is_zero() => Ok(session.access_token),
            Credentials::Session(session) => self.renew(&session.access_token).await,
        }
    }

    /// A token other than `refused`: somebody else's newer one, or a new pair from the server.
    pub(crate) async fn renew(&self, refused: &str) -> Result<String, ClientError> {
        let _alone = self.keyring().renewing.lock().await;
        let Credentials::Session(session) = self.keyring().get() else {
            return Err(ClientError::NotSignedIn);
        };
        if session.access_token != refused {
            return Ok(session.access_token);
        }
        let session = match self.stored().await {
            Some(stored) if stored.access_token != refused && stored.user_id == session.user_id => {
                self.set_session(stored.clone());
                if !stored.usable_for().is_zero() {
                    return Ok(stored.access_token);
                }
                stored
            }
            _ => session,
        };
        let request = RefreshRequest { refresh_token: session.refresh_token };
        // Boxed: the call below could in principle ask for a token, and so come here.
        let tokens: Tokens = Box::pin(self.post_open("auth/refresh", &request)).await?;
        let token = tokens.access_token.clone();
        self.adopt(tokens).await?;
        Ok(token)
    }

    async fn stored(&self) -> Option<Session> {
        let store = self.store()?;
        tokio::task::spawn_blocking(move || store.load()).await.ok().flatten()
    }

    /// Signs with these tokens from now on, and keeps them if there is a store.
    pub(crate) async fn adopt(&self, tokens: Tokens) -> Result<(), ClientError> {
        let session = Session::from(tokens);
        self.set_session(session.clone());
        let Some(store) = self.store() else { return Ok(()) };
        let saved = tokio::task::spawn_blocking(move || store.save(&session)).await;
        saved.map_err(|_| ClientError::Ended)?.map_err(ClientError::Store)
    }
}
