//! Pages of history at random places of a long past, against the same rows read from a plain table.

use super::Metrics;
use crate::http::{Connection, Request};
use crate::limits::table::Table;
use crate::server::Program;
use crate::stats::{Latencies, Picker};
use crate::{Result, setup};
use serde::Deserialize;
use tokio::time::Instant;

const PAGE: u64 = 50;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    messages: usize,
    conversations: usize,
    pages: usize,
}

/// A line of `admin seed-messages`: a conversation and one of its members.
#[derive(Debug, Deserialize)]
struct Seeded {
    conversation_id: String,
    last_seq: u64,
    access_token: String,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let options = [("--count", params.messages), ("--conversations", params.conversations)];
    let seeded: Vec<Seeded> = setup::seed(program, "seed-messages", &data, &options).await?;
    let server = program.start(&data, &[]).await?;
    let mut connection = Connection::open(server.address).await?;
    let mut picker = Picker::new(params.messages as u64);
    let mut latencies = Latencies::default();
    for _ in 0..params.pages {
        let place = picker.below(seeded.len() as u64) as usize;
        let at = seeded.get(place).ok_or("seed-messages printed no conversation")?;
        // Never so near to the start that the page would not be full.
        let before = at.last_seq - picker.below(at.last_seq.saturating_sub(2 * PAGE));
        let path = format!("/v1/conversations/{}/messages?before={before}&limit={PAGE}", at.conversation_id);
        let began = Instant::now();
        let token = Some(at.access_token.as_str());
        let answer =
            connection.send(Request { method: "GET", path: &path, token, ..Request::default() }).await?;
        let elapsed = began.elapsed();
        let found = answer.body.windows(13).filter(|window| window == b"\"message_id\":").count();
        if answer.status != 200 || found < PAGE as usize {
            let body = String::from_utf8_lossy(answer.body);
            return Err(format!("GET {path}: {} with {found} messages: {body:.500}", answer.status).into());
        }
        latencies.record(elapsed);
    }
    Ok(metrics(latencies))
}

pub(crate) async fn limit(params: &Params) -> Result<Metrics> {
    let params = params.clone();
    let latencies = tokio::task::spawn_blocking(move || -> Result<Latencies, String> {
        read_table(&params).map_err(|error| error.to_string())
    });
    Ok(metrics(latencies.await??))
}

fn read_table(params: &Params) -> Result<Latencies> {
    let folder = tempfile::tempdir()?;
    let mut table = Table::create(folder.path())?;
    table.fill(params.messages as u64, params.conversations as u64)?;
    let last_seq = params.messages as u64 / params.conversations as u64;
    let mut picker = Picker::new(params.messages as u64);
    let mut latencies = Latencies::default();
    for _ in 0..params.pages {
        let conversation = picker.below(params.conversations as u64);
        let before = last_seq - picker.below(last_seq.saturating_sub(2 * PAGE));
        let began = Instant::now();
        let rows = table.page(conversation, before, PAGE)?;
        latencies.record(began.elapsed());
        if rows as u64 != PAGE {
            return Err(format!("{rows} rows instead of {PAGE}").into());
        }
    }
    Ok(latencies)
}

fn metrics(mut latencies: Latencies) -> Metrics {
    Metrics::from([
        ("p50_ms", latencies.percentile_ms(0.5)),
        ("p99_ms", latencies.percentile_ms(0.99)),
        ("p999_ms", latencies.percentile_ms(0.999)),
    ])
}
