//! How many commands wait to be decided.

use super::inputs::topic;
use super::projector::Hears;
use crate::engines::Engines;
use crate::shutdown::Shutdown;
use chat4all_model::record::Input;
use metrics::{Gauge, gauge};
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(1);

/// Tells it of a partition, for as long as it is this router's.
pub(super) async fn run(engines: Engines, partition: u32, hears: Hears, mut shutdown: Shutdown) {
    let inputs = [Input::Messages, Input::StatusUpdates];
    let gauges = inputs.map(|input| (input, told(input, partition)));
    loop {
        let decided = hears.progress();
        for (input, gauge) in &gauges {
            // The end of a log that does not answer is not known; what is not well is told elsewhere.
            if let Ok(bounds) = engines.log.bounds(topic(*input), partition).await {
                let next = decided.source(*input).map_or(bounds.start, |source| source.offset + 1);
                #[expect(clippy::cast_precision_loss, reason = "a gauge")]
                gauge.set(bounds.end.saturating_sub(next) as f64);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.asked() => break,
        }
    }
    // From now on another router tells.
    for (_, gauge) in &gauges {
        gauge.set(0.0);
    }
}

fn told(input: Input, partition: u32) -> Gauge {
    gauge!("kafka_consumer_lag", "topic" => topic(input).name(), "partition" => partition.to_string())
}
