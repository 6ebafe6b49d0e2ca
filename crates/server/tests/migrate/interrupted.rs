//! A migration that is killed between any two writes and run again.

use crate::fuse::{Death, Fuse};
use crate::world::{World, target};
use chat4all_backend::log::{EventLog, Topic};
use chat4all_backend::store::Store;
use chat4all_backend::{Error, ErrorKind};
use chat4all_server::engines::Embedded;
use chat4all_server::operator::{Work, migrate, unfinished};

fn quiet(_: &'static str, _: u64) {}

/// What the log of a target holds.
async fn records(target: &Embedded) -> [u64; 3] {
    let mut counts = [0; 3];
    for (count, topic) in
        counts.iter_mut().zip([Topic::Messages, Topic::StatusUpdates, Topic::WhatsappOutbound])
    {
        for partition in 0..target.log.partitions() {
            let bounds = target.log.bounds(topic, partition).await.unwrap();
            *count += bounds.end - bounds.start;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_writes_is_made_good() {
    let world = World::new().await;
    world.leave_undecided().await;
    let source = world.open();
    let mut expected = None;
    for death in [Death::Before, Death::After] {
        let mut writes = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let other = target(folder.path(), 3);
            let fused = Fuse::new(writes, death).before(other.engines());
            let killed = migrate(&source.engines(), &fused, &quiet).await;
            let Err(error) = killed else { break };
            assert!(error.to_string().contains("killed"), "{error}");
            let under_way = unfinished(&*other.store).await.unwrap();
            let done = migrate(&source.engines(), &other.engines(), &quiet).await;
            let done = done.unwrap_or_else(|error| panic!("after {writes} writes, {death:?}: {error}"));
            assert!(done.differences.is_empty(), "after {writes} writes: {:?}", done.differences);
            // Killed behind the last write, it was complete.
            let complete = done.counts.is_none();
            assert_eq!(under_way.is_none(), complete || writes == 0 && death == Death::Before);
            assert_eq!(unfinished(&*other.store).await.unwrap(), None::<Work>);
            let records = records(&other).await;
            assert_eq!(*expected.get_or_insert(records), records, "after {writes} writes, {death:?}");
            other.close().await;
            writes += 1;
        }
        assert!(writes > 20, "only {writes} writes");
    }
    assert_eq!(expected.map(|[_, marks, outbound]| (marks, outbound)), Some((1, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_went_on_meanwhile_is_refused() {
    let world = World::new().await;
    let (source, folder) = (world.open(), tempfile::tempdir().unwrap());
    let other = target(folder.path(), 3);
    let fused = Fuse::new(6, Death::Before).before(other.engines());
    migrate(&source.engines(), &fused, &quiet).await.unwrap_err();
    source.close().await;
    world.leave_undecided().await;
    let source = world.open();
    let error: Error = migrate(&source.engines(), &other.engines(), &quiet).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.to_string().contains("begin again"), "{error}");
    assert_eq!(unfinished(&*other.store).await.unwrap(), Some(Work::Migration));
    assert_eq!(other.store.progress(0).await.unwrap().epoch, 0, "nobody can serve it");
}
