//! `/auth/*`: signing up, in and out, and the caller's own profile.

use super::Gateway;
use super::answer::limited;
use super::extract::{Auth, From, Json, OptionalJson};
use super::problem::Answer;
use axum::Json as Body;
use axum::extract::State;
use axum::http::StatusCode;
use chat4all_model::api::{
    LoginRequest, LogoutRequest, Me, PasswordRequest, ProfilePatch, RefreshRequest, RegisterRequest, Tokens,
    Validation,
};
use std::sync::Arc;

/// Sign up
///
/// Whoever signs up is signed in.
#[utoipa::path(
    post, path = "/auth/register", tag = "accounts", security(()),
    request_body = RegisterRequest,
    responses((status = 201, description = "Signed up and in", body = Tokens)),
)]
pub(super) async fn register(
    State(gateway): State<Arc<Gateway>>,
    From(address): From,
    Json(request): Json<RegisterRequest>,
) -> Answer {
    Ok(limited(StatusCode::CREATED, &gateway.accounts.register(request, address).await?))
}

/// Sign in
///
/// With a username or an e-mail address. Also `POST /auth/login`.
#[utoipa::path(
    post, path = "/auth/token", tag = "accounts", security(()),
    request_body = LoginRequest,
    responses((status = 200, description = "Signed in", body = Tokens)),
)]
pub(super) async fn token(
    State(gateway): State<Arc<Gateway>>,
    From(address): From,
    Json(request): Json<LoginRequest>,
) -> Answer {
    Ok(limited(StatusCode::OK, &gateway.accounts.login(request, address).await?))
}

/// Renew an access token
///
/// Spends the refresh token and gives its successor. For 30 s a spent one gives the same successor again; later
/// use is theft and ends the session.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "accounts", security(()),
    request_body = RefreshRequest,
    responses((status = 200, description = "Renewed", body = Tokens)),
)]
pub(super) async fn refresh(
    State(gateway): State<Arc<Gateway>>,
    From(address): From,
    Json(request): Json<RefreshRequest>,
) -> Answer {
    Ok(limited(StatusCode::OK, &gateway.accounts.refresh(request, address).await?))
}

/// Sign out
///
/// Ends this session, or with `all` every session of the account.
#[utoipa::path(
    post, path = "/auth/logout", tag = "accounts",
    request_body = Option<LogoutRequest>,
    responses((status = 204, description = "Signed out")),
)]
pub(super) async fn logout(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    OptionalJson(request): OptionalJson<LogoutRequest>,
) -> Answer<StatusCode> {
    gateway.accounts.logout(&caller, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Check a bearer
#[utoipa::path(
    post, path = "/auth/validate", tag = "accounts",
    responses((status = 200, description = "The bearer is good", body = Validation)),
)]
pub(super) async fn validate(State(gateway): State<Arc<Gateway>>, Auth(caller): Auth) -> Body<Validation> {
    Body(gateway.accounts.validate(&caller))
}

/// Who am I
#[utoipa::path(
    get, path = "/auth/me", tag = "accounts",
    responses((status = 200, description = "The caller's profile", body = Me)),
)]
pub(super) async fn me(State(gateway): State<Arc<Gateway>>, Auth(caller): Auth) -> Answer<Body<Me>> {
    Ok(Body(gateway.accounts.me(&caller).await?))
}

/// Change the caller's profile
///
/// Fields left out stay as they are, null clears.
#[utoipa::path(
    patch, path = "/auth/me", tag = "accounts",
    request_body = ProfilePatch,
    responses((status = 200, description = "The profile as it is now", body = Me)),
)]
pub(super) async fn update_me(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    Json(patch): Json<ProfilePatch>,
) -> Answer<Body<Me>> {
    Ok(Body(gateway.accounts.update_me(&caller, patch).await?))
}

/// Change the password
///
/// Ends the other sessions.
#[utoipa::path(
    post, path = "/auth/password", tag = "accounts",
    request_body = PasswordRequest,
    responses((status = 204, description = "Changed")),
)]
pub(super) async fn password(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    Json(request): Json<PasswordRequest>,
) -> Answer<StatusCode> {
    gateway.accounts.change_password(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT)
}
