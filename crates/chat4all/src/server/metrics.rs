//! What is measured, and in which units.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// Bounds of the histograms of durations, in seconds: from a cached read to a request that gave up.
const SECONDS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// How often histograms are folded; between two scrapes they would only grow.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts measuring. Once a process, within its runtime.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    let folded = handle.clone();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("metrics are recorded elsewhere already");
    }
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            folded.run_upkeep();
        }
    });
    Ok(handle)
}
