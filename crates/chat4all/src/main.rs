//! The `chat4all` binary: the server's commands and a client's.

mod cli;
mod server;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A chat platform to host yourself.
#[derive(Parser)]
#[command(name = "chat4all", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<server::settings::Settings>),
    /// Manage people, invites and the audit log
    Admin {
        #[command(subcommand)]
        command: server::admin::Command,
    },
    /// List and replay commands that could not be read
    DeadLetters {
        #[command(subcommand)]
        command: server::dead_letters::Command,
    },
    /// Say what is well and what is not, and mend it
    Doctor(server::doctor::Options),
    /// Copy the installation of a data folder to other engines
    Migrate(server::migrate::Options),
    /// Say whether a store is what its events give, and make it so
    Rebuild(Box<server::rebuild::Options>),
    /// Print the settings in force, or the reference of all
    Config(Box<server::config::Options>),
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(settings) => server::serve::run(*settings),
        Command::Admin { command } => server::admin::run(command),
        Command::DeadLetters { command } => server::dead_letters::run(command),
        Command::Doctor(options) => server::doctor::run(options),
        Command::Migrate(options) => server::migrate::run(options),
        Command::Rebuild(options) => server::rebuild::run(*options),
        Command::Config(options) => server::config::run(*options),
        Command::Client(command) => cli::run(command),
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    #[test]
    fn every_command_can_be_parsed() {
        Arguments::command().debug_assert();
    }
}
