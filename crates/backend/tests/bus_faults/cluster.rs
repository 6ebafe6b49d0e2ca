//! A Cluster of three nodes without replicas.

use crate::servers::Cluster;
use crate::{AT_ONCE, LIMIT, in_the_end, open, set, until_heard, until_it_fails};
use bytes::Bytes;
use chat4all_backend::bus::Bus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

crate::table![
    a_dead_node_takes_only_its_own_keys_away,
    a_paused_node_does_not_slow_the_keys_of_others,
    a_moving_slot_loses_no_key_and_no_hit,
];

/// As the bus names a key of `name`.
fn key(name: &str) -> String {
    format!("chat4all:key:{name}")
}

/// A name for a key of each node.
fn names(cluster: &Cluster) -> [String; 3] {
    [0, 1, 2].map(|node| {
        let mut names = (0..).map(|n| format!("k{n}"));
        names.find(|name| cluster.owner(&key(name)) == node).unwrap()
    })
}

async fn a_dead_node_takes_only_its_own_keys_away() {
    let mut cluster = Cluster::start().await;
    let names = names(&cluster);
    let bus = open(&cluster.url()).await;
    let mut heard = bus.subscribe("c").await.unwrap();
    for name in &names {
        set(&bus, name).await.unwrap();
    }

    cluster.nodes[0].kill();
    until_it_fails(async || set(&bus, &names[0]).await).await;
    for round in 0..30 {
        for name in &names[1..] {
            let begun = Instant::now();
            set(&bus, name).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(
                begun.elapsed() < AT_ONCE,
                "round {round}: a key of a living node took {:?}",
                begun.elapsed()
            );
        }
        let begun = Instant::now();
        set(&bus, &names[0]).await.unwrap_err();
        assert!(
            begun.elapsed() < AT_ONCE,
            "round {round}: a key of the dead node took {:?}",
            begun.elapsed()
        );
        sleep(Duration::from_millis(50)).await;
    }
    let after = until_heard(&bus, "c", heard.as_mut()).await;
    eprintln!("with a dead node, messages are heard within {after:?}");

    cluster.nodes[0].restart().await;
    cluster.wait_until_whole().await;
    in_the_end("a key of the node that is back", async || set(&bus, &names[0]).await).await;
    until_heard(&bus, "c", heard.as_mut()).await;
}

async fn a_paused_node_does_not_slow_the_keys_of_others() {
    let cluster = Cluster::start().await;
    let names = names(&cluster);
    let bus = open(&cluster.url()).await;
    cluster.nodes[0].signal("STOP");
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let waiting = async {
        while begun.elapsed() < 6 * LIMIT {
            let _ = set(&bus, &names[0]).await;
            sleep(Duration::from_millis(10)).await;
        }
    };
    let working = async {
        while begun.elapsed() < 6 * LIMIT {
            let since = Instant::now();
            for name in &names[1..] {
                set(&bus, name).await.unwrap();
            }
            slowest = slowest.max(since.elapsed());
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::join!(waiting, working);
    eprintln!("beside a paused node, two keys of living ones took {slowest:?} at most");
    assert!(slowest < AT_ONCE);
    cluster.nodes[0].signal("CONT");
    in_the_end("a key of the node that goes on", async || set(&bus, &names[0]).await).await;
}

async fn a_moving_slot_loses_no_key_and_no_hit() {
    const LIMIT_OF_HITS: u32 = 6;
    let window = Duration::from_secs(600);
    let cluster = Cluster::start().await;
    let bus = open(&cluster.url()).await;
    // The braces put both into one slot.
    let name = "{moving}";
    let slot: u16 = cluster.nodes[0].ask(&format!("CLUSTER KEYSLOT {}", key(name))).parse().unwrap();
    let from = Cluster::SLOTS.iter().position(|slots| slots.contains(&slot)).unwrap();
    let (from, to) = (&cluster.nodes[from], &cluster.nodes[(from + 1) % 3]);
    set(&bus, name).await.unwrap();
    let hit = async |left| {
        let hit = bus.hit(name, LIMIT_OF_HITS, window).await.unwrap();
        assert_eq!((hit.allowed, hit.remaining), (true, left));
    };
    hit(5).await;

    to.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.id()));
    from.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.id()));
    hit(4).await;
    for moved in [key(name), format!("chat4all:hits:{name}")] {
        from.ask(&format!("MIGRATE 127.0.0.1 {} {moved} 0 1000", to.port));
    }
    // Half-way: the old owner sends on, for this time only.
    hit(3).await;
    assert_eq!(bus.get(name).await.unwrap(), Some(Bytes::from_static(b"x")));
    for node in [to, from].into_iter().chain(&cluster.nodes) {
        node.ask(&format!("CLUSTER SETSLOT {slot} NODE {}", to.id()));
    }
    hit(2).await;
    sleep(Duration::from_secs(1)).await;
    hit(1).await;
    assert_eq!(bus.get(name).await.unwrap(), Some(Bytes::from_static(b"x")));
    hit(0).await;
    assert!(!bus.hit(name, LIMIT_OF_HITS, window).await.unwrap().allowed);
}
