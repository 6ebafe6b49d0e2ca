//! What `open` says when it is not let in, and how soon.

use crate::servers::{Cluster, Server, Watched};
use chat4all_backend::address::EngineUrl;
use chat4all_backend::bus::RedisBus;
use chat4all_backend::{Error, ErrorKind};
use std::net::TcpListener;
use std::time::Duration;
use tokio::time::Instant;

crate::table![
    a_password_that_is_refused_or_missing_is_said,
    a_user_without_rights_is_told_at_the_start,
    a_server_that_is_not_there_is_named_soon,
    a_server_of_another_kind_is_told_apart,
    an_unknown_master_is_named,
];

async fn refused(url: &str) -> Error {
    let begun = Instant::now();
    let error = RedisBus::open(EngineUrl::parse(url).unwrap()).await.map(drop).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(6), "{url}: after {:?}", begun.elapsed());
    assert!(!error.to_string().contains("hush"), "a secret is told: {error}");
    error
}

async fn expect(url: &str, kind: ErrorKind, words: &[&str]) {
    let error = refused(url).await;
    assert_eq!(error.kind, kind, "{url}: {error}");
    for word in words {
        assert!(error.to_string().contains(word), "{url}: `{word}` is not in `{error}`");
    }
}

async fn a_password_that_is_refused_or_missing_is_said() {
    let server = Server::start(&["--requirepass", "open-sesame"]).await;
    let at = format!("127.0.0.1:{}", server.port);
    expect(&format!("redis://:hush@{at}"), ErrorKind::Invalid, &[&at, "the password is refused"]).await;
    expect(&format!("redis://me:hush@{at}"), ErrorKind::Invalid, &["the user or the password is refused"])
        .await;
    expect(&format!("redis://{at}"), ErrorKind::Invalid, &["a password is wanted", ":password@"]).await;
    crate::open(&format!("redis://:open-sesame@{at}")).await;
    crate::open(&format!("redis://default:open-sesame@{at}/3")).await;
    expect(&format!("redis://:open-sesame@{at}/99"), ErrorKind::Invalid, &["DB index is out of range"]).await;
}

async fn a_user_without_rights_is_told_at_the_start() {
    let server = Server::start(&[]).await;
    let url = format!("redis://me:hush@127.0.0.1:{}", server.port);
    server.ask("ACL SETUSER me on >hush ~chat4all:* +@all");
    expect(&url, ErrorKind::Invalid, &["NoPerm", "channel"]).await;
    server.ask("ACL SETUSER me on >hush resetkeys &chat4all:*");
    expect(&url, ErrorKind::Invalid, &["NoPerm", "key"]).await;
    server.ask("ACL SETUSER me ~chat4all:*");
    crate::open(&url).await;
}

async fn a_server_that_is_not_there_is_named_soon() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    for url in ["redis://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m", "redis+cluster://127.0.0.1:1"] {
        expect(url, ErrorKind::Unavailable, &["127.0.0.1:1 cannot be reached"]).await;
    }
    for url in [
        format!("redis://:hush@{silent}"),
        format!("rediss://:hush@{silent}"),
        format!("redis+sentinel://:hush@{silent},{silent},{silent},{silent}/m"),
        format!("redis+cluster://:hush@{silent},{silent},{silent},{silent}"),
    ] {
        expect(&url, ErrorKind::Unavailable, &[&silent]).await;
    }
    expect("redis://no.such.host.invalid", ErrorKind::Unavailable, &["no.such.host.invalid:6379"]).await;
}

async fn a_server_of_another_kind_is_told_apart() {
    let cluster = Cluster::start().await;
    let watched = Watched::start().await;
    let at = |server: &Server| format!("127.0.0.1:{}", server.port);
    let (node, one, replica, sentinel) =
        (at(&cluster.nodes[0]), at(&watched.primary), at(&watched.replica), at(&watched.sentinels[0]));
    for (url, kind, words) in [
        (format!("redis://{node}"), ErrorKind::Invalid, "redis+cluster://"),
        (format!("redis://{sentinel}"), ErrorKind::Invalid, "redis+sentinel://"),
        (format!("redis://{replica}"), ErrorKind::Unavailable, "is a replica"),
        (format!("redis+cluster://{one}"), ErrorKind::Invalid, "no node of a Cluster"),
        (format!("redis+cluster://{sentinel}"), ErrorKind::Invalid, "redis+sentinel://"),
        (format!("redis+sentinel://{one}/m"), ErrorKind::Invalid, "not what the URL says"),
        (format!("rediss://{one}"), ErrorKind::Unavailable, "does it speak TLS?"),
    ] {
        expect(&url, kind, &[words]).await;
    }
}

async fn an_unknown_master_is_named() {
    let watched = Watched::start().await;
    let url = watched.url().replace("/m", "/nobody");
    expect(&url, ErrorKind::Invalid, &["knows no master `nobody`"]).await;
}
