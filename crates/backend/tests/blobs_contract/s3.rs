//! Files in a bucket, and URLs that lead to them without us.

use crate::Case;
use chat4all_backend::ErrorKind;
use chat4all_backend::blobs::{Blobs, failed, open};
use futures_util::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::signer::{Method, Url};
use object_store::{ObjectStore, ObjectStoreExt};
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const URL: &str = "CHAT4ALL_TEST_S3_URL";

pub fn missing() -> Option<String> {
    std::env::var_os(URL).is_none().then(|| format!("{URL} is not set"))
}

/// The server of the tests, with a prefix of this case's own.
fn url() -> String {
    let url = std::env::var(URL).unwrap();
    let (bucket, parameters) = url.split_once('?').unwrap();
    format!("{}/test/{}?{parameters}", bucket.trim_end_matches('/'), uuid::Uuid::now_v7())
}

pub async fn run((_, case): Case) {
    let blobs = open(&url(), "unused".as_ref()).await.unwrap();
    let done = AssertUnwindSafe(case(blobs.clone())).catch_unwind().await;
    let left = blobs.store.list(None).map_ok(|file| file.location);
    blobs.store.delete_stream(Box::pin(left)).try_collect::<Vec<_>>().await.unwrap();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

crate::table![
    a_signed_url_gives_one_file_for_a_time,
    a_signed_url_takes_one_file,
    refused_credentials_are_said,
    a_missing_bucket_is_said,
    a_store_that_is_away_is_said_soon,
];

const KEY: &str = "dir/file & more.txt";
const MINUTE: Duration = Duration::from_secs(60);

async fn signed(blobs: &Blobs, method: Method, time: Duration) -> Url {
    blobs.signer.as_ref().unwrap().signed_url(method, &Path::from(KEY), time).await.unwrap()
}

async fn a_signed_url_gives_one_file_for_a_time(blobs: Blobs) {
    blobs.store.put(&Path::from(KEY), "content".into()).await.unwrap();
    blobs.store.put(&Path::from("other"), "secret".into()).await.unwrap();
    let get = async |url: &str| {
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let short = signed(&blobs, Method::GET, Duration::from_secs(1)).await;
    let url = signed(&blobs, Method::GET, MINUTE).await.to_string();
    assert_eq!(get(&url).await, (200, "content".to_owned()));

    let (start, last) = url.split_at(url.len() - 1);
    let tampered = format!("{start}{}", if last == "0" { '1' } else { '0' });
    let longer = url.replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    let (before, after) = url.split_once("dir/").unwrap();
    let other = format!("{before}other?{}", after.split_once('?').unwrap().1);
    let unsigned = url.split_once('?').unwrap().0.to_owned();
    for (what, url) in [("tampered", tampered), ("longer", longer), ("other", other), ("unsigned", unsigned)]
    {
        assert_eq!(get(&url).await.0, 403, "{what}: {url}");
    }
    let written = reqwest::Client::new().put(&url).body("x").send().await.unwrap();
    assert_eq!(written.status(), 403, "a URL for reading writes");
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(get(short.as_str()).await.0, 403, "expired");
}

async fn a_signed_url_takes_one_file(blobs: Blobs) {
    let url = signed(&blobs, Method::PUT, MINUTE).await;
    let put = reqwest::Client::new().put(url.clone()).body("from a client").send().await.unwrap();
    assert_eq!(put.status(), 200);
    let kept = blobs.store.get(&Path::from(KEY)).await.unwrap().bytes().await.unwrap();
    assert_eq!(kept, "from a client");
    assert_eq!(reqwest::get(url).await.unwrap().status(), 403, "a URL for writing reads");
}

/// The URL of the tests' server with other credentials, or another bucket.
fn altered(alter: impl FnOnce(&str, &str) -> String) -> String {
    let url = url();
    let (credentials, rest) = url.strip_prefix("s3://").unwrap().split_once('@').unwrap();
    alter(credentials, rest)
}

async fn refused(url: &str, kind: ErrorKind, words: &str) {
    let begun = Instant::now();
    let error = open(url, "unused".as_ref()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(6), "after {:?}", begun.elapsed());
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(!error.to_string().contains("hush"), "a secret is told: {error}");
}

async fn refused_credentials_are_said(_: Blobs) {
    let key = |credentials: &str| credentials.split_once(':').unwrap().0.to_owned();
    let wrong_secret = altered(|credentials, rest| format!("s3://{}:hush@{rest}", key(credentials)));
    refused(&wrong_secret, ErrorKind::Invalid, "SignatureDoesNotMatch").await;
    let unknown_key = altered(|_, rest| format!("s3://nobody:hush@{rest}"));
    refused(&unknown_key, ErrorKind::Invalid, "InvalidAccessKeyId").await;
}

async fn a_missing_bucket_is_said(_: Blobs) {
    let url = altered(|credentials, rest| {
        let parameters = rest.split_once('?').unwrap().1;
        format!("s3://{credentials}@no-such-bucket-here?{parameters}")
    });
    refused(&url, ErrorKind::Invalid, "no bucket `no-such-bucket-here`").await;
}

async fn a_store_that_is_away_is_said_soon(_: Blobs) {
    refused("s3://k:hush@b?endpoint=http://127.0.0.1:1", ErrorKind::Unavailable, "127.0.0.1:1").await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for scheme in ["http", "https"] {
        refused(&format!("s3://k:hush@b?endpoint={scheme}://{address}"), ErrorKind::Unavailable, "").await;
    }
    // It answers a call's error as its kind, too.
    let blobs = open(&url(), "unused".as_ref()).await.unwrap();
    let denied = blobs.store.get(&Path::from("never")).await.unwrap_err();
    assert_eq!(failed(denied).kind, ErrorKind::Invalid);
}
