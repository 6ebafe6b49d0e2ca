//! `chat4all rebuild`: whether a store is what its events give, and making it so.

use super::migrate::differences;
use super::operator_link::{Stopped, run as run_to_end, say, say_json};
use super::settings::EngineArgs;
use super::tell::teller;
use chat4all_server::clock::system_clock;
use chat4all_server::installation::Installation;
use chat4all_server::operator::{Checked, Link, Rebuilt, check, rebuild};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is looked at or made anew.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --write nothing is changed. With it, stop all servers first: on a data folder the lock sees to it; on engines
across a network only routers are noticed. Run again after it was cut off; until then no server starts on the store.
Exit codes: 0 all is as the events say, 1 it is not.")]
pub struct Options {
    /// Make the tables anew from the events, and store what the log holds beyond them
    #[arg(long)]
    write: bool,
    /// A folder with a GiB of room, for a store to compare with. Left out: the data folder, or that for temporary files
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engines: EngineArgs,
}

/// Compares, makes anew if asked to, and says what was found.
pub fn run(options: Options) -> ExitCode {
    run_to_end(async move {
        let installation = open(&options).await?;
        let folder = installation.folder().map(|folder| folder.path().to_owned());
        let scratch = options.scratch.clone().or(folder).unwrap_or_else(std::env::temp_dir);
        let (engines, note) = (installation.engines.clone(), teller());
        let outcome = if options.write {
            rebuild(&engines, &scratch, &note).await.map(Outcome::Rebuilt)
        } else {
            check(&engines, &scratch, &note).await.map(Outcome::Checked)
        };
        drop(engines);
        installation.close().await;
        let outcome = outcome.map_err(|error| Stopped(error.to_string()))?;
        outcome.say(options.json)?;
        Ok(if outcome.now().differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn open(options: &Options) -> Result<Installation, Stopped> {
    let urls = options.engines.urls();
    if urls.in_folder() {
        if urls.files().contains(&"store.db") && !urls.data.join("store.db").is_file() {
            return Err(Stopped(format!("there is no installation in {}", urls.data.display())));
        }
        if Link::to_running(&urls.data).await.is_some() {
            return Err(Stopped("a server runs on this folder; stop it first".to_owned()));
        }
    }
    Installation::open(&urls, &system_clock()).await.map_err(|error| Stopped(error.to_string()))
}

enum Outcome {
    Checked(Checked),
    Rebuilt(Rebuilt),
}

impl Outcome {
    /// How the store is now.
    fn now(&self) -> &Checked {
        match self {
            Self::Checked(checked) => checked,
            Self::Rebuilt(rebuilt) => &rebuilt.after,
        }
    }

    fn say(&self, json: bool) -> Result<(), Stopped> {
        match self {
            Self::Checked(checked) if json => return say_json(checked),
            Self::Rebuilt(rebuilt) if json => return say_json(rebuilt),
            _ => {}
        }
        self.lines().iter().try_for_each(|line| say(line))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.now().counts.iter().map(|(part, count)| format!("{count:>12} {part}")).collect();
        if let Self::Rebuilt(rebuilt) = self {
            lines.push(format!("Before: {} differences.", rebuilt.before.differences.count));
            lines.extend(differences(&rebuilt.before.differences));
        }
        let now = &self.now().differences;
        lines.extend(differences(now));
        lines.push(match (now.is_empty(), self) {
            (true, _) => "The store is what its events give.".to_owned(),
            (false, Self::Checked(_)) => {
                "The store is not what its events give; stop the servers and run this with --write."
                    .to_owned()
            }
            (false, Self::Rebuilt(_)) => {
                "The store is not what its events give: events are damaged; restore a backup.".to_owned()
            }
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn options(data: &Path) -> Options {
        Options { write: false, scratch: None, json: false, engines: EngineArgs::of(data) }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let Stopped(why) = open(&options(&data)).await.err().unwrap();
        assert!(why.contains("no installation") && !data.exists(), "{why}");
    }

    #[test]
    fn what_was_wrong_and_what_still_is_are_told_apart() {
        let mut before = Checked::default();
        before.differences.count = 1;
        let after = Checked::default();
        let lines = Outcome::Rebuilt(Rebuilt { before, after }).lines();
        assert_eq!(lines.first().map(String::as_str), Some("Before: 1 differences."));
        assert_eq!(lines.last().map(String::as_str), Some("The store is what its events give."));
    }
}
