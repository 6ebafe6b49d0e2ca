//! A reader at a position.

use super::error;
use super::questions::Questions;
use super::readers::{Place, Readers, Reading};
use crate::log::{Bounds, Follower, Record};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::Message;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A call gives no more once it has this.
const READ_BYTES: usize = 1 << 20;

pub(super) struct KafkaFollower {
    readers: Readers,
    questions: Arc<Questions>,
    place: Place,
    next: u64,
    /// None until the first call, and after a failure: the next call begins anew at `next`.
    reading: Option<Reading>,
    filled: Arc<Notify>,
    /// Met behind the records of the last call.
    failure: Option<KafkaError>,
}

impl KafkaFollower {
    pub(super) fn new(readers: Readers, questions: Arc<Questions>, place: Place, next: u64) -> Self {
        let filled = Arc::new(Notify::new());
        Self { readers, questions, place, next, reading: None, filled, failure: None }
    }

    /// Begins to read, so that records are at hand when they are asked for.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let reading = self.readers.take(self.place.clone(), self.next, Arc::clone(&self.filled)).await?;
        self.reading = Some(reading);
        Ok(())
    }

    /// What is at hand. Does not wait.
    fn take(&mut self) -> Vec<Record> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let Some(queue) = self.reading.as_ref().and_then(Reading::queue) else { return records };
        while bytes < READ_BYTES {
            match queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                    let offset = message.offset().cast_unsigned();
                    bytes += payload.len() + size_of::<Record>();
                    self.next = offset + 1;
                    records.push(Record { offset, payload });
                }
                Some(Err(failure)) => {
                    self.failure = Some(failure);
                    break;
                }
                None => break,
            }
        }
        records
    }

    /// What a failure means for the reader, if anything.
    async fn judge(&self, failure: &KafkaError) -> Result<()> {
        match error::code(failure) {
            Some(Code::AutoOffsetReset) => admits(self.questions.bounds(&self.place).await?, self.next),
            Some(Code::LogTruncation) => Err(Error::new(ErrorKind::Truncated, failure.clone())),
            Some(Code::BadMessage | Code::BadCompression) => {
                Err(Error::new(ErrorKind::Corrupt, format!("{:?} at {}: {failure}", self.place, self.next)))
            }
            _ => Err(error::asking(&self.place.topic, failure)),
        }
    }
}

/// Whether one may read from here.
pub(super) fn admits(Bounds { start, end }: Bounds, from: u64) -> Result<()> {
    if from < start {
        let why = format!("offset {from} asked for, the log begins at {start}");
        return Err(Error::new(ErrorKind::Trimmed, why));
    }
    if from > end {
        let why = format!("offset {from} asked for, the log ends at {end}");
        return Err(Error::new(ErrorKind::Truncated, why));
    }
    Ok(())
}

#[async_trait]
impl Follower for KafkaFollower {
    async fn next(&mut self) -> Result<Vec<Record>> {
        loop {
            if let Some(failure) = self.failure.take() {
                self.reading = None;
                self.judge(&failure).await?;
            }
            if self.reading.is_none() {
                self.begin().await?;
            }
            let records = self.take();
            if !records.is_empty() {
                return Ok(records);
            }
            if self.failure.is_none() {
                self.filled.notified().await;
            }
        }
    }
}
