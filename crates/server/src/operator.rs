//! What operators use: administrators, invites, dead letters, the doctor.
//!
//! One router, whether a server runs or not: a running one serves it on a Unix socket in the data folder
//! ([`serve`]), else the program opens the folder and calls it in process ([`Link`]). Whoever may open the folder is
//! the operator; there is no other check.

mod agreement;
mod alone;
mod catch_up;
mod copy;
mod difference;
mod digest;
mod doctor;
mod link;
mod mend;
mod migrate;
mod rebuild;
mod seed;
mod site;
mod take_over;

pub use agreement::{Agreement, PartitionState};
pub use difference::{Difference, Differences};
pub use digest::Part;
pub use doctor::{Check, Level, Report};
pub use link::{Link, LinkError, Opened, serve};
pub use mend::{Mended, mend_folder, mend_kafka};
pub use migrate::{Counts, Migrated, Note, migrate};
pub use rebuild::{Checked, Rebuilt, check, rebuild};
pub use seed::{SeededConversation, SeededMessages, SeededUser, seed_messages, seed_users};
pub use site::{Work, unfinished};

use crate::account::{AccountService, Actor, Ambient};
use crate::dead_letters::{DeadLetterView, DeadLetters};
use crate::engines::Engines;
use crate::error::Failure;
use crate::health::Health;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use chat4all_backend::accounts::AuditEntry;
use chat4all_model::api::{Code, Me, Page};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the operator's routes work on. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    /// The use-cases of accounts.
    pub accounts: Arc<AccountService>,
    /// The engines.
    pub engines: Engines,
    /// What is not well in this process.
    pub health: Health,
    /// Time and chance.
    pub ambient: Ambient,
    /// The data folder, if there is one: its disk and files are looked at.
    pub folder: Option<PathBuf>,
    /// Whether commands are being decided: a server runs.
    pub running: bool,
}

/// `POST /admins`, `POST /password`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Of whom.
    pub username: String,
}

/// `POST /invites`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// How long it is good, in seconds.
    pub ttl_seconds: u64,
}

/// An invite.
#[derive(Debug, Serialize, Deserialize)]
pub struct Invite {
    /// To be given with the registration. Shown once.
    pub invite: String,
}

/// A new password.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewPassword {
    /// Shown once.
    pub password: String,
}

/// Who did what to whom.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditView {
    /// Its id: the order of the log.
    pub entry_id: String,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// A user's id, or `operator`.
    pub actor: String,
    /// A dotted verb.
    pub action: String,
    /// What it was done to: an id.
    pub target: Option<String>,
    /// More, without secrets.
    pub detail: Option<String>,
}

/// A failure as the operator reads it.
#[derive(Debug, Serialize, Deserialize)]
pub struct OperatorProblem {
    /// The stable reason.
    pub code: String,
    /// What is wrong and how to mend it; for an operator's eyes, so with the cause of a fault.
    pub detail: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// The routes.
pub fn router(operator: Operator) -> Router {
    Router::new()
        .route("/admins", post(grant))
        .route("/admins/{username}", delete(revoke))
        .route("/password", post(reset_password))
        .route("/users", get(users))
        .route("/invites", post(invite))
        .route("/audit", get(audit))
        .route("/dead-letters", get(dead_letters))
        .route("/dead-letters/{id}/replay", post(replay))
        .route("/doctor", get(report))
        .with_state(operator)
}

/// A failure on its way to the operator.
struct Told(Failure);

impl From<Failure> for Told {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let detail = if self.0.code == Code::Internal { self.0.to_string() } else { self.0.detail.clone() };
        (status, Json(OperatorProblem { code: self.0.code.as_str().to_owned(), detail })).into_response()
    }
}

type Answer<T> = Result<Json<T>, Told>;

async fn grant(State(op): State<Operator>, Json(who): Json<Named>) -> Answer<Me> {
    Ok(Json(op.accounts.grant_admin(Actor::Operator, &who.username).await?))
}

async fn revoke(State(op): State<Operator>, Path(username): Path<String>) -> Answer<Me> {
    Ok(Json(op.accounts.revoke_admin(Actor::Operator, &username).await?))
}

async fn reset_password(State(op): State<Operator>, Json(who): Json<Named>) -> Answer<NewPassword> {
    let password = op.accounts.reset_password(Actor::Operator, &who.username, None).await?;
    Ok(Json(NewPassword { password }))
}

async fn users(State(op): State<Operator>, Query(page): Query<Paging>) -> Answer<Page<Me>> {
    Ok(Json(op.accounts.list_accounts(Actor::Operator, page.cursor.as_deref(), page.limit).await?))
}

async fn invite(State(op): State<Operator>, Json(request): Json<InviteRequest>) -> Answer<Invite> {
    let ttl = Duration::from_secs(request.ttl_seconds);
    Ok(Json(Invite { invite: op.accounts.create_invite(Actor::Operator, ttl).await? }))
}

async fn audit(State(op): State<Operator>, Query(page): Query<Paging>) -> Answer<Page<AuditView>> {
    let found = op.accounts.audit_log(Actor::Operator, page.cursor.as_deref(), page.limit).await?;
    let view = |entry: AuditEntry| AuditView {
        entry_id: entry.entry_id,
        at: entry.at,
        actor: entry.actor,
        action: entry.action,
        target: entry.target,
        detail: entry.detail,
    };
    Ok(Json(Page { items: found.items.into_iter().map(view).collect(), next: found.next }))
}

async fn dead_letters(
    State(op): State<Operator>,
    Query(page): Query<Paging>,
) -> Answer<Page<DeadLetterView>> {
    let letters = DeadLetters::new(op.engines, op.ambient);
    Ok(Json(letters.list(Actor::Operator, page.cursor, page.limit).await?))
}

async fn replay(State(op): State<Operator>, Path(id): Path<String>) -> Answer<DeadLetterView> {
    Ok(Json(DeadLetters::new(op.engines, op.ambient).replay(Actor::Operator, &id).await?))
}

async fn report(State(op): State<Operator>) -> Answer<Report> {
    Ok(Json(doctor::report(&op).await))
}
