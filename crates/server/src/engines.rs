//! The engines of an installation, by port.

use crate::clock::Clock;
use chat4all_backend::Result;
use chat4all_backend::accounts::{Accounts, EmbeddedAccounts};
use chat4all_backend::blobs::Blobs;
use chat4all_backend::bus::{Bus, EmbeddedBus};
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::{self, EmbeddedLog, EventLog, Publisher};
use chat4all_backend::store::{self, EmbeddedStore, Store};
use std::sync::Arc;

/// One engine a port. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    /// Commands and facts.
    pub log: Arc<dyn EventLog>,
    /// What the facts amount to.
    pub store: Arc<dyn Store>,
    /// People, sessions, keys.
    pub accounts: Arc<dyn Accounts>,
    /// What may be lost.
    pub bus: Arc<dyn Bus>,
    /// Files.
    pub blobs: Blobs,
    /// Writes what others are told; none where the log has no topics for others.
    pub publisher: Option<Arc<dyn Publisher>>,
}

/// The embedded engines of a data folder, by their own types for what only they have.
pub struct Embedded {
    /// The folder, locked for as long as this lives.
    pub folder: DataFolder,
    /// `log.db`
    pub log: Arc<EmbeddedLog>,
    /// `store.db`
    pub store: Arc<EmbeddedStore>,
    /// `accounts.db`
    pub accounts: Arc<EmbeddedAccounts>,
    /// `blobs/`
    pub blobs: Blobs,
}

impl Embedded {
    /// Opens the engines of `folder`, making what is not there. Blocks.
    ///
    /// # Errors
    /// As the engines'.
    pub fn open(folder: DataFolder, partitions: Option<u32>, clock: &Clock) -> Result<Self> {
        let log_options = log::Options { partitions, clock: Arc::clone(clock), ..log::Options::default() };
        let store_options = store::Options { clock: Arc::clone(clock), ..store::Options::default() };
        Ok(Self {
            log: Arc::new(EmbeddedLog::open(&folder, log_options)?),
            store: Arc::new(EmbeddedStore::open(&folder, store_options)?),
            accounts: Arc::new(EmbeddedAccounts::open(folder.path())?),
            blobs: Blobs::embedded(folder.path())?,
            folder,
        })
    }

    /// The engines as everybody else sees them.
    #[must_use]
    pub fn engines(&self) -> Engines {
        Engines {
            log: Arc::clone(&self.log) as _,
            store: Arc::clone(&self.store) as _,
            accounts: Arc::clone(&self.accounts) as _,
            bus: Arc::new(EmbeddedBus::new()),
            blobs: self.blobs.clone(),
            publisher: None,
        }
    }

    /// Writes what waits and lets go of the files.
    pub async fn close(self) {
        self.log.close().await;
        self.store.close().await;
    }
}
