//! Kills a process that appends, and looks for all it was answered.

use crate::runtime;
use bytes::Bytes;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::kafka::{self, KafkaLog};
use chat4all_backend::log::{EmbeddedLog, EventLog, Options, Topic};
use libtest_mimic::Failed;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

/// Set to the place of a log, a data folder or a URL, it makes this program append there until it is killed.
pub(crate) const PLACE: &str = "CHAT4ALL_TEST_APPEND_TO";

const APPENDERS: u32 = 8;

enum Log {
    Embedded(EmbeddedLog),
    Kafka(Box<KafkaLog>),
}

impl Log {
    async fn open(place: &str) -> Result<Self, Failed> {
        if place.starts_with("kafka://") {
            let options = kafka::Options { partitions: Some(4), ..kafka::Options::default() };
            return Ok(Self::Kafka(Box::new(KafkaLog::open(EngineUrl::parse(place)?, options).await?)));
        }
        Ok(Self::Embedded(EmbeddedLog::open(&DataFolder::open(Path::new(place))?, Options::default())?))
    }

    fn port(&self) -> &dyn EventLog {
        match self {
            Self::Embedded(log) => log,
            Self::Kafka(log) => &**log,
        }
    }

    async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            Self::Kafka(log) => log.close().await,
        }
    }
}

/// Prints each record after its append was answered: partition, offset, name.
pub(crate) fn append_until_killed(place: &str) -> ExitCode {
    let outcome = runtime().map_err(Failed::from).and_then(|runtime| {
        let log = Arc::new(runtime.block_on(Log::open(place))?);
        let appenders = (0..APPENDERS).map(|appender| {
            let log = Arc::clone(&log);
            runtime.spawn(async move {
                let mut appended = Ok(());
                for n in 0_u64.. {
                    let partition = appender % 4;
                    let name = format!("{}-{appender}-{n}", std::process::id());
                    let record = vec![(partition, Bytes::from(name.clone()))];
                    match log.port().append(Topic::Events, record).await {
                        Ok(offsets) => {
                            let line = format!("{partition} {} {name}\n", offsets[0]);
                            // One write a line: a line is whole or not there.
                            if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
                                break;
                            }
                        }
                        Err(error) => {
                            appended = Err(error.to_string());
                            break;
                        }
                    }
                }
                appended
            })
        });
        for appender in appenders.collect::<Vec<_>>() {
            runtime.block_on(appender)??;
        }
        Ok(())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed:?}");
            ExitCode::FAILURE
        }
    }
}

/// Kills `kills` processes that append to `place`, one after another.
pub(crate) fn test(place: &str, kills: usize) -> Result<(), Failed> {
    let mut answered = HashMap::new();
    for kill in 1..=kills {
        let mut child =
            Command::new(std::env::current_exe()?).env(PLACE, place).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        for n in 0.. {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                break;
            }
            // Each time at another moment; what was printed until it died counts as well.
            if n == 50 * kill {
                child.kill()?;
            }
            let Some((place, name)) = line.trim_end().rsplit_once(' ') else { continue };
            if line.ends_with('\n') && answered.insert(place.to_owned(), name.to_owned()).is_some() {
                return Err(format!("{place} was answered twice").into());
            }
        }
        child.wait()?;
        if answered.len() < 50 * kill {
            return Err(format!("only {} appends were answered", answered.len()).into());
        }
        runtime()?.block_on(everything_is_there(place, &answered))?;
    }
    Ok(())
}

async fn everything_is_there(place: &str, answered: &HashMap<String, String>) -> Result<(), Failed> {
    let opened = Log::open(place).await?;
    let log = opened.port();
    let mut found = HashMap::new();
    for partition in 0..log.partitions() {
        let bounds = log.bounds(Topic::Events, partition).await?;
        let mut follower = log.follow(Topic::Events, partition, bounds.start).await?;
        let mut next = bounds.start;
        while next < bounds.end {
            for record in follower.next().await? {
                next = record.offset + 1;
                let name = String::from_utf8_lossy(&record.payload).into_owned();
                found.insert(format!("{partition} {}", record.offset), name);
            }
        }
    }
    opened.close().await;
    let lost = answered.iter().filter(|(place, name)| found.get(*place) != Some(name)).count();
    if lost > 0 {
        return Err(format!("{lost} of {} answered records are lost", answered.len()).into());
    }
    Ok(())
}
