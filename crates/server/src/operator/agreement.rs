//! Whether the store and the log are of one history.

use crate::engines::Engines;
use chat4all_backend::Result;
use chat4all_backend::log::{Bounds, EventLog, Topic};
use chat4all_model::id::short_hash;
use chat4all_model::reader::{LastRead, Progress};
use chat4all_model::record::{Input, Source};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a record that must be there may take to come.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// What is known of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Which.
    pub partition: u32,
    /// The term in force, as far as the store has come.
    pub term: Option<u64>,
    /// Records of `events` that the store does not have yet.
    pub events_behind: u64,
    /// Commands of `messages` that the store does not know to be decided.
    pub messages_behind: u64,
    /// The same of `status-updates`.
    pub status_updates_behind: u64,
    /// Whether progress and log agree.
    pub agreement: Agreement,
}

/// How the store's progress stands to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// The log holds what the store was made of, or goes on where it stands.
    Agrees,
    /// The log is another one than the store was made of, and why that is so.
    Disagrees(String),
    /// The log begins after what the store has: events between them are lost to the store.
    Hole(String),
}

/// Looks at one partition.
pub(super) async fn look(engines: &Engines, partition: u32) -> Result<PartitionState> {
    let log = engines.log.as_ref();
    // Progress first: what is projected meanwhile only brings it nearer to the log's end.
    let progress = engines.store.progress(partition).await?;
    let events = log.bounds(Topic::Events, partition).await?;
    let messages = log.bounds(Topic::Messages, partition).await?;
    let status_updates = log.bounds(Topic::StatusUpdates, partition).await?;
    Ok(PartitionState {
        partition,
        term: progress.term,
        events_behind: events.end.saturating_sub(progress.next().max(events.start)),
        messages_behind: behind(progress.source(Input::Messages), messages),
        status_updates_behind: behind(progress.source(Input::StatusUpdates), status_updates),
        agreement: agreement(log, partition, &progress, [events, messages, status_updates]).await?,
    })
}

fn behind(source: Option<Source>, bounds: Bounds) -> u64 {
    bounds.end.saturating_sub(source.map_or(0, |source| source.offset + 1).max(bounds.start))
}

async fn agreement(
    log: &dyn EventLog,
    partition: u32,
    progress: &Progress,
    [events, messages, status_updates]: [Bounds; 3],
) -> Result<Agreement> {
    let disagrees = |why: String| Ok(Agreement::Disagrees(why));
    let epoch = log.epoch();
    if progress.epoch != 0 && progress.epoch != epoch {
        return disagrees(format!(
            "the store was made of epoch {} of the log, this is epoch {epoch}",
            progress.epoch
        ));
    }
    for (input, bounds) in [(Input::Messages, messages), (Input::StatusUpdates, status_updates)] {
        let Some(source) = progress.source(input) else { continue };
        if source.epoch != epoch || source.offset >= bounds.end {
            return disagrees(format!(
                "the store knows commands up to {} of epoch {}, the log ends at {} of epoch {epoch}",
                source.offset, source.epoch, bounds.end
            ));
        }
    }
    let Some(last) = progress.last else {
        // Nothing is trimmed before it is stored.
        let why = format!("the store has no events, the log begins at {}", events.start);
        return Ok(if events.start == 0 { Agreement::Agrees } else { Agreement::Hole(why) });
    };
    if last.offset >= events.end {
        let why = format!("the store has events up to {}, the log ends at {}", last.offset, events.end);
        return disagrees(why);
    }
    if last.offset + 1 < events.start {
        let why = format!("the store has events up to {}, the log begins at {}", last.offset, events.start);
        return Ok(Agreement::Hole(why));
    }
    if last.offset >= events.start && !same_record(log, partition, last).await? {
        let why = format!("the log holds another record at {} than the store was made of", last.offset);
        return disagrees(why);
    }
    Ok(Agreement::Agrees)
}

async fn same_record(log: &dyn EventLog, partition: u32, last: LastRead) -> Result<bool> {
    let mut follower = log.follow(Topic::Events, partition, last.offset).await?;
    // A log that holds nothing there any more waits for the next record.
    let Ok(records) = tokio::time::timeout(READ_WITHIN, follower.next()).await else { return Ok(false) };
    Ok(records?.first().is_some_and(|r| r.offset == last.offset && short_hash(&r.payload) == last.hash))
}
