//! Send to receive at a fixed rate. Time counts from when a message was due, so a stall of the server delays
//! everything due meanwhile and shows in full.

use super::Metrics;
use super::load::{CONTENT_BYTES, connect_all};
use crate::frame::{self, Opcode};
use crate::server::{Program, Server};
use crate::setup::{Group, World};
use crate::stats::Latencies;
use crate::ws::{Reader, Writer};
use crate::{Fault, Result, limits, probe};
use serde::Deserialize;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

const DRAINED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    groups: usize,
    members: usize,
    /// Messages a second, over all groups.
    rate: u32,
    warm_up: f64,
    seconds: f64,
}

/// When each message is due, and who has it.
struct Schedule {
    begin: Instant,
    interval: Duration,
    warm_up: u32,
    total: u32,
    latencies: RefCell<Latencies>,
    /// Sending behind the schedule, which is the generator's own fault.
    lateness: RefCell<Latencies>,
}

impl Schedule {
    fn due(&self, number: u32) -> Instant {
        self.begin + self.interval * number
    }

    fn received(&self, payload: &[u8]) {
        // The text of a message begins with its number.
        let number = frame::text(payload, b"\"content\":\"").and_then(|text| text.get(..10)?.parse().ok());
        if let Some(number) = number.filter(|number| (self.warm_up..self.total).contains(number)) {
            self.latencies.borrow_mut().record(self.due(number).elapsed());
        }
    }
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    let world = World::start(program, params.groups, params.members, &[]).await?;
    drive(params, &world.server, &world.groups).await
}

/// The same frames with nothing stored.
pub(crate) async fn limit(params: &Params) -> Result<Metrics> {
    let folder = tempfile::tempdir()?;
    let server = Server::limit(folder.path(), "limit-ws").await?;
    drive(params, &server, &limits::ws::groups(params.groups, params.members)).await
}

async fn drive(params: &Params, server: &Server, groups: &[Group]) -> Result<Metrics> {
    probe::require_files(params.groups * params.members)?;
    let people = groups.iter().flat_map(|group| group.members.iter().cloned()).collect();
    let readers = connect_all(&server.addresses, people).await?;
    let conversations = groups.iter().flat_map(|group| group.members.iter().map(|_| &group.conversation_id));
    // Neighbours in the schedule belong to different groups.
    let mut seats: Vec<(Writer, String)> = readers
        .iter()
        .zip(conversations)
        .map(|(reader, id)| (reader.writer(), format!(r#""conversation_id":"{id}","content":""#)))
        .collect();
    seats = (0..params.members)
        .flat_map(|place| seats.iter().skip(place).step_by(params.members).cloned().collect::<Vec<_>>())
        .collect();

    let rate = f64::from(params.rate);
    let schedule = Rc::new(Schedule {
        begin: Instant::now() + Duration::from_millis(50),
        interval: Duration::from_secs(1) / params.rate,
        warm_up: (params.warm_up * rate) as u32,
        total: ((params.warm_up + params.seconds) * rate) as u32,
        latencies: RefCell::default(),
        lateness: RefCell::default(),
    });
    let mut members = JoinSet::new();
    for reader in readers {
        members.spawn_local(receive(reader, Rc::clone(&schedule)));
    }
    let cpu = server.cpu_time()?;
    let own_cpu = probe::cpu_time(std::process::id())?;
    let began = Instant::now();
    let expected = (schedule.total - schedule.warm_up) as usize * params.members;
    let drive = async {
        send_all(&seats, &schedule).await?;
        let drained = async {
            while schedule.latencies.borrow().len() < expected {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DRAINED_WITHIN, drained).await.map_err(|_elapsed| {
            format!("{} of {expected} deliveries came", schedule.latencies.borrow().len())
        })?;
        Ok::<_, Fault>(())
    };
    tokio::select! {
        done = drive => done?,
        Some(ended) = members.join_next() => return Err(format!("a member stopped: {:?}", ended?.err()).into()),
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = server.cpu_time()?.saturating_sub(cpu).as_secs_f64();
    let own_cpu = probe::cpu_time(std::process::id())?.saturating_sub(own_cpu).as_secs_f64();
    let (mut latencies, mut lateness) = (schedule.latencies.borrow_mut(), schedule.lateness.borrow_mut());
    Ok(Metrics::from([
        ("p50_ms", latencies.percentile_ms(0.5)),
        ("p99_ms", latencies.percentile_ms(0.99)),
        ("p999_ms", latencies.percentile_ms(0.999)),
        ("lateness_p99_ms", lateness.percentile_ms(0.99)),
        ("cpu_us_per_message", cpu * 1e6 / f64::from(schedule.total)),
        ("generator_percent", own_cpu * 100.0 / seconds),
    ]))
}

async fn receive(mut reader: Reader, schedule: Rc<Schedule>) -> Result<()> {
    let writer = reader.writer();
    loop {
        writer.flush().await?;
        reader.read().await?;
        while let Some(payload) = reader.next()? {
            match frame::kind(payload) {
                b"NEW_MESSAGE" => schedule.received(payload),
                b"error" | b"REJECTED" => return Err(String::from_utf8_lossy(payload).into()),
                _ => {}
            }
        }
    }
}

async fn send_all(seats: &[(Writer, String)], schedule: &Schedule) -> Result<()> {
    let padding = "x".repeat(CONTENT_BYTES - 10);
    let mut seat = seats.iter().cycle();
    let mut number = 0;
    while number < schedule.total {
        sleep_until(schedule.due(number)).await;
        while number < schedule.total && schedule.due(number) <= Instant::now() {
            let (writer, place) = seat.next().ok_or("nobody sends")?;
            let head = format!(r#"{{"type":"send","client_id":"n{number}",{place}{number:010}"#);
            writer.queue(Opcode::Text, &[head.as_bytes(), padding.as_bytes(), b"\"}"]);
            writer.try_flush()?;
            schedule.lateness.borrow_mut().record(schedule.due(number).elapsed());
            number += 1;
        }
    }
    Ok(())
}
