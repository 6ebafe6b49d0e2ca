//! A master, its replica and the Sentinels that replace one by the other.

use crate::servers::{PATIENCE, Watched, wait_until};
use crate::{in_the_end, open, set, until_heard, until_it_fails};
use bytes::Bytes;
use chat4all_backend::bus::Bus;
use std::time::Duration;
use tokio::time::{Instant, timeout};

crate::table![a_killed_master_is_replaced, a_master_that_was_paused_and_replaced_is_left];

/// Sentinels here take one second to notice, and then vote.
const REPLACED_WITHIN: Duration = Duration::from_secs(15);

async fn a_killed_master_is_replaced() {
    let mut watched = Watched::start().await;
    let bus = open(&watched.url()).await;
    let mut heard = bus.subscribe("c").await.unwrap();
    set(&bus, "k").await.unwrap();

    watched.primary.kill();
    let begun = Instant::now();
    until_it_fails(async || set(&bus, "k").await).await;
    in_the_end("a key", async || set(&bus, "k").await).await;
    let writes = begun.elapsed();
    until_heard(&bus, "c", heard.as_mut()).await;
    eprintln!("after the master's death: keys after {writes:?}, messages after {:?}", begun.elapsed());
    assert!(begun.elapsed() < REPLACED_WITHIN);
    assert!(watched.replica.ask("INFO replication").contains("role:master"));
}

async fn a_master_that_was_paused_and_replaced_is_left() {
    let watched = Watched::start().await;
    let bus = open(&watched.url()).await;
    let mut heard = bus.subscribe("c").await.unwrap();

    watched.primary.signal("STOP");
    wait_until("the replica is the master", || {
        watched.replica.ask("INFO replication").contains("role:master")
    })
    .await;
    watched.primary.signal("CONT");
    // It may believe for a moment that it is still the master; nothing of that lasts.
    let other = open(&watched.url()).await;
    until_heard(&other, "c", heard.as_mut()).await;
    wait_until("the old master is a replica", || {
        watched.primary.ask("INFO replication").contains("role:slave")
    })
    .await;
    in_the_end("a key", async || set(&bus, "k").await).await;
    assert_eq!(other.get("k").await.unwrap(), Some(Bytes::from_static(b"x")));
    other.publish("c", Bytes::from_static(b"last")).await.unwrap();
    let last = async { while heard.next().await.unwrap() != "last" {} };
    timeout(PATIENCE, last).await.unwrap();
}
