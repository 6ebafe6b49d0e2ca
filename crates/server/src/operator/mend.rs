//! Making one history again of a store and a log that are of two: the log was recreated, cut, or restored from
//! another moment.
//!
//! The log becomes a new one, of a new epoch, and holds the commands that the old one does not show as decided.
//! Deciding them goes on from the store's heads, so that no `seq` is given twice; what the store has already is
//! known by its id. Clients' cursors are of the old epoch and expire, so that they refetch.

use super::agreement::{self, Agreement};
use super::catch_up::catch_up;
use super::take_over::{Present, take_over};
use crate::clock::Clock;
use crate::engines::{Embedded, Engines};
use crate::events::Events;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::{self, EmbeddedLog, EventLog, Topic};
use chat4all_backend::store::{Projection, Store};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use chat4all_model::record::Input;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// The most partitions a log can have.
const MAX_PARTITIONS: u32 = 1024;
/// Where the new log is made, in the data folder.
const WORKSHOP: &str = "mend";

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// The epoch of the log now; none if nothing had to be done.
    pub epoch: Option<u32>,
    /// Commands taken over into it.
    pub commands: u64,
    /// Where the old log is kept.
    pub old_log: Option<PathBuf>,
}

/// Mends the data folder. With nothing wrong it changes nothing.
///
/// A kill at any step leaves a folder that is as it was, or that disagrees still and can be mended again.
///
/// # Errors
/// `Invalid` where mending cannot help: the log lacks events that the store needs. Of the engines.
pub async fn mend(folder: DataFolder, clock: &Clock) -> Result<Mended> {
    let had_log = folder.file("log.db").exists();
    let embedded = Embedded::open(folder.clone(), None, clock)?;
    let engines = embedded.engines();
    let Some(plan) = plan(&engines, had_log).await? else {
        embedded.close().await;
        return Ok(Mended { epoch: None, commands: 0, old_log: None });
    };
    let workshop = folder.file(WORKSHOP);
    if workshop.exists() {
        // Of a mending that was killed; the log beside it is still the true one.
        fs::remove_dir_all(&workshop).map_err(|e| Error::new(ErrorKind::Unavailable, e))?;
    }
    let options = log::Options {
        partitions: Some(plan.partitions),
        epoch: plan.epoch,
        clock: Arc::clone(clock),
        ..log::Options::default()
    };
    let new_log = EmbeddedLog::open(&DataFolder::open(&workshop)?, options)?;
    let old = engines.log.as_ref();
    let mut commands = 0;
    let none = &mut Present::default();
    for (partition, (messages, status_updates)) in (0..).zip(&plan.undecided) {
        commands += take_over(old, &new_log, (Topic::Messages, partition), *messages, none).await?;
        commands +=
            take_over(old, &new_log, (Topic::StatusUpdates, partition), *status_updates, none).await?;
        // What is on its way to other platforms.
        take_over(old, &new_log, (Topic::WhatsappOutbound, partition), 0, none).await?;
        take_over(old, &new_log, (Topic::InstagramOutbound, partition), 0, none).await?;
    }
    new_log.close().await;
    embedded.log.close().await;
    let old_log = swap(&folder, had_log, clock())?;
    // Behind the swap: a progress of the new epoch beside the old log would hide what is wrong.
    for partition in 0..plan.partitions {
        let progress = Progress { epoch: plan.epoch, ..Progress::default() };
        embedded.store.project(partition, Projection { progress, ..Projection::default() }).await?;
    }
    embedded.store.close().await;
    Ok(Mended { epoch: Some(plan.epoch), commands, old_log })
}

struct Plan {
    epoch: u32,
    partitions: u32,
    /// By partition of the old log: the first commands of `messages` and `status-updates` that are not decided as far
    /// as it shows.
    undecided: Vec<(u64, u64)>,
}

/// What is to be done; none if nothing is. Of partitions that agree, the store gets what it lacks.
async fn plan(engines: &Engines, had_log: bool) -> Result<Option<Plan>> {
    let mut epoch = engines.log.epoch();
    let mut used = 0;
    for partition in 0..MAX_PARTITIONS {
        let progress = engines.store.progress(partition).await?;
        if progress != Progress::default() {
            used = partition + 1;
        }
        let sources = [progress.messages, progress.status_updates];
        epoch = sources.iter().flatten().map(|source| source.epoch).fold(epoch.max(progress.epoch), u32::max);
    }
    let of_log = engines.log.partitions();
    // A log made anew may have been given another number; the store's conversations stay where they are.
    let partitions = if used > of_log || (used > 0 && !had_log) { used } else { of_log };
    let mut agrees = partitions == of_log;
    let mut undecided = Vec::new();
    for partition in 0..of_log {
        let decided = match agreement::look(engines, partition).await?.agreement {
            Agreement::Agrees => catch_up(engines, partition).await?,
            Agreement::Disagrees(_) => {
                agrees = false;
                shown_by(engines.log.as_ref(), partition).await?
            }
            Agreement::Hole(why) => {
                let why = format!(
                    "partition {partition} cannot be mended: {why}; restore a backup of the store that is not older \
                     than the log's start"
                );
                return Err(Error::new(ErrorKind::Invalid, why));
            }
        };
        let next = |input| decided.source(input).map_or(0, |source| source.offset + 1);
        undecided.push((next(Input::Messages), next(Input::StatusUpdates)));
    }
    Ok((!agrees).then_some(Plan { epoch: epoch + 1, partitions, undecided }))
}

/// How far the log itself shows commands as decided.
async fn shown_by(log: &dyn EventLog, partition: u32) -> Result<Progress> {
    let bounds = log.bounds(Topic::Events, partition).await?;
    let mut events = Events::after(log, partition, Progress::default()).await?;
    while bounds.start < bounds.end && events.progress().next() < bounds.end {
        events.next().await?;
    }
    Ok(*events.progress())
}

/// Puts the new log in the old one's place, which is kept aside if it was there before.
fn swap(folder: &DataFolder, had_log: bool, now: u64) -> Result<Option<PathBuf>> {
    let failed = |e: std::io::Error| Error::new(ErrorKind::Unavailable, e);
    let log = folder.file("log.db");
    // Closed cleanly the log leaves neither; one that stayed would be taken for the new log's.
    for path in ["log.db-wal", "log.db-shm"].map(|name| folder.file(name)) {
        if path.exists() {
            let why = format!("{} is in use; close what has it open", path.display());
            return Err(Error::new(ErrorKind::Conflict, why));
        }
    }
    let kept = had_log.then(|| folder.file(&format!("log.db.{now}.bak")));
    if let Some(kept) = &kept {
        fs::hard_link(&log, kept).map_err(failed)?;
    }
    let workshop = folder.file(WORKSHOP);
    fs::rename(workshop.join("log.db"), &log).map_err(failed)?;
    fs::remove_dir_all(&workshop).map_err(failed)?;
    fs::File::open(folder.path()).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(kept)
}
