//! What the bus on Redis does while servers die, pause, fail over and move; and what it says when it is not let in.
//!
//! Each test starts servers of its own. Where `redis-server` and `redis-cli` are not installed, all are ignored.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stderr, reason = "a test says why it does not run, and what it measured")]

#[path = "bus_faults/cluster.rs"]
mod cluster;
#[path = "bus_faults/failover.rs"]
mod failover;
#[path = "bus_faults/one.rs"]
mod one;
#[path = "bus_faults/refusals.rs"]
mod refusals;
#[path = "bus_faults/servers.rs"]
mod servers;

use bytes::Bytes;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::bus::{Bus, RedisBus, Subscription};
use chat4all_backend::{Error, Result};
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Trial};
use servers::PATIENCE;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

/// A test's name and what it does. It panics if something does not hold.
type Test = (&'static str, fn() -> LocalBoxFuture<'static, ()>);

/// A row of a table of tests: the function's name is the test's.
macro_rules! table {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[crate::Test] = &[$((stringify!($name), || Box::pin($name()))),*];
    };
}
use table;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(4);
    let missing = !servers::are_there();
    if missing {
        eprintln!("redis-server or redis-cli is not installed");
    }
    let tests = [one::TESTS, failover::TESTS, cluster::TESTS, refusals::TESTS].concat();
    let trial = |(name, test): Test| {
        Trial::test(name, move || {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(test());
            Ok(())
        })
        .with_ignored_flag(missing)
    };
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit_code()
}

/// How long a call may take in these tests.
const LIMIT: Duration = Duration::from_millis(500);
/// How long one takes at most that waits for nothing, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(250);

async fn open(url: &str) -> RedisBus {
    let and = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{and}timeout_ms={}", LIMIT.as_millis());
    RedisBus::open(EngineUrl::parse(&url).unwrap()).await.unwrap()
}

async fn set(bus: &RedisBus, key: &str) -> Result<()> {
    bus.set(key, Bytes::from_static(b"x"), PATIENCE).await
}

/// Tries until it succeeds; answers what came and after how long.
async fn in_the_end<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T>) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(found) => return (found, begun.elapsed()),
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{what}: {error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Tries until it fails.
async fn until_it_fails(mut attempt: impl AsyncFnMut() -> Result<()>) -> Error {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(()) => assert!(begun.elapsed() < PATIENCE, "it goes on working"),
            Err(error) => return error,
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Publishes until it is heard; answers after how long.
async fn until_heard(from: &RedisBus, channel: &str, heard: &mut dyn Subscription) -> Duration {
    let begun = Instant::now();
    loop {
        // While the server is away this fails.
        let _ = from.publish(channel, Bytes::from_static(b"hear")).await;
        match timeout(Duration::from_millis(50), heard.next()).await {
            Ok(Some(_)) => return begun.elapsed(),
            Ok(None) => panic!("the subscription has ended"),
            Err(_) => assert!(begun.elapsed() < PATIENCE, "nothing is heard"),
        }
    }
}
