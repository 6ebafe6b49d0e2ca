//! The contract of accounts × every engine, one named test each; and what each engine promises beside.
#![expect(clippy::print_stderr, reason = "a test says why it does not run")]

#[path = "accounts_contract/cassandra.rs"]
mod cassandra;
#[path = "accounts_contract/embedded.rs"]
mod embedded;
#[path = "accounts_contract/postgres.rs"]
mod postgres;

use chat4all_backend::accounts::{Case, Fixture, cases};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// A row of the table of engines.
struct Engine {
    name: &'static str,
    /// A fixture for one case, or why the engine is not there: its cases are then ignored, not passed.
    fixture: fn() -> Result<Arc<dyn Fixture>, String>,
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
    if let Err(error) = cassandra::clean_up() {
        eprintln!("keyspaces of the tests are left: {error}");
    }
    conclusion.exit_code()
}

fn contract(engine: &'static Engine) -> Vec<Trial> {
    let probe = (engine.fixture)();
    if let Err(why) = &probe {
        eprintln!("{} is not there: {why}", engine.name);
    }
    let trial = |case: Case| {
        Trial::test(format!("{}::{}", engine.name, case.name), move || run(engine, &case))
            .with_ignored_flag(probe.is_err())
    };
    cases().into_iter().map(trial).collect()
}

fn run(engine: &Engine, case: &Case) -> Result<(), Failed> {
    let fixture = (engine.fixture)()?;
    runtime()?.block_on((case.run)(fixture));
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
