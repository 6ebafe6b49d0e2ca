//! Projecting what a router that is gone left behind, until its heir is found: who has heard of a fact waits for it to
//! be readable, and the group takes seconds to notice a death. Safe, for projecting may be done by several at once.

use super::projector::{answer, projection};
use super::{RouterOptions, publish};
use crate::engines::Engines;
use crate::events::Events;
use crate::shutdown::Shutdown;
use chat4all_backend::Result;
use chat4all_backend::log::Topic;
use chat4all_model::reader::LastRead;
use metrics::counter;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

/// How often the others' partitions are looked at. What stood still between two looks is projected.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks at the partitions that are not `mine` until `shutdown`.
pub(super) async fn run(
    engines: Engines,
    options: RouterOptions,
    mine: watch::Receiver<Vec<u32>>,
    mut shutdown: Shutdown,
) {
    let mut stood: HashMap<u32, Option<LastRead>> = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.asked() => return,
        }
        for partition in 0..engines.log.partitions() {
            if mine.borrow().contains(&partition) {
                stood.remove(&partition);
                continue;
            }
            let looked = tokio::select! {
                looked = look(&engines, &options, partition, &mut stood) => looked,
                () = shutdown.asked() => return,
            };
            if let Err(error) = looked {
                tracing::debug!(partition, %error, "another router's partition cannot be projected");
            }
        }
    }
}

/// Projects a partition up to its end if its progress has not moved since the last look.
async fn look(
    engines: &Engines,
    options: &RouterOptions,
    partition: u32,
    stood: &mut HashMap<u32, Option<LastRead>>,
) -> Result<()> {
    let log = engines.log.as_ref();
    let mut progress = answer(engines.store.progress(partition)).await?;
    if stood.insert(partition, progress.last) != Some(progress.last) {
        return Ok(());
    }
    let bounds = answer(log.bounds(Topic::Events, partition)).await?;
    if progress.next() >= bounds.end || progress.next() < bounds.start {
        return Ok(());
    }
    tracing::info!(partition, "nobody projects this partition; doing it");
    let mut events = answer(Events::after(log, partition, progress)).await?;
    while progress.next() < bounds.end {
        let seen = answer(events.next()).await?;
        progress = *events.progress();
        let run = projection(seen, progress);
        publish::publish(log, partition, &run.counted).await?;
        let facts: usize = run.counted.iter().map(|counted| counted.facts.len()).sum();
        answer(engines.store.project(partition, run)).await?;
        (options.on_progress)(partition, &progress);
        counter!("events_projected_total").increment(facts as u64);
    }
    stood.insert(partition, progress.last);
    Ok(())
}
