//! An installation: its engines, each named by a URL, opened and put behind the ports.

use crate::clock::Clock;
use crate::engines::Engines;
use crate::secret::{Secret, SecretError};
use chat4all_backend::accounts::PostgresAccounts;
use chat4all_backend::accounts::cassandra::CassandraAccounts;
use chat4all_backend::accounts::{Accounts, EmbeddedAccounts};
use chat4all_backend::address::{EngineUrl, masked};
use chat4all_backend::blobs::{self, Blobs};
use chat4all_backend::bus::RedisBus;
use chat4all_backend::bus::{Bus, EmbeddedBus};
use chat4all_backend::folder::DataFolder;
use chat4all_backend::guard::{Guard, GuardedAccounts, GuardedBus, GuardedLog, GuardedStore};
use chat4all_backend::log::kafka::{self, KafkaLog};
use chat4all_backend::log::{self, EmbeddedLog, EventLog, Publisher};
use chat4all_backend::store::PostgresStore;
use chat4all_backend::store::cassandra::CassandraStore;
use chat4all_backend::store::{self, EmbeddedStore, Store};
use chat4all_backend::{Error, ErrorKind, Result};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What stands in a setting for an engine in the data folder.
pub const EMBEDDED: &str = "embedded";
/// Ports whose engine may belong to one process.
const PORTS: usize = 5;

/// Where the engines of an installation are: `embedded` or a URL each, as the settings name them.
#[derive(Debug, Clone)]
pub struct EngineUrls {
    /// The folder of embedded engines.
    pub data: PathBuf,
    /// `--log-url`
    pub log: String,
    /// `--store-url`
    pub store: String,
    /// `--accounts-url`; none for the store's.
    pub accounts: Option<String>,
    /// `--bus-url`
    pub bus: String,
    /// `--blobs-url`
    pub blobs: String,
    /// Partitions of a log that is not there yet, or that one must have.
    pub partitions: Option<u32>,
    /// The incarnation of a log that is not there yet.
    pub epoch: u32,
}

impl EngineUrls {
    /// Everything in a folder.
    #[must_use]
    pub fn embedded(data: PathBuf) -> Self {
        let embedded = || EMBEDDED.to_owned();
        Self {
            data,
            log: embedded(),
            store: embedded(),
            accounts: None,
            bus: embedded(),
            blobs: embedded(),
            partitions: None,
            epoch: 1,
        }
    }

    /// Where accounts are.
    #[must_use]
    pub fn accounts(&self) -> &str {
        self.accounts.as_deref().unwrap_or(&self.store)
    }

    /// Whether all of it is in the data folder.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.local().len() == PORTS
    }

    /// The secret: as it was given, or that of the data folder, made if it is not there.
    ///
    /// # Errors
    /// If it is too short, or needed and not given, saying how to mend that.
    pub fn secret(&self, given: Option<&str>) -> Result<Secret> {
        let wrong = |error: SecretError| Error::new(ErrorKind::Invalid, error);
        match given {
            Some(secret) => Secret::new(secret).map_err(wrong),
            None if self.is_embedded() => Secret::of_folder(&self.data).map_err(wrong),
            None => {
                let why = "--secret is needed with engines across a network, the same for all processes; make one with \
                           `openssl rand -hex 32` and give it as CHAT4ALL_SECRET";
                Err(Error::new(ErrorKind::Invalid, why))
            }
        }
    }

    /// The files that engines in the data folder have in it.
    #[must_use]
    pub fn files(&self) -> Vec<&'static str> {
        let files =
            [("log.db", self.log.as_str()), ("store.db", &self.store), ("accounts.db", self.accounts())];
        files.into_iter().filter(|(_, url)| *url == EMBEDDED).map(|(file, _)| file).collect()
    }

    /// Whether the data folder holds anything of the installation.
    #[must_use]
    pub fn in_folder(&self) -> bool {
        !self.files().is_empty() || self.blobs == EMBEDDED
    }

    /// The settings whose engines belong to one process, by name.
    #[must_use]
    pub fn local(&self) -> Vec<&'static str> {
        let settings = [
            ("--log-url", self.log.as_str()),
            ("--store-url", &self.store),
            ("--accounts-url", self.accounts()),
            ("--bus-url", &self.bus),
            ("--blobs-url", &self.blobs),
        ];
        settings.into_iter().filter(|(_, url)| *url == EMBEDDED).map(|(name, _)| name).collect()
    }
}

/// What a port is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortLine {
    /// `log`, `store`, …
    pub port: &'static str,
    /// Which engine.
    pub engine: &'static str,
    /// Where it is, without secrets, and what it guarantees.
    pub about: String,
}

impl fmt::Display for PortLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} {:<10} {}", self.port, self.engine, self.about)
    }
}

/// Engines that are open.
pub struct Installation {
    /// The engines as everybody sees them.
    pub engines: Engines,
    /// One line a port.
    pub ports: Vec<PortLine>,
    /// Held for as long as an engine is in it.
    folder: Option<DataFolder>,
    log: Option<Arc<EmbeddedLog>>,
    kafka: Option<Arc<KafkaLog>>,
    store: Option<Arc<EmbeddedStore>>,
}

impl Installation {
    /// Opens the engines, making what is not there. An engine across a network must answer.
    ///
    /// # Errors
    /// The engine's own, naming the setting; `Invalid` for a URL that is wrong, saying what is wrong with it.
    pub async fn open(urls: &EngineUrls, clock: &Clock) -> Result<Self> {
        let mut opening =
            Opening { urls, clock, ports: Vec::new(), folder: None, log: None, kafka: None, store: None };
        if urls.in_folder() {
            let data = urls.data.clone();
            opening.folder = Some(blocking(move || DataFolder::open(&data)).await?);
        }
        let (log, publisher) = opening.log().await.map_err(|e| named("--log-url", e))?;
        let store = opening.store().await.map_err(|e| named("--store-url", e))?;
        let accounts = opening.accounts().await.map_err(|e| named("--accounts-url", e))?;
        let bus = opening.bus().await.map_err(|e| named("--bus-url", e))?;
        let blobs = opening.blobs().await.map_err(|e| named("--blobs-url", e))?;
        let Opening { ports, folder, log: embedded_log, kafka, store: embedded_store, .. } = opening;
        let engines = Engines { log, store, accounts, bus, blobs, publisher };
        Ok(Self { engines, ports, folder, log: embedded_log, kafka, store: embedded_store })
    }

    /// The log, if it is on Kafka: what only that can do.
    #[must_use]
    pub fn kafka(&self) -> Option<&KafkaLog> {
        self.kafka.as_deref()
    }

    /// The data folder, if an engine is in it.
    #[must_use]
    pub fn folder(&self) -> Option<&DataFolder> {
        self.folder.as_ref()
    }

    /// Writes what waits and lets go of the folder.
    pub async fn close(self) {
        if let Some(log) = self.log {
            log.close().await;
        }
        if let Some(log) = self.kafka {
            log.close().await;
        }
        if let Some(store) = self.store {
            store.close().await;
        }
    }
}

/// Engines on their way.
struct Opening<'a> {
    urls: &'a EngineUrls,
    clock: &'a Clock,
    ports: Vec<PortLine>,
    folder: Option<DataFolder>,
    log: Option<Arc<EmbeddedLog>>,
    kafka: Option<Arc<KafkaLog>>,
    store: Option<Arc<EmbeddedStore>>,
}

impl Opening<'_> {
    async fn log(&mut self) -> Result<(Arc<dyn EventLog>, Option<Arc<dyn Publisher>>)> {
        let (partitions, epoch) = (self.urls.partitions, self.urls.epoch);
        let Some(url) = distributed(&self.urls.log)? else {
            let (folder, clock) = (self.folder()?, Arc::clone(self.clock));
            let options = log::Options { partitions, epoch, clock, ..log::Options::default() };
            let log = Arc::new(blocking(move || EmbeddedLog::open(&folder, options)).await?);
            let what = format!("{}, every answer is synced to disk", shape(log.as_ref()));
            self.embedded("log", "log.db", &what);
            self.log = Some(Arc::clone(&log));
            return Ok((log, None));
        };
        match url.scheme() {
            "kafka" => {
                let about = url.to_string();
                let options = kafka::Options { partitions, epoch, ..kafka::Options::default() };
                let log = Arc::new(KafkaLog::open(url, options).await?);
                let what = format!("{}, every answer is on all replicas in sync", shape(log.as_ref()));
                self.line("log", "kafka", &about, &what);
                let guarded = GuardedLog::new(Arc::clone(&log) as _, Guard::new("log", "kafka"));
                self.kafka = Some(Arc::clone(&log));
                Ok((Arc::new(guarded), Some(log)))
            }
            other => Err(unknown(other, "kafka://")),
        }
    }

    async fn store(&mut self) -> Result<Arc<dyn Store>> {
        let Some(url) = distributed(&self.urls.store)? else {
            let (folder, clock) = (self.folder()?, Arc::clone(self.clock));
            let options = store::Options { clock, ..store::Options::default() };
            let store = Arc::new(blocking(move || EmbeddedStore::open(&folder, options)).await?);
            self.embedded("store", "store.db", "rebuilt from the log after a power cut");
            self.store = Some(Arc::clone(&store));
            return Ok(store);
        };
        let about = url.to_string();
        match url.scheme() {
            "cassandra" => {
                let store = CassandraStore::open(url).await?;
                self.line("store", "cassandra", &about, "every answer is on a quorum");
                Ok(Arc::new(GuardedStore::new(Arc::new(store), Guard::new("store", "cassandra"))))
            }
            "postgres" | "postgresql" => {
                let store = PostgresStore::open(url, Arc::clone(self.clock)).await?;
                self.line("store", "postgres", &about, "every answer is committed");
                Ok(Arc::new(GuardedStore::new(Arc::new(store), Guard::new("store", "postgres"))))
            }
            other => Err(unknown(other, "cassandra:// and postgres://")),
        }
    }

    async fn accounts(&mut self) -> Result<Arc<dyn Accounts>> {
        let Some(url) = distributed(self.urls.accounts())? else {
            let folder = self.folder()?;
            let accounts = blocking(move || EmbeddedAccounts::open(folder.path())).await?;
            self.embedded("accounts", "accounts.db", "every answer is synced to disk");
            return Ok(Arc::new(accounts));
        };
        let about = url.to_string();
        match url.scheme() {
            "cassandra" => {
                let accounts = CassandraAccounts::open(url).await?;
                self.line("accounts", "cassandra", &about, "every answer is on a quorum");
                Ok(Arc::new(GuardedAccounts::new(Arc::new(accounts), Guard::new("accounts", "cassandra"))))
            }
            "postgres" | "postgresql" => {
                let accounts = PostgresAccounts::open(url).await?;
                self.line("accounts", "postgres", &about, "every answer is committed");
                Ok(Arc::new(GuardedAccounts::new(Arc::new(accounts), Guard::new("accounts", "postgres"))))
            }
            other => Err(unknown(other, "cassandra:// and postgres://")),
        }
    }

    async fn bus(&mut self) -> Result<Arc<dyn Bus>> {
        let Some(url) = distributed(&self.urls.bus)? else {
            let about = "in memory: what may be lost".to_owned();
            self.ports.push(PortLine { port: "bus", engine: EMBEDDED, about });
            return Ok(Arc::new(EmbeddedBus::new()));
        };
        let about = url.to_string();
        match url.scheme() {
            "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster"
            | "rediss+cluster" => {
                let bus = RedisBus::open(url).await?;
                self.line("bus", "redis", &about, "what may be lost");
                Ok(Arc::new(GuardedBus::new(Arc::new(bus), Guard::new("bus", "redis"))))
            }
            other => Err(unknown(other, "redis://, rediss://, redis+sentinel:// and redis+cluster://")),
        }
    }

    async fn blobs(&mut self) -> Result<Blobs> {
        let url = &self.urls.blobs;
        let blobs = blobs::open(url, &self.urls.data).await?;
        if url == EMBEDDED {
            self.embedded("blobs", "blobs", "every file is synced to disk");
        } else {
            let engine = if url.starts_with("s3:") { "s3" } else { "folder" };
            self.line("blobs", engine, &masked(&self.urls.blobs), "every answer is kept");
        }
        Ok(blobs)
    }

    fn folder(&self) -> Result<DataFolder> {
        let none = || Error::new(ErrorKind::Invalid, "an embedded engine needs a data folder");
        self.folder.clone().ok_or_else(none)
    }

    fn embedded(&mut self, port: &'static str, file: &str, what: &str) {
        let about = format!("{}/{file}: {what}", self.urls.data.display());
        self.ports.push(PortLine { port, engine: EMBEDDED, about });
    }

    fn line(&mut self, port: &'static str, engine: &'static str, at: &str, what: &str) {
        self.ports.push(PortLine { port, engine, about: format!("{at}: {what}") });
    }
}

/// The URL of an engine that is not embedded.
fn distributed(url: &str) -> Result<Option<EngineUrl>> {
    if url == EMBEDDED { Ok(None) } else { EngineUrl::parse(url).map(Some) }
}

fn shape(log: &dyn EventLog) -> String {
    format!("{} partitions, epoch {}", log.partitions(), log.epoch())
}

fn unknown(scheme: &str, known: &str) -> Error {
    let why = format!("`{scheme}://` is no engine of this port; there are `{EMBEDDED}`, {known}");
    Error::new(ErrorKind::Invalid, why)
}

fn named(setting: &str, error: Error) -> Error {
    Error::new(error.kind, format!("{setting}: {}", error.message()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = |e| Error::new(ErrorKind::Unavailable, format!("opening an engine ended badly: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}
