//! What a person or a script does with a server: everything here goes through the public API.

mod args;
mod chat;
mod credentials;
mod failure;
mod history;
mod people;
mod register;
mod send;
mod tail;
mod text;

pub(crate) use args::Command;

use std::{io::Write, process::ExitCode};

/// Runs a client command; the exit code says what kind of failure it met (see `chat4all --help`).
pub(crate) fn run(command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&error.into()),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Register(options) => register::run(options).await,
            Command::Token(who) => register::token(&who).await,
            Command::Send(options) => send::run(options).await,
            Command::Group(options) => send::group(options).await,
            Command::History(options) => history::run(options).await,
            Command::Conversations(options) => history::conversations(options).await,
            Command::Tail(options) => tail::run(options).await,
            Command::Chat(who) => chat::run(&who).await,
        }
    });
    // A password prompt or the keyboard's thread may still wait for a key.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure::report(&failure),
    }
}

/// A line on standard output. A reader that has gone away (`| head`) is an error, not a panic.
fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// A line to the person, beside the output.
fn note(line: &str) {
    // Nobody to tell that nobody can be told.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
