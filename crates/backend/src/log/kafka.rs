//! The event log on Apache Kafka.
//!
//! The way of a record: [`append`](EventLog::append) hands it to librdkafka ([`producer`]), whose report answers the
//! call ([`call`]). A follower takes what the process's consumers have read of its partition ([`readers`],
//! [`follower`]). What partitions hold is asked of the brokers ([`questions`]); groups only share partitions out
//! ([`group`]). When it is opened, topics are made and checked ([`topics`]), and one of them says which log this
//! is ([`meta`]).
//!
//! librdkafka's clients block when they are made, served and dropped: each is owned by a thread.

mod admin;
mod call;
mod context;
mod error;
mod follower;
mod group;
mod meta;
mod producer;
mod questions;
mod readers;
mod settings;
mod topics;

use self::admin::Admin;
use self::call::Limits;
use self::follower::{KafkaFollower, admits};
use self::group::KafkaMember;
use self::meta::{Change, Meta, State};
use self::producer::{Appender, Outgoing};
use self::questions::Questions;
use self::readers::{Place, Readers};
use self::settings::Settings;
use self::topics::{Kept, Topics, Wanted, found};
use super::{
    Appended, Bounds, EventLog, Follower, MAX_RECORD_BYTES, Member, PublicTopic, Publication, Publisher,
    Topic,
};
use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Partitions of a new log: as many processes can decide at once.
const PARTITIONS: u32 = 32;

/// How a [`KafkaLog`] is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of every topic; fixed when the log is made. `None`: what the log has, 32 for a new one.
    pub partitions: Option<u32>,
    /// The incarnation a new log gets. A log that exists keeps its own.
    pub epoch: u32,
    /// For how long new topics for others keep their records.
    pub public_retention: Duration,
    /// Records that may wait to be acknowledged.
    pub queue_records: usize,
    /// Bytes that may wait to be acknowledged.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions: None,
            epoch: 1,
            public_retention: Duration::from_secs(7 * 24 * 60 * 60),
            queue_records: 32_768,
            queue_bytes: 32 << 20,
        }
    }
}

/// The event log of an installation of many processes.
pub struct KafkaLog {
    settings: Settings,
    state: State,
    /// By topic.
    topics: [Arc<str>; Topic::ALL.len()],
    public_topics: [String; PublicTopic::ALL.len()],
    appender: Appender,
    readers: Readers,
    questions: Arc<Questions>,
    admin: Admin,
}

impl KafkaLog {
    /// Opens the log at `kafka://user:password@host:9092,host/PREFIX?parameter=value`, making what is missing of it.
    ///
    /// The hosts are some of the cluster's brokers, port 9092 unless given. With a prefix the topics are
    /// `PREFIX.messages`, …, so that several installations share a cluster. Parameters:
    ///
    /// | parameter | meaning |
    /// |---|---|
    /// | `security` | `plaintext` (default), `ssl`, `sasl_plaintext`, `sasl_ssl` |
    /// | `mechanism` | with `sasl_…`, how user and password are shown: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` |
    /// | `ca` | with `…ssl`, a PEM file of whom to believe; default: the operating system's |
    /// | `replication` | copies of each partition; default for new topics: 3, or one a broker if there are fewer |
    /// | `linger_ms` | how long a record waits for others to be sent with it, in milliseconds; default 1 |
    /// | `compression` | `lz4` (default), `gzip`, `snappy`, `none` |
    ///
    /// # Errors
    /// `Invalid` if the URL is wrong, the brokers refuse the credentials, the log has another number of partitions
    /// than asked for, or a topic is set so that a promise would break: it names each such setting and its cure.
    /// `Unavailable` if the cluster cannot be reached within about 8 s.
    pub async fn open(url: EngineUrl, options: Options) -> Result<Self> {
        let settings = Settings::read(url)?;
        let name = settings.name.clone();
        let named = |error: Error| {
            let kind = error.kind;
            let why = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
            Error::new(kind, format!("{name}: {why}"))
        };
        Self::start(settings, options).await.map_err(named)
    }

    async fn start(settings: Settings, options: Options) -> Result<Self> {
        let topics = Topic::ALL.map(|topic| Arc::from(settings.named(topic.name())));
        let public_topics = PublicTopic::ALL.map(|topic| settings.named(topic.name()));
        let (appender, readers, questions, admin) = start_clients(&settings, &topics, &options).await?;
        let metadata = questions.reach().await?;
        let cluster = Topics { admin: &admin, questions: &questions, replication: settings.replication };
        let meta_topic = settings.named(meta::TOPIC);
        let mut wanted = vec![Wanted { name: meta_topic.clone(), partitions: 1, kept: Kept::ByUs }];
        cluster.make_missing(&wanted, &metadata).await?;
        let meta =
            Meta { topic: meta_topic.into(), appender: &appender, readers: &readers, questions: &questions };
        let state = match meta.read().await? {
            Some(state) => state,
            None => {
                // An operator may have made the topics beforehand.
                let made = topics.iter().find_map(|topic| found(&metadata, topic));
                let made = made.map(|topic| topic.partitions().len() as u32);
                let partitions = options.partitions.or(made).unwrap_or(PARTITIONS);
                meta.write(Change::Made { epoch: options.epoch, partitions }).await?
            }
        };
        let partitions = state.partitions;
        if let Some(asked) = options.partitions.filter(|asked| *asked != partitions) {
            let why = format!(
                "the log was made with {partitions} partitions and cannot change to {asked}: leave --partitions out \
                 or give {partitions}; a log under another prefix (`kafka://host/PREFIX`) can have another number"
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let ours = topics.iter().map(|name| (name.to_string(), Kept::ByUs));
        let public = public_topics.iter().map(|name| (name.clone(), Kept::For(options.public_retention)));
        wanted.extend(ours.chain(public).map(|(name, kept)| Wanted { name, partitions, kept }));
        cluster.make_missing(&wanted, &metadata).await?;
        cluster.check(&wanted).await?;
        Ok(Self { settings, state, topics, public_topics, appender, readers, questions, admin })
    }

    /// Begins a new incarnation: nothing known of positions holds any more. For tools that mend a log, with nothing else
    /// running: whoever has the log open, this one included, goes on saying the old one until it opens it again.
    ///
    /// # Errors
    /// `Invalid` unless `epoch` is greater than the log's.
    pub async fn begin_epoch(&self, epoch: u32) -> Result<()> {
        let topic = self.settings.named(meta::TOPIC).into();
        let meta =
            Meta { topic, appender: &self.appender, readers: &self.readers, questions: &self.questions };
        let before = meta.read().await?.map_or(0, |state| state.epoch);
        if epoch <= before {
            let why = format!("epoch {epoch} cannot follow epoch {before}");
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        meta.write(Change::Begun { epoch }).await.map(|_| ())
    }

    /// Takes no more appends, and returns when those that wait are acknowledged or have failed. Dropping the log
    /// does the same without waiting.
    pub async fn close(&self) {
        self.appender.close().await;
    }

    fn place(&self, topic: Topic, partition: u32) -> Result<Place> {
        self.known(topic.name(), partition)?;
        Ok(Place { topic: Arc::clone(&self.topics[topic as usize]), partition })
    }

    fn known(&self, topic: &str, partition: u32) -> Result<()> {
        if partition >= self.state.partitions {
            let why = format!("{topic} has no partition {partition}, it has {}", self.state.partitions);
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        Ok(())
    }

    fn check(&self, topic: Topic, records: &[(u32, Bytes)]) -> Result<()> {
        for (partition, payload) in records {
            self.known(topic.name(), *partition)?;
            if payload.len() > MAX_RECORD_BYTES {
                let why =
                    format!("a record of {} bytes, at most {MAX_RECORD_BYTES} are taken", payload.len());
                return Err(Error::new(ErrorKind::Invalid, why));
            }
        }
        Ok(())
    }
}

async fn start_clients(
    settings: &Settings,
    topics: &[Arc<str>],
    options: &Options,
) -> Result<(Appender, Readers, Arc<Questions>, Admin)> {
    let limits = Limits { records: options.queue_records, bytes: options.queue_bytes };
    let (settings, probed) = (settings.clone(), topics[0].to_string());
    let starting = tokio::task::spawn_blocking(move || {
        let (readers, inquirer) = Readers::start(settings.clone())?;
        let admin = Admin::new(&settings)?;
        Ok((Appender::start(settings, probed, limits)?, readers, Arc::new(Questions::new(inquirer)), admin))
    });
    starting.await.map_err(|error| Error::new(ErrorKind::Unavailable, error))?
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("at", &self.settings.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.state.partitions
    }

    fn epoch(&self) -> u32 {
        self.state.epoch
    }

    fn append(&self, topic: Topic, records: Vec<(u32, Bytes)>) -> Appended {
        if let Err(error) = self.check(topic, &records) {
            return ready(Err(error)).boxed();
        }
        let topic = &*self.topics[topic as usize];
        self.appender.append(records.iter().map(|(partition, payload)| Outgoing {
            topic,
            partition: *partition,
            key: None,
            payload,
        }))
    }

    async fn follow(&self, topic: Topic, partition: u32, from: u64) -> Result<Box<dyn Follower>> {
        let place = self.place(topic, partition)?;
        admits(self.questions.bounds(&place).await?, from)?;
        let mut follower = KafkaFollower::new(self.readers.clone(), Arc::clone(&self.questions), place, from);
        follower.begin().await?;
        Ok(Box::new(follower))
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Bounds> {
        self.questions.bounds(&self.place(topic, partition)?).await
    }

    async fn offset_at(&self, topic: Topic, partition: u32, time_ms: u64) -> Result<u64> {
        let place = self.place(topic, partition)?;
        // The end is taken first: what is appended meanwhile must not be passed over.
        let Bounds { start, end } = self.questions.bounds(&place).await?;
        Ok(self.questions.offset_at(&place, time_ms).await?.unwrap_or(end).max(start))
    }

    async fn trim(&self, topic: Topic, partition: u32, before: u64) -> Result<()> {
        let place = self.place(topic, partition)?;
        let Bounds { start, end } = self.questions.bounds(&place).await?;
        let before = before.min(end);
        if before <= start {
            return Ok(());
        }
        self.admin.trim(&place, before).await
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>> {
        let config = self.settings.member(&self.settings.named(&format!("{group}.{}", topic.name())));
        let topic = Arc::clone(&self.topics[topic as usize]);
        let joining = tokio::task::spawn_blocking(move || KafkaMember::join(&config, &topic));
        Ok(Box::new(joining.await.map_err(|error| Error::new(ErrorKind::Unavailable, error))??))
    }
}

#[async_trait]
impl Publisher for KafkaLog {
    async fn publish(&self, records: Vec<Publication>) -> Result<()> {
        for record in &records {
            self.known(record.topic.name(), record.partition)?;
        }
        let published = self.appender.append(records.iter().map(|record| Outgoing {
            topic: &self.public_topics[record.topic as usize],
            partition: record.partition,
            key: record.key.as_deref(),
            payload: &record.payload,
        }));
        published.await.map(drop)
    }
}
