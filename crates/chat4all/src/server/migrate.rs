//! `chat4all migrate`: an installation of a data folder, copied to other engines.

use super::operator_link::{Stopped, run as run_to_end, say, say_json};
use super::tell::teller;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::blobs;
use chat4all_server::clock::system_clock;
use chat4all_server::installation::{EMBEDDED, EngineUrls, Installation};
use chat4all_server::operator::{Counts, Differences, Link, Migrated, migrate};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is copied where.
#[derive(Debug, Args)]
#[command(after_help = "\
Run again after it was cut off, it goes on. Until it has come to its end, no server starts on the target.
Exit codes: 0 everything is there and the same, 1 it is not.")]
pub struct Options {
    /// The data folder to copy. No server may run on it
    #[arg(long, value_name = "FOLDER", default_value = "./data")]
    from: PathBuf,
    /// Where to copy it, several times: `kafka://…` for the log, `cassandra://…` or `postgres://…` for conversations and
    /// accounts, a data folder for what is left. They must hold nothing
    #[arg(long, value_name = "URL", required = true)]
    to: Vec<String>,
    /// Where accounts go, if not to where conversations go
    #[arg(long, value_name = "URL")]
    accounts_url: Option<String>,
    /// Partitions of the new log. Left out: 4, of Kafka 32
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: Option<u32>,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Copies, and says what was copied.
pub fn run(options: Options) -> ExitCode {
    run_to_end(async move {
        let migrated = copy(&options).await?;
        if options.json {
            say_json(&migrated)?;
        } else {
            for line in lines(&options, &migrated) {
                say(&line)?;
            }
        }
        Ok(if migrated.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn copy(options: &Options) -> Result<Migrated, Stopped> {
    let mut target = target(options)?;
    if !options.from.join("log.db").is_file() {
        return Err(Stopped(format!("there is no installation in {}", options.from.display())));
    }
    if Link::to_running(&options.from).await.is_some() {
        let why = format!("a server runs on {}; stop it first", options.from.display());
        return Err(Stopped(why));
    }
    let clock = system_clock();
    let open = async |urls: &EngineUrls| {
        Installation::open(urls, &clock).await.map_err(|error| Stopped(error.to_string()))
    };
    let from = open(&EngineUrls::embedded(options.from.clone())).await?;
    target.epoch = from.engines.log.epoch() + 1;
    target.blobs = from.folder().map_or(target.blobs, |folder| blobs::url_of(&absolute(folder.path())));
    let to = open(&target).await?;
    let migrated = migrate(&from.engines, &to.engines, &teller()).await;
    from.close().await;
    to.close().await;
    migrated.map_err(|error| Stopped(error.to_string()))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Gives each URL its port, by its scheme.
fn target(options: &Options) -> Result<EngineUrls, Stopped> {
    let (mut data, mut log, mut store) = (None, None, None);
    for url in &options.to {
        let place = match url.split_once("://").map(|(scheme, _)| scheme) {
            None => &mut data,
            Some("kafka") => &mut log,
            Some("cassandra" | "postgres" | "postgresql") => &mut store,
            Some(scheme) => {
                let why = format!(
                    "`{scheme}://` takes nothing of what is copied; leave it out (the log goes to `kafka://`, all else \
                     to `cassandra://` or `postgres://`)"
                );
                return Err(Stopped(why));
            }
        };
        if place.replace(url.clone()).is_some() {
            return Err(Stopped(format!("two of --to take the same; {} is the second", shown(url))));
        }
    }
    if data.is_none() && (log.is_none() || store.is_none()) {
        let (what, how) = match log {
            None => ("log", "`kafka://…`"),
            Some(_) => ("store", "`cassandra://…` or `postgres://…`"),
        };
        return Err(Stopped(format!("--to names no {what}: add {how}, or a data folder")));
    }
    let embedded = || EMBEDDED.to_owned();
    Ok(EngineUrls {
        log: log.unwrap_or_else(embedded),
        store: store.unwrap_or_else(embedded),
        accounts: options.accounts_url.clone(),
        partitions: options.partitions,
        ..EngineUrls::embedded(data.map(PathBuf::from).unwrap_or_default())
    })
}

/// A URL without its password, or a folder.
fn shown(url: &str) -> String {
    EngineUrl::parse(url).map_or_else(|_| url.to_owned(), |url| url.to_string())
}

fn lines(options: &Options, migrated: &Migrated) -> Vec<String> {
    let Some(counts) = &migrated.counts else {
        return vec!["the target is complete already; nothing was done".to_owned()];
    };
    let mut lines = vec![format!("{} holds:", options.from.display())];
    lines.extend(told(counts).into_iter().map(|(what, count)| format!("  {count:>12} {what}")));
    if migrated.differences.is_empty() {
        lines.push(format!(
            "The target has all of it, and says the same. Its log is of epoch {}.",
            migrated.epoch
        ));
        lines.push(format!(
            "Start the servers there with the same secret, which is in {}, and none on {} any more.",
            options.from.join("secret").display(),
            options.from.display()
        ));
        lines.push("Clients refetch their conversations once; everybody stays signed in.".to_owned());
    } else {
        lines.extend(differences(&migrated.differences));
        lines.push(
            "The target cannot be served. Empty it and migrate again; report it if that does not help."
                .to_owned(),
        );
    }
    lines
}

fn told(counts: &Counts) -> Vec<(String, u64)> {
    let mut told: Vec<(String, u64)> = Vec::new();
    told.extend(counts.accounts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)));
    told.extend(counts.store.iter().map(|(part, count)| (part.to_string(), *count)));
    told.push(("dead letters".to_owned(), counts.dead_letters));
    told.extend(counts.log.iter().map(|(topic, count)| (format!("records of `{topic}` taken over"), *count)));
    told
}

/// What two stores say differently, one line each.
pub(super) fn differences(differences: &Differences) -> Vec<String> {
    let mut lines: Vec<String> =
        differences.first.iter().map(|one| format!("DIFFERS  {}: {}", one.of, one.what)).collect();
    let more = differences.count - differences.first.len() as u64;
    if more > 0 {
        lines.push(format!("DIFFERS  {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(to: &[&str]) -> Options {
        let to = to.iter().map(|url| (*url).to_owned()).collect();
        Options { from: "./data".into(), to, accounts_url: None, partitions: None, json: false }
    }

    #[test]
    fn each_url_finds_its_port() {
        let urls = target(&options(&["postgres://me@db/chat", "kafka://a,b"])).unwrap();
        assert_eq!((urls.log.as_str(), urls.store.as_str()), ("kafka://a,b", "postgres://me@db/chat"));
        assert_eq!(urls.accounts(), "postgres://me@db/chat");
        let urls = target(&options(&["./new"])).unwrap();
        assert!(urls.is_embedded() && urls.data == std::path::Path::new("./new"));
        let urls = target(&options(&["./new", "cassandra://c/k"])).unwrap();
        assert_eq!((urls.log.as_str(), urls.store.as_str()), (EMBEDDED, "cassandra://c/k"));
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        for (to, words) in [
            (&["kafka://a"][..], "names no store"),
            (&["cassandra://a/k"], "names no log"),
            (&["kafka://a", "cassandra://a/k", "postgres://me:hush@a/d"], "two of --to"),
            (&["redis://a", "./new"], "leave it out"),
        ] {
            let Stopped(why) = target(&options(to)).unwrap_err();
            assert!(why.contains(words) && !why.contains("hush"), "{why}");
        }
    }
}
