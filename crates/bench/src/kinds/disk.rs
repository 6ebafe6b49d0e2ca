//! Bytes on disk for each stored message, over all files, before and after the log is trimmed.

use super::Metrics;
use super::load::{Load, Pressure, Until};
use crate::limits::table::Table;
use crate::server::Program;
use crate::setup::World;
use crate::{Result, probe};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const DELIVERED_WITHIN: Duration = Duration::from_secs(600);
const TRIMMED_WITHIN: Duration = Duration::from_secs(120);
/// The folder has stopped shrinking when it keeps its size for so long.
const STABLE_FOR: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    groups: usize,
    members: usize,
    messages: u64,
    outstanding: usize,
    /// Flags of a start after which nothing of the log is kept.
    trim_args: Vec<String>,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let World { server, groups, folder } = World::start(program, params.groups, params.members, &[]).await?;
    let data = folder.path().join("data");
    let pressure = Pressure {
        senders: params.members,
        outstanding: params.outstanding,
        until: Until::Event,
        verify: false,
        at_most: params.messages,
    };
    let before = probe::disk_bytes(&data)?;
    let mut load = Load::start(&server.addresses, &groups, pressure).await?;
    load.run_until_done(params.messages, DELIVERED_WITHIN).await?;
    load.finish().await?;
    server.stop().await?;
    let with_log = probe::disk_bytes(&data)?;

    let server = program.start(&data, &params.trim_args).await?;
    wait_until_stable(&data).await?;
    server.stop().await?;
    let trimmed = probe::disk_bytes(&data)?;
    let per_message = |bytes: u64| bytes.saturating_sub(before) as f64 / params.messages as f64;
    Ok(Metrics::from([
        ("bytes_with_log", per_message(with_log)),
        ("bytes_trimmed", per_message(trimmed)),
        ("bytes_at_first", before as f64),
    ]))
}

async fn wait_until_stable(data: &Path) -> Result<()> {
    let deadline = Instant::now() + TRIMMED_WITHIN;
    let (mut size, mut since) = (probe::disk_bytes(data)?, Instant::now());
    while since.elapsed() < STABLE_FOR && Instant::now() < deadline {
        sleep(Duration::from_millis(200)).await;
        // A file may go away between listing and looking.
        if let Ok(now) = probe::disk_bytes(data)
            && now != size
        {
            (size, since) = (now, Instant::now());
        }
    }
    Ok(())
}

pub(crate) async fn limit(params: &Params) -> Result<Metrics> {
    let (messages, groups) = (params.messages, params.groups as u64);
    let weighed = tokio::task::spawn_blocking(move || -> Result<u64, String> {
        weigh_table(messages, groups).map_err(|error| error.to_string())
    });
    let per_message = weighed.await?? as f64 / messages as f64;
    Ok(Metrics::from([("bytes_with_log", per_message), ("bytes_trimmed", per_message)]))
}

fn weigh_table(messages: u64, groups: u64) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let mut table = Table::create(folder.path())?;
    table.fill(messages, groups)?;
    table.close()?;
    probe::disk_bytes(folder.path())
}
