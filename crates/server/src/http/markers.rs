//! How far members have come: `…/read`, `…/delivered`, `…/receipts`, `…/markers`.

use super::Gateway;
use super::answer::changed;
use super::extract::{Asks, At, Auth, Json};
use super::messages::Named;
use super::problem::Answer;
use super::query::PageQuery;
use axum::Json as Body;
use axum::extract::State;
use chat4all_model::api::{MarkRequest, Markers, Page, Pending, Receipt};
use chat4all_model::command::Marker;
use std::sync::Arc;

/// Everything up to a `seq` is read
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/read", tag = "markers",
    params(("conversation_id" = String, Path)), request_body = MarkRequest,
    responses(
        (status = 204, description = "The marker is there or beyond"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn read(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    Json(MarkRequest { seq }): Json<MarkRequest>,
) -> Answer {
    Ok(changed(&gateway.chat.mark(&caller, &conversation, Marker::Read, seq).await?))
}

/// Everything up to a `seq` has arrived
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/delivered", tag = "markers",
    params(("conversation_id" = String, Path)), request_body = MarkRequest,
    responses(
        (status = 204, description = "The marker is there or beyond"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn delivered(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
    Json(MarkRequest { seq }): Json<MarkRequest>,
) -> Answer {
    Ok(changed(&gateway.chat.mark(&caller, &conversation, Marker::Delivered, seq).await?))
}

/// Everything up to and including this message is read
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/messages/{message_id}/read", tag = "markers",
    params(("conversation_id" = String, Path), ("message_id" = String, Path)),
    responses(
        (status = 204, description = "The marker is there or beyond"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn read_message(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
) -> Answer {
    Ok(changed(&gateway.chat.mark_message(&caller, named.within(), named.id(), Marker::Read).await?))
}

/// Everything up to and including this message has arrived
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/messages/{message_id}/delivered", tag = "markers",
    params(("conversation_id" = String, Path), ("message_id" = String, Path)),
    responses(
        (status = 204, description = "The marker is there or beyond"),
        (status = 202, description = "It will be decided", body = Pending),
    ),
)]
pub(super) async fn delivered_message(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
) -> Answer {
    Ok(changed(&gateway.chat.mark_message(&caller, named.within(), named.id(), Marker::Delivered).await?))
}

/// Who has received and read a message, and when
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/messages/{message_id}/receipts", tag = "markers",
    params(("conversation_id" = String, Path), ("message_id" = String, Path), PageQuery),
    responses((status = 200, description = "By user; nobody above 100 members", body = Page<Receipt>)),
)]
pub(super) async fn receipts(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(named): At<Named>,
    Asks(asked): Asks<PageQuery>,
) -> Answer<Body<Page<Receipt>>> {
    Ok(Body(gateway.chat.receipts(&caller, named.within(), named.id(), &asked.paging()).await?))
}

/// How far each member has come
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/markers", tag = "markers",
    params(("conversation_id" = String, Path)),
    responses((status = 200, description = "Above 100 members: the caller alone", body = Page<Markers>)),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(conversation): At<String>,
) -> Answer<Body<Page<Markers>>> {
    let membership = gateway.chat.member(&caller, &conversation).await?;
    Ok(Body(gateway.chat.markers(&membership).await?))
}
