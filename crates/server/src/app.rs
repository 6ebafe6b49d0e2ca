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
use crate::public_topics::{PublicTopics, PublicTopicsSettings};
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

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// REST.
    pub api: bool,
    /// Sockets.
    pub gateway: bool,
    /// Decides and projects.
    pub router: bool,
}

impl Roles {
    /// Every role.
    pub const ALL: Self = Self { api: true, gateway: true, router: true };
}

/// The settings of a process, with everything outside resolved.
pub struct AppSettings {
    /// What it does.
    pub roles: Roles,
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
    /// How others are told, where the log has topics for them; none if they are told nothing.
    pub public_topics: Option<PublicTopicsSettings>,
}

/// A process, ready to be served.
pub struct App {
    /// Says what is not well.
    pub health: Health,
    /// The facts, live; none in a process that only routes.
    pub hub: Option<Arc<Hub>>,
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
        let listens = settings.roles.api || settings.roles.gateway;
        let hub = listens.then(|| Hub::start(engines.clone(), settings.live));
        Ok(Self { health: Health::default(), hub, accounts, engines, settings, ambient })
    }

    /// Serves the API on `listener` and the operators' pages on `ops_listener` until `shutdown`, then ends in order: no
    /// new connections, 1012 to sockets, requests under way, what is decided.
    pub async fn serve(self, listener: TcpListener, ops_listener: TcpListener, shutdown: Shutdown) {
        let Self { health, hub, accounts, engines, settings, ambient } = self;
        let (stop_router, router_ends) = shutdown::channel();
        let (stop_listening, listening_ends) = shutdown::channel();
        let router = settings.roles.router.then(|| {
            let (told, clock) = (hub.clone(), ambient.clone());
            let public_topics = engines.publisher.clone().zip(settings.public_topics);
            let options = RouterOptions {
                name: Arc::clone(&settings.name),
                retention: settings.log_retention,
                paused: settings.pause_router,
                clock: Arc::new(move || clock.now()),
                health: health.clone(),
                on_progress: Arc::new(move |partition, progress| {
                    if let Some(hub) = &told {
                        hub.note_progress(partition, *progress);
                    }
                }),
                public_topics: public_topics
                    .map(|(publisher, settings)| Arc::new(PublicTopics::new(publisher, settings))),
            };
            tokio::spawn(router::run(engines.clone(), options, router_ends))
        });
        let watching = tokio::spawn(Arc::clone(&accounts).run());
        let ready = Readiness::new(engines.clone(), health.clone(), hub.clone());
        let ops = http::ops_router(settings.metrics, ready.clone());
        let ops = tokio::spawn(listen::serve(ops_listener, ops, OPS_CONNECTIONS, listening_ends.clone()));
        let mut sockets = None;
        let mut gateway = None;
        if let Some(hub) = hub {
            let chat = Chat::new(&engines, Arc::clone(&hub), ambient.clone());
            let sync = Sync::new(Arc::clone(&hub), &settings.secret);
            sockets = settings.roles.gateway.then(|| {
                ws::Gateway::new(
                    Arc::clone(&accounts),
                    chat.clone(),
                    sync.clone(),
                    ambient.clone(),
                    settings.ws,
                    shutdown.clone(),
                )
            });
            gateway = settings.roles.api.then(|| {
                Arc::new(http::Gateway {
                    dead_letters: DeadLetters::new(engines, ambient),
                    accounts,
                    chat,
                    sync,
                    hub,
                    ready: ready.clone(),
                    trusted_proxies: settings.http.trusted_proxies.clone(),
                })
            });
        }
        let trusted = settings.http.trusted_proxies.clone();
        let upgrades = sockets.as_ref().map(|sockets| http::sockets(Arc::clone(sockets), trusted));
        let api = http::router(gateway, ready, &settings.http, upgrades.unwrap_or_default());
        let api = tokio::spawn(listen::serve(listener, api, settings.max_connections, listening_ends));

        // Ends with the sockets told that the process does.
        match sockets {
            Some(sockets) => sockets.run().await,
            None => shutdown.clone().asked().await,
        }
        health.bad("process", "shutting down");
        stop_listening.stop();
        for task in [api, ops] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
        stop_router.stop();
        if let Some(router) = router
            && let Err(error) = router.await
        {
            tracing::error!(%error, "the router ended badly");
        }
        watching.abort();
    }
}
