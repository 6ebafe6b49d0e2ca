//! A short storm over the real binary, on every set of engines; `make chaos` and `make chaos-cluster` blow the long ones.
#![expect(clippy::print_stdout, reason = "a test shows what the storm was")]

mod sets;

use chat4all_bench::chaos::{self, ClusterOptions, Options};
use libtest_mimic::{Arguments, Failed, Trial};
use sets::{SETS, Set};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = SETS.into_iter().map(|set| {
        let name = format!("{}::a_server_that_is_killed_under_load_keeps_its_word", set.name);
        let there = set.is_there();
        Trial::test(name, move || storm(&set)).with_ignored_flag(!there)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn storm(set: &Set) -> Result<(), Failed> {
    let place = set.place(&format!("storm{}", std::process::id()));
    let embedded = set.is_embedded();
    let mut flags = place.map(|place| place.flags()).unwrap_or_default();
    if !embedded {
        flags.push("--partitions=4".into());
    }
    let options = Options {
        server_bin: Some(env!("CARGO_BIN_EXE_chat4all").into()),
        server_args: flags,
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
    if report.toll.kills + report.toll.stops < 2 || report.toll.cuts < 3 || report.acked < 100 {
        return Err(format!("hardly anything happened:\n{text}").into());
    }
    Ok(())
}
