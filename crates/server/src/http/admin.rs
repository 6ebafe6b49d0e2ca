//! `/v1/admin`: for administrators.

use super::Gateway;
use super::extract::{Asks, At, Auth};
use super::problem::Answer;
use super::query::PageQuery;
use crate::account::Actor;
use crate::dead_letters::DeadLetterView;
use axum::Json as Body;
use axum::extract::State;
use chat4all_model::api::Page;
use std::sync::Arc;

/// Records that could not be processed
#[utoipa::path(
    get, path = "/v1/admin/dead-letters", tag = "administration", params(PageQuery),
    responses((status = 200, description = "Oldest first", body = Page<DeadLetterView>)),
)]
pub(super) async fn dead_letters(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    Asks(asked): Asks<PageQuery>,
) -> Answer<Body<Page<DeadLetterView>>> {
    Ok(Body(gateway.dead_letters.list(Actor::Admin(&caller), asked.cursor, asked.limit).await?))
}

/// Process one again
#[utoipa::path(
    post, path = "/v1/admin/dead-letters/{dead_letter_id}/replay", tag = "administration",
    params(("dead_letter_id" = String, Path)),
    responses((status = 200, description = "It stands in the log again", body = DeadLetterView)),
)]
pub(super) async fn replay(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(letter): At<String>,
) -> Answer<Body<DeadLetterView>> {
    Ok(Body(gateway.dead_letters.replay(Actor::Admin(&caller), &letter).await?))
}
