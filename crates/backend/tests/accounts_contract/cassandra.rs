//! The fixture of accounts on Cassandra, and what is to hold between processes there.

use crate::runtime;
use async_trait::async_trait;
use chat4all_backend::accounts::cassandra::CassandraAccounts;
use chat4all_backend::accounts::{
    Account, Accounts, AuditEntry, Fixture, Login, NewAccount, NewKey, NewSession, ProfileChange, Refusal,
    Rotated, Rotation, SessionId, Which,
};
use chat4all_backend::address::EngineUrl;
use chat4all_backend::{Error, ErrorKind};
use chat4all_model::api::LastSeenTo;
use chat4all_model::id::UserId;
use futures_util::future::{BoxFuture, join_all};
use libtest_mimic::{Failed, Trial};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Names the variable that says where Cassandra is.
const URL: &str = "CHAT4ALL_TEST_CASSANDRA_URL";
const TABLES: [&str; 8] =
    ["users", "claims", "tokens", "agenda", "names", "user_ids", "audit_log", "buckets"];

/// Keyspaces that no case uses at the moment: making one takes seconds, emptying it a tenth of that.
static POOL: Mutex<Pool> = Mutex::new(Pool { made: 0, unused: Vec::new() });

struct Pool {
    made: u32,
    unused: Vec<String>,
}

fn pool() -> std::sync::MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn fixture() -> Result<Arc<dyn Fixture>, String> {
    Ok(Arc::new(Cassandra::new()?))
}

struct Cassandra {
    url: EngineUrl,
    place: OnceCell<Place>,
}

/// A keyspace that is a case's own, and a way to look into it.
struct Place {
    keyspace: String,
    session: Session,
}

impl Cassandra {
    fn new() -> Result<Self, String> {
        let url = std::env::var(URL).map_err(|_| format!("{URL} is not set"))?;
        let url = EngineUrl::parse(&url).map_err(|e| e.to_string())?;
        Ok(Self { url, place: OnceCell::new() })
    }

    async fn place(&self) -> &Place {
        let make = || async {
            let session = connect(&self.url).await;
            let used = pool().unused.pop();
            let keyspace = match used {
                Some(keyspace) => {
                    empty(&session, &keyspace).await;
                    keyspace
                }
                None => {
                    let mut pool = pool();
                    pool.made += 1;
                    format!("accounts_{}_{}", std::process::id(), pool.made)
                }
            };
            Place { keyspace, session }
        };
        self.place.get_or_init(make).await
    }

    /// The accounts as one process opens them.
    async fn process(&self) -> CassandraAccounts {
        let url = format!("{}/{}", self.url, self.place().await.keyspace);
        let url = EngineUrl::parse(&url).expect("a URL");
        CassandraAccounts::open(url).await.expect("accounts")
    }

    /// Does to the tables what no process of ours would do to the end.
    async fn plant(&self, cql: &str) {
        let Place { keyspace, session } = self.place().await;
        session.query_unpaged(cql.replace('$', keyspace), ()).await.expect(cql);
    }

    /// The number that a query asks for.
    async fn number(&self, cql: &str) -> i32 {
        let Place { keyspace, session } = self.place().await;
        let answer = session.query_unpaged(cql.replace('$', keyspace), ()).await.expect(cql);
        answer.into_rows_result().expect("rows").first_row::<(i32,)>().expect("a number").0
    }

    /// How many rows a table has.
    async fn count(&self, table: &str) -> usize {
        let Place { keyspace, session } = self.place().await;
        rows(session, &format!("SELECT * FROM {keyspace}.{table}")).await
    }
}

async fn connect(url: &EngineUrl) -> Session {
    let builder = SessionBuilder::new().known_nodes(url.addresses(9042)).fetch_schema_metadata(false);
    builder.build().await.expect("a session")
}

async fn rows(session: &Session, cql: &str) -> usize {
    let answer = session.query_unpaged(cql, ()).await.expect(cql);
    answer.into_rows_result().expect("rows").rows_num()
}

async fn empty(session: &Session, keyspace: &str) {
    for table in TABLES {
        if rows(session, &format!("SELECT * FROM {keyspace}.{table} LIMIT 1")).await > 0 {
            session.query_unpaged(format!("TRUNCATE {keyspace}.{table}"), ()).await.expect("an empty table");
        }
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            pool().unused.push(place.keyspace);
        }
    }
}

#[async_trait]
impl Fixture for Cassandra {
    async fn open(&self) -> Arc<dyn Accounts> {
        Arc::new(self.process().await)
    }
}

/// Drops the keyspaces that the cases made.
pub(crate) fn clean_up() -> std::io::Result<()> {
    let unused = std::mem::take(&mut pool().unused);
    let Ok(cassandra) = Cassandra::new() else { return Ok(()) };
    runtime()?.block_on(async {
        let session = connect(&cassandra.url).await;
        for keyspace in unused {
            session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {keyspace}"), ()).await.expect("dropped");
        }
    });
    Ok(())
}

type Run = fn(Cassandra) -> BoxFuture<'static, ()>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    macro_rules! table {
        ($($name:ident),* $(,)?) => { [$((stringify!($name), |c| Box::pin($name(c)))),*] };
    }
    let all: [(&str, Run); 8] = table![
        of_many_at_once_in_two_processes_one_gets_the_name,
        two_processes_spend_a_token_once,
        an_owner_has_a_limit_of_bots_in_all_processes,
        a_claim_whose_maker_died_is_overtaken,
        what_a_step_announced_does_not_count_before_it,
        a_call_that_is_cut_off_happened_or_not,
        an_expired_session_leaves_nothing,
        a_name_that_was_given_up_is_free,
    ];
    let missing = Cassandra::new().is_err();
    let run = |run: Run| -> Result<(), Failed> {
        runtime()?.block_on(run(Cassandra::new()?));
        Ok(())
    };
    let with_server = all.into_iter().map(move |(name, case)| {
        Trial::test(format!("cassandra::{name}"), move || run(case)).with_ignored_flag(missing)
    });
    with_server.chain([Trial::test("cassandra::a_wrong_url_is_refused", a_wrong_url_is_refused)])
}

fn user(n: u64) -> UserId {
    UserId::parse(&format!("01900000-0000-7000-8000-{n:012}")).expect("well-formed")
}

fn session_id(n: u64) -> SessionId {
    SessionId::new(&format!("01910000-0000-7000-8000-{n:012}"))
}

fn hash(n: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    hash
}

fn person(n: u64, username: &str) -> NewAccount {
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
        created_at: n,
    };
    NewAccount { account, password_hash: None, invite: None }
}

fn entry(n: u64) -> AuditEntry {
    AuditEntry {
        entry_id: format!("01920000-0000-7000-8000-{n:012}"),
        at: n,
        actor: "operator".into(),
        action: "test".into(),
        target: None,
        detail: None,
    }
}

async fn sign_in(accounts: &CassandraAccounts, of: &UserId, n: u64, expires_at: u64) {
    let session = NewSession {
        session_id: session_id(n),
        user_id: of.clone(),
        refresh: hash(n),
        created_at: 0,
        expires_at,
    };
    accounts.open_session(session).await.expect("a session");
}

fn rotation(spent: u64, now: u64) -> Rotation {
    Rotation { spent: hash(spent), next: hash(spent + 1000), now, grace_ms: 100, expires_at: now + 1000 }
}

async fn of_many_at_once_in_two_processes_one_gets_the_name(cassandra: Cassandra) {
    let processes = [cassandra.process().await, cassandra.process().await];
    let tries = join_all((0..20).map(|n| {
        let mut new = person(n as u64, if n % 3 == 0 { "alice" } else { "ALICE" });
        new.account.email = Some(format!("{}@example.org", n % 4));
        processes[n % 2].create(new)
    }));
    let tries = tries.await;
    assert_eq!(tries.iter().filter(|t| t.is_ok()).count(), 1, "{tries:?}");
    for error in tries.iter().filter_map(|t| t.as_ref().err()) {
        assert!(Refusal::of(error).is_some(), "{error}");
    }
    let listed = processes[0].list(None, 50).await.expect("a list");
    assert_eq!(listed.len(), 1);
    let login = Login::Username("alice".into());
    let found = processes[1].credentials(&login).await.expect("an answer").expect("the one");
    assert_eq!(found.account, listed[0]);
}

async fn two_processes_spend_a_token_once(cassandra: Cassandra) {
    let processes = [cassandra.process().await, cassandra.process().await];
    processes[0].create(person(1, "alice")).await.expect("made");
    sign_in(&processes[0], &user(1), 1, 1_000).await;
    let answers = join_all((0..20).map(|n| processes[n % 2].rotate(rotation(1, 50 + n as u64)))).await;
    let mut times: Vec<u64> = answers
        .into_iter()
        .map(|answer| match answer.expect("an answer") {
            Rotated::Successor { spent_at, .. } => spent_at,
            other => unreachable!("within the grace there is a successor, not {other:?}"),
        })
        .collect();
    times.dedup();
    assert_eq!(times.len(), 1, "{times:?}");
}

async fn an_owner_has_a_limit_of_bots_in_all_processes(cassandra: Cassandra) {
    let processes = [cassandra.process().await, cassandra.process().await];
    let make = |n: u64| {
        let mut bot = person(n, &format!("bot{n}"));
        bot.account.owner = Some(user(99));
        let key = NewKey { session_id: session_id(n), hash: hash(n), scopes: Vec::new() };
        processes[n as usize % 2].create_bot(bot, key, 2, entry(n))
    };
    let made = join_all((1..=6).map(make)).await;
    assert_eq!(made.iter().filter(|m| m.is_ok()).count(), 2, "{made:?}");
    for error in made.iter().filter_map(|m| m.as_ref().err()) {
        assert_eq!(Refusal::of(error), Some(Refusal::TooMany), "{error}");
    }
    assert_eq!(processes[0].bots(&user(99)).await.expect("a list").len(), 2);
    assert_eq!(processes[1].audit_log(None, 9).await.expect("the log").len(), 2);
}

async fn a_claim_whose_maker_died_is_overtaken(cassandra: Cassandra) {
    let accounts = cassandra.process().await;
    accounts.invite(&hash(1), 1_000, entry(1)).await.expect("made");
    let claim = |kind: &str, name: &str| {
        format!(
            "UPDATE $.claims SET user_id = '{}' WHERE kind = '{kind}' AND name = '{name}' IF user_id = null",
            user(7)
        )
    };
    let invite: String = hash(1).iter().map(|byte| format!("{byte:02x}")).collect();
    for (kind, name) in [("username", "alice"), ("email", "a@example.org"), ("invite", &invite)] {
        cassandra.plant(&claim(kind, name)).await;
    }
    let nobody = accounts.credentials(&Login::Username("alice".into())).await.expect("an answer");
    assert!(nobody.is_none(), "a claim is not an account");

    let mut alice = person(8, "alice");
    alice.account.email = Some("A@example.org".into());
    alice.invite = Some(hash(1));
    let began = Instant::now();
    accounts.create(alice.clone()).await.expect("the name is free");
    assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());

    alice.account.user_id = user(7);
    let late = accounts.create(alice).await.expect_err("who was overtaken comes too late");
    assert!(Refusal::of(&late).is_some(), "{late}");
    accounts.create(person(7, "bob")).await.expect("and may have another name");
}

async fn what_a_step_announced_does_not_count_before_it(cassandra: Cassandra) {
    let accounts = cassandra.process().await;
    accounts.create(person(1, "alice")).await.expect("made");
    sign_in(&accounts, &user(1), 1, 1_000).await;
    let (alice, session, audit) = (user(1), session_id(1), entry(1).entry_id);
    // An entry of the agenda is where all of its session's are.
    let shard = cassandra.number("SELECT shard FROM $.agenda WHERE kind = 'expiry' ALLOW FILTERING").await;
    cassandra
        .plant(&format!(
            "INSERT INTO $.agenda (kind, shard, at, id, user_id) \
             VALUES ('ended', {shard}, 10, '{session}', '{alice}')"
        ))
        .await;
    cassandra
        .plant(&format!(
            "INSERT INTO $.audit_log (bucket, entry_id, at, actor, action, decided_by) \
             VALUES ('01920', '{audit}', 1, 'x', 'x', '{alice}')"
        ))
        .await;
    cassandra.plant("INSERT INTO $.buckets (list, bucket) VALUES ('audit_log', '01920')").await;
    cassandra
        .plant(&format!(
            "INSERT INTO $.tokens (hash, user_id, session_id) VALUES (0x{}, '{alice}', '{session}')",
            "07".repeat(32)
        ))
        .await;

    assert!(accounts.ended_since(0, None, 9).await.expect("a feed").is_empty());
    assert!(accounts.audit_log(None, 9).await.expect("the log").is_empty());
    let unknown = Rotation { spent: [7; 32], ..rotation(1, 50) };
    assert_eq!(accounts.rotate(unknown).await.expect("an answer"), Rotated::Gone);
    // Swept, it is as if it had never been; the session lives.
    accounts.sweep(100, 9).await.expect("swept");
    assert_eq!(cassandra.count("agenda").await, 1, "the expiry");
    assert_ne!(accounts.rotate(rotation(1, 50)).await.expect("an answer"), Rotated::Gone);
}

/// How often a call is cut off.
const CUTS: u32 = 40;

async fn a_call_that_is_cut_off_happened_or_not(cassandra: Cassandra) {
    let accounts = cassandra.process().await;
    let began = Instant::now();
    accounts.create(person(2_000, "first")).await.expect("made");
    let whole = began.elapsed();
    let (mut happened, mut cut) = (0, 0);
    for n in 0..CUTS {
        // From nothing at all to twice what it takes.
        let patience = whole * 2 * n / CUTS;
        let n = u64::from(n);
        let name = format!("user{n}");
        let mut new = person(n, &name);
        new.account.email = Some(format!("{name}@example.org"));
        let answer = tokio::time::timeout(patience, accounts.create(new.clone())).await;
        cut += usize::from(answer.is_err());
        let made = || accounts.get(std::slice::from_ref(&new.account.user_id));
        if made().await.expect("an answer").is_empty() {
            assert!(answer.is_err(), "what was answered happened");
            let mut other = new.clone();
            other.account.user_id = user(n + 1_000);
            if let Err(error) = accounts.create(other).await {
                assert!(Refusal::of(&error).is_some(), "{error}");
                assert_eq!(
                    made().await.expect("an answer").len(),
                    1,
                    "it was under way, else its names are free"
                );
            }
        } else {
            happened += 1;
        }
        let login = Login::Email(format!("{name}@example.org"));
        let found = accounts.credentials(&login).await.expect("an answer").expect("one of the two").account;
        assert_eq!(accounts.search(&name, None, 9).await.expect("found"), std::slice::from_ref(&found));
        assert!(accounts.list(None, 500).await.expect("a list").contains(&found));

        let told = async || {
            let ended = accounts.ended_since(0, None, 500).await.expect("a feed");
            ended.iter().any(|ended| ended.session_id == session_id(n))
        };
        sign_in(&accounts, &found.user_id, n, 10_000).await;
        let end = accounts.end_sessions(&found.user_id, Which::One(session_id(n)), n);
        let _ = tokio::time::timeout(patience / 2, end).await;
        let told_before = told().await;
        let lives = accounts.rotate(rotation(n, 50)).await.expect("an answer") != Rotated::Gone;
        assert!(if lives { !told_before } else { told().await }, "session {n} lives: {lives}");
    }
    assert!(happened > 0 && cut > 0, "{happened} happened, {cut} were cut off");
}

async fn an_expired_session_leaves_nothing(cassandra: Cassandra) {
    let accounts = cassandra.process().await;
    accounts.create(person(1, "alice")).await.expect("made");
    for n in 1..=2 {
        sign_in(&accounts, &user(1), n, 100).await;
    }
    accounts.rotate(rotation(2, 50)).await.expect("prolonged to 1050");
    assert_eq!(accounts.sweep(500, 9).await.expect("swept"), 3, "a session, its token, a token of the other");
    assert_eq!(accounts.sweep(500, 9).await.expect("swept"), 0);
    assert_eq!((cassandra.count("tokens").await, cassandra.count("agenda").await), (1, 1));
    assert_ne!(accounts.rotate(rotation(1002, 600)).await.expect("an answer"), Rotated::Gone);
    assert_eq!(accounts.sweep(5_000, 9).await.expect("swept"), 3, "the other with two tokens");
    assert_eq!((cassandra.count("tokens").await, cassandra.count("agenda").await), (0, 0));
    assert_eq!(cassandra.count("users").await, 1, "the account");
    assert!(accounts.ended_since(0, None, 9).await.expect("a feed").is_empty());
}

async fn a_name_that_was_given_up_is_free(cassandra: Cassandra) {
    let accounts = cassandra.process().await;
    for (n, name) in [(1, "alice"), (2, "bob")] {
        let mut new = person(n, name);
        new.account.email = Some(format!("{name}@example.org"));
        new.account.display_name = Some(format!("The {name}"));
        accounts.create(new).await.expect("made");
    }
    let email = |to: &str| ProfileChange { email: Some(Some(to.into())), ..ProfileChange::default() };
    let change = async |n, change| accounts.update(&user(n), change).await;
    change(1, email("c@example.org")).await.expect("changed");
    assert_eq!(cassandra.count("claims").await, 4, "nothing tells of the old address");
    change(2, email("Alice@example.org")).await.expect("it is free");
    change(1, email("alice@example.org")).await.expect_err("it is taken");
    change(2, email("x@example.org")).await.expect("changed");
    change(1, email("alice@example.org")).await.expect("it is free again");
    let found = accounts.credentials(&Login::Email("alice@example.org".into())).await.expect("an answer");
    assert_eq!(found.expect("alice").account.user_id, user(1));

    let rows = cassandra.count("names").await;
    let shown =
        |name: &str| ProfileChange { display_name: Some(Some(name.into())), ..ProfileChange::default() };
    for name in ["Xenia", "The alice"] {
        change(1, shown(name)).await.expect("renamed");
        assert_eq!(accounts.search(name, None, 9).await.expect("found").len(), 1, "{name}");
    }
    assert!(accounts.search("xenia", None, 9).await.expect("an answer").is_empty());
    assert_eq!(cassandra.count("names").await, rows, "nothing is left of the other name");
}

fn a_wrong_url_is_refused() -> Result<(), Failed> {
    let open = |url: &str| -> Result<(Error, Duration), Failed> {
        let (url, began) = (EngineUrl::parse(url)?, Instant::now());
        let error = runtime()?.block_on(CassandraAccounts::open(url)).err().ok_or("it was opened")?;
        Ok((error, began.elapsed()))
    };
    let (error, _) = open("cassandra://127.0.0.1:1/accounts?replicas=3")?;
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("`replicas`"), "{error}");
    let (error, after) = open("cassandra://me:hush@127.0.0.1:1/accounts")?;
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.to_string().contains("127.0.0.1:1") && !error.to_string().contains("hush"), "{error}");
    assert!(after < Duration::from_secs(10), "after {after:?}");
    Ok(())
}
