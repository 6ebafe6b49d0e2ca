//! REST: the gateway that turns requests into use-cases and what they answer into responses.
//!
//! A request passes one layer ([`layer`]), is routed ([`routes`]), read ([`extract`]) and handed to a use-case;
//! a failure becomes a problem document ([`problem`]). Handlers hold no rules.

mod admin;
mod answer;
mod auth;
mod bots;
mod conversations;
mod extract;
mod health;
mod idempotency;
mod layer;
mod markers;
mod messages;
pub mod openapi;
mod participants;
mod position;
mod prefer;
mod problem;
mod query;
mod reactions;
mod routes;
mod socket;
mod sync;
mod trail;
mod users;

pub use extract::client_address;
pub use socket::sockets;

use crate::account::AccountService;
use crate::chat::Chat;
use crate::dead_letters::DeadLetters;
use crate::error::Failure;
use crate::live::Hub;
use crate::ready::Readiness;
use crate::sync::Sync;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::routing::get;
use chat4all_model::api::Code;
use layer::AroundLayer;
use metrics_exporter_prometheus::PrometheusHandle;
use problem::Problem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The settings of the gateway.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Requests under way at once; more are `overloaded`.
    pub requests: usize,
    /// How long one may take: longer than the longest poll.
    pub patience: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Origins of web pages that may use the API from a browser; `*` for every one.
    pub allowed_origins: Vec<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            requests: 4096,
            patience: Duration::from_secs(75),
            trusted_proxies: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}

/// The use-cases that the gateway gives access to.
pub struct Gateway {
    /// Accounts.
    pub accounts: Arc<AccountService>,
    /// Conversations and messages.
    pub chat: Chat,
    /// Catching up.
    pub sync: Sync,
    /// How far this process has heard.
    pub hub: Arc<Hub>,
    /// Dead letters.
    pub dead_letters: DeadLetters,
    /// How the process is.
    pub ready: Readiness,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

/// The public port's router: every route of the API where `gateway` serves it, else how the process is; and `further`
/// routes (sockets, pages), behind the same layer.
pub fn router(
    gateway: Option<Arc<Gateway>>,
    ready: Readiness,
    settings: &HttpSettings,
    further: Router,
) -> Router {
    let routes = match gateway {
        Some(gateway) => routes::routes().0.with_state(gateway),
        None => Router::new()
            .route("/health", get(health::health))
            .route("/ready", get(health::ready_alone).with_state(ready)),
    };
    let around = AroundLayer::new(settings.requests, settings.patience);
    let cors = cors(&settings.allowed_origins);
    let routes = routes.merge(further);
    let router = routes.fallback(not_found).method_not_allowed_fallback(no_such_method);
    let router = match cors {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(around)
}

/// The router of the port of operations.
pub fn ops_router(metrics: PrometheusHandle, ready: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/health", get(health::health))
        .with_state(metrics)
        .route("/ready", get(health::ready_alone).with_state(ready))
}

async fn not_found() -> Problem {
    Problem(Failure::new(Code::NotFound, "there is no such path"))
}

async fn no_such_method() -> Problem {
    Problem(Failure::new(Code::MethodNotAllowed, "this path does not take this method"))
}

/// Lets web pages of other origins in; none if no origin is named.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let allowed = match origins {
        [] => return None,
        origins if origins.iter().any(|origin| origin == "*") => AllowOrigin::any(),
        origins => AllowOrigin::list(origins.iter().filter_map(|o| HeaderValue::from_str(o).ok())),
    };
    let exposed = ["x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "preference-applied"];
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static(idempotency::IDEMPOTENCY_KEY),
            HeaderName::from_static("prefer"),
            position::POSITION,
        ])
        .expose_headers(
            exposed.map(HeaderName::from_static).into_iter().chain([position::POSITION]).collect::<Vec<_>>(),
        )
        .max_age(Duration::from_secs(3600));
    Some(layer)
}
