//! The fixture of the store on Cassandra, and what only it promises.
//!
//! To make a keyspace with its tables takes seconds, so those of this run are used again, emptied, by one case after
//! the other; there are as many as cases run at once.

use crate::runtime;
use async_trait::async_trait;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::store::cassandra::CassandraStore;
use chat4all_backend::store::contract::world::{EPOCH, PARTITION, World, conversation, say, user};
use chat4all_backend::store::contract::{Capability, Fixture};
use chat4all_backend::store::{Slice, Store};
use chat4all_backend::{ErrorKind, Result};
use chat4all_model::command::{Action, Count, Marker};
use chat4all_model::rows::Position;
use libtest_mimic::{Failed, Trial};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const URL: &str = "CHAT4ALL_TEST_CASSANDRA_URL";
const TLS_URL: &str = "CHAT4ALL_TEST_CASSANDRA_TLS_URL";

/// Keyspaces that no case uses now.
static IDLE: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MADE: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn fixture() -> Result<Box<dyn Fixture>, String> {
    server().map(|_| Box::new(Lent::default()) as Box<dyn Fixture>)
}

fn server() -> Result<String, String> {
    std::env::var(URL).map_err(|_| format!("{URL} is not set"))
}

/// A keyspace of this run, the `number`th.
fn keyspace(number: usize) -> String {
    format!("test_store_{}_{number}", std::process::id())
}

/// The server's URL with a keyspace that nobody else has.
fn url(keyspace: &str) -> Result<EngineUrl, Failed> {
    let server = server()?;
    let (server, query) = server.split_once('?').map_or((server.as_str(), None), |(s, q)| (s, Some(q)));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    Ok(EngineUrl::parse(&format!("{}/{keyspace}{query}", server.trim_end_matches('/')))?)
}

/// A keyspace for one case; it is given back when the case is over.
#[derive(Default)]
struct Lent(Mutex<Option<String>>);

impl Lent {
    async fn open_store(&self) -> Result<Arc<CassandraStore>, Failed> {
        let mine = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let keyspace = match mine {
            Some(mine) => mine,
            None => empty_keyspace().await?,
        };
        let store = CassandraStore::open(url(&keyspace)?).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(keyspace);
        Ok(Arc::new(store))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mine = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).extend(mine);
    }
}

#[async_trait]
impl Fixture for Lent {
    fn can(&self, _: Capability) -> bool {
        true
    }

    async fn open(&self) -> Result<Arc<dyn Store>> {
        self.reopen().await
    }

    async fn reopen(&self) -> Result<Arc<dyn Store>> {
        let unavailable = |e: Failed| {
            let why = e.message().unwrap_or("no store").to_owned();
            chat4all_backend::Error::new(ErrorKind::Unavailable, why)
        };
        Ok(self.open_store().await.map_err(unavailable)?)
    }
}

/// One that is idle, emptied, or the name of a new one.
async fn empty_keyspace() -> Result<String, Failed> {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let Some(idle) = idle else { return Ok(keyspace(MADE.fetch_add(1, Ordering::Relaxed))) };
    let session = session().await?;
    let tables = tables(&session, &idle).await?;
    let empty = |table: &String| {
        let table = format!("{idle}.{table}");
        let session = &session;
        async move {
            let found = session.query_unpaged(format!("SELECT * FROM {table} LIMIT 1"), ()).await?;
            if found.into_rows_result()?.rows_num() > 0 {
                session.query_unpaged(format!("TRUNCATE {table}"), ()).await?;
            }
            Ok::<_, Failed>(())
        }
    };
    futures_util::future::try_join_all(tables.iter().map(empty)).await?;
    Ok(idle)
}

/// The tables of a keyspace but for those of the schema's versions.
async fn tables(session: &Session, keyspace: &str) -> Result<Vec<String>, Failed> {
    let sql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let found = session.query_unpaged(sql, (keyspace,)).await?.into_rows_result()?;
    let names = found.rows::<(String,)>()?.map(|row| row.map(|(name,)| name));
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter(|name| !name.starts_with("schema_")).collect())
}

/// What a foreign program sees.
async fn session() -> Result<Session, Failed> {
    let url = EngineUrl::parse(&server()?)?;
    let mut builder = SessionBuilder::new().known_nodes(url.addresses(9042));
    if let (Some(user), Some(password)) = (url.user(), url.password()) {
        builder = builder.user(user, password);
    }
    Ok(Box::pin(builder.build()).await?)
}

/// Drops the keyspaces of this run.
pub(crate) fn clean_up() -> Result<(), Failed> {
    let made = MADE.load(Ordering::Relaxed);
    if made == 0 {
        return Ok(());
    }
    runtime()?.block_on(async {
        let session = session().await?;
        for number in 0..made {
            session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {}", keyspace(number)), ()).await?;
        }
        Ok(())
    })
}

type Run = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let with_a_server: [(&str, Run); 6] = [
        ("stores_that_open_at_once_agree", stores_that_open_at_once_agree),
        ("tables_of_a_newer_program_are_refused", tables_of_a_newer_program_are_refused),
        ("every_cell_has_the_time_of_its_fact", every_cell_has_the_time_of_its_fact),
        ("a_failed_stage_holds_the_next_ones_back", a_failed_stage_holds_the_next_ones_back),
        ("a_conversation_is_read_over_the_border_of_buckets", buckets),
        ("other_programs_can_read_the_messages", other_programs_can_read_the_messages),
    ];
    let without: [(&str, Run); 2] = [
        ("a_server_that_is_not_there_is_named", a_server_that_is_not_there_is_named),
        ("a_server_that_says_nothing_is_given_up", a_server_that_says_nothing_is_given_up),
    ];
    let there = server().is_ok();
    let trial = |(name, run): (&str, Run)| Trial::test(format!("cassandra::{name}"), run);
    let tls_is_there = there && std::env::var(TLS_URL).is_ok();
    let tls = trial((
        "a_certificate_is_believed_only_by_its_authority",
        a_certificate_is_believed_only_by_its_authority,
    ));
    let with_a_server =
        with_a_server.into_iter().map(trial).map(move |trial| trial.with_ignored_flag(!there));
    with_a_server.chain(without.into_iter().map(trial)).chain([tls.with_ignored_flag(!tls_is_there)])
}

fn a_certificate_is_believed_only_by_its_authority() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let lent = Lent::default();
        // Made without TLS, so that only what is tried here speaks it.
        drop(lent.open_store().await?);
        let mine = lent.0.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or("no keyspace")?;
        let server = std::env::var(TLS_URL)?;
        let (address, authority) = server.split_once('?').ok_or("the URL has no parameters")?;
        let within = |parameters: &str| EngineUrl::parse(&format!("{address}/{mine}?{parameters}"));
        let store = CassandraStore::open(within(authority)?).await?;
        store.progress(PARTITION).await?;
        let error = CassandraStore::open(within("tls=true")?).await.err().ok_or("it believed a stranger")?;
        assert!(error.to_string().contains("certificate"), "{error}");
        Ok(())
    })
}

fn stores_that_open_at_once_agree() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let mut lent = Lent::default();
        let name = keyspace(MADE.fetch_add(1, Ordering::Relaxed));
        let urls = (0..6).map(|_| url(&name)).collect::<Result<Vec<_>, _>>()?;
        let stores = futures_util::future::try_join_all(urls.into_iter().map(CassandraStore::open)).await?;
        *lent.0.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(name);
        let mut world = World::default();
        for store in &stores {
            world.act("ann", "d:ann:bob", say("hello"));
            world.project(store).await?;
        }
        for store in &stores {
            let found = store.messages(&conversation("d:ann:bob"), Slice::Up(0), 99).await?;
            assert_eq!(found.len(), stores.len());
        }
        Ok(())
    })
}

fn tables_of_a_newer_program_are_refused() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let lent = Lent::default();
        lent.open_store().await?;
        let session = session().await?;
        let name = lent.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        let key = "part = 'store' AND version = 99";
        let newer = format!("UPDATE {name}.schema_versions SET made_at = toTimestamp(now()) WHERE {key}");
        session.query_unpaged(newer, ()).await?;
        let refused = CassandraStore::open(url(&name)?).await.err().ok_or("it was opened")?;
        session.query_unpaged(format!("DELETE FROM {name}.schema_versions WHERE {key}"), ()).await?;
        assert_eq!(refused.kind, ErrorKind::Invalid);
        let words = refused.to_string();
        assert!(words.contains("version 99") && words.contains(&name) && words.contains("newer"), "{words}");
        CassandraStore::open(url(&name)?).await?;
        Ok(())
    })
}

/// Some of everything that is written.
fn some_of_everything() -> World {
    // The high bits of the products: the low ones repeat soon.
    let random = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
    let script: Vec<[u8; 4]> = (0..300).map(|n| random(n).to_le_bytes()).collect();
    let mut world = World::play(&script);
    let target = world.act("ann", "d:ann:bob", say("like it"));
    world.act("bob", "d:ann:bob", Action::React { target, emoji: "👍".into(), remove: false });
    world
}

fn every_cell_has_the_time_of_its_fact() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let lent = Lent::default();
        let store = lent.open_store().await?;
        let world = some_of_everything();
        world.project(&*store).await?;
        let mut times: HashSet<i64> = HashSet::new();
        for record in &world.records {
            times.insert(i64::try_from(record.position.0)? + 1);
        }
        let after = world.progress(world.records.len());
        let progress = i64::try_from(Position::new(after.epoch, after.next()).0)? + 1;
        times.insert(progress);

        let session = session().await?;
        let name = lent.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        let columns =
            "SELECT table_name, column_name, kind FROM system_schema.columns WHERE keyspace_name = ?";
        let columns = session.query_unpaged(columns, (&name,)).await?.into_rows_result()?;
        let mut seen = HashSet::new();
        for column in columns.rows::<(String, String, String)>()? {
            let (table, column, kind) = column?;
            if kind != "regular" || table.starts_with("schema_") {
                continue;
            }
            let cells = format!("SELECT WRITETIME({column}) FROM {name}.{table}");
            let cells = session.query_unpaged(cells, ()).await?.into_rows_result()?;
            for cell in cells.rows::<(Option<i64>,)>()? {
                if let (Some(time),) = cell? {
                    assert!(times.contains(&time), "{table}.{column} was written at {time}");
                    assert_eq!(table == "progress", time == progress, "{table}.{column} at {time}");
                    seen.insert(table.clone());
                }
            }
        }
        let written = ["messages", "events", "record_ids", "conversations", "participants", "memberships"];
        let also = ["message_changes", "reactions", "own", "markers", "rises", "rejections", "progress"];
        for table in written.iter().chain(&also) {
            assert!(seen.contains(*table), "nothing was written to {table}");
        }
        Ok(())
    })
}

fn a_failed_stage_holds_the_next_ones_back() -> Result<(), Failed> {
    runtime()?.block_on(async {
        // Tables are dropped, so it is no keyspace for others.
        let name = keyspace(MADE.fetch_add(1, Ordering::Relaxed));
        let store = CassandraStore::open(url(&name)?).await?;
        let session = session().await?;
        let mut world = World::default();
        world.act("ann", "d:ann:bob", say("first"));
        world.project(&store).await?;
        let (c, first) = (conversation("d:ann:bob"), world.records.len());
        let head = store.overviews(vec![c.clone()]).await?;

        session.query_unpaged(format!("DROP TABLE {name}.record_ids"), ()).await?;
        world.act("bob", "d:ann:bob", say("second"));
        assert!(world.project(&store).await.is_err());
        assert_eq!(store.overviews(vec![c.clone()]).await?, head, "a head without its rows");
        assert_eq!(store.progress(PARTITION).await?, world.progress(first));

        let ids =
            "(record_id text PRIMARY KEY, conversation_id text, seq bigint, hash bigint, message boolean)";
        session.query_unpaged(format!("CREATE TABLE {name}.record_ids {ids}"), ()).await?;
        session.query_unpaged(format!("DROP TABLE {name}.conversations"), ()).await?;
        let store = CassandraStore::open(url(&name)?).await;
        assert!(store.is_err(), "a table is missing");
        Ok(())
    })
}

fn buckets() -> Result<(), Failed> {
    const PLACE: &str = "d:ann:bob";
    const LAST: u64 = 5_030;
    runtime()?.block_on(async {
        let lent = Lent::default();
        let store = lent.open_store().await?;
        let mut world = World::default();
        let first = world.act("ann", PLACE, say("1"));
        let mut seq = 2;
        while seq < LAST {
            // Every third is no message.
            match seq % 3 {
                0 => {
                    let remove = seq % 2 == 0;
                    world.act("bob", PLACE, Action::React { target: first, emoji: "👍".into(), remove });
                }
                _ => {
                    world.act("ann", PLACE, say(&seq.to_string()));
                }
            }
            seq += 1;
        }
        world.act("bob", PLACE, Action::Mark { marker: Marker::Read, at: Count { seq: LAST, n: LAST / 2 } });
        for start in (0..world.records.len()).step_by(500) {
            let end = (start + 500).min(world.records.len());
            store.project(PARTITION, world.projection(start..end)).await?;
        }
        let c = conversation(PLACE);
        let expected: Vec<_> = world.events().into_values().collect();
        assert_eq!(expected.len() as u64, LAST);
        assert!(store.events(&c, 0, u64::MAX >> 2, usize::MAX).await? == expected, "events differ");
        let some = store.events(&c, 4_990, 5_020, 25).await?;
        assert!(some == expected[4_990..5_015], "events over the border differ");
        let mut expected: Vec<_> = world.messages().into_values().collect();
        assert!(store.messages(&c, Slice::Up(0), usize::MAX).await? == expected, "messages differ");
        let seqs = |found: Vec<chat4all_backend::store::StoredMessage>| -> Vec<u64> {
            found.iter().map(|message| message.event.fact.seq()).collect()
        };
        let around = |range: std::ops::RangeInclusive<u64>| -> Vec<u64> {
            expected.iter().map(|m| m.event.fact.seq()).filter(|seq| range.contains(seq)).collect()
        };
        let up = seqs(store.messages(&c, Slice::Up(4_995), 10).await?);
        assert_eq!(up, around(4_995..=LAST)[..10]);
        let down = seqs(store.messages(&c, Slice::Down(5_004), 10).await?);
        assert_eq!(down, around(0..=5_004).into_iter().rev().take(10).collect::<Vec<_>>());
        let newest = seqs(store.messages(&c, Slice::Down(u64::MAX >> 2), 1).await?);
        assert_eq!(newest.first(), around(0..=LAST).last());
        expected.reverse();
        assert!(store.messages(&c, Slice::Down(u64::MAX >> 2), usize::MAX).await? == expected, "downwards");
        for record in [0, 1, 2_499, 4_899, 4_997, 4_998, 4_999, 5_000, 5_020] {
            let at = world.records[record].position;
            let next = world.records[record + 1].facts[0].seq();
            assert_eq!(store.first_after(&c, at).await?, Some(next), "after record {record}");
        }
        assert_eq!(store.first_after(&c, Position::new(EPOCH + 1, 0)).await?, None);
        let own = store.own(&user("bob"), vec![c]).await?;
        assert_eq!(own[0].markers.read.seq, LAST);
        Ok(())
    })
}

fn other_programs_can_read_the_messages() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let lent = Lent::default();
        let store = lent.open_store().await?;
        let mut world = World::default();
        let kept = world.act("ann", "d:ann:bob", say("kept"));
        let gone = world.act("bob", "d:ann:bob", say("gone"));
        world.act("bob", "d:ann:bob", Action::Delete { target: gone });
        world.project(&*store).await?;
        let name = lent.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        let query = format!(
            "SELECT message_id, sender_id, content FROM {name}.messages
             WHERE conversation_id = 'd:ann:bob' AND bucket = 0"
        );
        let found = session().await?.query_unpaged(query, ()).await?.into_rows_result()?;
        let rows: Vec<(String, String, Option<String>)> = found.rows()?.collect::<Result<_, _>>()?;
        let row = |id: &dyn std::fmt::Display, who: &str, content: Option<&str>| {
            (id.to_string(), who.to_owned(), content.map(str::to_owned))
        };
        assert_eq!(rows, [row(&gone, "bob", None), row(&kept, "ann", Some("kept"))], "the newest first");
        Ok(())
    })
}

fn a_server_that_is_not_there_is_named() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let url = EngineUrl::parse("cassandra://me:hush@127.0.0.1:1,127.0.0.1:2/x")?;
        let error = CassandraStore::open(url).await.err().ok_or("it was opened")?;
        assert_eq!(error.kind, ErrorKind::Unavailable);
        let words = error.to_string();
        assert!(words.contains("127.0.0.1:1, 127.0.0.1:2"), "{words}");
        assert!(!words.contains("hush"), "{words}");
        Ok(())
    })
}

fn a_server_that_says_nothing_is_given_up() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let silent = TcpListener::bind("127.0.0.1:0").await?;
        let address = silent.local_addr()?;
        let url = EngineUrl::parse(&format!("cassandra://{address}"))?;
        let began = Instant::now();
        let error = CassandraStore::open(url).await.err().ok_or("it was opened")?;
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10), "after {:?}", began.elapsed());
        Ok(())
    })
}
