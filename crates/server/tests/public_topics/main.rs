//! The schemas of the public topics: not stale, readable by whoever could read the ones before, and judged alike by a
//! real schema registry.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says why it does not run"
)]

mod backward;
mod changes;
mod committed;
mod registry;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        test(
            "committed::the_schemas_are_those_that_the_code_makes",
            committed::are_those_that_the_code_makes,
        ),
        test("committed::every_object_is_closed", committed::every_object_is_closed),
        test("backward::what_breaks_readers_is_named", backward::what_breaks_readers_is_named),
        test("backward::what_does_not_is_let_through", backward::what_does_not_is_let_through),
    ];
    trials.extend(registry::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn test(name: &str, run: fn()) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}
