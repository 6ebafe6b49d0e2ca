//! What was accepted while nobody decided is decided: how fast a router gets through what waits for it.

use super::Metrics;
use super::load::{Load, Pressure, Until};
use crate::http::{Connection, Request};
use crate::server::Program;
use crate::setup::{Group, World};
use crate::{Result, probe};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ACCEPTED_WITHIN: Duration = Duration::from_secs(300);
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    groups: usize,
    members: usize,
    messages: u64,
    /// Of each member while they are sent.
    outstanding: usize,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    probe::require_files(params.groups * params.members)?;
    let paused = ["--pause-router".to_owned()];
    let World { server, groups, folder } =
        World::start(program, params.groups, params.members, &paused).await?;
    let pressure = Pressure {
        senders: params.members,
        outstanding: params.outstanding,
        until: Until::Ack,
        verify: false,
        at_most: params.messages,
    };
    let mut load = Load::start(&server.addresses, &groups, pressure).await?;
    let deadline = Instant::now() + ACCEPTED_WITHIN;
    while load.tally.acked.get() < params.messages {
        if Instant::now() > deadline || load.tally.refused.get() > 0 {
            return Err(format!("{} of {} were accepted", load.tally.acked.get(), params.messages).into());
        }
        load.run_for(Duration::from_millis(20)).await?;
    }
    drop(load);
    server.stop().await?;

    let mut server = program.spawn(&folder.path().join("data"), &[])?;
    server.wait_port(Duration::from_millis(2)).await?;
    let (began, cpu) = (Instant::now(), server.cpu_time()?);
    let mut connection = Connection::open(server.address).await?;
    while decided(&mut connection, &groups).await? < params.messages {
        if began.elapsed() > DRAINED_WITHIN {
            return Err("not all that was accepted is decided in time".into());
        }
        sleep(Duration::from_millis(100)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = server.cpu_time()?.saturating_sub(cpu).as_secs_f64();
    Ok(Metrics::from([
        ("seconds", seconds),
        ("messages_per_s", params.messages as f64 / seconds),
        ("cpu_us_per_message", cpu * 1e6 / params.messages as f64),
    ]))
}

/// Messages that are stored. Of groups that are no further than their beginning nothing is there.
async fn decided(connection: &mut Connection, groups: &[Group]) -> Result<u64> {
    #[derive(Deserialize)]
    struct Found {
        last_seq: u64,
    }
    let mut sum = 0;
    for group in groups {
        let path = format!("/v1/conversations/{}", group.conversation_id);
        let token = group.members.first().map(|user| user.access_token.as_str());
        let answer =
            connection.send(Request { method: "GET", path: &path, token, ..Request::default() }).await?;
        match answer.status {
            200 => sum += serde_json::from_slice::<Found>(answer.body)?.last_seq.saturating_sub(1),
            // Not ready yet.
            503 => return Ok(0),
            status => {
                return Err(format!("GET {path}: {status} {}", String::from_utf8_lossy(answer.body)).into());
            }
        }
    }
    Ok(sum)
}
