//! The fixture of the store in PostgreSQL, and what only it promises.

#[path = "../support/postgres.rs"]
mod server;

use crate::runtime;
use async_trait::async_trait;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::store::contract::world::{
    BEGINNING, PARTITION, World, conversation, difference, say, user,
};
use chat4all_backend::store::contract::{Capability, Fixture};
use chat4all_backend::store::{PostgresStore, Store};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::command::Action;
use chat4all_model::rows::Position;
use futures_util::future::{BoxFuture, join, join_all};
use libtest_mimic::{Failed, Trial};
use server::TestSchema;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_postgres::Client;

const TLS_SERVER: &str = "CHAT4ALL_TEST_POSTGRES_TLS_URL";
/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn fixture() -> Result<Box<dyn Fixture>, String> {
    Ok(Box::new(Postgres(TestSchema::new()?)))
}

struct Postgres(TestSchema);

impl Postgres {
    async fn open_with(&self, parameters: &str) -> Result<PostgresStore> {
        PostgresStore::open(self.0.url(parameters), Arc::new(|| BEGINNING)).await
    }
}

#[async_trait]
impl Fixture for Postgres {
    fn can(&self, _: Capability) -> bool {
        true
    }

    async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.open_with("&pool=4").await?))
    }

    async fn reopen(&self) -> Result<Arc<dyn Store>> {
        self.open().await
    }
}

type Run = fn(Postgres) -> BoxFuture<'static, Result<(), Failed>>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    macro_rules! trials {
        ($($name:ident),+ $(,)?) => { [$((stringify!($name), (|postgres| Box::pin($name(postgres))) as Run)),+] };
    }
    let all = trials![
        what_is_wrong_at_the_start_is_said,
        a_server_that_is_not_there_is_said_soon,
        a_newer_schema_is_refused_by_name,
        many_may_open_an_empty_database_at_once,
        two_processes_that_project_the_same_leave_what_one_does,
        a_projection_that_stands_in_the_way_is_tried_again,
        a_projection_whose_connection_is_killed_leaves_nothing,
        a_projection_whose_answer_is_lost_may_have_happened,
        connections_that_a_restart_took_are_replaced,
        a_full_pool_is_told_from_a_slow_statement,
        old_rejections_are_forgotten,
        everything_is_read_by_an_index,
        people_can_read_the_views,
    ];
    let there = TestSchema::new().is_ok();
    let plain = all.into_iter().map(move |(name, run)| {
        let run = move || runtime()?.block_on(run(Postgres(TestSchema::new()?)));
        Trial::test(format!("postgres::{name}"), run).with_ignored_flag(!there)
    });
    let tls_is_there = there && std::env::var(TLS_SERVER).is_ok();
    let tls = Trial::test("postgres::a_certificate_is_believed_only_by_its_authority", || {
        runtime()?.block_on(a_certificate_is_believed_only_by_its_authority())
    });
    plain.chain([tls.with_ignored_flag(!tls_is_there)])
}

async fn opening(url: EngineUrl) -> Result<PostgresStore> {
    PostgresStore::open(url, Arc::new(|| BEGINNING)).await
}

fn error(outcome: Result<PostgresStore>) -> Result<Error, Failed> {
    outcome.err().ok_or_else(|| "it was opened".into())
}

/// Some two hundred commands.
fn world() -> World {
    let script: Vec<[u8; 4]> = (0..200_u32).map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    World::play(&script)
}

async fn what_is_wrong_at_the_start_is_said(postgres: Postgres) -> Result<(), Failed> {
    let address = EngineUrl::parse(&std::env::var("CHAT4ALL_TEST_POSTGRES_URL")?)?.addresses(5432).remove(0);
    let nowhere = postgres.0.elsewhere(&address, "no_such_database", "");
    for (url, words) in [
        (nowhere, "there is no database `no_such_database`"),
        (postgres.0.url("&tiemout_ms=5"), "`tiemout_ms` is no parameter"),
        (postgres.0.url("&pool=no"), "`pool=no`"),
    ] {
        let error = error(opening(url).await)?;
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    Ok(())
}

async fn a_server_that_is_not_there_is_said_soon(postgres: Postgres) -> Result<(), Failed> {
    // One that listens and never says a word, and one that nobody listens at.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    for address in [silent.local_addr()?.to_string(), closed] {
        let began = Instant::now();
        let error = error(opening(postgres.0.elsewhere(&address, "chat", "")).await)?;
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(&address), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
    Ok(())
}

async fn a_newer_schema_is_refused_by_name(postgres: Postgres) -> Result<(), Failed> {
    drop(postgres.open_with("").await?);
    postgres.0.client().await.batch_execute("INSERT INTO store_migrations VALUES (99)").await?;
    let error = error(postgres.open_with("").await)?;
    assert_eq!(error.kind, ErrorKind::Invalid);
    let words = error.to_string();
    assert!(words.contains("store") && words.contains("newer chat4all"), "{error}");
    Ok(())
}

async fn many_may_open_an_empty_database_at_once(postgres: Postgres) -> Result<(), Failed> {
    let stores = join_all((0..8).map(|_| postgres.open_with("&pool=1"))).await;
    for store in stores {
        world().project(&store?).await?;
    }
    Ok(())
}

async fn two_processes_that_project_the_same_leave_what_one_does(postgres: Postgres) -> Result<(), Failed> {
    let world = world();
    let total = world.records.len();
    let (one, other) = (postgres.open_with("&pool=2").await?, postgres.open_with("&pool=2").await?);
    let run = async |store: &PostgresStore, size: usize| {
        for first in (0..total).step_by(size) {
            // Each begins within what it projected before.
            let run = world.projection(first.saturating_sub(size / 2)..(first + size).min(total));
            store.project(PARTITION, run).await?;
        }
        Ok::<_, Error>(())
    };
    let (a, b) = join(run(&one, 7), run(&other, 11)).await;
    a.and(b)?;
    let alone = Postgres(TestSchema::new()?);
    let alone = alone.open_with("&pool=1").await.map(|store| (alone, store))?;
    world.project(&alone.1).await?;
    assert_eq!(difference(&world.dump(&one).await?, &world.dump(&alone.1).await?), None);
    Ok(())
}

/// Waits until a connection of the store waits for one of `client`'s locks, and gives its process.
async fn waits_for(client: &Client) -> Result<i32, Failed> {
    let deadline = Instant::now() + PATIENCE;
    let sql = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    while Instant::now() < deadline {
        if let Some(row) = client.query_opt(sql, &[]).await? {
            return Ok(row.get(0));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err("nobody waits for the lock".into())
}

async fn a_projection_that_stands_in_the_way_is_tried_again(postgres: Postgres) -> Result<(), Failed> {
    let store = postgres.open_with("&pool=1").await?;
    let mut world = World::default();
    world.act("ann", "d:ann:bob", say("one"));
    world.project(&store).await?;
    world.act("ann", "d:ann:bob", say("two"));
    let client = postgres.0.client().await;
    // The other way round: first the conversation, then, while the store waits for it, the progress that it has.
    client.batch_execute("BEGIN; SELECT 1 FROM conversations FOR UPDATE").await?;
    let deadlock = async {
        waits_for(&client).await?;
        client.batch_execute("SELECT 1 FROM progress FOR UPDATE; COMMIT").await?;
        Ok::<_, Failed>(())
    };
    let (projected, locked) = join(world.project(&store), deadlock).await;
    locked?;
    projected?;
    assert_eq!(store.progress(PARTITION).await?, world.progress(2));
    Ok(())
}

async fn a_projection_whose_connection_is_killed_leaves_nothing(postgres: Postgres) -> Result<(), Failed> {
    let store = postgres.open_with("&pool=2").await?;
    let world = world();
    let half = world.records.len() / 2;
    store.project(PARTITION, world.projection(0..half)).await?;
    let before = world.dump(&store).await?;
    let client = postgres.0.client().await;
    client.batch_execute("BEGIN; LOCK TABLE conversations IN SHARE MODE").await?;
    let kill = async {
        let process = waits_for(&client).await?;
        client.query_one("SELECT pg_terminate_backend($1)", &[&process]).await?;
        client.batch_execute("COMMIT").await?;
        Ok::<_, Failed>(())
    };
    let (projected, killed) = join(world.project(&store), kill).await;
    killed?;
    assert_eq!(projected.err().map(|error| error.kind), Some(ErrorKind::OutcomeUnknown));
    assert_eq!(difference(&world.dump(&store).await?, &before), None, "a killed projection left something");
    world.project(&store).await?;
    assert_eq!(store.progress(PARTITION).await?, world.progress(world.records.len()));
    Ok(())
}

async fn a_projection_whose_answer_is_lost_may_have_happened(postgres: Postgres) -> Result<(), Failed> {
    let direct = postgres.open_with("&pool=1").await?;
    let cut = postgres.0.cut().await;
    let store = opening(postgres.0.through(&cut, "&pool=1")).await?;
    let mut world = World::default();
    world.act("ann", "d:ann:bob", say("hello"));
    // Each statement is prepared first, which does nothing yet; then all is sent at once.
    cut.when("INSERT INTO message_events");
    let outcome = world.project(&store).await.err().map(|error| error.kind);
    assert_eq!(outcome, Some(ErrorKind::Unavailable));
    assert_eq!(direct.progress(PARTITION).await?.last, None);
    cut.when("COMMIT");
    let outcome = world.project(&store).await.err().map(|error| error.kind);
    assert_eq!(outcome, Some(ErrorKind::OutcomeUnknown));
    assert_eq!(direct.progress(PARTITION).await?, world.progress(1), "what was sent whole was not done");
    Ok(())
}

async fn connections_that_a_restart_took_are_replaced(postgres: Postgres) -> Result<(), Failed> {
    let cut = postgres.0.cut().await;
    let store = opening(postgres.0.through(&cut, "&pool=4")).await?;
    let world = world();
    for _ in 0..3 {
        // As many as the pool has.
        join_all((0..4).map(|partition| store.progress(partition))).await;
        cut.hang_up();
        store.progress(PARTITION).await?;
        cut.hang_up();
        world.project(&store).await?;
        assert_eq!(store.progress(PARTITION).await?, world.progress(world.records.len()));
    }
    Ok(())
}

async fn a_full_pool_is_told_from_a_slow_statement(postgres: Postgres) -> Result<(), Failed> {
    let store = postgres.open_with("&pool=1&timeout_ms=1000").await?;
    let client = postgres.0.client().await;
    client.batch_execute("BEGIN; LOCK TABLE progress IN ACCESS EXCLUSIVE MODE").await?;
    let (slow, waiting) = join(store.progress(0), store.progress(1)).await;
    let mut kinds = [slow, waiting].map(|outcome| outcome.err().map(|error| error.kind));
    kinds.sort_by_key(|kind| *kind == Some(ErrorKind::Overloaded));
    assert_eq!(kinds, [Some(ErrorKind::Unavailable), Some(ErrorKind::Overloaded)]);
    client.batch_execute("COMMIT").await?;
    store.progress(0).await?;
    Ok(())
}

async fn old_rejections_are_forgotten(postgres: Postgres) -> Result<(), Failed> {
    let now = Arc::new(AtomicU64::new(BEGINNING));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || clock.load(Ordering::Relaxed));
    let store = PostgresStore::open(postgres.0.url(""), clock).await?;
    let mut world = World::default();
    for _ in 0..2_500 {
        world.act("eve", "g:ann:group", say("let me in"));
    }
    world.project(&store).await?;
    let left = || async {
        let to = Position(u64::MAX >> 2);
        store.rejections(&user("eve"), PARTITION, Position(0), to, 9_999).await.map(|found| found.len())
    };
    assert_eq!(left().await?, 2_500);
    now.fetch_add(31 * 24 * 3_600_000, Ordering::Relaxed);
    let mut world = World::default();
    for expected in [1_500, 500, 0] {
        world.act("ann", "d:ann:bob", say("on it goes"));
        world.project(&store).await?;
        assert_eq!(left().await?, expected, "a bounded number at a time");
    }
    Ok(())
}

/// Of tables that nobody has analysed, too.
async fn everything_is_read_by_an_index(postgres: Postgres) -> Result<(), Failed> {
    let store = postgres.open_with("&pool=1").await?;
    let world = world();
    world.project(&store).await?;
    world.dump(&store).await?;
    store.first_after(&conversation("d:ann:bob"), Position(0)).await?;
    store.conversations(None, 9).await?;
    // A session tells what it did at the latest when it ends.
    drop(store);
    let client = postgres.0.client().await;
    let sql = "SELECT sum(idx_scan)::bigint, sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE schemaname = $1";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let row = client.query_one(sql, &[&postgres.0.name]).await?;
        let (by_index, otherwise): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(otherwise, 0, "rows were read without an index");
        if by_index > 1_000 {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "only {by_index} scans of indexes were told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn people_can_read_the_views(postgres: Postgres) -> Result<(), Failed> {
    let store = postgres.open_with("").await?;
    let mut world = World::default();
    let kept = world.act("ann", "d:ann:bob", say("one"));
    let gone = world.act("bob", "d:ann:bob", say("two"));
    world.act("ann", "d:ann:bob", Action::Edit { target: kept, text: "three".into() });
    world.act("bob", "d:ann:bob", Action::Delete { target: gone });
    world.project(&store).await?;
    let client = postgres.0.client().await;
    let sql = "SELECT message_id, sender_id, content, deleted, conversation_id FROM messages
        WHERE conversation = conversation_key('d:ann:bob') ORDER BY seq";
    let rows = client.query(sql, &[]).await?;
    let text = |row: usize, column: usize| rows[row].get::<_, Option<String>>(column).unwrap_or_default();
    assert_eq!(rows.len(), 2);
    assert_eq!([text(0, 0), text(0, 1), text(0, 2)], [kept.to_string(), "ann".into(), "three".into()]);
    assert_eq!([text(1, 0), text(1, 1), text(1, 2)], [gone.to_string(), "bob".into(), String::new()]);
    assert_eq!((rows[0].get(3), rows[1].get(3)), (false, true));
    assert_eq!(text(0, 4), conversation("d:ann:bob").as_str());
    let sql = "SELECT user_id FROM participants WHERE conversation_id = 'd:ann:bob' AND present ORDER BY 1";
    let people: Vec<String> = client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    assert_eq!(people, ["ann", "bob"]);
    Ok(())
}

async fn a_certificate_is_believed_only_by_its_authority() -> Result<(), Failed> {
    let url = std::env::var(TLS_SERVER)?;
    let schema = TestSchema::new()?;
    // Made without TLS, so that only what is tried here speaks it.
    drop(opening(schema.url("")).await?);
    let within = |url: &str| EngineUrl::parse(&format!("{url}&schema={}", schema.name));
    let store = opening(within(&url)?).await?;
    world().project(&store).await?;
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'tls_user'";
    assert!(schema.client().await.query_one(sql, &[]).await?.get::<_, i64>(0) > 0, "TLS was not spoken");

    let (without_authority, _) = url.split_once("&sslrootcert").ok_or("the URL has no sslrootcert")?;
    let (address, _) = url.split_once('?').ok_or("the URL has no parameters")?;
    for (wrong, words) in [
        (without_authority.to_owned(), "not signed by an authority that is believed"),
        (url.replacen(":secret@", ":hush@", 1), "the password of the user `tls_user` is wrong"),
        (url.replacen(":secret@", "@", 1), "the user `tls_user` needs a password"),
        (format!("{address}?sslmode=disable"), "the user `tls_user` may not connect"),
    ] {
        let error = error(opening(within(&wrong)?).await)?;
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        let said = error.to_string();
        assert!(said.contains(words) && !said.contains("hush"), "{error}");
    }
    Ok(())
}
