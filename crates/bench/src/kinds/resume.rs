//! Everybody is cut off at once, others write meanwhile, everybody comes back with a cursor.

use super::Metrics;
use super::load::{bump, connect_with, content};
use crate::http::{Connection, Request};
use crate::server::Program;
use crate::setup::{Group, User, World};
use crate::ws::{self, Reader};
use crate::{Result, frame, probe};
use serde::Deserialize;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

const WRITERS: usize = 64;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    clients: usize,
    /// People in each conversation.
    members: usize,
    /// Written to each conversation while everybody is away.
    messages: usize,
    away_seconds: f64,
    connecting_at_once: usize,
}

/// Somebody with a cursor who will miss something.
#[derive(Clone)]
struct Client {
    user: Rc<User>,
    cursor: String,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    probe::require_files(params.clients)?;
    let world = World::start(program, params.clients / params.members, params.members, &[]).await?;
    let address = world.server.address;
    let people: Vec<Rc<User>> = world.groups.iter().flat_map(|group| group.members.iter().cloned()).collect();
    let online = connect_with(people, params.connecting_at_once, move |user| first_visit(address, user));
    let (clients, sockets): (Vec<Client>, Vec<Reader>) = online.await?.into_iter().unzip();

    let cut = Instant::now();
    drop(sockets);
    write_meanwhile(address, world.groups, params.messages).await?;
    let back = cut + Duration::from_secs_f64(params.away_seconds);
    let written_late = Instant::now().saturating_duration_since(back);
    sleep_until(back).await;

    let rss_before = world.server.rss_kib()? / 1024.0;
    world.server.reset_peak()?;
    let cpu = world.server.cpu_time()?;
    let count = clients.len();
    let began = Instant::now();
    let caught_up = Rc::new(Cell::new(0));
    let (counter, missed) = (Rc::clone(&caught_up), params.messages);
    let returning = connect_with(clients, params.connecting_at_once, move |client| {
        let counter = Rc::clone(&counter);
        async move {
            let reader = catch_up(address, client, missed).await?;
            bump(&counter);
            Ok(reader)
        }
    });
    let sockets = timeout(CAUGHT_UP_WITHIN, returning)
        .await
        .map_err(|_elapsed| format!("{} of {count} have everything", caught_up.get()))??;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = world.server.cpu_time()?.saturating_sub(cpu).as_secs_f64();
    let peak = world.server.peak_rss_kib()? / 1024.0;
    drop(sockets);
    Ok(Metrics::from([
        ("seconds", seconds),
        ("peak_rss_mib", peak),
        ("rss_before_mib", rss_before),
        ("cpu_us_per_client", cpu * 1e6 / count as f64),
        ("written_late_ms", written_late.as_secs_f64() * 1000.0),
    ]))
}

async fn first_visit(address: SocketAddr, user: Rc<User>) -> Result<(Client, Reader)> {
    let mut reader = ws::connect(address, &user.access_token, None).await?;
    let live = reader.wait_for(b"live").await?;
    let cursor = frame::text(&live, b"\"cursor\":\"").ok_or("live came without a cursor")?.to_owned();
    Ok((Client { user, cursor }, reader))
}

/// Comes back and reads until everything missed is there, in order and once.
async fn catch_up(address: SocketAddr, client: Client, missed: usize) -> Result<Reader> {
    let mut reader = ws::connect(address, &client.user.access_token, Some(&client.cursor)).await?;
    let (mut got, mut live, mut last) = (0, false, None);
    while got < missed || !live {
        while let Some(payload) = reader.next()? {
            match frame::kind(payload) {
                b"NEW_MESSAGE" => {
                    let seq = frame::number(payload, b"\"seq\":").ok_or("an event without seq")?;
                    if last.is_some_and(|last| seq != last + 1) {
                        return Err(format!("seq {seq} after {last:?}").into());
                    }
                    last = Some(seq);
                    got += 1;
                }
                b"live" => live = true,
                b"resync" => return Err("the cursor was not served".into()),
                _ => {}
            }
        }
        if got < missed || !live {
            reader.writer().flush().await?;
            reader.read().await?;
        }
    }
    if got > missed {
        return Err(format!("{got} messages instead of {missed}").into());
    }
    Ok(reader)
}

async fn write_meanwhile(address: SocketAddr, groups: Vec<Group>, messages: usize) -> Result<()> {
    let share = groups.len().div_ceil(WRITERS).max(1);
    let shares: Vec<Vec<Group>> = groups.chunks(share).map(<[Group]>::to_vec).collect();
    let written = connect_with(shares, WRITERS, move |share| async move {
        let mut connection = Connection::open(address).await?;
        for number in 0..messages {
            for group in &share {
                post(&mut connection, group, number).await?;
            }
        }
        Ok(())
    });
    written.await.map(drop)
}

async fn post(connection: &mut Connection, group: &Group, number: usize) -> Result<()> {
    let writer = group.members.get(number % group.members.len()).ok_or("an empty group")?;
    let body = format!(r#"{{"conversation_id":"{}","content":"{}"}}"#, group.conversation_id, content());
    let key = format!("{}-{number}", group.conversation_id);
    let request = Request {
        method: "POST",
        path: "/v1/messages",
        token: Some(&writer.access_token),
        idempotency_key: Some(&key),
        body: Some(body.as_bytes()),
    };
    let answer = connection.send(request).await?;
    match answer.status {
        202 => Ok(()),
        status => Err(format!("a message met {status}: {}", String::from_utf8_lossy(answer.body)).into()),
    }
}
