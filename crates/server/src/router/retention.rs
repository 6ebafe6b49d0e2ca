//! Trimming what is decided, projected and old enough.

use super::RouterOptions;
use super::inputs::topic;
use super::projector::Hears;
use crate::engines::Engines;
use crate::public_topics::READER;
use crate::shutdown::Shutdown;
use chat4all_backend::Result;
use chat4all_backend::log::Topic;
use chat4all_model::record::Input;
use std::time::Duration;

/// How often it looks. The log's times are good to a minute.
const PERIOD: Duration = Duration::from_secs(60);
/// Without a retention the disk should not wait for it.
const SHORT_PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn run(
    engines: Engines,
    options: RouterOptions,
    partition: u32,
    hears: Hears,
    mut shutdown: Shutdown,
) {
    let Some(retention) = options.retention else { return };
    let period = if retention < PERIOD { SHORT_PERIOD } else { PERIOD };
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = shutdown.asked() => return,
        }
        if !hears.is_following() {
            continue;
        }
        let now = (options.clock)();
        let old = now.saturating_sub(u64::try_from(retention.as_millis()).unwrap_or(u64::MAX));
        tokio::select! {
            trimmed = trim(&engines, &options, partition, (!retention.is_zero()).then_some(old)) => {
                if let Err(error) = trimmed {
                    tracing::warn!(partition, %error, "trimming the log failed; trying again");
                }
            }
            () = shutdown.asked() => return,
        }
    }
}

/// Inputs go up to the last command decided, events up to the newest term before what a power cut would leave
/// projected and every durable reader has read; neither past what is younger than `old`, if that is given.
async fn trim(engines: &Engines, options: &RouterOptions, partition: u32, old: Option<u64>) -> Result<()> {
    let log = engines.log.as_ref();
    let progress = engines.store.synced_progress(partition).await?;
    // What is known of another incarnation says nothing of this one.
    if progress.epoch != log.epoch() {
        return Ok(());
    }
    let bound = |topic: Topic, limit: u64| async move {
        match old {
            Some(old) => {
                Ok::<_, chat4all_backend::Error>(limit.min(log.offset_at(topic, partition, old).await?))
            }
            None => Ok(limit),
        }
    };
    for input in [Input::Messages, Input::StatusUpdates] {
        if let Some(source) = progress.source(input).filter(|source| source.epoch == log.epoch()) {
            let before = bound(topic(input), source.offset + 1).await?;
            log.trim(topic(input), partition, before).await?;
        }
    }
    // The record last projected stays, by which the log is known again.
    let mut limit = bound(Topic::Events, progress.last.map_or(0, |last| last.offset)).await?;
    if options.public_topics.is_some() {
        let place = engines.store.reader(&READER, partition).await?;
        let read = place.last.filter(|_| place.epoch == log.epoch());
        limit = limit.min(read.map_or(0, |last| last.offset));
    }
    let terms = engines.store.terms(partition).await?;
    if let Some(term) = terms.into_iter().rfind(|term| *term <= limit) {
        log.trim(Topic::Events, partition, term).await?;
    }
    Ok(())
}
