//! `/v1/messages` and `/v1/conversations/{conversation_id}/messages`: sending, reading back, editing, deleting.

use super::Gateway;
use super::answer::{changed, changed_to, pending, with_position};
use super::extract::{Asks, At, Auth, Json};
use super::idempotency::Key;
use super::prefer::Wait;
use super::problem::Answer;
use super::query::MessagesQuery;
use super::trail::note_conversation;
use crate::chat::{Sent, Waited, Window};
use crate::error::{Failure, Result};
use crate::live::Hub;
use axum::Json as Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chat4all_model::api::{
    Accepted, Edit, EditMessage, Message, MessagePage, Page, Pending, Scope, SendMessage,
};
use serde::Deserialize;
use std::sync::Arc;

/// A message as a path names it: by its id alone, or within a conversation.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    conversation_id: Option<String>,
    message_id: String,
}

impl Named {
    pub(super) fn within(&self) -> Option<&str> {
        self.conversation_id.as_deref()
    }

    pub(super) fn id(&self) -> &str {
        &self.message_id
    }
}

/// Send a message
///
/// Answered once it is durable. With `Prefer: wait=SECONDS` the answer waits for the message as it is stored.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", request_body = SendMessage,
    params(("Idempotency-Key" = Option<String>, Header), ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`")),
    responses(
        (status = 202, description = "It is durable", body = Accepted),
        (status = 201, description = "It is stored; with `Prefer: wait`", body = Message),
    ),
)]
pub(super) async fn send(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    key: Key,
    wait: Wait,
    Json(message): Json<SendMessage>,
) -> Answer {
    let outcome = match wait.patience() {
        None => gateway.chat.send(&caller, message, key.as_deref()).await.map(Waited::Accepted),
        Some(patience) => gateway.chat.send_and_wait(&caller, message, key.as_deref(), patience).await,
    };
    Ok(answered(&gateway.hub, outcome, wait)?)
}

fn answered(hub: &Hub, outcome: Result<Waited>, wait: Wait) -> Result<Response> {
    Ok(match outcome? {
        Waited::Accepted(Sent { accepted, place, .. }) => {
            note_conversation(&accepted.conversation_id);
            let position = place.map(|place| hub.seal_command(place));
            with_position((StatusCode::ACCEPTED, Body(accepted)), position.as_deref())
        }
        Waited::Stored(message, position) => {
            note_conversation(&message.conversation_id);
            let mut response = with_position((StatusCode::CREATED, Body(message)), position.as_deref());
            wait.put_applied(response.headers_mut());
            response
        }
    })
}

/// A page of messages
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/messages", tag = "messages",
    params(("conversation_id" = String, Path), MessagesQuery),
    responses((status = 200, description = "Newest first; oldest first with `after`", body = MessagePage)),
)]
pub(super) async fn history(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    Asks(asked): Asks<MessagesQuery>,
) -> Answer<Body<MessagePage>> {
    let window = match (asked.before, asked.after, asked.around) {
        (before, None, None) => Window::Before(before),
        (None, Some(after), None) => Window::After(after),
        (None, None, Some(around)) => Window::Around(around),
        _ => return Err(Failure::invalid("before", "only one of before, after and around").into()),
    };
    let membership = gateway.chat.member(&caller, &conversation).await?;
    Ok(Body(gateway.chat.history(&membership, window, asked.limit).await?))
}

/// A message
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/messages/{message_id}", tag = "messages",
    params(("conversation_id" = String, Path), ("message_id" = String, Path)),
    responses((status = 200, description = "The message as it is now", body = Message)),
)]
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
) -> Answer<Body<Message>> {
    Ok(Body(gateway.chat.message(&caller, named.within(), named.id()).await?))
}

/// Edit a message
///
/// Only its sender may.
#[utoipa::path(
    patch, path = "/v1/conversations/{conversation_id}/messages/{message_id}", tag = "messages",
    params(("conversation_id" = String, Path), ("message_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = EditMessage,
    responses(
        (status = 200, description = "The message as it is now", body = Message),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn edit(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
    key: Key,
    Json(EditMessage { content }): Json<EditMessage>,
) -> Answer {
    // The answer shows the message.
    caller.require(Scope::Read)?;
    let edited = gateway.chat.edit(&caller, named.within(), named.id(), &content, key.as_deref()).await?;
    if edited.is_pending() {
        return Ok(pending(edited.position()));
    }
    Ok(changed_to(&edited, &gateway.chat.message(&caller, named.within(), named.id()).await?))
}

/// Delete a message
///
/// Its sender or an admin may. Its place stays, without content.
#[utoipa::path(
    delete, path = "/v1/conversations/{conversation_id}/messages/{message_id}", tag = "messages",
    params(("conversation_id" = String, Path), ("message_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
    key: Key,
) -> Answer {
    Ok(changed(&gateway.chat.delete(&caller, named.within(), named.id(), key.as_deref()).await?))
}

/// The earlier texts of a message
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/messages/{message_id}/edits", tag = "messages",
    params(("conversation_id" = String, Path), ("message_id" = String, Path)),
    responses((status = 200, description = "Oldest first", body = Page<Edit>)),
)]
pub(super) async fn edits(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
) -> Answer<Body<Page<Edit>>> {
    Ok(Body(gateway.chat.edits(&caller, named.within(), named.id()).await?))
}
