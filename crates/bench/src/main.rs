//! `chat4all-bench`: drives a server as people would, measures it, and sets the limits beside it in the same run.
//!
//! A scenario is a file (`scenarios/*.toml`): a kind of measurement, its numbers, the rows of the report.

mod frame;
mod http;
mod kinds;
mod limits;
mod probe;
mod report;
mod run;
mod scenario;
mod server;
mod setup;
mod site;
mod stats;
mod ws;

use chat4all_bench::chaos;
use clap::{Parser, Subcommand};
use run::{Sides, say};
use site::Site;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// What can go wrong is told to whoever runs the benchmark; nothing else is done with it.
type Fault = Box<dyn std::error::Error>;
type Result<T, E = Fault> = std::result::Result<T, E>;

/// Load, limits and the report.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios and print a table.
    Run(Options),
    /// Kill the server and cut its clients under load, and count what was lost.
    Chaos(chaos::Options),
    /// List the scenarios.
    List {
        /// A folder of scenario files in the place of the built-in ones.
        #[arg(long)]
        scenarios: Option<PathBuf>,
    },
    /// A bare HTTP server with a JWT check: the limit of `accept`.
    LimitHttp {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// A bare WebSocket server that copies frames: the limit of all that goes over sockets.
    LimitWs {
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[derive(Debug, clap::Args)]
struct Options {
    /// The server to measure; by default the `chat4all` beside this program.
    #[arg(long)]
    server_bin: Option<PathBuf>,
    /// Scenarios by name; by default all.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A file for the report, in Markdown.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Small numbers: does it work at all?
    #[arg(long)]
    quick: bool,
    /// A folder of scenario files in the place of the built-in ones.
    #[arg(long)]
    scenarios: Option<PathBuf>,
    /// Other numbers for the scenarios that are run: `--set rate=800 seconds=30`.
    #[arg(long, num_args = 1.., value_name = "PARAM=VALUE")]
    set: Vec<String>,
    /// Measure the limits only.
    #[arg(long)]
    limits_only: bool,
    /// With engines named, the same server on embedded ones takes the place of the limits.
    #[command(flatten)]
    site: Site,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(options) => measure(&options),
        Command::Chaos(options) => storm(&options),
        Command::List { scenarios } => list(scenarios),
        Command::LimitHttp { listen } => {
            on_all_cores().and_then(|runtime| runtime.block_on(limits::http::serve(listen)))
        }
        Command::LimitWs { listen } => {
            on_all_cores().and_then(|runtime| runtime.block_on(limits::ws::serve(listen)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("chat4all-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn on_all_cores() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

fn list(folder: Option<PathBuf>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for scenario in scenario::load(folder.as_deref(), &[], false, &[])? {
        writeln!(out, "{:16} {}", scenario.name, scenario.title)?;
    }
    Ok(())
}

fn measure(options: &Options) -> Result<()> {
    let server = match &options.server_bin {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("chat4all"),
    };
    let mut scenarios =
        scenario::load(options.scenarios.as_deref(), &options.only, options.quick, &options.set)?;
    scenarios.retain(|scenario| options.site.has_a_spare_router() || !scenario.kind.needs_processes());
    let sides = match (options.limits_only, options.site.is_embedded()) {
        (true, _) => Sides::LimitOnly,
        (false, true) => Sides::Both,
        (false, false) => Sides::BesideEmbedded,
    };
    // One thread: the server keeps the rest of the machine, and no counter needs a lock.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        outcomes.push(
            local.block_on(&runtime, run::run(scenario, (&server, &options.site), options.rounds, sides)),
        );
    }
    let mut out = std::io::stdout().lock();
    out.write_all(report::terminal(sides, &outcomes).as_bytes())?;
    if let Some(path) = &options.out {
        std::fs::write(path, report::markdown(&options.command_line(), options.rounds, sides, &outcomes))?;
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.faults.is_empty()).count();
    if failed > 0 {
        return Err(format!("{failed} of {} scenarios have rounds without figures", outcomes.len()).into());
    }
    Ok(())
}

/// Exit code 1 says that the server broke its word.
fn storm(options: &chaos::Options) -> Result<()> {
    let report = on_all_cores()?.block_on(chaos::run(options)).map_err(|error| error as Fault)?;
    let text = report.markdown(&options.command());
    std::io::stdout().lock().write_all(text.as_bytes())?;
    if let Some(path) = &options.report {
        std::fs::write(path, text)?;
    }
    if report.findings.is_empty() { Ok(()) } else { Err("the server broke its word".into()) }
}

impl Options {
    /// The command that gives the same table elsewhere: without paths of this machine.
    fn command_line(&self) -> String {
        let mut line = format!("chat4all-bench run --rounds {}", self.rounds);
        if self.quick {
            line.push_str(" --quick");
        }
        if self.limits_only {
            line.push_str(" --limits-only");
        }
        if !self.only.is_empty() {
            line.push_str(" --only ");
            line.push_str(&self.only.join(" "));
        }
        if !self.set.is_empty() {
            line.push_str(" --set ");
            line.push_str(&self.set.join(" "));
        }
        line + &self.site.command_line()
    }
}
