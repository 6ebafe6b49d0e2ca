//! Access tokens: JWT, HS256.

use super::caller::{Caller, CallerKind};
use crate::error::{Failure, Result};
use crate::secret::Secret;
use chat4all_backend::accounts::{Account, SessionId};
use chat4all_model::api::{Code, Scope};
use chat4all_model::id::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Seconds that an access token is good for.
pub const ACCESS_SECONDS: u64 = 3600;
/// How far two processes' clocks may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 2;
/// Longer ones are not ours.
const MAX_TOKEN_BYTES: usize = 4096;

/// Makes and checks access tokens.
pub(super) struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    scopes: Arc<[Scope]>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    username: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    permissions: Arc<[String]>,
    sid: Arc<str>,
    iat: u64,
    exp: u64,
}

/// A token whose signature and time are good; its session may have ended.
pub(super) struct Verified {
    pub(super) caller: Caller,
    /// Milliseconds.
    pub(super) issued_at: u64,
}

impl AccessTokens {
    pub(super) fn new(secret: &Secret) -> Self {
        let key = secret.derive("access-token");
        // HS256 and nothing else, whatever a token's header says.
        let mut validation = Validation::new(Algorithm::HS256);
        // Judged below, by the clock that is a parameter.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(&key),
            decoding: DecodingKey::from_secret(&key),
            validation,
            scopes: [Scope::Read, Scope::Write].into(),
        }
    }

    /// The token of a session. The same arguments give the same token.
    pub(super) fn sign(&self, account: &Account, session: &SessionId, issued_at: u64) -> Result<String> {
        let iat = issued_at / 1000;
        let claims = Claims {
            sub: account.user_id.clone(),
            username: account.username.as_str().into(),
            email: account.email.clone(),
            permissions: account.permissions.clone().into(),
            sid: session.as_str().into(),
            iat,
            exp: iat + ACCESS_SECONDS,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(Failure::internal)
    }

    /// Whose token it is.
    pub(super) fn verify(&self, token: &str, now: u64) -> Result<Verified> {
        let refused = || Failure::unauthenticated("the access token is not valid");
        if token.len() > MAX_TOKEN_BYTES {
            return Err(refused());
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|e| refused().because(e))?
            .claims;
        if claims.exp + LEEWAY_SECONDS <= now / 1000 {
            return Err(expired());
        }
        let caller = Caller {
            user_id: claims.sub,
            username: claims.username,
            permissions: claims.permissions,
            session_id: SessionId::new(&claims.sid),
            scopes: Arc::clone(&self.scopes),
            kind: CallerKind::Person,
            expires_at: Some(claims.exp * 1000),
            _checked: (),
        };
        Ok(Verified { caller, issued_at: claims.iat * 1000 })
    }
}

/// Good once; a refresh gives another.
pub(super) fn expired() -> Failure {
    Failure::new(Code::TokenExpired, "the access token has expired; refresh it")
}
