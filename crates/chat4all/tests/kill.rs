//! A short storm over the real binary, on every set of engines; `make chaos` and `make chaos-cluster` blow the long ones.
#![expect(clippy::print_stdout, reason = "a test shows what the storm was")]

use chat4all_bench::chaos::{self, ClusterOptions, Options};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// Engines that are tried together.
struct Set {
    name: &'static str,
    /// Flag of `serve`, variable of the environment that has the URL, and what makes it this run's own.
    urls: &'static [(&'static str, &'static str, &'static str)],
}

const KAFKA: (&str, &str, &str) = ("--log-url", "CHAT4ALL_TEST_KAFKA_URL", "/{run}");
const REDIS: (&str, &str, &str) = ("--bus-url", "CHAT4ALL_TEST_REDIS_URL", "?prefix={run}");
const CASSANDRA: (&str, &str, &str) = ("--store-url", "CHAT4ALL_TEST_CASSANDRA_URL", "/{run}?replication=1");
const POSTGRES: (&str, &str, &str) = ("--store-url", "CHAT4ALL_TEST_POSTGRES_URL", "?schema={run}");

const SETS: &[Set] = &[
    Set { name: "embedded", urls: &[] },
    Set { name: "kafka_cassandra_redis", urls: &[KAFKA, CASSANDRA, REDIS] },
    Set { name: "kafka_postgres_redis", urls: &[KAFKA, POSTGRES, REDIS] },
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = SETS.iter().map(|set| {
        let name = format!("{}::a_server_that_is_killed_under_load_keeps_its_word", set.name);
        Trial::test(name, || storm(set)).with_ignored_flag(set.flags().is_none())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

impl Set {
    /// Flags of the server; none if an engine is not there.
    fn flags(&self) -> Option<Vec<String>> {
        let run = format!("storm{}", std::process::id());
        let flag = |(flag, variable, own): &(&str, &str, &str)| {
            let url = std::env::var(variable).ok()?;
            Some(format!("{flag}={url}{}", own.replace("{run}", &run)))
        };
        let mut flags = self.urls.iter().map(flag).collect::<Option<Vec<_>>>()?;
        if !flags.is_empty() {
            flags.extend(["--partitions=4".into(), format!("--secret={}", "not a secret ".repeat(4))]);
        }
        Some(flags)
    }
}

fn storm(set: &Set) -> Result<(), Failed> {
    let embedded = set.urls.is_empty();
    let options = Options {
        server_bin: Some(env!("CARGO_BIN_EXE_chat4all").into()),
        server_args: set.flags().ok_or("an engine is not there")?,
        clients: 8,
        conversations: 4,
        seconds: if embedded { 15.0 } else { 45.0 },
        // The group notices a death after six seconds, and then has a life to lose again.
        kill_every: if embedded { 1.2 } else { 9.0 },
        cut_every: 2.0,
        remove_every: 1.0,
        rate: 6.0,
        burst: 300,
        seed: 11,
        report: None,
        over: ClusterOptions::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(chaos::run(&options)).map_err(|error| Failed::from(error.to_string()))?;
    let text = report.markdown(&options.command());
    println!("{text}");
    if !report.findings.is_empty() {
        return Err(format!("the server broke its word:\n{text}").into());
    }
    // A storm in which nothing happened proves nothing.
    if report.toll.kills < 2 || report.toll.cuts < 3 || report.acked < 100 {
        return Err(format!("hardly anything happened:\n{text}").into());
    }
    Ok(())
}
