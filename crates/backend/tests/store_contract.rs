//! The contract of the store × every engine, one named test each; and what some promise beside.
#![expect(clippy::print_stderr, reason = "a test says why it does not run")]

#[path = "store_contract/cassandra.rs"]
mod cassandra;
#[path = "store_contract/embedded.rs"]
mod embedded;
#[path = "store_contract/postgres.rs"]
mod postgres;

use chat4all_backend::store::contract::{Case, Fixture, cases};
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
    Engine { name: "cassandra", fixture: cassandra::fixture },
    Engine { name: "postgres", fixture: postgres::fixture },
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = ENGINES.iter().flat_map(contract).collect::<Vec<_>>();
    trials.extend(embedded::trials());
    trials.extend(cassandra::trials());
    trials.extend(postgres::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Err(why) = cassandra::clean_up() {
        eprintln!("keyspaces were left behind: {}", why.message().unwrap_or_default());
    }
    conclusion.exit_code()
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
