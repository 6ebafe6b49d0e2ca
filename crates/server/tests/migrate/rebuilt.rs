//! Tables that are damaged are found and made anew.

use crate::fuse::{Death, Fuse};
use crate::support::{Options, TestApp};
use crate::told::{everything, same};
use crate::world::World;
use chat4all_server::operator::{Checked, Work, check, rebuild, unfinished};
use rusqlite::Connection;

fn quiet(_: &'static str, _: u64) {}

fn damage(world: &World, sql: &str) {
    let store = Connection::open(world.folder.path().join("store.db")).unwrap();
    store.execute_batch(sql).unwrap();
}

/// What differs, sorted.
fn found(checked: &Checked) -> Vec<String> {
    let mut what: Vec<_> =
        checked.differences.first.iter().map(|difference| difference.what.clone()).collect();
    what.sort();
    what.dedup();
    what
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_tables_are_found_and_mended() {
    let world = World::new().await;
    let scratch = tempfile::tempdir().unwrap();
    let embedded = world.open();
    let checked = check(&embedded.engines(), scratch.path(), &quiet).await.unwrap();
    assert!(checked.differences.is_empty(), "{:?}", checked.differences);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "it leaves nothing behind");
    embedded.close().await;

    for (sql, parts) in [
        ("UPDATE members SET role = 1 - role WHERE to_seq IS NOT NULL", "members"),
        ("DELETE FROM members WHERE to_seq IS NOT NULL", "members"),
        ("DELETE FROM reactions WHERE since IS NOT NULL", "reactions"),
        ("UPDATE changes SET text = 'forged' WHERE text IS NOT NULL", "messages"),
        ("UPDATE conversations SET head_position = head_position + 1", "name and counters"),
        ("UPDATE conversations SET head = NULL, head_position = -1", "name and counters"),
        ("UPDATE conversations SET about = NULL, about_position = -1", "no beginning"),
    ] {
        damage(&world, sql);
        let embedded = world.open();
        let checked = check(&embedded.engines(), scratch.path(), &quiet).await.unwrap();
        assert!(found(&checked).iter().any(|what| what.contains(parts)), "{sql}: {checked:?}");
        let done = rebuild(&embedded.engines(), scratch.path(), &quiet).await.unwrap();
        assert_eq!(found(&done.before), found(&checked), "{sql}");
        assert!(done.after.differences.is_empty(), "{sql}: {:?}", done.after);
        embedded.close().await;
        let app = TestApp::over(world.open(), Options::default()).await;
        same(&world.told, &everything(&app, &world.people, &world.conversations).await);
        app.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_missing_are_named() {
    let world = World::new().await;
    damage(&world, "DELETE FROM events WHERE place >> 1 = 100");
    let (embedded, scratch) = (world.open(), tempfile::tempdir().unwrap());
    let checked = check(&embedded.engines(), scratch.path(), &quiet).await.unwrap();
    assert_eq!(checked.differences.count, 1, "{checked:?}");
    assert!(found(&checked)[0].contains("there is no event 100"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_is_run_again() {
    let world = World::new().await;
    world.leave_undecided().await;
    let scratch = tempfile::tempdir().unwrap();
    let mut writes = 0;
    loop {
        let embedded = world.open();
        let fused = Fuse::new(writes, Death::After).before(embedded.engines());
        let killed = rebuild(&fused, scratch.path(), &quiet).await;
        let under_way = unfinished(&*embedded.store).await.unwrap();
        if killed.is_ok() {
            assert_eq!(under_way, None);
            embedded.close().await;
            break;
        }
        let done = rebuild(&embedded.engines(), scratch.path(), &quiet).await.unwrap();
        assert!(done.after.differences.is_empty(), "after {writes} writes: {:?}", done.after);
        assert_eq!(unfinished(&*embedded.store).await.unwrap(), None, "after {writes} writes");
        if under_way.is_some() {
            assert_eq!(under_way, Some(Work::Rebuild));
        }
        embedded.close().await;
        writes += 1;
    }
    assert!(writes > 5, "only {writes} writes");
}
