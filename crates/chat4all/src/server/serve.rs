//! `chat4all serve`

use super::settings::{LogFormat, PublicTopics, Registration, Role, Settings, Switch};
use chat4all_backend::folder::DataFolder;
use chat4all_server::account::{self, AccountSettings, Ambient, AuthLimits};
use chat4all_server::app::{App, AppSettings, Roles};
use chat4all_server::clock::system_clock;
use chat4all_server::http::HttpSettings;
use chat4all_server::installation::{EMBEDDED, Installation};
use chat4all_server::live::LiveSettings;
use chat4all_server::operator::{self, Operator};
use chat4all_server::public_topics::{Gap, PublicTopicsSettings, SchemaRegistry};
use chat4all_server::secret::Secret;
use chat4all_server::shutdown::{self, Shutdown};
use chat4all_server::ws::GatewaySettings;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Serves until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> ExitCode {
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("chat4all cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn start(settings: Settings) -> Outcome {
    let settings = settings.with_file()?;
    let _logging = super::logging::start(settings.log_format == LogFormat::Json, &settings.log_level)?;
    check(&settings)?;
    // Nearly half the memory at rest was the unused ends of huge pages; one run without them was no slower.
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(settings))
}

/// Refuses roles that cannot be parted.
fn check(settings: &Settings) -> Outcome {
    let urls = settings.engines.urls();
    if !urls.is_embedded() {
        // Said before anything is made.
        urls.secret(settings.engines.secret.as_deref())?;
    }
    let local = urls.local();
    if let Some(name) = local.first() {
        for role in [Role::Api, Role::Gateway, Role::Router] {
            if !settings.roles.contains(&role) {
                let why = format!(
                    "{name} is embedded, which belongs to one process, which must do everything; leave --roles out, or \
                     name an engine across a network"
                );
                return Err(format!("--roles without {role:?}: {why}").into());
            }
        }
    }
    Ok(())
}

async fn serve(settings: Settings) -> Outcome {
    let (stopper, shutdown) = shutdown::channel();
    let listener = listen(settings.listen, "listen").await?;
    let ops = listen(settings.ops_listen, "ops-listen").await?;
    let (address, ops_address) = (listener.local_addr()?, ops.local_addr()?);
    let urls = settings.engines.urls();
    let installation = Installation::open(&urls, &system_clock()).await?;
    let secret = urls.secret(settings.engines.secret.as_deref())?;
    let engines = installation.engines.clone();
    let app = App::new(engines.clone(), Ambient::system(), app_settings(&settings, secret, address)?).await?;
    let operator = Operator {
        accounts: Arc::clone(&app.accounts),
        engines,
        health: app.health.clone(),
        ambient: Ambient::system(),
        folder: installation.folder().map(|folder| folder.path().to_owned()),
        running: true,
    };
    let folder = operators_folder(&installation, urls.data);
    let operators = tokio::spawn(serve_operators(folder, operator, shutdown.clone()));
    greet(&installation, address, ops_address);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopping = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: letting go of sockets, finishing requests");
        stopper.stop();
    });
    app.serve(listener, ops, shutdown).await;
    operators.await?;
    stopping.await?;
    installation.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Where operators find this process; none if the folder cannot be had, which only matters to embedded engines.
fn operators_folder(installation: &Installation, data: PathBuf) -> Option<DataFolder> {
    if let Some(folder) = installation.folder() {
        return Some(folder.clone());
    }
    let opened = DataFolder::open(data);
    if let Err(error) = &opened {
        tracing::warn!(%error, "`chat4all admin` and `doctor` cannot reach this process; give it a --data of its own");
    }
    opened.ok()
}

/// Without the socket the server still serves; operators are told that it does not answer.
async fn serve_operators(folder: Option<DataFolder>, operator: Operator, shutdown: Shutdown) {
    let Some(folder) = folder else { return };
    if let Err(error) = operator::serve(folder.path(), operator::router(operator), shutdown).await {
        tracing::error!(%error, "`chat4all admin` and `doctor` cannot reach this server");
    }
}

async fn listen(address: SocketAddr, name: &str) -> Outcome<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| format!("--{name} {address}: {e}").into())
}

fn app_settings(settings: &Settings, secret: Secret, address: SocketAddr) -> Outcome<AppSettings> {
    let limits = match settings.auth_limits {
        Switch::On => AuthLimits::default(),
        Switch::Off => AuthLimits::OFF,
    };
    let registration = match settings.registration {
        Registration::Open => account::Registration::Open,
        Registration::Invite => account::Registration::Invite,
        Registration::Closed => account::Registration::Closed,
    };
    let has = |role| settings.roles.contains(&role);
    Ok(AppSettings {
        roles: Roles { api: has(Role::Api), gateway: has(Role::Gateway), router: has(Role::Router) },
        name: format!("{address}/{}", std::process::id()).into(),
        secret,
        accounts: AccountSettings { registration, limits, ..AccountSettings::default() },
        live: LiveSettings { ring_bytes: settings.ring_mib << 20, ..LiveSettings::default() },
        http: HttpSettings {
            allowed_origins: settings.allowed_origins.clone(),
            trusted_proxies: settings.trusted_proxies.clone(),
            requests: settings.max_requests,
            ..HttpSettings::default()
        },
        ws: GatewaySettings {
            per_user: settings.max_connections_per_user,
            per_address: settings.max_connections_per_address,
            frames_per_second: settings.max_frames_per_second,
            frame_burst: settings.max_frames_per_second.saturating_mul(4),
            origins: origins(&settings.allowed_origins),
        },
        log_retention: Some(settings.log_retention.0),
        metrics: super::metrics::install()?,
        max_connections: settings.max_connections,
        pause_router: settings.pause_router,
        public_topics: public_topics(settings)?,
    })
}

fn public_topics(settings: &Settings) -> Outcome<Option<PublicTopicsSettings>> {
    let gap = match settings.public_topics {
        PublicTopics::Off => return Ok(None),
        PublicTopics::Auto | PublicTopics::On => Gap::Stop,
        PublicTopics::SkipGap => Gap::Skip,
    };
    if settings.public_topics != PublicTopics::Auto && settings.engines.log_url == EMBEDDED {
        return Err(
            "--public-topics: nobody else can read an embedded log; name one on Kafka with --log-url".into(),
        );
    }
    let registry = settings.schema_registry_url.as_deref().map(SchemaRegistry::open).transpose();
    let registry = registry.map_err(|error| format!("--schema-registry-url: {}", error.message()))?;
    Ok(Some(PublicTopicsSettings { registry, gap }))
}

/// Without a list pages of every origin may connect, which is safe as tokens are no cookies.
fn origins(allowed: &[String]) -> Option<Vec<String>> {
    let every = allowed.is_empty() || allowed.iter().any(|origin| origin == "*");
    (!every).then(|| allowed.to_vec())
}

#[expect(clippy::print_stdout, reason = "what a person sees who starts it")]
fn greet(installation: &Installation, address: SocketAddr, ops: SocketAddr) {
    for line in &installation.ports {
        println!("{line}");
    }
    println!("metrics   http://{ops}/metrics");
    println!("chat4all  http://{address}");
}

#[expect(clippy::print_stderr, reason = "the last word of a process that cannot start")]
fn complain(what: &str) {
    eprintln!("{what}");
}
