//! The fixture of the embedded store, and what only it promises.

use crate::runtime;
use async_trait::async_trait;
use chat4all_backend::ErrorKind;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::store::contract::world::{BEGINNING, PARTITION, World, difference, say, user};
use chat4all_backend::store::contract::{Capability, Fixture};
use chat4all_backend::store::{EmbeddedStore, Options, Store};
use chat4all_model::command::Action;
use chat4all_model::rows::Position;
use libtest_mimic::{Failed, Trial};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) fn fixture() -> Result<Box<dyn Fixture>, String> {
    Ok(Box::new(Embedded::new().map_err(|e| e.to_string())?))
}

struct Embedded {
    dir: TempDir,
    open: Mutex<Option<Arc<EmbeddedStore>>>,
}

impl Embedded {
    fn new() -> std::io::Result<Self> {
        Ok(Self { dir: tempfile::tempdir()?, open: Mutex::default() })
    }

    fn open_with(&self, options: Options) -> chat4all_backend::Result<Arc<EmbeddedStore>> {
        let store = Arc::new(EmbeddedStore::open(&DataFolder::open(self.dir.path())?, options)?);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&store));
        Ok(store)
    }

    async fn close(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(store) = open {
            store.close().await;
        }
    }
}

#[async_trait]
impl Fixture for Embedded {
    fn can(&self, _: Capability) -> bool {
        true
    }

    async fn open(&self) -> chat4all_backend::Result<Arc<dyn Store>> {
        Ok(self.open_with(options())?)
    }

    async fn reopen(&self) -> chat4all_backend::Result<Arc<dyn Store>> {
        self.close().await;
        Ok(self.open_with(options())?)
    }
}

fn options() -> Options {
    Options { clock: Arc::new(|| BEGINNING), ..Options::default() }
}

type Run = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let all: [(&str, Run); 9] = [
        ("any_history_in_any_runs_leaves_the_same_rows", any_history_in_any_runs_leaves_the_same_rows),
        ("a_killed_process_leaves_rows_and_progress_of_one_moment", killed),
        ("a_power_cut_leaves_what_was_synced", power_cut),
        ("deleted_text_is_not_in_the_file", deleted_text_is_not_in_the_file),
        ("a_full_disk_is_refused_and_recovers", a_full_disk_is_refused_and_recovers),
        ("a_newer_file_is_refused", a_newer_file_is_refused),
        ("a_file_that_is_no_store_is_corrupt", a_file_that_is_no_store_is_corrupt),
        ("old_rejections_are_forgotten", old_rejections_are_forgotten),
        ("closing_writes_what_waits_and_then_refuses", closing_writes_what_waits_and_then_refuses),
    ];
    all.into_iter().map(|(name, run)| Trial::test(format!("embedded::{name}"), run))
}

/// Some two hundred commands.
fn world() -> World {
    let script: Vec<[u8; 4]> = (0..200_u32).map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    World::play(&script)
}

/// Opens a copy of some files of a store that is open: what another process would find.
async fn opened_copy(dir: &Path, files: &[&str]) -> Result<(TempDir, EmbeddedStore), Failed> {
    let copy = tempfile::tempdir()?;
    for file in files {
        std::fs::copy(dir.join(file), copy.path().join(file))?;
    }
    let store = EmbeddedStore::open(&DataFolder::open(copy.path())?, options())?;
    Ok((copy, store))
}

fn any_history_in_any_runs_leaves_the_same_rows() -> Result<(), Failed> {
    use proptest::collection::vec;
    use proptest::prelude::any;
    let runtime = runtime()?;
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    // Of each run: its length, and how far back it begins before what was projected already.
    let histories = (vec(any::<[u8; 4]>(), 0..80), vec((1..9_usize, 0..6_usize), 1..40));
    let outcome = runner.run(&histories, |(script, runs)| {
        let world = World::play(&script);
        let total = world.records.len();
        let dumps = runtime.block_on(async {
            let (in_runs, at_once) = (Embedded::new()?, Embedded::new()?);
            let (in_runs, at_once) = (in_runs.open_with(options())?, at_once.open_with(options())?);
            let mut done = 0;
            for (length, back) in runs {
                let end = (done + length).min(total);
                let run = world.projection(done.saturating_sub(back)..end);
                in_runs.project(PARTITION, run).await?;
                done = end;
            }
            in_runs.project(PARTITION, world.projection(done..total)).await?;
            in_runs.project(PARTITION, world.projection(0..total / 2)).await?;
            world.project(&*at_once).await?;
            Ok::<_, Failed>((world.dump(&*in_runs).await?, world.dump(&*at_once).await?))
        });
        let (some, all) =
            dumps.map_err(|e| TestCaseError::fail(e.message().unwrap_or_default().to_owned()))?;
        proptest::prop_assert_eq!(difference(&some, &all), None);
        Ok(())
    });
    outcome.map_err(|error: TestError<_>| Failed::from(error.to_string()))
}

fn killed() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let embedded = Embedded::new()?;
        let store = embedded.open().await?;
        let world = world();
        let half = world.records.len() / 2;
        store.project(PARTITION, world.projection(0..half)).await?;
        let files = ["store.db", "store.db-wal"];
        let (_dir, copy) = opened_copy(embedded.dir.path(), &files).await?;
        assert_eq!(copy.progress(PARTITION).await?, world.progress(half));
        assert_eq!(difference(&world.dump(&copy).await?, &world.dump(&*store).await?), None);
        copy.project(PARTITION, world.projection(half..world.records.len())).await?;
        store.project(PARTITION, world.projection(half..world.records.len())).await?;
        assert_eq!(difference(&world.dump(&copy).await?, &world.dump(&*store).await?), None);
        Ok(())
    })
}

fn power_cut() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let embedded = Embedded::new()?;
        let store = embedded.open().await?;
        let world = world();
        let (half, all) = (world.records.len() / 2, world.records.len());
        store.project(PARTITION, world.projection(0..half)).await?;
        let synced = tokio::time::timeout(Duration::from_secs(30), async {
            while store.synced_progress(PARTITION).await? != world.progress(half) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            world.dump(&*store).await
        });
        let synced = synced.await??;
        store.project(PARTITION, world.projection(half..all)).await?;
        // The main file alone: of the other one nothing was synced.
        let (_dir, copy) = opened_copy(embedded.dir.path(), &["store.db"]).await?;
        assert_eq!(copy.progress(PARTITION).await?, world.progress(half));
        assert_eq!(difference(&world.dump(&copy).await?, &synced), None);
        Ok(())
    })
}

fn deleted_text_is_not_in_the_file() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let embedded = Embedded::new()?;
        let store = embedded.open().await?;
        let mut world = World::default();
        let mut secrets = Vec::new();
        for n in 0..300 {
            // Some fill pages of their own.
            let length = if n % 10 == 0 { 500 } else { 5 };
            let message = world.act("ann", "d:ann:bob", say(&"sesame ".repeat(length)));
            world.act(
                "ann",
                "d:ann:bob",
                Action::Edit { target: message, text: "sesame!".repeat(length).into() },
            );
            world.act("bob", "d:ann:bob", say("harmless"));
            secrets.push(message);
        }
        world.project(&*store).await?;
        let first = world.records.len();
        for target in secrets {
            world.act("ann", "d:ann:bob", Action::Delete { target });
        }
        store.project(PARTITION, world.projection(first..world.records.len())).await?;
        embedded.close().await;
        let file = std::fs::read(embedded.dir.path().join("store.db"))?;
        let count = |needle: &[u8]| file.windows(needle.len()).filter(|window| *window == needle).count();
        assert!(count(b"harmless") >= 300, "the others are there");
        assert_eq!(count(b"sesame"), 0, "deleted texts are still in the file");
        Ok(())
    })
}

fn a_full_disk_is_refused_and_recovers() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let embedded = Embedded::new()?;
        let store = embedded.open_with(Options { max_file_bytes: Some(400_000), ..options() })?;
        let mut world = World::default();
        world.act("ann", "d:ann:bob", say("before"));
        world.project(&*store).await?;
        let before = world.dump(&*store).await?;
        let mut flood = World::default();
        for _ in 0..500 {
            flood.act("ann", "d:ann:bob", say(&"flood ".repeat(200)));
        }
        let refused = flood.project(&*store).await.err().map(|error| error.kind);
        assert_eq!(refused, Some(ErrorKind::Unavailable));
        assert_eq!(
            difference(&world.dump(&*store).await?, &before),
            None,
            "a refused projection left something"
        );
        let first = world.records.len();
        world.act("bob", "d:ann:bob", say("after"));
        store.project(PARTITION, world.projection(first..first + 1)).await?;
        assert!(world.dump(&*store).await?.contains("after"));
        Ok(())
    })
}

fn tampered(change: impl FnOnce(&Path) -> Result<(), Failed>) -> Result<ErrorKind, Failed> {
    runtime()?.block_on(async {
        let embedded = Embedded::new()?;
        embedded.open().await?;
        embedded.close().await;
        change(&embedded.dir.path().join("store.db"))?;
        match embedded.open_with(options()) {
            Err(error) => Ok(error.kind),
            Ok(_) => Err("it was opened".into()),
        }
    })
}

fn a_newer_file_is_refused() -> Result<(), Failed> {
    let kind = tampered(|path| {
        let file = rusqlite::Connection::open(path)?;
        Ok(file.pragma_update(None, "user_version", 99)?)
    });
    assert_eq!(kind?, ErrorKind::Invalid);
    Ok(())
}

fn a_file_that_is_no_store_is_corrupt() -> Result<(), Failed> {
    assert_eq!(tampered(|path| Ok(std::fs::write(path, [7; 9_000])?))?, ErrorKind::Corrupt);
    Ok(())
}

fn old_rejections_are_forgotten() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let embedded = Embedded::new()?;
        let now = Arc::new(AtomicU64::new(BEGINNING));
        let clock = Arc::clone(&now);
        let clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let store = embedded.open_with(Options { clock, ..Options::default() })?;
        let mut world = World::default();
        for _ in 0..2_500 {
            world.act("eve", "g:ann:group", say("let me in"));
        }
        world.project(&*store).await?;
        let left = || async {
            let to = Position(u64::MAX >> 2);
            store.rejections(&user("eve"), PARTITION, Position(0), to, 9_999).await.map(|found| found.len())
        };
        assert_eq!(left().await?, 2_500);
        now.fetch_add(31 * 24 * 3_600_000, Ordering::Relaxed);
        let mut world = World::default();
        for expected in [1_500, 500, 0] {
            world.act("ann", "d:ann:bob", say("on it goes"));
            world.project(&*store).await?;
            assert_eq!(left().await?, expected, "a bounded number at a time");
        }
        Ok(())
    })
}

fn closing_writes_what_waits_and_then_refuses() -> Result<(), Failed> {
    runtime()?.block_on(async {
        let embedded = Embedded::new()?;
        let store = embedded.open_with(options())?;
        let world = world();
        let waiting = world.project(&*store);
        let (answer, ()) = futures_util::future::join(waiting, embedded.close()).await;
        answer?;
        let refused = world.project(&*store).await.err().map(|error| error.kind);
        assert_eq!(refused, Some(ErrorKind::Unavailable));
        assert_eq!(store.stats().queued, 0);
        let again = embedded.open().await?;
        assert_eq!(again.progress(PARTITION).await?, world.progress(world.records.len()));
        Ok(())
    })
}
