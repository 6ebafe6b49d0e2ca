//! The topics: made where they are missing, refused where they would break a promise.

use super::admin::Admin;
use super::questions::Questions;
use super::settings::MAX_BATCH_BYTES;
use crate::{Error, ErrorKind, Result};
use rdkafka::admin::{ConfigResource, NewTopic, OwnedResourceSpecifier as Named, TopicReplication};
use rdkafka::metadata::{Metadata, MetadataTopic};
use std::time::Duration;
use tokio::time::Instant;

/// Copies of a partition, where there are brokers enough: one may be lost while another is being replaced.
const COPIES: usize = 3;

/// Trimming frees whole segments, so these bound what is kept too long.
const SEGMENT_BYTES: u64 = 128 << 20;
const SEGMENT_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a new topic may take until it can be used, and how often it is looked whether it can.
const LED: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A topic as it should be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) partitions: u32,
    pub(super) kept: Kept,
}

/// For how long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Until we trim them.
    ByUs,
    /// For others. New topics get this time; afterwards it is the owner's to set.
    For(Duration),
}

pub(super) struct Topics<'a> {
    pub(super) admin: &'a Admin,
    pub(super) questions: &'a Questions,
    /// Copies asked for.
    pub(super) replication: Option<u16>,
}

impl Topics<'_> {
    /// Makes those that are not there yet and waits until they can be used.
    pub(super) async fn make_missing(&self, wanted: &[Wanted], metadata: &Metadata) -> Result<()> {
        let missing = wanted.iter().filter(|topic| found(metadata, &topic.name).is_none());
        let missing = missing.collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        self.make(&missing, metadata.brokers().len()).await?;
        self.until_led(wanted).await.map(drop)
    }

    /// Looks whether they keep our promises.
    ///
    /// # Errors
    /// `Invalid`, naming each setting that would break one and how to mend it.
    pub(super) async fn check(&self, wanted: &[Wanted]) -> Result<()> {
        let metadata = self.until_led(wanted).await?;
        let names = wanted.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>();
        let configs = self.settings(&names).await?;
        let mut faults = Vec::new();
        for topic in wanted {
            let config = configs
                .iter()
                .find(|config| matches!(&config.specifier, Named::Topic(name) if *name == topic.name));
            let (Some(found), Some(config)) = (found(&metadata, &topic.name), config) else {
                let why = format!("topic `{}` went away while it was looked at", topic.name);
                return Err(Error::new(ErrorKind::Unavailable, why));
            };
            let is = Is {
                partitions: found.partitions().len(),
                copies: found.partitions().iter().map(|one| one.replicas().len()).min().unwrap_or(0),
                setting: &|name| {
                    config.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or_default()
                },
            };
            faults.extend(is.faults(topic, self.replication));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, faults.join("\n")))
    }

    async fn make(&self, missing: &[&Wanted], brokers: usize) -> Result<()> {
        let copies = self.replication.map_or(COPIES.min(brokers), usize::from);
        if copies > brokers {
            let why =
                format!("`replication={copies}` asks for more copies than there are brokers, {brokers}");
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let in_sync = if copies >= COPIES { "2" } else { "1" };
        let (batch, bytes, time) = (
            (MAX_BATCH_BYTES + 48_588).to_string(),
            SEGMENT_BYTES.to_string(),
            SEGMENT_TIME.as_millis().to_string(),
        );
        let retention = missing.iter().map(|topic| match topic.kept {
            Kept::ByUs => "-1".to_owned(),
            Kept::For(time) => time.as_millis().to_string(),
        });
        let retention = retention.collect::<Vec<_>>();
        let new = missing.iter().zip(&retention).map(|(topic, retention)| {
            let copies = TopicReplication::Fixed(copies as i32);
            NewTopic::new(&topic.name, topic.partitions.cast_signed(), copies)
                .set("cleanup.policy", "delete")
                .set("retention.ms", retention)
                .set("retention.bytes", "-1")
                .set("message.timestamp.type", "LogAppendTime")
                .set("max.message.bytes", &batch)
                .set("min.insync.replicas", in_sync)
                .set("unclean.leader.election.enable", "false")
                .set("segment.bytes", &bytes)
                .set("segment.ms", &time)
        });
        self.admin.make(&new.collect::<Vec<_>>()).await?;
        for topic in missing {
            tracing::info!(topic = topic.name, partitions = topic.partitions, copies, "made a topic");
        }
        if copies < COPIES {
            tracing::warn!(copies, "the loss of a broker is not covered: topics have fewer than 3 copies");
        }
        Ok(())
    }

    /// Waits until the broker that is asked knows them all: it has no settings of a topic that is new elsewhere.
    async fn settings(&self, names: &[&str]) -> Result<Vec<ConfigResource>> {
        let deadline = Instant::now() + LED;
        loop {
            let configs = self.admin.settings_of(names).await?;
            match configs.iter().find(|config| config.entries.is_empty()) {
                None => return Ok(configs),
                Some(config) if Instant::now() > deadline => {
                    let why = format!("the settings of {:?} cannot be read", config.specifier);
                    return Err(Error::new(ErrorKind::Unavailable, why));
                }
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Waits until every partition has a leader.
    async fn until_led(&self, wanted: &[Wanted]) -> Result<Metadata> {
        let deadline = Instant::now() + LED;
        loop {
            let metadata = self.questions.metadata().await?;
            let led =
                |topic: &MetadataTopic| topic.partitions().iter().all(|partition| partition.leader() >= 0);
            let absent = wanted.iter().find(|topic| !found(&metadata, &topic.name).is_some_and(led));
            match absent {
                None => return Ok(metadata),
                Some(topic) if Instant::now() > deadline => {
                    let why = format!("topic `{}` has a partition without a leader", topic.name);
                    return Err(Error::new(ErrorKind::Unavailable, why));
                }
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// A topic that is there and can be used.
pub(super) fn found<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a MetadataTopic> {
    metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none())
}

/// A topic as it is.
struct Is<'a> {
    partitions: usize,
    copies: usize,
    setting: &'a dyn Fn(&str) -> &'a str,
}

impl Is<'_> {
    /// What would break a promise, in a sentence each.
    fn faults(&self, wanted: &Wanted, replication: Option<u16>) -> Vec<String> {
        let Wanted { name, partitions, kept } = wanted;
        let mut faults = Vec::new();
        let ours = *kept == Kept::ByUs;
        let count = *partitions as usize;
        if self.partitions < count || (ours && self.partitions > count) {
            faults.push(format!(
                "topic `{name}` has {} partitions and must have {count}: a key must stay in its partition, so make \
                 the topic anew, or a new log under another prefix (`kafka://host/PREFIX`)",
                self.partitions
            ));
        }
        if let Some(asked) = replication.filter(|asked| self.copies < usize::from(*asked)) {
            faults.push(format!(
                "topic `{name}` has {} copies and `replication={asked}` asks for more: reassign its partitions, or \
                 ask for fewer",
                self.copies
            ));
        }
        let mut set = Vec::new();
        let mut must = |setting: &str, holds: &dyn Fn(&str) -> bool, value: &str, why: &str| {
            let is = (self.setting)(setting);
            if !holds(is) {
                faults.push(format!("topic `{name}` has `{setting}={is}`: {why}"));
                set.push(format!("{setting}={value}"));
            }
        };
        if ours {
            must("cleanup.policy", &|is| is == "delete", "delete", "records would be lost to later ones");
            must("retention.ms", &|is| is == "-1", "-1", "records would be lost by their age");
            must("retention.bytes", &|is| is == "-1", "-1", "records would be lost when there are many");
            let why = "records would not be found by the time they were appended";
            must("message.timestamp.type", &|is| is == "LogAppendTime", "LogAppendTime", why);
        }
        let why = "records that were acknowledged would be lost with a leader";
        must("unclean.leader.election.enable", &|is| is == "false", "false", why);
        let enough = |is: &str| number(is) >= MAX_BATCH_BYTES;
        must("max.message.bytes", &enough, "1048588", "a full batch of records would be refused");
        let least = if self.copies >= COPIES { 2 } else { 1 };
        let in_sync = number((self.setting)("min.insync.replicas"));
        let why = match in_sync < least {
            true => "a record that was acknowledged could be lost with one broker",
            false => "there are not as many copies, so nothing could ever be appended",
        };
        let range = least..=self.copies as u64;
        must("min.insync.replicas", &|is| range.contains(&number(is)), &least.to_string(), why);
        if !set.is_empty() {
            faults.push(format!(
                "mend it: kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {}",
                set.join(",")
            ));
        }
        faults
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 7] = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("message.timestamp.type", "LogAppendTime"),
        ("unclean.leader.election.enable", "false"),
        ("max.message.bytes", "1048588"),
        ("min.insync.replicas", "2"),
    ];

    /// What is wrong with a topic of four partitions and three copies, but for one setting as it should be.
    fn faults(kept: Kept, other: (&str, &str)) -> String {
        let setting = |name: &str| match name == other.0 {
            true => other.1,
            false => GOOD.iter().find(|good| good.0 == name).map_or("", |good| good.1),
        };
        let wanted = Wanted { name: "t".to_owned(), partitions: 4, kept };
        Is { partitions: 4, copies: 3, setting: &setting }.faults(&wanted, Some(3)).join("\n")
    }

    #[test]
    fn each_setting_that_breaks_a_promise_is_named_with_its_cure() {
        assert_eq!(faults(Kept::ByUs, ("", "")), "");
        for (other, mended) in [
            (("cleanup.policy", "compact"), "cleanup.policy=delete"),
            (("cleanup.policy", "compact,delete"), "cleanup.policy=delete"),
            (("retention.ms", "604800000"), "retention.ms=-1"),
            (("retention.bytes", "1000000"), "retention.bytes=-1"),
            (("message.timestamp.type", "CreateTime"), "message.timestamp.type=LogAppendTime"),
            (("unclean.leader.election.enable", "true"), "unclean.leader.election.enable=false"),
            (("max.message.bytes", "100000"), "max.message.bytes=1048588"),
            (("min.insync.replicas", "1"), "min.insync.replicas=2"),
            (("min.insync.replicas", "4"), "min.insync.replicas=2"),
        ] {
            let found = faults(Kept::ByUs, other);
            let named = format!("topic `t` has `{}={}`: ", other.0, other.1);
            assert!(found.contains(&named) && found.ends_with(&format!("--add-config {mended}")), "{found}");
        }
    }

    #[test]
    fn what_is_for_others_is_kept_as_its_owner_likes() {
        let kept = Kept::For(Duration::from_secs(1));
        assert_eq!(faults(kept, ("retention.ms", "5")), "");
        assert_eq!(faults(kept, ("cleanup.policy", "compact")), "");
        assert!(faults(kept, ("max.message.bytes", "5")).contains("max.message.bytes"));
    }

    #[test]
    fn partitions_and_copies_are_counted() {
        let setting = |name: &str| match name {
            "min.insync.replicas" => "1",
            name => GOOD.iter().find(|good| good.0 == name).map_or("", |good| good.1),
        };
        let faults = |partitions, copies, kept, replication| {
            let wanted = Wanted { name: "t".to_owned(), partitions: 4, kept };
            Is { partitions, copies, setting: &setting }.faults(&wanted, replication).join("\n")
        };
        let others = Kept::For(Duration::ZERO);
        assert_eq!(faults(4, 1, Kept::ByUs, None), "");
        assert!(faults(5, 1, Kept::ByUs, None).contains("has 5 partitions and must have 4"));
        assert_eq!(faults(5, 1, others, None), "");
        assert!(faults(3, 1, others, None).contains("has 3 partitions and must have 4"));
        assert!(faults(4, 2, others, Some(3)).contains("has 2 copies"));
        assert!(faults(4, 3, others, None).contains("min.insync.replicas=2"));
    }
}
