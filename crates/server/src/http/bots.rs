//! `/v1/bots`: programs that speak for somebody.

use super::Gateway;
use super::extract::{At, Auth, Json};
use super::problem::Answer;
use axum::Json as Body;
use axum::extract::State;
use axum::http::StatusCode;
use chat4all_model::api::{Bot, BotRequest, Page};
use std::sync::Arc;

/// Make a bot
///
/// The answer shows its API key, once. The key is used as a bearer.
#[utoipa::path(
    post, path = "/v1/bots", tag = "bots", request_body = BotRequest,
    responses((status = 201, description = "Made", body = Bot)),
)]
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    Json(request): Json<BotRequest>,
) -> Answer<(StatusCode, Body<Bot>)> {
    Ok((StatusCode::CREATED, Body(gateway.accounts.create_bot(&caller, request).await?)))
}

/// The caller's bots
#[utoipa::path(
    get, path = "/v1/bots", tag = "bots",
    responses((status = 200, description = "All of them, oldest first", body = Page<Bot>)),
)]
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, Auth(caller): Auth) -> Answer<Body<Page<Bot>>> {
    Ok(Body(gateway.accounts.list_bots(&caller).await?))
}

/// Revoke a bot
///
/// Its key is good for nothing from now on. What it wrote stays.
#[utoipa::path(
    delete, path = "/v1/bots/{bot_id}", tag = "bots", params(("bot_id" = String, Path)),
    responses((status = 204, description = "Revoked")),
)]
pub(super) async fn revoke(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(bot): At<String>,
) -> Answer<StatusCode> {
    gateway.accounts.revoke_bot(&caller, &bot).await?;
    Ok(StatusCode::NO_CONTENT)
}
