//! What the storm blows over: one server, or a cluster.

use super::cluster::{Cluster, Struck};
use super::faults::{self, Toll};
use super::process::Process;
use super::{Options, Result};
use rand::rngs::StdRng;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// See the module.
pub(super) enum Ground {
    /// A server of our own.
    Server(Process),
    /// A cluster that runs already.
    Cluster(Cluster),
}

/// How it came through.
pub(super) enum Aftermath {
    /// How long each start of the server took.
    Starts(Vec<Duration>),
    /// What was done to the cluster.
    Blows(Vec<Struck>),
}

impl Ground {
    pub(super) async fn of(options: &Options, data: &Path) -> Result<Self> {
        if let Some(cluster) = Cluster::of(&options.over)? {
            return Ok(Self::Cluster(cluster));
        }
        let program = match &options.server_bin {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("chat4all"),
        };
        let mut flags = vec!["--auth-limits", "off", "--log-level", "warn"];
        flags.extend(options.server_args.iter().map(String::as_str));
        let mut process = Process::new(&program, data, &flags)?;
        process.start().await?;
        Ok(Self::Server(process))
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Server(process) => process.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// How long the storm blows.
    pub(super) fn length(&self, options: &Options) -> Duration {
        match self {
            Self::Server(_) => Duration::from_secs_f64(options.seconds),
            Self::Cluster(cluster) => cluster.length(),
        }
    }

    /// Does to it whatever is done, and has it whole at the end.
    pub(super) async fn storm(self, every: Duration, until: Instant, rng: StdRng) -> Result<(Self, Toll)> {
        match self {
            Self::Server(process) => {
                let (process, toll) = faults::server(process, every, until, rng).await?;
                Ok((Self::Server(process), toll))
            }
            Self::Cluster(mut cluster) => {
                cluster.storm().await?;
                Ok((Self::Cluster(cluster), Toll::default()))
            }
        }
    }

    /// Ends it; gives what crashed, and how it came through.
    pub(super) async fn end(self) -> Result<(Vec<String>, Aftermath)> {
        match self {
            Self::Server(mut process) => {
                let mut crashes = Vec::new();
                match process.ended()? {
                    Some(end) => crashes.push(format!("ended with {end}")),
                    None => process.stop().await?,
                }
                let output = process.output();
                crashes.extend(output.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
                Ok((crashes, Aftermath::Starts(process.starts.clone())))
            }
            Self::Cluster(cluster) => Ok((cluster.panics().await?, Aftermath::Blows(cluster.struck))),
        }
    }
}
