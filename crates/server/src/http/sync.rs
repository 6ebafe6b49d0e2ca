//! `/v1/sync`: a snapshot, and everything that came after it.

use super::Gateway;
use super::extract::{Asks, Auth};
use super::problem::Answer;
use super::query::SyncQuery;
use crate::chat::{DEFAULT_LIMIT, MAX_LIMIT, Paging};
use crate::error::{Failure, Result};
use crate::sync::MAX_WAIT;
use axum::Json as Body;
use axum::extract::State;
use axum::response::IntoResponse;
use chat4all_model::api::{EventPage, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A snapshot without `since`, a page of events with it.
#[derive(ToSchema)]
#[schema(as = Sync)]
#[expect(dead_code, reason = "the schema of an answer that is written as either of the two")]
#[serde(untagged)]
pub(super) enum Synced {
    Snapshot(Snapshot),
    Events(EventPage),
}

/// Take a snapshot, or resume from a cursor
///
/// Without `since`: the caller's conversations, and a cursor that covers no more than they hold. With it: all that
/// the caller may see after the cursor, each conversation's events in order of `seq`.
#[utoipa::path(
    get, path = "/v1/sync", tag = "sync", params(SyncQuery),
    responses((status = 200, description = "Keep the cursor for the next time", body = Synced)),
)]
pub(super) async fn sync(
    State(gateway): State<Arc<Gateway>>,
    Auth(caller): Auth,
    Asks(asked): Asks<SyncQuery>,
) -> Answer {
    let SyncQuery { since, cursor, limit, wait } = asked;
    let Some(since) = since else {
        if wait.is_some() {
            return Err(Failure::invalid("wait", "goes with `since` only").into());
        }
        let now = gateway.sync.cursor_now(&caller).await?;
        let conversations = gateway.chat.snapshot(&caller, &Paging { cursor, limit }).await?;
        return Ok(Body(Snapshot { cursor: now, conversations }).into_response());
    };
    if cursor.is_some() {
        return Err(Failure::invalid("cursor", "goes without `since` only").into());
    }
    let (limit, wait) = (checked_limit(limit)?, checked_wait(wait)?);
    let page = gateway.sync.since(&caller, &since, limit, wait).await?;
    // A session may end during a long poll.
    if gateway.accounts.watch().has_ended(&caller.session_id) {
        return Err(Failure::unauthenticated("the session has ended; sign in again").into());
    }
    Ok(Body(page).into_response())
}

fn checked_limit(limit: Option<usize>) -> Result<usize> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Failure::invalid("limit", format!("must be 1 to {MAX_LIMIT}"))),
    }
}

fn checked_wait(seconds: Option<u64>) -> Result<Duration> {
    let wait = Duration::from_secs(seconds.unwrap_or(0));
    if wait <= MAX_WAIT {
        return Ok(wait);
    }
    Err(Failure::invalid("wait", format!("must be at most {} seconds", MAX_WAIT.as_secs())))
}
