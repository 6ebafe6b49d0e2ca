//! What a new log takes over from an old one: commands that are not decided yet, and what is on its way to other
//! platforms.

use bytes::Bytes;
use chat4all_backend::log::{EventLog, Topic};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::id::{ConversationId, short_hash};
use chat4all_model::record::decode_command;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

/// How long a record that is there may take to come.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The records of a topic, by the hashes of their bytes: what an attempt that was cut off has brought already.
#[derive(Debug, Default)]
pub(super) struct Present(HashMap<u64, usize>);

impl Present {
    /// Reads all partitions of a topic.
    pub(super) async fn of(log: &dyn EventLog, topic: Topic) -> Result<Self> {
        let mut present = Self::default();
        for partition in 0..log.partitions() {
            let mut records = Records::from(log, (topic, partition), 0).await?;
            while let Some(payloads) = records.next().await? {
                for payload in payloads {
                    *present.0.entry(short_hash(&payload)).or_default() += 1;
                }
            }
        }
        Ok(present)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.values().sum()
    }

    /// Takes one of these bytes out, if there is one.
    fn take(&mut self, payload: &[u8]) -> bool {
        match self.0.get_mut(&short_hash(payload)) {
            Some(left @ 1..) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// Appends the old log's records from `from` on to the new one, but those that are present there, and gives their
/// number, those included.
pub(super) async fn take_over(
    old: &dyn EventLog,
    new: &dyn EventLog,
    (topic, partition): (Topic, u32),
    from: u64,
    present: &mut Present,
) -> Result<u64> {
    let mut records = Records::from(old, (topic, partition), from).await?;
    let mut taken = 0;
    while let Some(payloads) = records.next().await? {
        taken += payloads.len() as u64;
        let missing = payloads.into_iter().filter(|payload| !present.take(payload));
        let placed = missing.map(|payload| (place(topic, partition, &payload, new.partitions()), payload));
        let placed: Vec<(u32, Bytes)> = placed.collect();
        if !placed.is_empty() {
            new.append(topic, placed).await?;
        }
    }
    Ok(taken)
}

/// Where a record of an old partition belongs among `partitions`. What names no conversation that can be read is
/// right in any of them.
fn place(topic: Topic, old: u32, payload: &[u8], partitions: u32) -> u32 {
    #[derive(Deserialize)]
    struct Outbound {
        conversation_id: String,
    }
    let conversation = match topic {
        Topic::WhatsappOutbound | Topic::InstagramOutbound => serde_json::from_slice::<Outbound>(payload)
            .ok()
            .and_then(|outbound| ConversationId::parse(&outbound.conversation_id).ok()),
        _ => decode_command(payload).ok().map(|command| command.conversation),
    };
    conversation.map_or(old % partitions, |conversation| conversation.partition(partitions))
}

/// Reads what a partition holds now, to its end.
struct Records {
    follower: Option<Box<dyn chat4all_backend::log::Follower>>,
    next: u64,
    end: u64,
}

impl Records {
    async fn from(log: &dyn EventLog, (topic, partition): (Topic, u32), from: u64) -> Result<Self> {
        let bounds = log.bounds(topic, partition).await?;
        let next = from.max(bounds.start);
        let follower = match next < bounds.end {
            true => Some(log.follow(topic, partition, next).await?),
            false => None,
        };
        Ok(Self { follower, next, end: bounds.end })
    }

    async fn next(&mut self) -> Result<Option<Vec<Bytes>>> {
        let Some(follower) = self.follower.as_mut().filter(|_| self.next < self.end) else { return Ok(None) };
        let late = |_| Error::new(ErrorKind::Unavailable, "a record that is there did not come in time");
        let mut records = tokio::time::timeout(READ_WITHIN, follower.next()).await.map_err(late)??;
        records.retain(|record| record.offset < self.end);
        self.next = records.last().map_or(self.end, |record| record.offset + 1);
        Ok(Some(records.into_iter().map(|record| record.payload).collect()))
    }
}
