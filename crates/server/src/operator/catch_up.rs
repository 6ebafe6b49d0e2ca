//! Bringing a store up to its log while no server does.

use super::agreement::{self, Agreement};
use crate::engines::Engines;
use crate::events::{Events, Happening};
use crate::router::publish;
use chat4all_backend::log::Topic;
use chat4all_backend::store::Projection;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;

/// Brings every partition up to its log, and gives the progress of each.
///
/// # Errors
/// `Invalid` if store and log are not of one history.
pub(super) async fn catch_up_all(engines: &Engines) -> Result<Vec<Progress>> {
    let mut reached = Vec::new();
    for partition in 0..engines.log.partitions() {
        match agreement::look(engines, partition).await?.agreement {
            Agreement::Agrees => reached.push(catch_up(engines, partition).await?),
            Agreement::Disagrees(why) | Agreement::Hole(why) => {
                let why = format!(
                    "partition {partition}: {why}; store and log must be of one history first: see `chat4all doctor`"
                );
                return Err(Error::new(ErrorKind::Invalid, why));
            }
        }
    }
    Ok(reached)
}

/// Publishes and projects what the store lacks of a partition that agrees.
pub(super) async fn catch_up(engines: &Engines, partition: u32) -> Result<Progress> {
    let end = engines.log.bounds(Topic::Events, partition).await?.end;
    let mut progress = engines.store.progress(partition).await?;
    if progress.next() >= end {
        return Ok(progress);
    }
    let mut events = Events::after(engines.log.as_ref(), partition, progress).await?;
    while events.progress().next() < end {
        let seen = events.next().await?;
        progress = *events.progress();
        let mut projection = Projection { progress, ..Projection::default() };
        for seen in seen {
            match seen.what {
                Happening::Term { .. } => projection.terms.push(seen.offset),
                Happening::Counted { counted, .. } => projection.counted.push(counted),
                Happening::Ignored => {}
            }
        }
        publish(engines.log.as_ref(), partition, &projection.counted).await?;
        engines.store.project(partition, projection).await?;
    }
    Ok(progress)
}
