//! What is well and what is not, one line a check, with what to do.

use super::Operator;
use super::agreement::{self, Agreement, PartitionState};
use super::site::unfinished;
use chat4all_backend::Result;
use chat4all_backend::store::Store;
use chat4all_model::reader::Progress;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Below this, writes will soon be refused.
const LITTLE_SPACE: u64 = 1 << 30;
/// Below this, they may be refused at any moment.
const NO_SPACE: u64 = 64 << 20;
/// A write-ahead file that has grown to this is not being copied.
const LARGE_WAL: u64 = 256 << 20;
/// Records that wait, beyond a moment's burst.
const LONG_QUEUE: u64 = 10_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It works, and will not for ever.
    Warning,
    /// Something does not work.
    Bad,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Check {
    /// It is well.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Ok, detail: detail.into(), advice: None }
    }

    /// It works, and will not for ever.
    pub fn warning(name: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, advice: Some(advice.into()), ..Self::ok(name, detail) }
    }

    /// It does not work.
    pub fn bad(name: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Bad, advice: Some(advice.into()), ..Self::ok(name, detail) }
    }
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether a server runs on the folder.
    pub running: bool,
    /// One entry a check.
    pub checks: Vec<Check>,
    /// Of the log and the store; empty where they could not be read.
    pub partitions: Vec<PartitionState>,
}

impl Report {
    /// How bad the worst of it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok)
    }

    /// Whether log and store are of two histories, which mending makes one again.
    #[must_use]
    pub fn can_be_mended(&self) -> bool {
        self.partitions.iter().any(|state| matches!(state.agreement, Agreement::Disagrees(_)))
    }
}

pub(super) async fn report(operator: &Operator) -> Report {
    let engines = &operator.engines;
    let mut report = Report { running: operator.running, checks: Vec::new(), partitions: Vec::new() };
    report.checks.push(engine("accounts", engines.accounts.list(None, 1).await.map(|_| ())));
    report.checks.push(store(engines.store.as_ref()).await);
    match partitions(operator).await {
        Ok(partitions) => {
            let about = format!("{} partitions, epoch {}", engines.log.partitions(), engines.log.epoch());
            report.checks.push(Check::ok("log", about));
            report.checks.extend(partitions.iter().map(|state| partition(state, operator.running)));
            report.partitions = partitions;
        }
        Err(error) => report.checks.push(engine("log", Err(error))),
    }
    if let Some(folder) = &operator.folder {
        report.checks.push(space(folder));
        let embedded = |name: &&str| folder.join(format!("{name}.db")).is_file();
        let names = ["log", "store", "accounts"].into_iter().filter(embedded);
        report.checks.extend(names.map(|name| write_ahead(folder, name)));
    }
    report.checks.extend(operator.health.complaints().into_iter().map(|(what, why)| {
        Check::bad(what, why, "the server tries again by itself; if it lasts, its log says more")
    }));
    report
}

async fn partitions(operator: &Operator) -> Result<Vec<PartitionState>> {
    let engines = &operator.engines;
    let count = engines.log.partitions();
    let mut states = Vec::new();
    for partition in 0..count {
        states.push(agreement::look(engines, partition).await?);
    }
    if engines.store.progress(count).await? != Progress::default() {
        let why = format!("the store knows of a partition {count}, the log has {count} in all");
        states.push(PartitionState {
            partition: count,
            term: None,
            events_behind: 0,
            messages_behind: 0,
            status_updates_behind: 0,
            agreement: Agreement::Disagrees(why),
        });
    }
    Ok(states)
}

async fn store(store: &dyn Store) -> Check {
    match unfinished(store).await {
        Ok(Some(work)) => Check::bad("store", "is not complete", work.advice()),
        other => engine("store", other.map(|_| ())),
    }
}

fn engine(name: &str, outcome: Result<()>) -> Check {
    match outcome {
        Ok(()) => Check::ok(name, "answers"),
        Err(error) => Check::bad(
            name,
            error.to_string(),
            "if its file is damaged, restore a backup (of the store and the log, the one of the store is older)",
        ),
    }
}

fn partition(state: &PartitionState, running: bool) -> Check {
    let name = format!("partition {}", state.partition);
    match &state.agreement {
        Agreement::Disagrees(why) => {
            let advice = "store and log are of two histories; stop the server, then `chat4all doctor --mend`";
            return Check::bad(name, why, advice);
        }
        Agreement::Hole(why) => {
            let advice = "restore a backup of the store that is not older than the log's start";
            return Check::bad(name, why, advice);
        }
        Agreement::Agrees => {}
    }
    let waiting = state.messages_behind + state.status_updates_behind;
    let term = state.term.map_or_else(|| "no term".to_owned(), |term| format!("term {term}"));
    let behind = state.events_behind;
    let detail = format!("{term}, {waiting} commands to decide, {behind} records of events to store");
    if running && state.term.is_none() {
        return Check::bad(name, detail, "nothing is decided here; the server's log says why");
    }
    if running && waiting.max(behind) > LONG_QUEUE {
        return Check::warning(name, detail, "deciding or storing is behind; look at the disk and the CPU");
    }
    Check::ok(name, detail)
}

fn space(folder: &Path) -> Check {
    let stat = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat,
        Err(error) => return Check::warning("disk", error.to_string(), "the free space is not known"),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let detail = format!("{} MiB free on {}", free >> 20, folder.display());
    if free < NO_SPACE {
        Check::bad("disk", detail, "make space: writes are refused until there is some")
    } else if free < LITTLE_SPACE {
        Check::warning("disk", detail, "make space, or give the folder a larger disk")
    } else {
        Check::ok("disk", detail)
    }
}

fn write_ahead(folder: &Path, name: &str) -> Check {
    let file = format!("{name}.db-wal");
    let size = std::fs::metadata(folder.join(&file)).map_or(0, |file| file.len());
    let detail = format!("{} KiB", size >> 10);
    if size > LARGE_WAL {
        let advice =
            "something keeps it from being copied: a backup or a tool that has the file open for long";
        return Check::warning(file, detail, advice);
    }
    Check::ok(file, detail)
}
