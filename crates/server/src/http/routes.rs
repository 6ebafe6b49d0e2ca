//! Every route.

use super::{
    Gateway, admin, auth, bots, conversations, health, markers, messages, participants, reactions, sync,
    users,
};
use axum::Router;
use axum::routing::{get, post, put};
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes, and the document of those that have a path of their own.
pub(super) fn routes() -> (Router<Arc<Gateway>>, OpenApi) {
    let (router, document) = OpenApiRouter::new()
        .routes(routes!(auth::register))
        .routes(routes!(auth::token))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::validate))
        .routes(routes!(auth::me, auth::update_me))
        .routes(routes!(auth::password))
        .routes(routes!(users::find))
        .routes(routes!(users::get))
        .routes(routes!(bots::list, bots::create))
        .routes(routes!(bots::revoke))
        .routes(routes!(conversations::inbox, conversations::create))
        .routes(routes!(conversations::get, conversations::rename))
        .routes(routes!(conversations::settings))
        .routes(routes!(conversations::events))
        .routes(routes!(conversations::unread))
        .routes(routes!(participants::list, participants::add))
        .routes(routes!(participants::set_role, participants::remove))
        .routes(routes!(markers::read))
        .routes(routes!(markers::delivered))
        .routes(routes!(markers::list))
        .routes(routes!(messages::send))
        .routes(routes!(messages::history))
        .routes(routes!(messages::get, messages::edit, messages::delete))
        .routes(routes!(messages::edits))
        .routes(routes!(reactions::list))
        .routes(routes!(reactions::put, reactions::remove))
        .routes(routes!(markers::read_message))
        .routes(routes!(markers::delivered_message))
        .routes(routes!(markers::receipts))
        .routes(routes!(sync::sync))
        .routes(routes!(admin::dead_letters))
        .routes(routes!(admin::replay))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .split_for_parts();
    (router.merge(aliases()), document)
}

/// Second paths of the same handlers: [`openapi`](super::openapi) documents them beside the first.
fn aliases() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/auth/login", post(auth::token))
        .route("/v1/messages/{message_id}", get(messages::get).patch(messages::edit).delete(messages::delete))
        .route("/v1/messages/{message_id}/edits", get(messages::edits))
        .route("/v1/messages/{message_id}/reactions", get(reactions::list))
        .route("/v1/messages/{message_id}/reactions/{emoji}", put(reactions::put).delete(reactions::remove))
        .route("/v1/messages/{message_id}/read", post(markers::read_message))
        .route("/v1/messages/{message_id}/delivered", post(markers::delivered_message))
        .route("/v1/messages/{message_id}/receipts", get(markers::receipts))
}
