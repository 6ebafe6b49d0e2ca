//! Messages stored and delivered: groups online, every member sends in a closed loop and receives everything.

use super::Metrics;
use super::load::{Load, Pressure, Until, Window};
use crate::server::{Program, Server};
use crate::setup::{Group, World};
use crate::{Result, limits, probe};
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    groups: usize,
    members: usize,
    outstanding: usize,
    until: Until,
    #[serde(default)]
    verify: bool,
    warm_up: f64,
    seconds: f64,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let world = World::start(program, params.groups, params.members, &[]).await?;
    drive(params, &world.server, &world.groups).await
}

/// The same frames with nothing stored: what generator and sockets alone would allow.
pub(crate) async fn limit(params: &Params) -> Result<Metrics> {
    let folder = tempfile::tempdir()?;
    let server = Server::limit(folder.path(), "limit-ws").await?;
    drive(params, &server, &limits::ws::groups(params.groups, params.members)).await
}

async fn drive(params: &Params, server: &Server, groups: &[Group]) -> Result<Metrics> {
    probe::require_files(params.groups * params.members)?;
    let pressure = Pressure {
        senders: params.members,
        outstanding: params.outstanding,
        until: params.until,
        verify: params.verify,
        at_most: u64::MAX,
    };
    let mut load = Load::start(&server.addresses, groups, pressure).await?;
    load.run_for(Duration::from_secs_f64(params.warm_up)).await?;
    let window = Window::open(&load.tally, server)?;
    load.run_for(Duration::from_secs_f64(params.seconds)).await?;
    let rates = window.close(&load.tally, server)?;
    load.finish().await?;
    Ok(Metrics::from([
        ("messages_per_s", rates.messages_per_s),
        ("deliveries_per_s", rates.deliveries_per_s),
        ("cpu_us_per_message", rates.cpu_us_per_message),
        ("generator_percent", rates.generator_percent),
        ("peak_rss_mib", server.peak_rss_kib()? / 1024.0),
    ]))
}
