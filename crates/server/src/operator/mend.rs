//! Making one history again of a store and a log that are of two: the log was recreated, cut, or restored from
//! another moment.
//!
//! The log becomes a new one, of a new epoch, and holds the commands that the old one does not show as decided.
//! Deciding them goes on from the store's heads, so that no `seq` is given twice; what the store has already is
//! known by its id. Clients' cursors are of the old epoch and expire, so that they refetch.

mod folder;
mod kafka;

pub use folder::mend_folder;
pub use kafka::mend_kafka;

use super::agreement::{self, Agreement};
use super::catch_up::catch_up;
use crate::engines::Engines;
use crate::events::Events;
use chat4all_backend::log::{EventLog, Topic};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use chat4all_model::record::Input;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The most partitions a log can have.
const MAX_PARTITIONS: u32 = 1024;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// The epoch of the log now; none if nothing had to be done.
    pub epoch: Option<u32>,
    /// Commands taken over into it.
    pub commands: u64,
    /// Where the old log is kept, if it is.
    pub old_log: Option<PathBuf>,
}

impl Mended {
    const NOTHING: Self = Self { epoch: None, commands: 0, old_log: None };
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
