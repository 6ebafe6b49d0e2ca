//! The contract of the event log × every engine, one named test each; and what each promises beside.
#![expect(clippy::print_stderr, reason = "a test says why it does not run")]

#[path = "log_contract/crash.rs"]
mod crash;
#[path = "log_contract/embedded.rs"]
mod embedded;
#[path = "log_contract/kafka.rs"]
mod kafka;

use chat4all_backend::log::contract::{Case, Fixture, cases};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// A row of the table of engines.
struct Engine {
    name: &'static str,
    /// A fixture for one case, or why the engine is not there: its cases are then ignored, not passed.
    fixture: fn() -> Result<Box<dyn Fixture>, String>,
}

const ENGINES: &[Engine] = &[
    Engine { name: "embedded", fixture: embedded::fixture },
    Engine { name: "kafka", fixture: kafka::fixture },
];

fn main() -> ExitCode {
    if let Ok(place) = std::env::var(crash::PLACE) {
        return crash::append_until_killed(&place);
    }
    if let Ok(url) = std::env::var(kafka::MEMBER_OF) {
        return kafka::be_a_member(&url);
    }
    let arguments = Arguments::from_args();
    let mut trials = ENGINES.iter().flat_map(contract).collect::<Vec<_>>();
    trials.extend(embedded::trials());
    trials.extend(kafka::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn contract(engine: &'static Engine) -> Vec<Trial> {
    let probe = (engine.fixture)();
    if let Err(why) = &probe {
        eprintln!("{} is not there: {why}", engine.name);
    }
    let concerns = |case: &&Case| match &probe {
        Ok(fixture) => case.needs.iter().all(|capability| fixture.can(*capability)),
        Err(_) => true,
    };
    cases()
        .filter(concerns)
        .map(|case| {
            Trial::test(format!("{}::{}", engine.name, case.name), || run(engine, case))
                .with_ignored_flag(probe.is_err())
        })
        .collect()
}

fn run(engine: &Engine, case: &Case) -> Result<(), Failed> {
    let fixture = (engine.fixture)()?;
    runtime()?.block_on((case.run)(&*fixture)).map_err(Failed::from)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
