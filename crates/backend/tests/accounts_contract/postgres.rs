//! The fixture of the accounts in PostgreSQL, and what only they promise.

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "the store's tests need more of it")]
mod server;

use crate::runtime;
use async_trait::async_trait;
use chat4all_backend::accounts::{
    Account, Accounts, Fixture, NewAccount, NewSession, PostgresAccounts, Refusal, Rotated, Rotation,
    SessionId, Which,
};
use chat4all_backend::store::PostgresStore;
use chat4all_backend::{ErrorKind, Result};
use chat4all_model::api::LastSeenTo;
use chat4all_model::id::UserId;
use futures_util::future::{BoxFuture, join_all};
use libtest_mimic::{Failed, Trial};
use server::TestSchema;
use std::sync::Arc;

pub(crate) fn fixture() -> Result<Arc<dyn Fixture>, String> {
    Ok(Arc::new(Postgres(TestSchema::new()?)))
}

struct Postgres(TestSchema);

#[async_trait]
impl Fixture for Postgres {
    async fn open(&self) -> Arc<dyn Accounts> {
        Arc::new(PostgresAccounts::open(self.0.url("&pool=4")).await.expect("the accounts of a schema"))
    }
}

type Run = fn(Postgres) -> BoxFuture<'static, Result<(), Failed>>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    macro_rules! trials {
        ($($name:ident),+ $(,)?) => { [$((stringify!($name), (|postgres| Box::pin($name(postgres))) as Run)),+] };
    }
    let all = trials![
        a_newer_schema_is_refused_by_name,
        the_store_may_be_in_the_same_schema,
        an_account_whose_answer_is_lost_may_have_been_made,
        rotations_and_endings_at_once_leave_one_truth,
        texts_come_back_as_they_were,
    ];
    let there = TestSchema::new().is_ok();
    all.into_iter().map(move |(name, run)| {
        let run = move || runtime()?.block_on(run(Postgres(TestSchema::new()?)));
        Trial::test(format!("postgres::{name}"), run).with_ignored_flag(!there)
    })
}

fn user(n: usize) -> UserId {
    UserId::parse(&format!("01900000-0000-7000-8000-{n:012}")).expect("well-formed")
}

fn person(n: usize, username: &str) -> NewAccount {
    let account = Account {
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
        created_at: 1,
    };
    NewAccount { account, password_hash: None, invite: None }
}

async fn a_newer_schema_is_refused_by_name(postgres: Postgres) -> Result<(), Failed> {
    drop(postgres.open().await);
    postgres.0.client().await.batch_execute("INSERT INTO accounts_migrations VALUES (99)").await?;
    let error = PostgresAccounts::open(postgres.0.url("")).await.err().ok_or("it was opened")?;
    assert_eq!(error.kind, ErrorKind::Invalid);
    let words = error.to_string();
    assert!(words.contains("accounts") && words.contains("newer chat4all"), "{error}");
    Ok(())
}

async fn the_store_may_be_in_the_same_schema(postgres: Postgres) -> Result<(), Failed> {
    let accounts = postgres.open().await;
    PostgresStore::open(postgres.0.url("&pool=1"), Arc::new(|| 0)).await?;
    accounts.create(person(1, "alice")).await?;
    Ok(())
}

async fn an_account_whose_answer_is_lost_may_have_been_made(postgres: Postgres) -> Result<(), Failed> {
    let direct = postgres.open().await;
    let cut = postgres.0.cut().await;
    let accounts = PostgresAccounts::open(postgres.0.through(&cut, "&pool=1")).await?;
    for (when, kind, made) in [
        ("INSERT INTO users", ErrorKind::Unavailable, 0),
        ("INSERT INTO user_names", ErrorKind::Unavailable, 0),
        ("COMMIT", ErrorKind::OutcomeUnknown, 1),
    ] {
        cut.when(when);
        let error = accounts.create(person(1, "alice")).await.err().ok_or("made without an answer")?;
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(direct.list(None, 9).await?.len(), made, "cut at {when}");
    }
    let again = direct.create(person(1, "alice")).await.err().ok_or("made twice")?;
    assert_eq!(Refusal::of(&again), Some(Refusal::UsernameTaken));
    Ok(())
}

async fn rotations_and_endings_at_once_leave_one_truth(postgres: Postgres) -> Result<(), Failed> {
    let (one, other) = (postgres.open().await, postgres.open().await);
    one.create(person(1, "alice")).await?;
    let hash = |n: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hash
    };
    for n in 0..20 {
        let session_id = SessionId::new(&format!("01910000-0000-7000-8000-{n:012}"));
        let session =
            NewSession { session_id, user_id: user(1), refresh: hash(n), created_at: 1, expires_at: 900 };
        one.open_session(session).await?;
    }
    let rotations = (0..20).map(|n| {
        let rotation =
            Rotation { spent: hash(n), next: hash(n + 100), now: 10, grace_ms: 5, expires_at: 900 };
        other.rotate(rotation)
    });
    let user = user(1);
    let endings = (0..5).map(|now| one.end_sessions(&user, Which::All, 20 + now));
    let (rotated, ended) = futures_util::future::join(join_all(rotations), join_all(endings)).await;
    for outcome in rotated {
        assert!(matches!(outcome?, Rotated::Successor { .. } | Rotated::Gone));
    }
    let mut all = Vec::new();
    for sessions in ended {
        all.extend(sessions?);
    }
    all.sort();
    assert_eq!(all.len(), 20, "each was ended once: {all:?}");
    for n in 0..20 {
        let rotation =
            Rotation { spent: hash(n + 100), next: hash(n + 200), now: 30, grace_ms: 5, expires_at: 900 };
        assert_eq!(other.rotate(rotation).await?, Rotated::Gone);
    }
    assert_eq!(other.ended_since(0, None, 99).await?.len(), 20);
    Ok(())
}

async fn texts_come_back_as_they_were(postgres: Postgres) -> Result<(), Failed> {
    let accounts = postgres.open().await;
    let mut new = person(1, "alice");
    let odd = "a\0b \u{1a}0 '; DROP TABLE users; -- 👩‍👩‍👧‍👦";
    new.account.display_name = Some(odd.into());
    new.account.permissions = vec![odd.into(), String::new()];
    accounts.create(new.clone()).await?;
    assert_eq!(accounts.get(&[user(1)]).await?, [new.account]);
    assert_eq!(accounts.search("a\0", None, 9).await?.len(), 1);
    assert_eq!(accounts.search("\0", None, 9).await?.len(), 0);
    Ok(())
}
