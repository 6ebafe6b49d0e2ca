//! A cluster under the storm: many processes and engines, driven by `scripts/cluster.sh`, with a schedule of what is
//! done to them (`storms/cluster.txt`).

use super::Result;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SCHEDULE: &str = include_str!("../../storms/cluster.txt");
/// Between two blows, so that each finds a whole cluster.
const REST: Duration = Duration::from_secs(3);
/// How long a blow takes beside its waits, for guessing the length of the storm.
const RECOVERY: Duration = Duration::from_secs(15);

/// Which cluster, and how long the waits are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClusterOptions {
    /// The script that runs the cluster: the storm then blows over that in the place of one server.
    #[arg(long, requires = "url")]
    pub cluster: Option<PathBuf>,
    /// Where the cluster serves.
    #[arg(long)]
    pub url: Option<String>,
    /// Nodes of the store, by the names the script gives them.
    #[arg(long, value_delimiter = ',', default_value = "cassandra-1,cassandra-2,cassandra-3")]
    pub store_nodes: Vec<String>,
    /// Only blows whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    pub blows: Vec<String>,
    /// The longest wait of a schedule, in seconds.
    #[arg(long, default_value_t = LONGEST_WAIT)]
    pub longest_wait: f64,
}

/// In seconds.
const LONGEST_WAIT: f64 = 300.0;

impl ClusterOptions {
    /// What was chosen of the store and the schedule, as arguments of `chaos-cluster.sh`.
    pub(super) fn command(&self) -> String {
        let mut flags = String::new();
        if self.store_nodes.iter().any(|node| node.starts_with("postgres")) {
            flags += "--store postgres ";
        }
        if !self.blows.is_empty() {
            flags += &format!("--blows '{}' ", self.blows.join(","));
        }
        if self.longest_wait < LONGEST_WAIT {
            flags += &format!("--longest-wait {} ", self.longest_wait);
        }
        flags
    }
}

/// One thing done to the cluster.
#[derive(Debug, Clone, PartialEq)]
struct Blow {
    name: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Wait(Duration),
    /// A command of the script and its nodes.
    Do(Vec<String>),
}

/// A blow that was struck, and how long it was until the cluster was whole again.
#[derive(Debug, Clone, PartialEq)]
pub struct Struck {
    /// Its name in the schedule.
    pub name: String,
    /// From the first step to the end of the last.
    pub took: Duration,
}

/// A cluster that runs.
#[derive(Debug)]
pub struct Cluster {
    script: PathBuf,
    url: String,
    blows: Vec<Blow>,
    /// What was done to it so far.
    pub struck: Vec<Struck>,
}

impl Cluster {
    /// The cluster of these options; none if they name none.
    ///
    /// # Errors
    /// If the schedule cannot be read.
    pub fn of(options: &ClusterOptions) -> Result<Option<Self>> {
        let (Some(script), Some(url)) = (&options.cluster, &options.url) else { return Ok(None) };
        let longest = Duration::from_secs_f64(options.longest_wait);
        let wanted = |blow: &Blow| {
            options.blows.is_empty() || options.blows.iter().any(|part| blow.name.contains(part.as_str()))
        };
        let blows = read(SCHEDULE, &options.store_nodes, longest)?;
        let blows = blows.into_iter().filter(wanted).collect();
        Ok(Some(Self { script: script.clone(), url: url.clone(), blows, struck: Vec::new() }))
    }

    /// Where it serves.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// About how long the schedule takes.
    #[must_use]
    pub fn length(&self) -> Duration {
        let waits = self.blows.iter().flat_map(|blow| &blow.steps).map(|step| match step {
            Step::Wait(wait) => *wait,
            Step::Do(_) => Duration::ZERO,
        });
        waits.sum::<Duration>() + (REST + RECOVERY) * u32::try_from(self.blows.len()).unwrap_or(u32::MAX)
    }

    /// Strikes every blow of the schedule once, in order.
    ///
    /// # Errors
    /// If the script fails: a node that does not come back is the end of the storm.
    pub async fn storm(&mut self) -> Result<()> {
        for blow in self.blows.clone() {
            sleep(REST).await;
            tell(&blow.name);
            let begun = Instant::now();
            for step in &blow.steps {
                match step {
                    Step::Wait(wait) => sleep(*wait).await,
                    Step::Do(words) => {
                        self.script(words).await.map_err(|error| format!("{}: {error}", blow.name))?;
                    }
                }
            }
            self.struck.push(Struck { name: blow.name, took: begun.elapsed() });
        }
        Ok(())
    }

    /// Lines of the servers' logs that tell of a panic.
    ///
    /// # Errors
    /// If the script fails.
    pub async fn panics(&self) -> Result<Vec<String>> {
        let nodes = ["api-1", "api-2", "gateway-1", "gateway-2", "router-1", "router-2"];
        let words = std::iter::once("log").chain(nodes).map(str::to_owned).collect::<Vec<_>>();
        let paths = self.script(&words).await?;
        let mut panics = Vec::new();
        for path in paths.lines() {
            let text = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            panics.extend(text.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
        }
        Ok(panics)
    }

    /// What the script prints.
    async fn script(&self, words: &[String]) -> Result<String> {
        let (script, words) = (self.script.clone(), words.to_vec());
        let run = move || Command::new(script).args(words).stdin(Stdio::null()).output();
        let output = tokio::task::spawn_blocking(run).await??;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

/// Who watches a long storm wants to know where it is.
fn tell(name: &str) {
    use std::io::Write;
    // Nobody to tell is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "storm: {name}");
}

fn read(schedule: &str, store: &[String], longest: Duration) -> Result<Vec<Blow>> {
    let lines = schedule.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut blows = Vec::new();
    for line in lines {
        let (name, steps) = line.split_once(':').ok_or_else(|| format!("`{line}` has no name"))?;
        // What the store has no third node for is left out.
        if let Some(steps) =
            steps.split(';').map(|s| step(s, store, longest)).collect::<Result<Option<_>>>()?
        {
            blows.push(Blow { name: name.to_owned(), steps });
        }
    }
    Ok(blows)
}

/// A step; none if it names a node that the store does not have.
fn step(text: &str, store: &[String], longest: Duration) -> Result<Option<Step>> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        match word.strip_prefix("@store") {
            None => words.push(word.to_owned()),
            Some("") => words.extend(store.iter().cloned()),
            Some(number) => {
                let at: usize = number.trim_start_matches('-').parse()?;
                match store.get(at.wrapping_sub(1)) {
                    Some(node) => words.push(node.clone()),
                    None => return Ok(None),
                }
            }
        }
    }
    match words.as_slice() {
        [wait, seconds] if wait == "wait" => {
            Ok(Some(Step::Wait(Duration::from_secs_f64(seconds.parse()?).min(longest))))
        }
        [_, _, ..] => Ok(Some(Step::Do(words))),
        _ => Err(format!("`{text}` is no step").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_can_be_read_for_every_store() {
        let longest = Duration::from_secs(60);
        let three = ["cassandra-1", "cassandra-2", "cassandra-3"].map(str::to_owned);
        let all = read(SCHEDULE, &three, longest).unwrap();
        assert!(all.len() >= 25, "{}", all.len());
        assert!(all.iter().flat_map(|blow| &blow.steps).all(|step| *step != Step::Wait(Duration::ZERO)));
        let one = read(SCHEDULE, &["postgres".to_owned()], longest).unwrap();
        assert!(one.len() < all.len());
        let away = one.iter().find(|blow| blow.name == "all of the store away").unwrap();
        assert_eq!(away.steps[0], Step::Do(vec!["kill".into(), "postgres".into()]));
        assert!(read("x kill y", &[], longest).is_err());
        assert!(read("x: kill", &[], longest).is_err());
        assert!(read("x: wait long", &[], longest).is_err());
    }
}
