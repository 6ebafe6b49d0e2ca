//! What a URL says, and what librdkafka is told.

use super::context::Context;
use super::error;
use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result};
use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use std::path::Path;
use std::time::Duration;

/// Where brokers listen unless the URL says otherwise.
const PORT: u16 = 9092;

/// How long a record may take from the call of `append` until its outcome is called unknown.
pub(super) const DELIVERY: Duration = Duration::from_secs(10);

/// How long any other request of ours may take, with the search for a leader.
pub(super) const REQUEST: Duration = Duration::from_secs(6);

/// The largest batch of records that is sent; the topics must take it. Room for a record of
/// [`MAX_RECORD_BYTES`](crate::log::MAX_RECORD_BYTES) with its key, and librdkafka's default.
pub(super) const MAX_BATCH_BYTES: u64 = 1_000_000;

const PARAMETERS: [&str; 6] = ["security", "mechanism", "ca", "replication", "linger_ms", "compression"];

/// What the URL of a cluster says.
#[derive(Clone)]
pub(super) struct Settings {
    /// The cluster, for people.
    pub(super) name: String,
    /// Before every name of a topic or group, with its dot; empty without one.
    pub(super) prefix: String,
    /// Copies of each partition of a topic that is made; `None`: 3, or as many as there are brokers.
    pub(super) replication: Option<u16>,
    linger: Duration,
    compression: String,
    /// What every client is told.
    common: ClientConfig,
}

impl Settings {
    pub(super) fn read(mut url: EngineUrl) -> Result<Self> {
        if url.scheme() != "kafka" {
            return Err(wrong(format!("`{}` is no URL of Kafka: write `kafka://host:9092`", url.scheme())));
        }
        let mut common = ClientConfig::new();
        common.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in [
            ("client.id", "chat4all"),
            ("bootstrap.servers", &url.addresses(PORT).join(",")),
            // The successor of a broker that died is found in a second or two, that of one that hangs when this
            // time is over; librdkafka's own times are made for batch jobs.
            ("socket.timeout.ms", "4000"),
            ("socket.connection.setup.timeout.ms", "3000"),
            ("socket.keepalive.enable", "true"),
            ("api.version.request.timeout.ms", "3000"),
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "1000"),
            ("retry.backoff.ms", "20"),
            ("retry.backoff.max.ms", "500"),
            ("topic.metadata.refresh.fast.interval.ms", "50"),
            // Brokers close idle connections, which is no news.
            ("log.connection.close", "false"),
        ] {
            common.set(name, value);
        }
        secure(&mut common, &mut url)?;
        let replication = url.take_as::<u16>("replication", "a number of copies, as 3")?;
        if replication == Some(0) {
            return Err(wrong("`replication=0`: there must be at least one copy"));
        }
        let linger = url.take_ms("linger_ms")?.unwrap_or(Duration::from_millis(1));
        if linger >= DELIVERY {
            return Err(wrong(format!("`linger_ms`: must be less than {}", ms(DELIVERY))));
        }
        let compression = url.take("compression").unwrap_or_else(|| "lz4".to_owned());
        if !["none", "lz4", "gzip", "snappy"].contains(&compression.as_str()) {
            return Err(wrong(format!(
                "`compression={compression}`: there are `lz4`, `gzip`, `snappy`, `none`"
            )));
        }
        url.finish(&PARAMETERS)?;
        let prefix = prefix(url.path())?;
        Ok(Self { name: url.to_string(), prefix, replication, linger, compression, common })
    }

    /// A name on the cluster.
    pub(super) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Appends: idempotent, acknowledged by all replicas in sync.
    pub(super) fn producer(&self) -> ClientConfig {
        self.with(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("delivery.timeout.ms", &ms(DELIVERY)),
            ("request.timeout.ms", "5000"),
            ("linger.ms", &ms(self.linger)),
            ("compression.type", &self.compression),
            // Together: at most 1,000 records of a partition are under way at once.
            ("max.in.flight.requests.per.connection", "5"),
            ("batch.num.messages", "200"),
            ("batch.size", &MAX_BATCH_BYTES.to_string()),
            // Bounded by us, a call at a time: librdkafka would take half of one.
            ("queue.buffering.max.messages", "0"),
            ("queue.buffering.max.kbytes", "2147483647"),
        ])
    }

    /// Reads partitions that it is given. It has the name of a group because librdkafka wants one, and never
    /// joins it.
    pub(super) fn reader(&self) -> ClientConfig {
        self.with(&[
            ("group.id", &self.named("chat4all-readers")),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_uncommitted"),
            ("check.crcs", "true"),
            ("fetch.min.bytes", "1"),
            // The broker answers at the first byte. This bounds how long a new follower waits for the request
            // that is under way without its partition.
            ("fetch.wait.max.ms", "100"),
            ("fetch.error.backoff.ms", "100"),
            // What waits for a follower is bounded for each; one that catches up must not wait to be filled.
            ("queued.min.messages", "10000"),
            ("queued.max.messages.kbytes", "1024"),
            ("fetch.queue.backoff.ms", "5"),
            ("max.partition.fetch.bytes", "1048576"),
            ("fetch.max.bytes", "16777216"),
        ])
    }

    /// Takes part in a group.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        self.with(&[
            ("group.id", group),
            ("partition.assignment.strategy", "cooperative-sticky"),
            // The heir of a dead member waits this long, one that is told of a change by a heartbeat that long.
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
            ("max.poll.interval.ms", "10000"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
        ])
    }

    /// Asks what partitions hold.
    pub(super) fn inquirer(&self) -> ClientConfig {
        self.common.clone()
    }

    /// Makes and checks topics. Nobody takes its lines, so it must not write any.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.common.clone();
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    fn with(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.common.clone();
        for (name, value) in more {
            config.set(*name, *value);
        }
        config
    }
}

/// Makes a client. Blocks while its threads start.
pub(super) fn client<T: FromClientConfigAndContext<Context>>(
    config: &ClientConfig,
    context: Context,
) -> Result<T> {
    config.create_with_context(context).map_err(error::making)
}

fn secure(common: &mut ClientConfig, url: &mut EngineUrl) -> Result<()> {
    let security = url.take("security").unwrap_or_else(|| "plaintext".to_owned());
    if !["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].contains(&security.as_str()) {
        let why = "there are `plaintext`, `ssl`, `sasl_plaintext`, `sasl_ssl`";
        return Err(wrong(format!("`security={security}`: {why}")));
    }
    common.set("security.protocol", security.as_str());
    let mechanism = url.take("mechanism");
    if security.starts_with("sasl") {
        let (Some(user), Some(password)) = (url.user(), url.password()) else {
            return Err(wrong(format!(
                "`security={security}` needs credentials: `kafka://user:password@host`"
            )));
        };
        let mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
        let mechanism = mechanism.filter(|mechanism| mechanisms.contains(&mechanism.as_str()));
        let mechanism = mechanism.ok_or_else(|| {
            wrong(format!("`security={security}` needs `mechanism`, one of `{}`", mechanisms.join("`, `")))
        })?;
        common.set("sasl.mechanism", mechanism).set("sasl.username", user).set("sasl.password", password);
    } else if url.user().is_some() || url.password().is_some() {
        return Err(wrong(format!(
            "there are credentials, which `security={security}` never sends: write `security=sasl_ssl`, or leave \
             them out"
        )));
    } else if mechanism.is_some() {
        return Err(wrong(format!("`mechanism` means nothing with `security={security}`")));
    }
    if let Some(ca) = url.take("ca") {
        if !security.ends_with("ssl") {
            return Err(wrong(format!("`ca` means nothing with `security={security}`")));
        }
        if !Path::new(&ca).is_file() {
            return Err(wrong(format!("`ca` {ca}: there is no such file")));
        }
        common.set("ssl.ca.location", ca);
    }
    Ok(())
}

/// With its dot. Kafka's names are at most 249 characters long; ours, and a group's, need some of them.
fn prefix(path: &str) -> Result<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !path.chars().all(legal) || path.len() > 128 {
        return Err(wrong(format!("`/{path}`: a prefix is up to 128 of `a-z A-Z 0-9 . _ -`")));
    }
    Ok(if path.is_empty() { String::new() } else { format!("{path}.") })
}

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn wrong(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Settings> {
        Settings::read(EngineUrl::parse(url)?)
    }

    #[test]
    fn a_url_becomes_a_configuration() {
        let settings =
            read("kafka://me:p%40ss@a:1,b/team?security=sasl_ssl&mechanism=SCRAM-SHA-512&linger_ms=3");
        let settings = settings.unwrap();
        let producer = settings.producer();
        for (name, value) in [
            ("bootstrap.servers", "a:1,b:9092"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "me"),
            ("sasl.password", "p@ss"),
            ("linger.ms", "3"),
            ("compression.type", "lz4"),
        ] {
            assert_eq!(producer.get(name), Some(value), "{name}");
        }
        assert_eq!(settings.named("messages"), "team.messages");
        assert_eq!(settings.name, "kafka://me@a:1,b/team");
        assert_eq!(read("kafka://a").unwrap().named("messages"), "messages");
    }

    #[test]
    fn librdkafka_takes_every_setting() {
        let settings = read("kafka://a").unwrap();
        let all = [settings.producer(), settings.reader(), settings.member("g"), settings.inquirer()];
        for config in all {
            config.create_native_config().unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, words) in [
            ("redis://a", "no URL of Kafka"),
            ("kafka://a?lingerms=1", "`lingerms` is no parameter"),
            ("kafka://a?linger_ms=soon", "milliseconds"),
            ("kafka://a?linger_ms=10000", "less than 10000"),
            ("kafka://a?replication=0", "at least one copy"),
            ("kafka://a?compression=zstd", "there are `lz4`"),
            ("kafka://a?security=tls", "there are `plaintext`, `ssl`"),
            ("kafka://a?security=sasl_ssl", "needs credentials"),
            ("kafka://u:p@a?security=sasl_ssl", "needs `mechanism`"),
            ("kafka://u:p@a?security=sasl_ssl&mechanism=GSSAPI", "`SCRAM-SHA-512`"),
            ("kafka://u:p@a", "`security=sasl_ssl`"),
            ("kafka://a?mechanism=PLAIN", "`mechanism` means nothing"),
            ("kafka://a?ca=/x.pem", "`ca` means nothing"),
            ("kafka://a?security=ssl&ca=/nowhere/x.pem", "/nowhere/x.pem: there is no such file"),
            ("kafka://a/b%20c", "a prefix is"),
        ] {
            let error = read(url).err().unwrap();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
