//! What files need of their store × every engine, one named test each; and what only S3, or only a folder, has beside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stderr, reason = "a test says why it does not run")]

#[path = "blobs_contract/cases.rs"]
mod cases;
#[path = "blobs_contract/folder.rs"]
mod folder;
#[path = "blobs_contract/s3.rs"]
mod s3;

use chat4all_backend::blobs::Blobs;
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// A case's name and what it tries on an empty store. It panics if something does not hold.
type Case = (&'static str, fn(Blobs) -> LocalBoxFuture<'static, ()>);

/// A row of a table of cases: the function's name is the case's.
macro_rules! table {
    ($($name:ident),* $(,)?) => {
        pub const CASES: &[crate::Case] = &[$((stringify!($name), |blobs| Box::pin($name(blobs)))),*];
    };
}
use table;

/// A row of the table of engines.
struct Engine {
    name: &'static str,
    /// Why it is not there: its cases are then ignored, not passed.
    missing: fn() -> Option<String>,
    /// Runs a case on an empty store of its own.
    run: fn(Case) -> LocalBoxFuture<'static, ()>,
    /// What only this engine promises.
    own: &'static [Case],
}

const ENGINES: &[Engine] = &[
    Engine { name: "folder", missing: || None, run: |case| Box::pin(folder::run(case)), own: folder::CASES },
    Engine { name: "s3", missing: s3::missing, run: |case| Box::pin(s3::run(case)), own: s3::CASES },
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, ENGINES.iter().flat_map(contract).collect()).exit_code()
}

fn contract(engine: &'static Engine) -> impl Iterator<Item = Trial> {
    let missing = (engine.missing)();
    if let Some(why) = &missing {
        eprintln!("{} is not there: {why}", engine.name);
    }
    cases::CASES.iter().chain(engine.own).map(move |case| {
        Trial::test(format!("{}::{}", engine.name, case.0), || run(engine, *case))
            .with_ignored_flag(missing.is_some())
    })
}

fn run(engine: &Engine, case: Case) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on((engine.run)(case));
    Ok(())
}
