//! The public topics: what happened, told to the operator's other systems.
//!
//! A fact that counts becomes at most one record ([`payload`]) of a topic that has a JSON Schema ([`schemas`]). With a
//! schema registry ([`registry`]) the schemas are registered there, and each record begins with its schema's id.
//! Whoever owns a partition reads it for this from a place of its own (`router::public`).

mod payload;
mod registry;
mod schema;

pub use registry::SchemaRegistry;
pub use schema::schemas;

pub(crate) use payload::{Outbound, write};

use bytes::Bytes;
use chat4all_backend::log::{PublicTopic, Publication, Publisher};
use chat4all_backend::store::{Counted, ReaderName};
use chat4all_backend::{Error, ErrorKind, Result};
use metrics::counter;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The durable reader of `events` whose place says how far the public topics have come.
pub const READER: ReaderName = ReaderName("public-topics");

/// Records handed to the publisher at once.
const AT_ONCE: usize = 500;
/// How long the publisher may take for them. An engine has its own limit, which is shorter.
const PUBLISH_WAIT: Duration = Duration::from_secs(30);

/// What to do where the log begins after what was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Tell nothing until an operator has seen it.
    Stop,
    /// Go on at the log's start.
    Skip,
}

/// The settings of the public topics.
#[derive(Debug, Clone)]
pub struct PublicTopicsSettings {
    /// Where the schemas are registered; none writes plain JSON.
    pub registry: Option<SchemaRegistry>,
    /// What to do about a gap.
    pub gap: Gap,
}

/// The public topics of a process.
pub struct PublicTopics {
    publisher: Arc<dyn Publisher>,
    settings: PublicTopicsSettings,
    prefixes: OnceCell<Prefixes>,
}

/// What the payloads of each topic begin with in the Confluent wire format: a zero byte and the schema's id, most
/// significant byte first. Empty without a registry.
type Prefixes = HashMap<PublicTopic, [u8; 5]>;

impl PublicTopics {
    /// Topics that are written by `publisher`.
    #[must_use]
    pub fn new(publisher: Arc<dyn Publisher>, settings: PublicTopicsSettings) -> Self {
        Self { publisher, settings, prefixes: OnceCell::new() }
    }

    pub(crate) fn gap(&self) -> Gap {
        self.settings.gap
    }

    /// Registers the schemas, unless this process has: their ids never change.
    ///
    /// # Errors
    /// Of the registry.
    pub(crate) async fn register(&self) -> Result<()> {
        self.prefixes().await.map(drop)
    }

    async fn prefixes(&self) -> Result<&Prefixes> {
        self.prefixes
            .get_or_try_init(async || {
                let mut prefixes = Prefixes::new();
                let Some(registry) = &self.settings.registry else { return Ok(prefixes) };
                for topic in PublicTopic::ALL {
                    let id = registry.register(&schema::subject(topic), &schema::of(topic)).await?;
                    let [a, b, c, d] = id.to_be_bytes();
                    prefixes.insert(topic, [0, a, b, c, d]);
                }
                Ok(prefixes)
            })
            .await
    }

    /// Tells of these records, in order; durable when it answers. After an error some of it may have been told.
    ///
    /// # Errors
    /// Of the registry and the publisher.
    pub(crate) async fn publish(&self, partition: u32, counted: &[Counted]) -> Result<()> {
        let prefixes = self.prefixes().await?;
        let publications = counted.iter().flat_map(payload::records).map(|record| {
            let key = record.key().map(|key| Bytes::copy_from_slice(key.as_bytes()));
            let prefix = prefixes.get(&record.topic()).map_or(&[][..], |prefix| prefix);
            let payload = write(prefix, &record)?;
            Ok(Publication { topic: record.topic(), partition, key, payload })
        });
        let mut publications = publications.collect::<Result<Vec<_>>>()?;
        while !publications.is_empty() {
            let rest = publications.split_off(publications.len().min(AT_ONCE));
            let topics: Vec<PublicTopic> = publications.iter().map(|publication| publication.topic).collect();
            let late = |_| Error::new(ErrorKind::OutcomeUnknown, "the publisher did not answer in time");
            tokio::time::timeout(PUBLISH_WAIT, self.publisher.publish(publications))
                .await
                .map_err(late)??;
            for topic in topics {
                counter!("public_topics_published_total", "topic" => topic.name()).increment(1);
            }
            publications = rest;
        }
        Ok(())
    }
}
