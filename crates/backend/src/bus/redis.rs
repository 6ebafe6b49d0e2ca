//! The bus on Redis: one server, a master named by Sentinels, or a Cluster.

mod address;
mod channels;
mod cluster;
mod dial;
mod failure;
mod link;
mod servers;
mod settings;

use self::channels::Channels;
use self::cluster::Cluster;
use self::dial::Dialler;
use self::failure::Failure;
use self::link::Link;
use self::servers::{Sentinels, Servers};
use self::settings::{Believed, Settings, Shape};
use super::{Bus, FOREVER, Hit, Subscription, check};
use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result, tls};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use redis::{Cmd, FromRedisValue, Script};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// How long [`RedisBus::open`] may take.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// Counts a hit in one step, on the server.
const HIT: &str = include_str!("redis/hit.lua");

/// A bus that any number of processes share.
///
/// Every call ends within the time limit of its URL. While a server is away calls fail at once; when it, or another in
/// its place, is there again, everything goes on: subscriptions are renewed and the script is loaded anew.
pub struct RedisBus {
    keys: Keys,
    channels: Channels,
    /// Before every key and channel.
    prefix: String,
    /// Part of every channel's name: Redis has no channels of a database.
    db: i64,
    limit: Duration,
    hit: Script,
}

/// Where keys are.
enum Keys {
    On(Link),
    Across(Cluster),
}

impl RedisBus {
    /// Connects to Redis 6 or newer, or what speaks as it does.
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://user:password@host:6379/DB` | one server; `:password@` without a user |
    /// | `redis+sentinel://host:26379,…/MASTER` | the master that Sentinels know by this name, whoever that is just now |
    /// | `redis+cluster://host:6379,…` | a Cluster; the hosts named are asked for the others |
    ///
    /// `rediss…` is the same over TLS, towards Sentinels and all nodes too: their certificates must hold the names or
    /// addresses by which they name each other.
    ///
    /// | parameter | default | |
    /// |---|---|---|
    /// | `prefix` | `chat4all:` | before every key and channel, so that several installations may share a server |
    /// | `timeout_ms` | 1000 | how long a call may take |
    /// | `ca` | the system's | with TLS: a PEM file of the certificates to believe |
    /// | `db` | 0 | with Sentinels: the database |
    /// | `sentinel_user`, `sentinel_password` | none | how to sign in to the Sentinels |
    ///
    /// A user of Redis needs the right to all keys and channels that begin with the prefix.
    ///
    /// # Errors
    /// Within five seconds: `Invalid` if the URL is wrong or a server refuses it, `Unavailable` if none can be reached.
    pub async fn open(url: EngineUrl) -> Result<Self> {
        let address = url.to_string();
        let settings = Settings::read(url)?;
        timeout(OPEN_LIMIT, Box::pin(Self::connect(settings))).await.unwrap_or_else(|_| {
            let why = format!("{address} cannot be reached within {OPEN_LIMIT:?}");
            Err(Error::new(ErrorKind::Unavailable, why))
        })
    }

    async fn connect(settings: Settings) -> Result<Self> {
        let Settings { shape, login, prefix, timeout: limit, tls } = settings;
        let (db, tls) = (login.db(), connector(tls).await?);
        let dialler =
            Dialler { login, tls, password_goes: "`:password@` or `user:password@` before the host" };
        let (keys, channels) = match shape {
            Shape::One(address) => {
                let channels = Channels::start(Servers::One(address.clone()), dialler.clone(), limit);
                (Keys::On(Link::start(Servers::One(address), dialler, None)), channels)
            }
            Shape::Sentinel { sentinels, login, master } => {
                let sentinels = Arc::new(Sentinels {
                    addresses: sentinels,
                    dialler: Dialler { login, password_goes: "`sentinel_password=`", ..dialler.clone() },
                    name: master,
                });
                let channels =
                    Channels::start(Servers::Master(Arc::clone(&sentinels)), dialler.clone(), limit);
                (Keys::On(Link::start(Servers::Master(sentinels), dialler, None)), channels)
            }
            Shape::Cluster { seeds } => {
                let nodes = Arc::new(RwLock::new(seeds));
                let cluster = Cluster::open(Arc::clone(&nodes), dialler.clone()).await?;
                (Keys::Across(cluster), Channels::start(Servers::AnyNode(nodes), dialler, limit))
            }
        };
        if let Keys::On(link) = &keys {
            link.dialled().await?;
        }
        channels.dialled().await?;
        let bus = Self { keys, channels, prefix, db, limit, hit: Script::new(HIT) };
        bus.may_all_it_needs().await?;
        Ok(bus)
    }

    /// Finds out at the start what the user has no right to.
    async fn may_all_it_needs(&self) -> Result<()> {
        let tried = [
            self.subscribe("open").await.map(drop),
            self.publish("open", Bytes::new()).await,
            self.set("open", Bytes::new(), Duration::ZERO).await,
            self.hit("open", 0, Duration::ZERO).await.map(drop),
        ];
        let refused =
            tried.into_iter().filter_map(Result::err).find(|error| error.kind == ErrorKind::Invalid);
        refused.map_or(Ok(()), Err)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    fn channel(&self, name: &str) -> String {
        format!("{}channel:{}:{name}", self.prefix, self.db)
    }

    fn key(&self, name: &str) -> String {
        format!("{}key:{name}", self.prefix)
    }

    fn counter(&self, name: &str) -> String {
        format!("{}hits:{name}", self.prefix)
    }

    async fn request<T: FromRedisValue>(
        &self,
        deadline: Instant,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        match &self.keys {
            Keys::On(link) => link.request(deadline, command).await,
            Keys::Across(cluster) => cluster.request(deadline, key, command).await,
        }
    }
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        check(channel, message.len())?;
        let published = self.channels.publish(self.deadline(), &self.channel(channel), &message).await;
        published.map_err(Failure::of_a_change)
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>> {
        check(channel, 0)?;
        let subscribed = self.channels.subscribe(self.deadline(), self.channel(channel)).await;
        subscribed.map_err(Failure::of_a_question)
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        check(key, value.len())?;
        let key = self.key(key);
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(value.as_ref()).arg("PX").arg(milliseconds(ttl));
        self.request(self.deadline(), &key, &set).await.map_err(Failure::of_a_change)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        check(key, 0)?;
        let key = self.key(key);
        let mut get = redis::cmd("GET");
        get.arg(&key);
        let value: Option<Vec<u8>> =
            self.request(self.deadline(), &key, &get).await.map_err(Failure::of_a_question)?;
        Ok(value.map(Bytes::from))
    }

    async fn remove(&self, key: &str) -> Result<()> {
        check(key, 0)?;
        let key = self.key(key);
        let mut remove = redis::cmd("DEL");
        remove.arg(&key);
        self.request(self.deadline(), &key, &remove).await.map_err(Failure::of_a_change)
    }

    async fn hit(&self, key: &str, limit: u32, window: Duration) -> Result<Hit> {
        check(key, 0)?;
        let (key, deadline) = (self.counter(key), self.deadline());
        let window = window.min(FOREVER).as_micros();
        let call = |how: &str, script: &str| {
            let mut call = redis::cmd(how);
            call.arg(script).arg(1).arg(&key).arg(limit).arg(window.to_string());
            call
        };
        let by_hash = call("EVALSHA", self.hit.get_hash());
        let mut answer = self.request(deadline, &key, &by_hash).await;
        if answer.as_ref().is_err_and(Failure::is_unknown_script) {
            // Loads it too.
            answer = self.request(deadline, &key, &call("EVAL", HIT)).await;
        }
        let (allowed, remaining, retry_after): (bool, u32, u64) = answer.map_err(Failure::of_a_change)?;
        Ok(Hit { allowed, remaining, retry_after: Duration::from_micros(retry_after) })
    }
}

/// For Redis, which takes no time of zero.
fn milliseconds(time: Duration) -> u64 {
    let ceiled = time.min(FOREVER).as_micros().div_ceil(1_000);
    u64::try_from(ceiled).unwrap_or(u64::MAX).max(1)
}

async fn connector(believed: Option<Believed>) -> Result<Option<TlsConnector>> {
    let Some(believed) = believed else { return Ok(None) };
    let read = tokio::task::spawn_blocking(move || match believed {
        Believed::OfTheSystem => tls::client(None),
        Believed::In(path) => tls::client(Some(&path)),
    });
    let config = read.await.map_err(|error| Error::new(ErrorKind::Unavailable, error))??;
    Ok(Some(config.into()))
}
