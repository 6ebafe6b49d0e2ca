//! One server.

use crate::servers::Server;
use crate::{AT_ONCE, LIMIT, in_the_end, open, set, until_heard, until_it_fails};
use bytes::Bytes;
use chat4all_backend::ErrorKind;
use chat4all_backend::bus::Bus;
use std::time::Duration;
use tokio::time::Instant;

crate::table![
    a_server_that_comes_back_empty_is_used_again,
    a_paused_server_does_not_slow_its_callers,
    a_subscription_is_renewed_with_thousands_of_others,
];

async fn a_server_that_comes_back_empty_is_used_again() {
    let mut server = Server::start(&[]).await;
    let bus = open(&format!("redis://127.0.0.1:{}", server.port)).await;
    let mut heard = bus.subscribe("c").await.unwrap();
    set(&bus, "k").await.unwrap();
    bus.hit("k", 1, Duration::from_secs(60)).await.unwrap();

    server.kill();
    // Both connections notice, the one of keys and the one of channels. Until then a request may have been heard.
    while until_it_fails(async || set(&bus, "k").await).await.kind == ErrorKind::OutcomeUnknown {}
    until_it_fails(async || bus.subscribe("c").await.map(drop)).await;
    let begun = Instant::now();
    for _ in 0..10 {
        let kinds = [
            set(&bus, "k").await.unwrap_err().kind,
            bus.get("k").await.unwrap_err().kind,
            bus.hit("k", 1, LIMIT).await.unwrap_err().kind,
            bus.publish("c", Bytes::new()).await.unwrap_err().kind,
            bus.subscribe("d").await.err().unwrap().kind,
        ];
        assert_eq!(kinds, [ErrorKind::Unavailable; 5]);
    }
    assert!(begun.elapsed() < AT_ONCE, "50 calls to a server that is away took {:?}", begun.elapsed());

    server.restart().await;
    let (value, after) = in_the_end("a key", async || bus.get("k").await).await;
    eprintln!("a restarted server is used again after {after:?}");
    assert_eq!(value, None);
    let hit = bus.hit("k", 1, Duration::from_secs(60)).await.unwrap();
    assert!(hit.allowed, "the script is loaded anew and counts from nothing: {hit:?}");
    until_heard(&bus, "c", heard.as_mut()).await;
    let mut later = bus.subscribe("later").await.unwrap();
    until_heard(&bus, "later", later.as_mut()).await;
}

async fn a_paused_server_does_not_slow_its_callers() {
    let server = Server::start(&[]).await;
    let bus = open(&format!("redis://127.0.0.1:{}", server.port)).await;
    let mut heard = bus.subscribe("c").await.unwrap();

    server.signal("STOP");
    let begun = Instant::now();
    let first = set(&bus, "k").await.unwrap_err();
    assert_eq!(first.kind, ErrorKind::OutcomeUnknown, "it may be set once the server goes on");
    assert!((LIMIT..2 * LIMIT).contains(&begun.elapsed()), "after {:?}", begun.elapsed());
    until_it_fails(async || bus.get("k").await.map(drop)).await;
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(bus.get("k").await.unwrap_err().kind, ErrorKind::Unavailable);
    }
    assert!(begun.elapsed() < AT_ONCE, "10 calls took {:?}", begun.elapsed());

    server.signal("CONT");
    in_the_end("a key", async || set(&bus, "k").await).await;
    until_heard(&bus, "c", heard.as_mut()).await;
}

async fn a_subscription_is_renewed_with_thousands_of_others() {
    const OTHERS: usize = 5_000;
    let mut server = Server::start(&[]).await;
    let bus = open(&format!("redis://127.0.0.1:{}", server.port)).await;
    let names: Vec<String> = (0..OTHERS).map(|n| n.to_string()).collect();
    let begun = Instant::now();
    let all = futures_util::future::join_all(names.iter().map(|name| bus.subscribe(name))).await;
    let mut all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    eprintln!("{OTHERS} subscriptions at once took {:?}", begun.elapsed());
    server.kill();
    server.restart().await;
    let last = all.last_mut().unwrap();
    let after = until_heard(&bus, names.last().unwrap(), last.as_mut()).await;
    eprintln!("{OTHERS} subscriptions were renewed within {after:?}");
    // Dropped ones are taken back on the server.
    all.truncate(1);
    crate::servers::wait_until("the server knows of one channel", || {
        server.ask("PUBSUB CHANNELS *").lines().count() == 1
    })
    .await;
}
