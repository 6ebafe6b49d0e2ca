//! `/v1/conversations`: making, reading and changing them, and the inbox.

use super::Gateway;
use super::answer::{changed_to, pending, with_position};
use super::extract::{Asks, At, Auth, Json};
use super::idempotency::Key;
use super::problem::Answer;
use super::query::{EventsQuery, InboxQuery};
use super::trail::note_conversation;
use crate::account::Caller;
use crate::chat::{Changed, Created, Filter};
use axum::Json as Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chat4all_model::api::{
    Conversation, ConversationPatch, CreateConversation, Event, Page, Pending, Scope, SettingsPatch, Unread,
};
use std::sync::Arc;

/// Make a conversation
///
/// The direct conversation of two people exists once, and so does a group with an id that its maker chose: asking
/// again gives 200 and the same.
#[utoipa::path(
    post, path = "/v1/conversations", tag = "conversations", request_body = CreateConversation,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 201, description = "Made", body = Conversation),
        (status = 200, description = "It is there already", body = Conversation),
        (status = 202, description = "It will be made", body = Pending),
    ),
)]
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    key: Key,
    Json(request): Json<CreateConversation>,
) -> Answer {
    // The answer shows the conversation.
    caller.require(Scope::Read)?;
    Ok(match gateway.chat.create(&caller, request, key.as_deref()).await? {
        Created::New(conversation, position) => {
            note_conversation(&conversation.conversation_id);
            with_position((StatusCode::CREATED, Body(conversation)), position.as_deref())
        }
        Created::Present(conversation) => {
            note_conversation(&conversation.conversation_id);
            Body(conversation).into_response()
        }
        Created::Pending(position) => pending(Some(&position)),
    })
}

/// The inbox
///
/// The caller's conversations, newest activity first.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations", params(InboxQuery),
    responses((status = 200, description = "With the first 5 participants each", body = Page<Conversation>)),
)]
pub(super) async fn inbox(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    Asks(asked): Asks<InboxQuery>,
) -> Answer<Body<Page<Conversation>>> {
    let filter = Filter { archived: asked.archived, unread: asked.unread };
    Ok(Body(gateway.chat.inbox(&caller, filter, &asked.paging()).await?))
}

/// A conversation
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}", tag = "conversations",
    params(("conversation_id" = String, Path)),
    responses((status = 200, description = "With the first 100 participants", body = Conversation)),
)]
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
) -> Answer<Body<Conversation>> {
    Ok(Body(show(&gateway, &caller, &conversation).await?))
}

/// Rename a group
#[utoipa::path(
    patch, path = "/v1/conversations/{conversation_id}", tag = "conversations",
    params(("conversation_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = ConversationPatch,
    responses(
        (status = 200, description = "The conversation as it is now", body = Conversation),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn rename(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    key: Key,
    Json(patch): Json<ConversationPatch>,
) -> Answer {
    caller.require(Scope::Read)?;
    let changed = gateway.chat.rename(&caller, &conversation, patch, key.as_deref()).await?;
    shown(&gateway, &caller, &conversation, &changed).await
}

/// Mute, archive or pin a conversation for oneself
#[utoipa::path(
    patch, path = "/v1/conversations/{conversation_id}/me", tag = "conversations",
    params(("conversation_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = SettingsPatch,
    responses(
        (status = 200, description = "The conversation as it is now", body = Conversation),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn settings(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    key: Key,
    Json(patch): Json<SettingsPatch>,
) -> Answer {
    caller.require(Scope::Read)?;
    let changed = gateway.chat.settings(&caller, &conversation, patch, key.as_deref()).await?;
    shown(&gateway, &caller, &conversation, &changed).await
}

/// The log of a conversation
///
/// Every event that the caller may see, in order of `seq`.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/events", tag = "conversations",
    params(("conversation_id" = String, Path), EventsQuery),
    responses((status = 200, description = "`next` is the `after` of the next page", body = Page<Event>)),
)]
pub(super) async fn events(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    Asks(asked): Asks<EventsQuery>,
) -> Answer<Body<Page<Event>>> {
    let membership = gateway.chat.member(&caller, &conversation).await?;
    Ok(Body(gateway.chat.events(&membership, asked.after.unwrap_or(0), asked.limit).await?))
}

/// What is unread in all conversations
#[utoipa::path(
    get, path = "/v1/unread", tag = "conversations",
    responses((status = 200, description = "Without archived conversations", body = Unread)),
)]
pub(super) async fn unread(State(gateway): State<Arc<Gateway>>, Auth(caller): Auth) -> Answer<Body<Unread>> {
    Ok(Body(gateway.chat.unread(&caller).await?))
}

async fn show(gateway: &Gateway, caller: &Caller, conversation: &str) -> Answer<Conversation> {
    let membership = gateway.chat.member(caller, conversation).await?;
    Ok(gateway.chat.conversation(&membership).await?)
}

/// The answer to a change of a conversation: the conversation as it is now.
async fn shown(gateway: &Gateway, caller: &Caller, conversation: &str, changed: &Changed) -> Answer {
    if changed.is_pending() {
        return Ok(pending(changed.position()));
    }
    Ok(changed_to(changed, &show(gateway, caller, conversation).await?))
}
