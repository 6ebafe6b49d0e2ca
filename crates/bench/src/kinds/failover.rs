//! A router is killed while people write: how long those wait whose partitions it had.

use super::Metrics;
use super::load::{bump, connect_all};
use crate::frame::{self, Opcode};
use crate::server::Program;
use crate::setup::World;
use crate::stats::Latencies;
use crate::ws::Reader;
use crate::{Fault, Result, probe};
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const ALL_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Of one person each; enough that each router has some.
    groups: usize,
    /// Between two messages of a person.
    every_ms: u64,
    warm_up: f64,
    /// After the kill.
    seconds: f64,
}

/// What all senders count together.
#[derive(Default)]
struct Tally {
    sent: Cell<u64>,
    heard: Cell<u64>,
    waits: RefCell<Latencies>,
    longest: Cell<Duration>,
}

pub(crate) async fn ours(params: &Params, program: &Program) -> Result<Metrics> {
    probe::require_files(params.groups)?;
    let mut world = World::start(program, params.groups, 1, &[]).await?;
    let people = world.groups.iter().flat_map(|group| group.members.iter().cloned()).collect();
    let readers = connect_all(&world.server.addresses, people).await?;
    let (tally, stopping) = (Rc::new(Tally::default()), Rc::new(Cell::new(false)));
    let mut people = JoinSet::new();
    for (reader, group) in readers.into_iter().zip(&world.groups) {
        let place = group.conversation_id.clone();
        let every = Duration::from_millis(params.every_ms);
        people.spawn_local(talk(reader, place, every, Rc::clone(&tally), Rc::clone(&stopping)));
    }
    let drive = async {
        sleep(Duration::from_secs_f64(params.warm_up)).await;
        world.server.kill_last()?;
        sleep(Duration::from_secs_f64(params.seconds)).await;
        stopping.set(true);
        let all = async {
            while tally.heard.get() < tally.sent.get() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let late = |_| format!("{} of {} messages came", tally.heard.get(), tally.sent.get());
        timeout(ALL_WITHIN, all).await.map_err(late)?;
        Ok::<_, Fault>(())
    };
    tokio::select! {
        done = drive => done?,
        Some(ended) = people.join_next() => return Err(format!("somebody stopped: {:?}", ended?.err()).into()),
    }
    let mut waits = tally.waits.borrow_mut();
    Ok(Metrics::from([
        ("longest_s", tally.longest.get().as_secs_f64()),
        ("p50_ms", waits.percentile_ms(0.5)),
        ("messages", tally.sent.get() as f64),
    ]))
}

/// Writes to itself at a steady pace and counts how long each message takes to come back.
async fn talk(
    mut reader: Reader,
    conversation: String,
    every: Duration,
    tally: Rc<Tally>,
    stopping: Rc<Cell<bool>>,
) -> Result<()> {
    let writer = reader.writer();
    let due = Rc::new(RefCell::new(Vec::<Instant>::new()));
    let times = Rc::clone(&due);
    let sender = reader.writer();
    let counted = Rc::clone(&tally);
    let sending = async move {
        while !stopping.get() {
            let number = times.borrow().len();
            times.borrow_mut().push(Instant::now());
            bump(&counted.sent);
            let text = format!(
                r#"{{"type":"send","client_id":"{number}","conversation_id":"{conversation}","content":"{number:010}"}}"#
            );
            sender.queue(Opcode::Text, &[text.as_bytes()]);
            sender.flush().await?;
            sleep(every).await;
        }
        std::future::pending::<Result<()>>().await
    };
    let receiving = async {
        loop {
            writer.flush().await?;
            reader.read().await?;
            while let Some(payload) = reader.next()? {
                match frame::kind(payload) {
                    b"NEW_MESSAGE" => {
                        let number: usize = frame::text(payload, b"\"content\":\"")
                            .and_then(|text| text.parse().ok())
                            .ok_or("a text that nobody wrote")?;
                        let sent = due.borrow().get(number).copied().ok_or("a message that nobody sent")?;
                        bump(&tally.heard);
                        tally.waits.borrow_mut().record(sent.elapsed());
                        tally.longest.set(tally.longest.get().max(sent.elapsed()));
                    }
                    b"error" | b"REJECTED" => return Err(String::from_utf8_lossy(payload).into()),
                    _ => {}
                }
            }
        }
    };
    tokio::select! {
        ended = sending => ended,
        ended = receiving => ended,
    }
}
