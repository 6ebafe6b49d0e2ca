//! The `chat4all` binary: the server's commands and a client's.

mod cli;

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
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Client(command) => cli::run(command),
    }
}
