//! How many commands wait to be decided, and how many records of facts to be told to others.

use super::inputs::topic;
use super::projector::Hears;
use crate::engines::Engines;
use crate::shutdown::Shutdown;
use chat4all_backend::log::Topic;
use chat4all_model::record::Input;
use metrics::{Gauge, gauge};
use std::time::Duration;
use tokio::sync::watch;

const PERIOD: Duration = Duration::from_secs(1);

/// Tells it of a partition, for as long as it is this router's.
pub(super) async fn run(
    engines: Engines,
    partition: u32,
    hears: Hears,
    place: watch::Receiver<Option<u64>>,
    mut shutdown: Shutdown,
) {
    let inputs = [Input::Messages, Input::StatusUpdates];
    let gauges = inputs.map(|input| (input, undecided(input, partition)));
    let untold = gauge!("public_topics_lag", "partition" => partition.to_string());
    loop {
        let decided = hears.progress();
        for (input, gauge) in &gauges {
            let next = decided.source(*input).map(|source| source.offset + 1);
            measure(&engines, topic(*input), partition, next, gauge).await;
        }
        let next = *place.borrow();
        if next.is_some() {
            measure(&engines, Topic::Events, partition, next, &untold).await;
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.asked() => break,
        }
    }
    // From now on another router tells.
    for gauge in gauges.iter().map(|(_, gauge)| gauge).chain([&untold]) {
        gauge.set(0.0);
    }
}

/// Records from `next` on; all of them without it.
async fn measure(engines: &Engines, topic: Topic, partition: u32, next: Option<u64>, gauge: &Gauge) {
    // The end of a log that does not answer is not known; what is not well is told elsewhere.
    if let Ok(bounds) = engines.log.bounds(topic, partition).await {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge.set(bounds.end.saturating_sub(next.unwrap_or(bounds.start)) as f64);
    }
}

fn undecided(input: Input, partition: u32) -> Gauge {
    gauge!("kafka_consumer_lag", "topic" => topic(input).name(), "partition" => partition.to_string())
}
