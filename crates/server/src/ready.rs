//! Whether this process can do its work: `/ready`.

use crate::engines::Engines;
use crate::health::Health;
use crate::live::Hub;
use chat4all_backend::log::Topic;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Without these a process still does what it is there for: nobody misses a message, presence and files pause. If it
/// counted, the loss of one of them would take every process from its balancer at once.
const DISPENSABLE: [&str; 2] = ["bus", "blobs"];

/// Asks the engines how they are. Cheap to clone.
#[derive(Clone)]
pub struct Readiness {
    engines: Engines,
    health: Health,
    hub: Option<Arc<Hub>>,
}

/// How a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// Whether it should be asked: all is well but for the bus and files, without which it does the rest.
    pub ready: bool,
    /// Each engine by port: `ok`, or what is wrong.
    pub engines: BTreeMap<String, String>,
    /// What else is not well, by name, and why.
    pub complaints: BTreeMap<String, String>,
}

impl Readiness {
    /// Of a process with these engines.
    #[must_use]
    pub fn new(engines: Engines, health: Health, hub: Option<Arc<Hub>>) -> Self {
        Self { engines, health, hub }
    }

    /// How it is now.
    pub async fn report(&self) -> Report {
        let Engines { log, store, accounts, bus, blobs, .. } = &self.engines;
        let (log, store, accounts, bus, blobs) = tokio::join!(
            ask(async { log.bounds(Topic::Events, 0).await.map(drop) }),
            ask(async { store.progress(0).await.map(drop) }),
            ask(async { accounts.list(None, 1).await.map(drop) }),
            ask(async { bus.get("ready").await.map(drop) }),
            ask(blobs.check()),
        );
        let engines: BTreeMap<String, String> =
            [("log", log), ("store", store), ("accounts", accounts), ("bus", bus), ("blobs", blobs)]
                .map(|(port, state)| (port.to_owned(), state.unwrap_or_else(|| "ok".to_owned())))
                .into();
        let mut complaints = self.health.complaints();
        if self.hub.as_ref().is_some_and(|hub| !hub.is_ready()) {
            complaints.insert("live".to_owned(), "the log is not followed to its end yet".to_owned());
        }
        let well = |(port, state): (&String, &String)| state == "ok" || DISPENSABLE.contains(&port.as_str());
        let ready = complaints.is_empty() && engines.iter().all(well);
        Report { ready, engines, complaints }
    }
}

/// What is wrong with an engine. Only its kind is told: `/ready` is open to everybody.
async fn ask(question: impl Future<Output = chat4all_backend::Result<()>>) -> Option<String> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(%error, "an engine is not well");
            Some(format!("{:?}", error.kind))
        }
        Err(_) => Some("no answer in time".to_owned()),
    }
}
