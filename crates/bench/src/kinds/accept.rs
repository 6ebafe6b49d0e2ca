//! Durable accept: `POST /v1/messages` on keep-alive connections, each with one request under way.

use super::Metrics;
use super::load::{bump, content};
use crate::http::{Connection, Request};
use crate::server::{Program, Server};
use crate::setup::World;
use crate::stats::Latencies;
use crate::{Result, limits, probe};
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    pub(crate) connections: usize,
    pub(crate) groups: usize,
    pub(crate) members: usize,
    #[serde(default = "one")]
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
    /// Flags of the server once the groups are there: it is started again with them.
    #[serde(default)]
    pub(crate) restart_args: Vec<String>,
}

fn one() -> f64 {
    1.0
}

/// Who posts what: a token and the conversation.
type Seat = (String, String);

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let world = World::start(program, params.groups, params.members, &params.restart_args).await?;
    let seats = world.groups.iter().flat_map(|group| {
        group.members.iter().map(|user| (user.access_token.clone(), group.conversation_id.clone()))
    });
    drive(params, &world.server, seats.collect()).await
}

pub(crate) async fn limit(params: &Params) -> Result<Metrics> {
    let folder = tempfile::tempdir()?;
    let server = Server::limit(folder.path(), "limit-http").await?;
    let seat = (limits::http::token()?, "g:0190f5d2-7c1e-7000-8000-000000000001".to_owned());
    drive(params, &server, vec![seat]).await
}

async fn drive(params: &Params, server: &Server, seats: Vec<Seat>) -> Result<Metrics> {
    probe::require_files(params.connections)?;
    let (accepted, latencies) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Latencies::default())));
    let mut posters = JoinSet::new();
    let addresses = server.addresses.iter().copied().cycle();
    for (number, ((token, conversation), address)) in
        (0..params.connections).zip(seats.into_iter().cycle().zip(addresses))
    {
        let poster = post_for_ever(
            address,
            number,
            token,
            conversation,
            (Rc::clone(&accepted), Rc::clone(&latencies)),
        );
        posters.spawn_local(poster);
    }
    let measure = async {
        sleep(Duration::from_secs_f64(params.warm_up)).await;
        let (began, before) = (Instant::now(), accepted.get());
        latencies.replace(Latencies::default());
        let (server_cpu, own_cpu) = (server.cpu_time()?, probe::cpu_time(std::process::id())?);
        sleep(Duration::from_secs_f64(params.seconds)).await;
        let (seconds, count) = (began.elapsed().as_secs_f64(), (accepted.get() - before) as f64);
        let server_cpu = server.cpu_time()?.saturating_sub(server_cpu).as_secs_f64();
        let own_cpu = probe::cpu_time(std::process::id())?.saturating_sub(own_cpu).as_secs_f64();
        let mut latencies = latencies.borrow_mut();
        Ok(Metrics::from([
            ("accepted_per_s", count / seconds),
            ("p50_ms", latencies.percentile_ms(0.5)),
            ("p99_ms", latencies.percentile_ms(0.99)),
            ("cpu_us_per_message", server_cpu * 1e6 / count),
            ("generator_percent", own_cpu * 100.0 / seconds),
        ]))
    };
    tokio::select! {
        metrics = measure => metrics,
        Some(ended) = posters.join_next() => Err(format!("a poster stopped: {:?}", ended?.err()).into()),
    }
}

async fn post_for_ever(
    address: SocketAddr,
    number: usize,
    token: String,
    conversation: String,
    (accepted, latencies): (Rc<Cell<u64>>, Rc<RefCell<Latencies>>),
) -> Result<()> {
    let body = format!(r#"{{"conversation_id":"{conversation}","content":"{}"}}"#, content());
    let mut connection = Connection::open(address).await?;
    for count in 0_u64.. {
        let key = format!("{number}-{count}");
        let request = Request {
            method: "POST",
            path: "/v1/messages",
            token: Some(&token),
            idempotency_key: Some(&key),
            body: Some(body.as_bytes()),
        };
        let began = Instant::now();
        let answer = connection.send(request).await?;
        latencies.borrow_mut().record(began.elapsed());
        if answer.status != 202 {
            let body = String::from_utf8_lossy(answer.body);
            return Err(format!("answered {}: {body}", answer.status).into());
        }
        bump(&accepted);
    }
    Ok(())
}
