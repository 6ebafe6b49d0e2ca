//! Messages stored and delivered: groups online, every member sends in a closed loop and receives everything.

use super::Metrics;
use super::load::{Load, Pressure, Until, Window};
use crate::server::Program;
use crate::setup::World;
use crate::{Result, probe};
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
    probe::require_files(params.groups * params.members)?;
    let world = World::start(program, params.groups, params.members, &[]).await?;
    let pressure = Pressure {
        senders: params.members,
        outstanding: params.outstanding,
        until: params.until,
        verify: params.verify,
        at_most: u64::MAX,
    };
    let mut load = Load::start(world.server.address, &world.groups, pressure).await?;
    load.run_for(Duration::from_secs_f64(params.warm_up)).await?;
    let window = Window::open(&load.tally, world.server.pid())?;
    load.run_for(Duration::from_secs_f64(params.seconds)).await?;
    let rates = window.close(&load.tally, world.server.pid())?;
    load.finish().await?;
    Ok(Metrics::from([
        ("messages_per_s", rates.messages_per_s),
        ("deliveries_per_s", rates.deliveries_per_s),
        ("cpu_us_per_message", rates.cpu_us_per_message),
        ("generator_percent", rates.generator_percent),
        ("peak_rss_mib", probe::peak_rss_kib(world.server.pid())? / 1024.0),
    ]))
}
