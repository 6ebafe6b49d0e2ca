//! `chat4all dead-letters`: what could not be read, and another try.

use super::admin::all;
use super::logging::moment;
use super::operator_link::{Stopped, run as run_to_end, say, say_json, segment};
use super::settings::EngineArgs;
use chat4all_server::dead_letters::DeadLetterView;
use chat4all_server::operator::{Link, LinkError};
use clap::Subcommand;
use std::process::ExitCode;

/// What an operator does with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List them, oldest first
    List {
        /// One JSON object a line, with the payload
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        engines: EngineArgs,
    },
    /// Put one back into its topic, or all that were not yet
    Replay {
        /// Its id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        engines: EngineArgs,
    },
}

/// Runs the command. The exit code is 1 if one could not be replayed.
pub fn run(command: Command) -> ExitCode {
    run_to_end(async {
        match command {
            Command::List { json, engines } => {
                let link = engines.existing().await?;
                let print =
                    |letter: DeadLetterView| if json { say_json(&letter) } else { say(&line(&letter)) };
                all(&link, "/dead-letters", print).await?;
                link.close().await;
                Ok(ExitCode::SUCCESS)
            }
            Command::Replay { id, engines, .. } => {
                let link = engines.existing().await?;
                let refused = replay(&link, id).await?;
                link.close().await;
                Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
            }
        }
    })
}

/// Whether one was refused.
async fn replay(link: &Link, id: Option<String>) -> Result<bool, Stopped> {
    let mut ids = Vec::from_iter(id);
    if ids.is_empty() {
        let waiting = |letter: DeadLetterView| {
            ids.extend(letter.replayed_at.is_none().then_some(letter.id));
            Ok(())
        };
        all(link, "/dead-letters", waiting).await?;
    }
    let mut refused = false;
    for id in ids {
        let path = format!("/dead-letters/{}/replay", segment(&id));
        match link.post::<DeadLetterView>(&path, &()).await {
            Ok(letter) => say(&format!("{}  replayed", letter.id))?,
            Err(LinkError::Refused(why)) => {
                refused = true;
                say(&format!("{id}  {}", why.detail))?;
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(refused)
}

fn line(letter: &DeadLetterView) -> String {
    let replayed =
        letter.replayed_at.map_or_else(|| "waiting".to_owned(), |at| format!("replayed {}", moment(at)));
    format!("{}  {}/{}  {replayed}  {}", letter.id, letter.topic, letter.offset, letter.reason)
}
