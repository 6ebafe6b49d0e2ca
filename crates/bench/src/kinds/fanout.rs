//! One message to everybody in a large group, against a server that only copies frames to sockets.

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
    sockets: usize,
    /// Messages under way at once; the next goes out when one has reached everybody.
    outstanding: usize,
    warm_up: f64,
    seconds: f64,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let world = World::start(program, 1, params.sockets, &[]).await?;
    drive(params, &world.server, &world.groups).await
}

pub(crate) async fn limit(params: &Params) -> Result<Metrics> {
    let folder = tempfile::tempdir()?;
    let server = Server::limit(folder.path(), "limit-ws").await?;
    drive(params, &server, &limits::ws::groups(1, params.sockets)).await
}

async fn drive(params: &Params, server: &Server, groups: &[Group]) -> Result<Metrics> {
    probe::require_files(params.sockets)?;
    let pressure = Pressure {
        senders: 1,
        outstanding: params.outstanding,
        until: Until::Everyone,
        verify: false,
        at_most: u64::MAX,
    };
    let mut load = Load::start(&server.addresses, groups, pressure).await?;
    load.run_for(Duration::from_secs_f64(params.warm_up)).await?;
    let window = Window::open(&load.tally, server)?;
    load.run_for(Duration::from_secs_f64(params.seconds)).await?;
    let rates = window.close(&load.tally, server)?;
    load.finish().await?;
    Ok(Metrics::from([
        ("deliveries_per_s", rates.deliveries_per_s),
        ("messages_per_s", rates.messages_per_s),
        ("cpu_us_per_delivery", rates.cpu_us_per_message / params.sockets as f64),
        ("generator_percent", rates.generator_percent),
    ]))
}
