//! `/v1/conversations/{conversation_id}/participants`: who is in a conversation.

use super::Gateway;
use super::answer::changed;
use super::extract::{Asks, At, Auth, Json};
use super::idempotency::Key;
use super::problem::Answer;
use super::query::PageQuery;
use axum::Json as Body;
use axum::extract::State;
use chat4all_model::api::{AddParticipants, Page, Participant, Pending, RolePatch};
use std::sync::Arc;

/// The members, by time of joining
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/participants", tag = "participants",
    params(("conversation_id" = String, Path), PageQuery),
    responses((status = 200, description = "To who has left: those of then", body = Page<Participant>)),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    Asks(asked): Asks<PageQuery>,
) -> Answer<Body<Page<Participant>>> {
    let membership = gateway.chat.member(&caller, &conversation).await?;
    Ok(Body(gateway.chat.participants(&membership, &asked.paging()).await?))
}

/// Add people to a group
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/participants", tag = "participants",
    params(("conversation_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = AddParticipants,
    responses(
        (status = 204, description = "They are members"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn add(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    key: Key,
    Json(request): Json<AddParticipants>,
) -> Answer {
    Ok(changed(&gateway.chat.add(&caller, &conversation, request, key.as_deref()).await?))
}

/// Change a member's role
#[utoipa::path(
    patch, path = "/v1/conversations/{conversation_id}/participants/{user_id}", tag = "participants",
    params(("conversation_id" = String, Path), ("user_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RolePatch,
    responses(
        (status = 204, description = "Changed"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn set_role(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At((conversation, user)): At<(String, String)>,
    key: Key,
    Json(patch): Json<RolePatch>,
) -> Answer {
    Ok(changed(&gateway.chat.set_role(&caller, &conversation, &user, patch, key.as_deref()).await?))
}

/// Remove a member, or leave
///
/// To remove oneself is to leave. The last admin's leaving promotes the longest-standing member.
#[utoipa::path(
    delete, path = "/v1/conversations/{conversation_id}/participants/{user_id}", tag = "participants",
    params(("conversation_id" = String, Path), ("user_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 204, description = "No member any more"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At((conversation, user)): At<(String, String)>,
    key: Key,
) -> Answer {
    Ok(changed(&gateway.chat.remove(&caller, &conversation, &user, key.as_deref()).await?))
}
