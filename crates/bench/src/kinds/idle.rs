//! Idle sockets: what one costs in memory, and how fast they can be opened.

use super::Metrics;
use super::load::{connect_all, settle};
use crate::server::{Program, Server};
use crate::setup::{Group, User, World};
use crate::{Result, limits, probe};
use serde::Deserialize;
use std::rc::Rc;
use tokio::time::Instant;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    sockets: usize,
    /// People in each conversation.
    members: usize,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let world = World::start(program, params.sockets / params.members, params.members, &[]).await?;
    drive(&world.server, &world.groups).await
}

pub(crate) async fn limit(params: &Params) -> Result<Metrics> {
    let folder = tempfile::tempdir()?;
    let server = Server::limit(folder.path(), "limit-ws").await?;
    drive(&server, &limits::ws::groups(params.sockets / params.members, params.members)).await
}

async fn drive(server: &Server, groups: &[Group]) -> Result<Metrics> {
    let people: Vec<Rc<User>> = groups.iter().flat_map(|group| group.members.iter().cloned()).collect();
    let count = people.len();
    probe::require_files(count)?;
    settle().await;
    let before = server.rss_kib()?;
    let cpu = server.cpu_time()?;
    let began = Instant::now();
    let readers = connect_all(&server.addresses, people).await?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = server.cpu_time()?.saturating_sub(cpu).as_secs_f64();
    settle().await;
    let grown = server.rss_kib()? - before;
    drop(readers);
    Ok(Metrics::from([
        ("kib_per_socket", grown / count as f64),
        ("connects_per_s", count as f64 / seconds),
        ("cpu_us_per_connect", cpu * 1e6 / count as f64),
    ]))
}
