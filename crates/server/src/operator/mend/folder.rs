//! Mending a data folder: a new log is made beside the old one and takes its place.

use super::{Mended, plan};
use crate::clock::Clock;
use crate::engines::Embedded;
use crate::operator::take_over::{Present, take_over};
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::{self, EmbeddedLog, Topic};
use chat4all_backend::store::{Projection, Store};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the new log is made, in the data folder.
const WORKSHOP: &str = "mend";

/// Mends the data folder. With nothing wrong it changes nothing.
///
/// A kill at any step leaves a folder that is as it was, or that disagrees still and can be mended again.
///
/// # Errors
/// `Invalid` where mending cannot help: the log lacks events that the store needs. Of the engines.
pub async fn mend_folder(folder: DataFolder, clock: &Clock) -> Result<Mended> {
    let had_log = folder.file("log.db").exists();
    let embedded = Embedded::open(folder.clone(), None, clock)?;
    let engines = embedded.engines();
    let Some(plan) = plan(&engines, had_log).await? else {
        embedded.close().await;
        return Ok(Mended::NOTHING);
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
