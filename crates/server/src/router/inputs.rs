//! The two input topics of a partition, read in turns so that neither starves the other.

use chat4all_backend::log::{EventLog, Follower, Record, Topic};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::reader::Progress;
use chat4all_model::record::Input;

/// Reads the commands of a partition after the last ones decided.
pub(super) struct Inputs {
    messages: Box<dyn Follower>,
    status_updates: Box<dyn Follower>,
    /// Which is asked first next time.
    turn: Input,
}

/// The topic of an input.
pub(crate) fn topic(input: Input) -> Topic {
    match input {
        Input::Messages => Topic::Messages,
        Input::StatusUpdates => Topic::StatusUpdates,
    }
}

impl Inputs {
    pub(super) async fn after(log: &dyn EventLog, partition: u32, progress: &Progress) -> Result<Self> {
        Ok(Self {
            messages: follow(log, partition, progress, Input::Messages).await?,
            status_updates: follow(log, partition, progress, Input::StatusUpdates).await?,
            turn: Input::Messages,
        })
    }

    /// An unbroken run of commands of one topic. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<(Input, Vec<Record>)> {
        let (input, records) = match self.turn {
            Input::Messages => tokio::select! {
                biased;
                records = self.messages.next() => (Input::Messages, records),
                records = self.status_updates.next() => (Input::StatusUpdates, records),
            },
            Input::StatusUpdates => tokio::select! {
                biased;
                records = self.status_updates.next() => (Input::StatusUpdates, records),
                records = self.messages.next() => (Input::Messages, records),
            },
        };
        self.turn = match input {
            Input::Messages => Input::StatusUpdates,
            Input::StatusUpdates => Input::Messages,
        };
        Ok((input, records?))
    }
}

async fn follow(
    log: &dyn EventLog,
    partition: u32,
    progress: &Progress,
    input: Input,
) -> Result<Box<dyn Follower>> {
    let from = match progress.source(input) {
        Some(source) if source.epoch != log.epoch() => {
            let why =
                format!("commands were decided up to epoch {}, the log is of {}", source.epoch, log.epoch());
            return Err(Error::new(ErrorKind::Truncated, why));
        }
        Some(source) => source.offset + 1,
        None => log.bounds(topic(input), partition).await?.start,
    };
    log.follow(topic(input), partition, from).await
}
