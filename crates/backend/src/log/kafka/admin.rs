//! Requests that change topics, and what topics are set to.

use super::context::Context;
use super::error;
use super::readers::Place;
use super::settings::{REQUEST, Settings, client};
use crate::{Error, ErrorKind, Result};
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier};
use rdkafka::types::RDKafkaErrorCode as Code;

pub(super) struct Admin {
    /// Always there until it is dropped.
    client: Option<AdminClient<Context>>,
}

impl Admin {
    /// Blocks while librdkafka's threads start.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { client: Some(client(&settings.admin(), Context::default())?) })
    }

    fn client(&self) -> Result<&AdminClient<Context>> {
        self.client.as_ref().ok_or_else(|| Error::new(ErrorKind::Unavailable, "the log is closed"))
    }

    /// Makes topics. One that is there already, made by another process just now, is none that failed.
    pub(super) async fn make(&self, topics: &[NewTopic<'_>]) -> Result<()> {
        let made = self.client()?.create_topics(topics, &options().operation_timeout(Some(REQUEST))).await;
        for outcome in made.map_err(|error| error::asking("making topics", &error))? {
            match outcome {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let kind = match code {
                        Code::InvalidTopic
                        | Code::InvalidPartitions
                        | Code::InvalidConfig
                        | Code::PolicyViolation
                        | Code::TopicAuthorizationFailed
                        | Code::ClusterAuthorizationFailed => ErrorKind::Invalid,
                        _ => ErrorKind::Unavailable,
                    };
                    return Err(Error::new(kind, format!("topic `{topic}` cannot be made: {code}")));
                }
            }
        }
        Ok(())
    }

    /// What topics are set to.
    pub(super) async fn settings_of(&self, topics: &[&str]) -> Result<Vec<ConfigResource>> {
        let topics = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect::<Vec<_>>();
        let found = self.client()?.describe_configs(&topics, &options()).await;
        let found = found.map_err(|error| error::asking("looking at topics", &error))?;
        let failed = |code: Code| Error::new(ErrorKind::Unavailable, format!("looking at topics: {code}"));
        found.into_iter().map(|topic| topic.map_err(failed)).collect()
    }

    /// Forgets records before `before`, which must not lie behind the end.
    pub(super) async fn trim(&self, place: &Place, before: u64) -> Result<()> {
        let list = place.at(Offset::Offset(before.cast_signed()))?;
        let failed = |error| error::asking(&place.topic, &error);
        let trimmed = self.client()?.delete_records(&list, &options()).await.map_err(failed)?;
        trimmed.elements().iter().try_for_each(|element| element.error()).map_err(failed)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST))
}

impl Drop for Admin {
    /// Dropping the client waits for its threads.
    fn drop(&mut self) {
        let client = self.client.take();
        // Where no thread can be had it is dropped here.
        let _ = std::thread::Builder::new().name("kafka-admin".to_owned()).spawn(move || drop(client));
    }
}
