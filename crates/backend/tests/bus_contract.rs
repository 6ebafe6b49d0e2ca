//! The contract of the bus × every engine, one named test each.
#![expect(clippy::print_stderr, reason = "a test says why it does not run")]

use async_trait::async_trait;
use chat4all_backend::Result;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::bus::contract::{Case, Fixture, cases};
use chat4all_backend::bus::{Bus, EmbeddedBus, RedisBus};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;

/// A row of the table of engines.
struct Engine {
    name: &'static str,
    /// Where its tests' server is; none for the embedded one. Without it, cases are ignored, not passed.
    url: Option<&'static str>,
}

const ENGINES: &[Engine] = &[
    Engine { name: "embedded", url: None },
    Engine { name: "redis", url: Some("CHAT4ALL_TEST_REDIS_URL") },
    Engine { name: "redis-sentinel", url: Some("CHAT4ALL_TEST_REDIS_SENTINEL_URL") },
    Engine { name: "redis-cluster", url: Some("CHAT4ALL_TEST_REDIS_CLUSTER_URL") },
    Engine { name: "redis-tls", url: Some("CHAT4ALL_TEST_REDIS_TLS_URL") },
];

/// Cases sleep more than they work.
const THREADS: usize = 16;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    libtest_mimic::run(&arguments, ENGINES.iter().flat_map(contract).collect()).exit_code()
}

fn contract(engine: &'static Engine) -> impl Iterator<Item = Trial> {
    let missing = engine.url.filter(|url| std::env::var_os(url).is_none());
    if let Some(url) = missing {
        eprintln!("{} is not there: {url} is not set", engine.name);
    }
    cases().map(move |case| {
        Trial::test(format!("{}::{}", engine.name, case.name), || run(engine, case))
            .with_ignored_flag(missing.is_some())
    })
}

fn run(engine: &Engine, case: &Case) -> Result<(), Failed> {
    match engine.url {
        None => {
            // Paused time passes as soon as nothing else is to be done.
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
            runtime.block_on((case.run)(&Embedded(Arc::new(EmbeddedBus::new()))))
        }
        Some(url) => {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on((case.run)(&Redis::new(&std::env::var(url)?)))
        }
    }
    .map_err(Failed::from)
}

struct Embedded(Arc<EmbeddedBus>);

#[async_trait]
impl Fixture for Embedded {
    async fn bus(&self) -> Result<Arc<dyn Bus>> {
        Ok(Arc::clone(&self.0) as Arc<dyn Bus>)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A part of a server that is this case's own, by its prefix.
struct Redis {
    url: String,
}

impl Redis {
    fn new(url: &str) -> Self {
        let and = if url.contains('?') { '&' } else { '?' };
        // The machine that runs all tests at once is slow.
        Self { url: format!("{url}{and}prefix=test:{}:&timeout_ms=10000", uuid::Uuid::now_v7()) }
    }
}

#[async_trait]
impl Fixture for Redis {
    async fn bus(&self) -> Result<Arc<dyn Bus>> {
        Ok(Arc::new(RedisBus::open(EngineUrl::parse(&self.url)?).await?))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
