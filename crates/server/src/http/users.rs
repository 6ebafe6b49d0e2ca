//! `/v1/users`: people to write to.

use super::Gateway;
use super::extract::{Asks, At, Auth};
use super::problem::Answer;
use super::query::PeopleQuery;
use axum::Json as Body;
use axum::extract::State;
use chat4all_model::api::{Page, User};
use std::sync::Arc;

/// Find people
///
/// By the beginning of a username or of a word of a display name.
#[utoipa::path(
    get, path = "/v1/users", tag = "users", params(PeopleQuery),
    responses((status = 200, description = "By username", body = Page<User>)),
)]
pub(super) async fn find(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    Asks(asked): Asks<PeopleQuery>,
) -> Answer<Body<Page<User>>> {
    let PeopleQuery { query, cursor, limit } = asked;
    Ok(Body(gateway.accounts.search_users(&caller, &query, cursor.as_deref(), limit).await?))
}

/// A person or bot
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "users", params(("user_id" = String, Path)),
    responses((status = 200, description = "The profile", body = User)),
)]
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    At(user): At<String>,
) -> Answer<Body<User>> {
    Ok(Body(gateway.accounts.user(&caller, &user).await?))
}
