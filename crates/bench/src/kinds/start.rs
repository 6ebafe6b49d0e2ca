//! From the start of the process to the first accepted message, and its memory at rest.

use super::Metrics;
use super::load::settle;
use crate::http::{Connection, Request};
use crate::server::Program;
use crate::stats::median;
use crate::{Result, setup};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Starts in one round; the median counts.
    starts: usize,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let (mut millis, mut mib) = (Vec::new(), Vec::new());
    for _ in 0..params.starts {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let users = setup::seed_users(program, &data, 2).await?;
        let [alice, bob] = users.as_slice() else { return Err("two users were asked for".into()) };
        let body = format!(r#"{{"recipient_id":"{}","content":"hello"}}"#, bob.user_id);
        let request = Request {
            method: "POST",
            path: "/v1/messages",
            token: Some(&alice.access_token),
            idempotency_key: Some("first"),
            body: Some(body.as_bytes()),
        };
        let began = Instant::now();
        let mut server = program.spawn(&data, &[])?;
        server.wait_port(Duration::from_millis(1)).await?;
        let mut connection = Connection::open(server.address).await?;
        loop {
            let answer = connection.send(request).await?;
            match answer.status {
                202 => break,
                503 if began.elapsed() < Duration::from_secs(30) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                status => return Err(format!("{status} {}", String::from_utf8_lossy(answer.body)).into()),
            }
        }
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
        drop(connection);
        settle().await;
        mib.push(server.rss_kib()? / 1024.0);
        server.stop().await?;
    }
    Ok(Metrics::from([
        ("first_message_ms", median(&millis).ok_or("no starts")?),
        ("idle_rss_mib", median(&mib).ok_or("no starts")?),
    ]))
}
