//! The fixture of the log on Kafka, and what only it promises.

use crate::{crash, runtime};
use async_trait::async_trait;
use bytes::Bytes;
use chat4all_backend::ErrorKind;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::log::contract::{Capability, Fixture};
use chat4all_backend::log::kafka::{KafkaLog, Options};
use chat4all_backend::log::{EventLog, PublicTopic, Publication, Publisher, Topic};
use futures_util::future::join_all;
use libtest_mimic::{Failed, Trial};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a broker is.
const URL: &str = "CHAT4ALL_TEST_KAFKA_URL";

/// Where a broker is that wants TLS and a password.
const SASL_URL: &str = "CHAT4ALL_TEST_KAFKA_SASL_URL";

/// Set to a URL, it makes this program join a group of that log and stay until it is killed.
pub(crate) const MEMBER_OF: &str = "CHAT4ALL_TEST_MEMBER_OF";

const PATIENCE: Duration = Duration::from_secs(20);

/// A prefix of its own on the cluster; its topics are deleted when it is dropped.
struct Prefix {
    url: String,
    name: String,
    hosts: String,
}

impl Prefix {
    fn new() -> Result<Self, String> {
        let url = std::env::var(URL).map_err(|_| format!("{URL} is not set"))?;
        let hosts = EngineUrl::parse(&url).map_err(|error| error.to_string())?.addresses(9092).join(",");
        let name = format!("test-{}", uuid::Uuid::now_v7().simple());
        Ok(Self { url: format!("{}/{name}", url.trim_end_matches('/')), name, hosts })
    }

    fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Failed> {
        Ok(ClientConfig::new().set("bootstrap.servers", &self.hosts).create()?)
    }

    async fn open(&self, options: Options) -> chat4all_backend::Result<KafkaLog> {
        KafkaLog::open(EngineUrl::parse(&self.url)?, options).await
    }

    fn delete(&self) -> Result<(), Failed> {
        let admin = self.admin()?;
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10))?;
        let ours = metadata.topics().iter().map(|topic| topic.name());
        let ours = ours.filter(|name| name.starts_with(&format!("{}.", self.name))).collect::<Vec<_>>();
        if !ours.is_empty() {
            runtime()?.block_on(admin.delete_topics(&ours, &AdminOptions::new()))?;
        }
        Ok(())
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        if let Err(error) = self.delete() {
            eprintln!("topics of {} are left: {error:?}", self.name);
        }
    }
}

pub(crate) fn fixture() -> Result<Box<dyn Fixture>, String> {
    Ok(Box::new(Kafka { prefix: Prefix::new()?, open: Mutex::default() }))
}

struct Kafka {
    prefix: Prefix,
    open: Mutex<Option<Arc<KafkaLog>>>,
}

impl Kafka {
    async fn open_with(&self, options: Options) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        let log = Arc::new(self.prefix.open(options).await?);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&log));
        Ok(log)
    }
}

fn four() -> Options {
    Options { partitions: Some(4), ..Options::default() }
}

#[async_trait]
impl Fixture for Kafka {
    fn can(&self, _: Capability) -> bool {
        true
    }

    async fn open(&self) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        self.open_with(four()).await
    }

    async fn narrow(&self) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        self.open_with(Options { queue_records: 8, ..four() }).await
    }

    async fn reopen(&self) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(log) = open {
            log.close().await;
        }
        self.open_with(four()).await
    }

    /// Brokers have a clock of their own, on which time passes by itself: what holds of times holds however close
    /// they are.
    fn pass(&self, _: Duration) {}

    fn now_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_millis() as u64
    }
}

type Run = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let plain: [(&str, Run); 10] = [
        ("what_was_answered_survives_a_kill", what_was_answered_survives_a_kill),
        ("a_killed_member_is_replaced", a_killed_member_is_replaced),
        ("another_number_of_partitions_is_refused", another_number_of_partitions_is_refused),
        ("topics_made_beforehand_are_used", topics_made_beforehand_are_used),
        ("topics_that_would_break_a_promise_are_refused", topics_that_would_break_a_promise_are_refused),
        ("who_starts_at_once_agrees", who_starts_at_once_agrees),
        ("a_new_epoch_lasts", a_new_epoch_lasts),
        ("publications_keep_their_key_and_order", publications_keep_their_key_and_order),
        ("a_partition_given_back_is_read_anew", a_partition_given_back_is_read_anew),
        ("a_closed_log_says_so", a_closed_log_says_so),
    ];
    let sasl: [(&str, Run); 2] = [
        ("tls_and_a_password_open_the_log", tls_and_a_password_open_the_log),
        ("wrong_credentials_are_refused_at_once", wrong_credentials_are_refused_at_once),
    ];
    let bare: [(&str, Run); 1] =
        [("an_unreachable_cluster_is_named_in_time", an_unreachable_cluster_is_named_in_time)];
    let needing = |variable: Option<&'static str>, all: Vec<(&'static str, Run)>| {
        let ignored = variable.is_some_and(|variable| std::env::var_os(variable).is_none());
        all.into_iter()
            .map(move |(name, run)| Trial::test(format!("kafka::{name}"), run).with_ignored_flag(ignored))
    };
    needing(Some(URL), plain.into())
        .chain(needing(Some(SASL_URL), sasl.into()))
        .chain(needing(None, bare.into()))
}

fn what_was_answered_survives_a_kill() -> Result<(), Failed> {
    crash::test(&Prefix::new()?.url, 3)
}

/// Prints what it is given.
pub(crate) fn be_a_member(url: &str) -> ExitCode {
    let outcome = runtime().map_err(Failed::from).and_then(|runtime| {
        runtime.block_on(async {
            let log = KafkaLog::open(EngineUrl::parse(url)?, four()).await?;
            let mut member = log.join("g", Topic::Messages).await?;
            loop {
                let line = format!("{:?}\n", member.assignment().await?);
                std::io::stdout().lock().write_all(line.as_bytes())?;
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err::<(), Failed>(failed) => {
            eprintln!("{failed:?}");
            ExitCode::FAILURE
        }
    }
}

fn a_killed_member_is_replaced() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    let mut child =
        Command::new(std::env::current_exe()?).env(MEMBER_OF, &prefix.url).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    while line != "[0, 1, 2, 3]\n" {
        line.clear();
        assert!(lines.read_line(&mut line)? > 0, "the member ended");
    }
    runtime()?.block_on(async {
        let log = prefix.open(four()).await?;
        let mut heir = log.join("g", Topic::Messages).await?;
        // Both have something before one is killed.
        while tokio::time::timeout(PATIENCE, heir.assignment()).await??.is_empty() {}
        child.kill()?;
        while tokio::time::timeout(PATIENCE, heir.assignment()).await?? != [0, 1, 2, 3] {}
        child.wait()?;
        Ok(())
    })
}

fn another_number_of_partitions_is_refused() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    let with = |partitions, epoch| prefix.open(Options { partitions, epoch, ..Options::default() });
    runtime()?.block_on(async {
        drop(with(Some(3), 7).await?);
        let refused = with(Some(5), 7).await.err().ok_or("5 partitions were taken")?;
        assert_eq!(refused.kind, ErrorKind::Invalid);
        assert!(refused.to_string().contains("give 3"), "{refused}");
        let log = with(None, 8).await?;
        assert_eq!((log.partitions(), log.epoch()), (3, 7));
        Ok(())
    })
}

/// Makes a topic as its operator might.
async fn make(prefix: &Prefix, topic: &str, partitions: i32, config: &[(&str, &str)]) -> Result<(), Failed> {
    let name = prefix.topic(topic);
    let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    let topic = config.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
    let made = prefix.admin()?.create_topics([&topic], &AdminOptions::new()).await?;
    Ok(made
        .into_iter()
        .try_for_each(|made| made.map(drop).map_err(|(name, code)| format!("{name}: {code}")))?)
}

fn topics_made_beforehand_are_used() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    runtime()?.block_on(async {
        let good = [("retention.ms", "-1"), ("message.timestamp.type", "LogAppendTime")];
        make(&prefix, "events", 2, &good).await?;
        // What is for others is kept as long as its owner likes.
        make(&prefix, "message.created", 2, &[("retention.ms", "60000")]).await?;
        assert_eq!(prefix.open(Options::default()).await?.partitions(), 2);
        Ok(())
    })
}

fn topics_that_would_break_a_promise_are_refused() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    runtime()?.block_on(async {
        let bad = [("cleanup.policy", "compact"), ("retention.ms", "1000"), ("max.message.bytes", "1000")];
        make(&prefix, "events", 3, &bad).await?;
        let refused = prefix.open(four()).await.err().ok_or("the topics were taken")?;
        assert_eq!(refused.kind, ErrorKind::Invalid);
        let why = refused.to_string();
        for words in [
            "has 3 partitions and must have 4",
            "`cleanup.policy=compact`",
            "`retention.ms=1000`",
            "`message.timestamp.type=CreateTime`",
            "`max.message.bytes=1000`",
            "--add-config cleanup.policy=delete,retention.ms=-1,message.timestamp.type=LogAppendTime",
        ] {
            assert!(why.contains(words), "{words} is not in: {why}");
        }
        assert!(!why.contains("messages"), "topics that are right are named: {why}");
        Ok(())
    })
}

fn who_starts_at_once_agrees() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    runtime()?.block_on(async {
        let opening = [(3, 2), (5, 4), (7, 3)].map(|(epoch, partitions)| {
            prefix.open(Options { epoch, partitions: Some(partitions), ..Options::default() })
        });
        let opened = join_all(opening).await;
        let first = prefix.open(Options::default()).await?;
        for (outcome, (epoch, partitions)) in opened.into_iter().zip([(3, 2), (5, 4), (7, 3)]) {
            match outcome {
                Ok(log) => {
                    assert_eq!((log.epoch(), log.partitions()), (first.epoch(), first.partitions()));
                    assert_eq!((epoch, partitions), (first.epoch(), first.partitions()));
                }
                Err(error) => {
                    let why = error.to_string();
                    assert!(why.contains(&format!("give {}", first.partitions())), "{why}");
                }
            }
        }
        Ok(())
    })
}

fn a_new_epoch_lasts() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    runtime()?.block_on(async {
        let log = prefix.open(four()).await?;
        assert_eq!(log.epoch(), 1);
        for wrong in [0, 1] {
            assert_eq!(log.begin_epoch(wrong).await.err().map(|error| error.kind), Some(ErrorKind::Invalid));
        }
        log.begin_epoch(5).await?;
        assert_eq!(log.begin_epoch(4).await.err().map(|error| error.kind), Some(ErrorKind::Invalid));
        let again = prefix.open(Options { epoch: 9, ..four() }).await?;
        assert_eq!((again.epoch(), again.partitions()), (5, 4));
        Ok(())
    })
}

fn publications_keep_their_key_and_order() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    let publication = |n: u32| Publication {
        topic: PublicTopic::MessageCreated,
        partition: 3,
        key: n.is_multiple_of(2).then(|| Bytes::from(format!("key {n}"))),
        payload: Bytes::from(n.to_string()),
    };
    runtime()?.block_on(async {
        let log = prefix.open(four()).await?;
        log.publish((0..100).map(publication).collect()).await?;
        let unknown = log.publish(vec![Publication { partition: 4, ..publication(0) }]).await;
        assert_eq!(unknown.err().map(|error| error.kind), Some(ErrorKind::Invalid));
        Ok::<_, Failed>(())
    })?;
    let reader: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &prefix.hosts).set("group.id", &prefix.name).create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&prefix.topic("message.created"), 3, Offset::Beginning)?;
    reader.assign(&from)?;
    for n in 0..100 {
        let message = reader.poll(PATIENCE).ok_or("no record came")??;
        let expected = publication(n);
        assert_eq!(message.key(), expected.key.as_deref());
        assert_eq!(message.payload(), Some(&*expected.payload));
    }
    Ok(())
}

fn a_partition_given_back_is_read_anew() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    runtime()?.block_on(async {
        let log = prefix.open(four()).await?;
        let records = (0..2_000).map(|_| (0, Bytes::from(vec![7; 1_000]))).collect();
        let offsets = log.append(Topic::Events, records).await?;
        for n in 0..40 {
            let from = offsets[n * 797 % 2_000];
            let mut follower = log.follow(Topic::Events, 0, from).await?;
            let read = tokio::time::timeout(PATIENCE, follower.next()).await??;
            assert_eq!(read[0].offset, from, "what was read for an earlier follower came");
        }
        Ok(())
    })
}

fn a_closed_log_says_so() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    runtime()?.block_on(async {
        let log = prefix.open(four()).await?;
        let appends = (0..1_000).map(|_| log.append(Topic::Events, vec![(0, Bytes::from_static(b"x"))]));
        let appends = appends.collect::<Vec<_>>();
        log.close().await;
        for append in appends {
            append.await?;
        }
        let late = log.append(Topic::Events, vec![(0, Bytes::new())]).await;
        assert_eq!(late.err().map(|error| error.kind), Some(ErrorKind::Unavailable));
        Ok(())
    })
}

fn sasl_url(change: impl Fn(String) -> String) -> Result<EngineUrl, Failed> {
    Ok(EngineUrl::parse(&change(std::env::var(SASL_URL)?))?)
}

fn tls_and_a_password_open_the_log() -> Result<(), Failed> {
    let prefix = Prefix::new()?;
    let url = sasl_url(|url| url.replacen('?', &format!("/{}?", prefix.name), 1))?;
    runtime()?.block_on(async {
        let log = KafkaLog::open(url, four()).await?;
        let offsets = log.append(Topic::Events, vec![(0, Bytes::from_static(b"x"))]).await?;
        let mut follower = log.follow(Topic::Events, 0, offsets[0]).await?;
        assert_eq!(tokio::time::timeout(PATIENCE, follower.next()).await??[0].payload, "x");
        Ok(())
    })
}

fn wrong_credentials_are_refused_at_once() -> Result<(), Failed> {
    let runtime = runtime()?;
    let refused = |url| {
        let began = Instant::now();
        let refused = runtime.block_on(KafkaLog::open(url, four())).err().ok_or("the log was opened")?;
        assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
        assert!(began.elapsed() < Duration::from_secs(8), "refused after {:?}", began.elapsed());
        Ok::<_, Failed>(refused.to_string())
    };
    let password = EngineUrl::parse(&std::env::var(SASL_URL)?)?.password().unwrap_or_default().to_owned();
    let why = refused(sasl_url(|url| url.replacen(&format!(":{password}@"), ":wr0ng@", 1))?)?;
    assert!(why.contains("uthentication failed") && !why.contains("wr0ng"), "{why}");
    // Who does not know the authority believes nobody.
    let why = refused(sasl_url(|url| url.split("&ca=").next().unwrap_or_default().to_owned())?)?;
    assert!(why.contains("certificate verify failed"), "{why}");
    Ok(())
}

fn an_unreachable_cluster_is_named_in_time() -> Result<(), Failed> {
    let began = Instant::now();
    let url = EngineUrl::parse("kafka://127.0.0.1:1/x")?;
    let refused = runtime()?.block_on(KafkaLog::open(url, four())).err().ok_or("the log was opened")?;
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.to_string().contains("127.0.0.1:1"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(12), "said after {:?}", began.elapsed());
    Ok(())
}
