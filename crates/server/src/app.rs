//! The composition root: which parts a process has and how they hang together, from engines to listeners.

use crate::account::{AccountService, AccountSettings, Ambient};
use crate::chat::Chat;
use crate::dead_letters::DeadLetters;
use crate::engines::Engines;
use crate::error::{Failure, Result};
use crate::health::Health;
use crate::http;
use crate::listen;
use crate::live::{Hub, LiveSettings};
use crate::operator::unfinished;
use crate::ready::Readiness;
use crate::router::{self, RouterOptions};
use crate::secret::Secret;
use crate::shutdown::{self, Shutdown};
use crate::sync::Sync;
use crate::ws;
use chat4all_model::api::Code;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections at once of the operators' port.
const OPS_CONNECTIONS: usize = 64;

/// The settings of a process, with everything outside resolved.
pub struct AppSettings {
    /// Its name among the routers, for people.
    pub name: Arc<str>,
    /// From which all keys derive.
    pub secret: Secret,
    /// Of accounts.
    pub accounts: AccountSettings,
    /// Of the live path.
    pub live: LiveSettings,
    /// Of REST.
    pub http: http::HttpSettings,
    /// Of sockets.
    pub ws: ws::GatewaySettings,
    /// How long the log keeps what is decided and stored.
    pub log_retention: Option<Duration>,
    /// What is measured.
    pub metrics: PrometheusHandle,
    /// Connections at once.
    pub max_connections: usize,
    /// Whether deciding is held back.
    pub pause_router: bool,
}

/// A process of every role, ready to be served.
pub struct App {
    /// Says what is not well.
    pub health: Health,
    /// The facts, live.
    pub hub: Arc<Hub>,
    /// Accounts.
    pub accounts: Arc<AccountService>,
    engines: Engines,
    settings: AppSettings,
    ambient: Ambient,
}

impl App {
    /// Puts the parts together over these engines.
    ///
    /// # Errors
    /// If an engine cannot be read, or a migration or rebuild of the store is not finished.
    pub async fn new(engines: Engines, ambient: Ambient, settings: AppSettings) -> Result<Self> {
        if let Some(work) = unfinished(engines.store.as_ref()).await? {
            return Err(Failure::new(Code::Conflict, work.advice()));
        }
        let accounts = AccountService::open(
            Arc::clone(&engines.accounts),
            Arc::clone(&engines.bus),
            &settings.secret,
            ambient.clone(),
            settings.accounts,
        )
        .await?;
        let hub = Hub::start(engines.clone(), settings.live);
        Ok(Self { health: Health::default(), hub, accounts, engines, settings, ambient })
    }

    /// Serves the API on `listener` and the operators' pages on `ops_listener` until `shutdown`, then ends in order: no
    /// new connections, 1012 to sockets, requests under way, what is decided.
    pub async fn serve(self, listener: TcpListener, ops_listener: TcpListener, shutdown: Shutdown) {
        let Self { health, hub, accounts, engines, settings, ambient } = self;
        let (stop_router, router_ends) = shutdown::channel();
        let (stop_listening, listening_ends) = shutdown::channel();
        let told = Arc::clone(&hub);
        let clock = ambient.clone();
        let router = tokio::spawn(router::run(
            engines.clone(),
            RouterOptions {
                name: Arc::clone(&settings.name),
                retention: settings.log_retention,
                paused: settings.pause_router,
                clock: Arc::new(move || clock.now()),
                health: health.clone(),
                on_progress: Arc::new(move |partition, progress| told.note_progress(partition, *progress)),
            },
            router_ends,
        ));
        let watching = tokio::spawn(Arc::clone(&accounts).run());
        let chat = Chat::new(&engines, Arc::clone(&hub), ambient.clone());
        let sync = Sync::new(Arc::clone(&hub), &settings.secret);
        let ready = Readiness::new(engines.clone(), health.clone(), Arc::clone(&hub));
        let sockets = ws::Gateway::new(
            Arc::clone(&accounts),
            chat.clone(),
            sync.clone(),
            ambient.clone(),
            settings.ws,
            shutdown.clone(),
        );
        let trusted = settings.http.trusted_proxies.clone();
        let gateway = Arc::new(http::Gateway {
            dead_letters: DeadLetters::new(engines, ambient),
            accounts,
            chat,
            sync,
            hub: Arc::clone(&hub),
            ready: ready.clone(),
            settings: settings.http,
        });
        let api = http::router(gateway, http::sockets(Arc::clone(&sockets), trusted));
        let api =
            tokio::spawn(listen::serve(listener, api, settings.max_connections, listening_ends.clone()));
        let ops = http::ops_router(settings.metrics, ready);
        let ops = tokio::spawn(listen::serve(ops_listener, ops, OPS_CONNECTIONS, listening_ends));

        // Ends with the sockets told that the process does.
        sockets.run().await;
        health.bad("process", "shutting down");
        stop_listening.stop();
        for task in [api, ops] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
        stop_router.stop();
        if let Err(error) = router.await {
            tracing::error!(%error, "the router ended badly");
        }
        watching.abort();
    }
}
