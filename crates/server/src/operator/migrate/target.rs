//! The two ends of a migration: what the source is, and that the target was empty.

use super::super::digest::Tally;
use super::accounts::kinds;
use crate::engines::Engines;
use chat4all_backend::log::Topic;
use chat4all_backend::store::Projection;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;

/// Tells this source, and this state of it, from every other: a server that runs on it takes terms, and so appends.
pub(super) async fn fingerprint(from: &Engines) -> Result<u64> {
    let mut source = Tally::default();
    for partition in 0..from.log.partitions() {
        source.add(&(from.log.epoch(), partition, from.store.progress(partition).await?))?;
        for topic in Topic::ALL {
            let bounds = from.log.bounds(topic, partition).await?;
            source.add(&(topic.name(), partition, bounds.start, bounds.end))?;
        }
    }
    source.add(&kinds(from.accounts.as_ref()).await?)?;
    Ok(source.sum)
}

/// Refuses engines that hold anything.
pub(super) async fn require_empty(to: &Engines) -> Result<()> {
    let full = |what: &str| {
        let why = format!("the target is not empty, {what}; a migration needs engines that hold nothing yet");
        Err(Error::new(ErrorKind::Conflict, why))
    };
    for partition in 0..to.log.partitions() {
        if to.store.progress(partition).await? != Progress::default() {
            return full("a server has run on it");
        }
        for topic in Topic::ALL {
            let bounds = to.log.bounds(topic, partition).await?;
            if bounds.start < bounds.end {
                return full(&format!("its log has records in `{}`", topic.name()));
            }
        }
    }
    if !to.store.conversations(None, 1).await?.0.is_empty() {
        return full("its store has conversations");
    }
    let mut after = None;
    loop {
        let (page, next) = to.accounts.export(after, 1).await?;
        if !page.is_empty() {
            return full("it has accounts");
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Lets routers begin: what is in the store came before the target's log.
pub(super) async fn open(to: &Engines) -> Result<()> {
    for partition in 0..to.log.partitions() {
        let progress = Progress { epoch: to.log.epoch(), ..Progress::default() };
        to.store.project(partition, Projection { progress, ..Projection::default() }).await?;
    }
    Ok(())
}
