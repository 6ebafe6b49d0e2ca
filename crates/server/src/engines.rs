//! The engines of an installation, by port.

use chat4all_backend::accounts::Accounts;
use chat4all_backend::bus::Bus;
use chat4all_backend::log::EventLog;
use chat4all_backend::store::Store;
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
}
