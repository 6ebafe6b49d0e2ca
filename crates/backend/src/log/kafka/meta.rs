//! Which incarnation of the log this is, and of how many partitions, said by a topic of its own.
//!
//! Its records are read in order: the first that makes the log counts, so processes that start at once on an
//! empty cluster agree; and each that begins a newer epoch. It is a topic of few records that are all kept: a
//! compacted one would keep the last that makes the log, not the first.

use super::follower::KafkaFollower;
use super::producer::{Appender, Outgoing};
use super::questions::Questions;
use super::readers::{Place, Readers};
use crate::log::Follower;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The topic's name, behind the prefix.
pub(super) const TOPIC: &str = "chat4all-meta";

/// What this program writes, and the newest that it can read.
const FORMAT: u32 = 1;

/// What the records say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) epoch: u32,
    pub(super) partitions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// The log was made.
    Made { epoch: u32, partitions: u32 },
    /// What was known of positions holds no more.
    Begun { epoch: u32 },
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    #[serde(flatten)]
    change: Change,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

pub(super) struct Meta<'a> {
    pub(super) topic: Arc<str>,
    pub(super) appender: &'a Appender,
    pub(super) readers: &'a Readers,
    pub(super) questions: &'a Arc<Questions>,
}

impl Meta<'_> {
    /// What all records say; nothing if the log was never made.
    pub(super) async fn read(&self) -> Result<Option<State>> {
        let place = Place { topic: Arc::clone(&self.topic), partition: 0 };
        let bounds = self.questions.bounds(&place).await?;
        let mut follower =
            KafkaFollower::new(self.readers.clone(), Arc::clone(self.questions), place, bounds.start);
        let (mut state, mut next) = (None, bounds.start);
        while next < bounds.end {
            for record in follower.next().await? {
                next = record.offset + 1;
                state = after(state, decode(&record.payload)?);
            }
        }
        Ok(state)
    }

    /// Writes a change, and gives what all records say then: another process may have been first.
    pub(super) async fn write(&self, change: Change) -> Result<State> {
        let payload = serde_json::to_vec(&Written { format: FORMAT, change })
            .map_err(|error| Error::new(ErrorKind::Invalid, error))?;
        let record = Outgoing { topic: &self.topic, partition: 0, key: None, payload: &payload };
        self.appender.append([record].into_iter()).await?;
        let state = self.read().await?;
        state.ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("`{}` lost a record", self.topic)))
    }
}

fn after(state: Option<State>, change: Change) -> Option<State> {
    match (state, change) {
        (None, Change::Made { epoch, partitions }) => Some(State { epoch, partitions }),
        (Some(state), Change::Begun { epoch }) if epoch > state.epoch => Some(State { epoch, ..state }),
        (state, _) => state,
    }
}

fn decode(payload: &[u8]) -> Result<Change> {
    let corrupt = |why: String| Error::new(ErrorKind::Corrupt, format!("`{TOPIC}`: {why}"));
    let Format { format } = serde_json::from_slice(payload).map_err(|error| corrupt(error.to_string()))?;
    if format > FORMAT {
        return Err(corrupt(format!("format {format} is newer than this program, which reads {FORMAT}")));
    }
    let Written { change, .. } =
        serde_json::from_slice(payload).map_err(|error| corrupt(error.to_string()))?;
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Begun, Made};

    fn fold(changes: &[Change]) -> Option<(u32, u32)> {
        let state = changes.iter().fold(None, |state, change| after(state, *change));
        state.map(|state| (state.epoch, state.partitions))
    }

    #[test]
    fn the_first_that_makes_the_log_counts_and_newer_epochs() {
        let made = |epoch, partitions| Made { epoch, partitions };
        assert_eq!(fold(&[]), None);
        assert_eq!(fold(&[Begun { epoch: 5 }]), None);
        assert_eq!(fold(&[made(1, 4), made(9, 8)]), Some((1, 4)));
        assert_eq!(fold(&[made(3, 4), Begun { epoch: 3 }, Begun { epoch: 2 }]), Some((3, 4)));
        assert_eq!(fold(&[made(3, 4), Begun { epoch: 7 }, made(9, 9), Begun { epoch: 5 }]), Some((7, 4)));
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        for (text, change) in [
            (r#"{"format":1,"made":{"epoch":1,"partitions":32}}"#, Made { epoch: 1, partitions: 32 }),
            (r#"{"format":1,"begun":{"epoch":2}}"#, Begun { epoch: 2 }),
        ] {
            assert_eq!(serde_json::to_string(&Written { format: 1, change }).unwrap(), text);
            assert_eq!(decode(text.as_bytes()).unwrap(), change);
        }
        for text in [r#"{"format":2,"split":{}}"#, r#"{"format":1}"#, "x"] {
            assert_eq!(decode(text.as_bytes()).unwrap_err().kind, ErrorKind::Corrupt, "{text}");
        }
        assert!(decode(br#"{"format":2}"#).unwrap_err().to_string().contains("newer"));
    }
}
