//! `…/messages/{message_id}/reactions`

use super::Gateway;
use super::answer::changed;
use super::extract::{Asks, At, Auth};
use super::idempotency::Key;
use super::messages::Named;
use super::problem::Answer;
use super::query::PageQuery;
use axum::Json as Body;
use axum::extract::State;
use chat4all_model::api::{Page, Pending, Reaction};
use serde::Deserialize;
use std::sync::Arc;

/// A reaction as a path names it.
#[derive(Debug, Deserialize)]
pub(super) struct NamedReaction {
    conversation_id: Option<String>,
    message_id: String,
    emoji: String,
}

/// Who reacts with what
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/messages/{message_id}/reactions", tag = "reactions",
    params(("conversation_id" = String, Path), ("message_id" = String, Path), PageQuery),
    responses((status = 200, description = "Oldest first", body = Page<Reaction>)),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
    Asks(asked): Asks<PageQuery>,
) -> Answer<Body<Page<Reaction>>> {
    Ok(Body(gateway.chat.reactions(&caller, named.within(), named.id(), &asked.paging()).await?))
}

/// React
#[utoipa::path(
    put, path = "/v1/conversations/{conversation_id}/messages/{message_id}/reactions/{emoji}", tag = "reactions",
    params(("conversation_id" = String, Path), ("message_id" = String, Path), ("emoji" = String, Path)),
    responses(
        (status = 204, description = "The reaction is there"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(at): At<NamedReaction>,
    key: Key,
) -> Answer {
    let within = at.conversation_id.as_deref();
    Ok(changed(&gateway.chat.react(&caller, within, &at.message_id, &at.emoji, key.as_deref()).await?))
}

/// Take a reaction back
#[utoipa::path(
    delete, path = "/v1/conversations/{conversation_id}/messages/{message_id}/reactions/{emoji}", tag = "reactions",
    params(("conversation_id" = String, Path), ("message_id" = String, Path), ("emoji" = String, Path)),
    responses(
        (status = 204, description = "The reaction is not there"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(at): At<NamedReaction>,
    key: Key,
) -> Answer {
    let within = at.conversation_id.as_deref();
    Ok(changed(&gateway.chat.unreact(&caller, within, &at.message_id, &at.emoji, key.as_deref()).await?))
}
