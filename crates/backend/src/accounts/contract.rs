//! What every engine of accounts must do, case by case.

mod access;
mod copy;
mod people;

use super::{Account, Accounts, AuditEntry, NewAccount, NewSession, SessionId, TokenHash};
use async_trait::async_trait;
use chat4all_model::api::LastSeenTo;
use chat4all_model::id::UserId;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// An engine under test.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the accounts; a second time: the same ones, after the first were dropped.
    async fn open(&self) -> Arc<dyn Accounts>;
}

/// One clause of the contract.
pub struct Case {
    /// What holds.
    pub name: &'static str,
    /// Panics if it does not. Each case gets a fixture without accounts.
    pub run: fn(Arc<dyn Fixture>) -> BoxFuture<'static, ()>,
}

macro_rules! case {
    ($module:ident :: $name:ident) => {
        Case { name: stringify!($name), run: |fixture| Box::pin($module::$name(fixture)) }
    };
}

/// The contract of [`Accounts`].
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        case!(people::names_are_unique_without_case),
        case!(people::of_many_at_once_one_gets_the_name),
        case!(people::accounts_are_found_by_id_and_by_login),
        case!(people::people_are_found_by_the_start_of_a_name),
        case!(people::a_profile_changes_field_by_field),
        case!(people::accounts_are_listed_in_pages),
        case!(people::an_invite_admits_one),
        case!(people::the_audit_log_reads_backwards),
        case!(people::what_was_answered_survives),
        case!(access::a_refresh_token_is_spent_once),
        case!(access::many_at_once_get_one_successor),
        case!(access::a_token_used_long_after_its_spending_ends_the_session),
        case!(access::sessions_end_one_by_one_and_together),
        case!(access::the_feed_of_ended_sessions_is_complete),
        case!(access::a_new_password_ends_the_other_sessions),
        case!(access::permissions_taken_away_end_the_sessions),
        case!(access::a_bot_lives_until_it_is_revoked),
        case!(access::an_owner_has_a_limit_of_bots),
        case!(access::what_is_over_is_swept),
        case!(copy::all_that_is_kept_is_exported),
        case!(copy::what_is_imported_works),
        case!(copy::a_name_that_is_anothers_is_not_imported),
    ]
}

/// A UUIDv7-shaped id, ordered by `n`.
fn user(n: u64) -> UserId {
    UserId::parse(&format!("01900000-0000-7000-8000-{n:012}")).expect("well-formed")
}

fn session_id(n: u64) -> SessionId {
    SessionId::new(&format!("01910000-0000-7000-8000-{n:012}"))
}

fn hash(n: u64) -> TokenHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    hash
}

fn person(n: u64, username: &str) -> NewAccount {
    NewAccount {
        account: Account {
            user_id: user(n),
            username: username.into(),
            email: None,
            display_name: None,
            avatar_file_id: None,
            time_zone: None,
            last_seen_to: LastSeenTo::Everyone,
            quiet_hours: None,
            permissions: Vec::new(),
            owner: None,
            created_at: n,
        },
        password_hash: Some(format!("hash of {username}")),
        invite: None,
    }
}

fn entry(n: u64, action: &str) -> AuditEntry {
    AuditEntry {
        entry_id: format!("01920000-0000-7000-8000-{n:012}"),
        at: n,
        actor: "operator".into(),
        action: action.into(),
        target: None,
        detail: None,
    }
}

async fn add(accounts: &dyn Accounts, n: u64, username: &str) -> UserId {
    accounts.create(person(n, username)).await.expect("a new account");
    user(n)
}

/// Opens session `n` with refresh token `n`, good until 1,000,000.
async fn sign_in(accounts: &dyn Accounts, user_id: &UserId, n: u64) -> SessionId {
    let session = NewSession {
        session_id: session_id(n),
        user_id: user_id.clone(),
        refresh: hash(n),
        created_at: n,
        expires_at: 1_000_000,
    };
    accounts.open_session(session).await.expect("a new session");
    session_id(n)
}
