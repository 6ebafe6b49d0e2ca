//! A log, a store and as many routers as a test wants, each of which can be killed.

use crate::log_double::LogDouble;
use crate::publisher_double::PublisherDouble;
use crate::store_double::StoreDouble;
use crate::truth::{self, Findings};
use chat4all_backend::accounts::EmbeddedAccounts;
use chat4all_backend::blobs::Blobs;
use chat4all_backend::bus::EmbeddedBus;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::{self, EmbeddedLog};
use chat4all_backend::store::{self, EmbeddedStore};
use chat4all_server::clock::system_clock;
use chat4all_server::engines::Engines;
use chat4all_server::health::Health;
use chat4all_server::public_topics::{Gap, PublicTopics, PublicTopicsSettings};
use chat4all_server::router::{self, RouterOptions};
use chat4all_server::shutdown::{self, Stopper};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) store: Arc<StoreDouble>,
    pub(crate) publisher: Arc<PublisherDouble>,
    accounts: Arc<EmbeddedAccounts>,
    pub(crate) retention: Option<Duration>,
    pub(crate) public_topics: Option<PublicTopicsSettings>,
    folder: TempDir,
}

impl World {
    pub(crate) fn new(partitions: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let options = log::Options { partitions: Some(partitions), ..log::Options::default() };
        let store = EmbeddedStore::open(&data, store::Options::default()).unwrap();
        Self {
            log: Arc::new(EmbeddedLog::open(&data, options).unwrap()),
            store: StoreDouble::new(Arc::new(store)),
            publisher: PublisherDouble::new(),
            accounts: Arc::new(EmbeddedAccounts::open(folder.path()).unwrap()),
            retention: None,
            public_topics: Some(PublicTopicsSettings { registry: None, gap: Gap::Stop }),
            folder,
        }
    }

    /// A router that owns these partitions.
    pub(crate) fn router(&self, partitions: &[u32]) -> Router {
        let log = LogDouble::new(Arc::clone(&self.log));
        log.assign(partitions);
        let engines = Engines {
            log: Arc::clone(&log) as _,
            store: Arc::clone(&self.store) as _,
            accounts: Arc::clone(&self.accounts) as _,
            bus: Arc::new(EmbeddedBus::new()),
            blobs: Blobs::embedded(self.folder.path()).unwrap(),
            publisher: Some(Arc::clone(&self.publisher) as _),
        };
        let settings = self.public_topics.clone();
        let health = Health::default();
        let options = RouterOptions {
            name: "test".into(),
            retention: self.retention,
            paused: false,
            clock: system_clock(),
            health: health.clone(),
            on_progress: Arc::new(|_, _| {}),
            public_topics: settings
                .map(|settings| Arc::new(PublicTopics::new(Arc::clone(&self.publisher) as _, settings))),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stopper, shutdown) = shutdown::channel();
        let task = runtime.spawn(router::run(engines, options, shutdown));
        Router { log, health, stopper, task: Some(task), runtime: Some(runtime) }
    }

    /// Waits until everything is decided, stored and told, and holds it against the log.
    pub(crate) async fn settle(&self) -> Findings {
        until("all is decided and stored", async || truth::is_done(&self.log, &*self.store).await).await;
        until("all is told", async || truth::is_told(&self.log, &*self.store).await).await;
        truth::check(&self.log, &*self.store, &self.publisher.published()).await
    }
}

/// A router with threads of its own, so that it can die between any two steps.
pub(crate) struct Router {
    pub(crate) log: Arc<LogDouble>,
    pub(crate) health: Health,
    stopper: Stopper,
    task: Option<tokio::task::JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Router {
    /// Stops it in order.
    pub(crate) async fn stop(mut self) {
        self.stopper.stop();
        if let Some(task) = self.task.take() {
            tokio::time::timeout(PATIENCE, task).await.expect("it ends").unwrap();
        }
    }
}

impl Drop for Router {
    /// Kills it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Polls until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
