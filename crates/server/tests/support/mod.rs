//! An installation in one process: embedded engines in a folder of its own, a real router, the real API.
#![allow(dead_code, clippy::allow_attributes, reason = "not every test program uses all of it")]

mod fits;
mod schema;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use chat4all_backend::folder::DataFolder;
use chat4all_server::account::{AccountService, AccountSettings, Actor, Ambient, AuthLimits, PasswordCost};
use chat4all_server::chat::Chat;
use chat4all_server::clock::system_clock;
use chat4all_server::dead_letters::DeadLetters;
use chat4all_server::engines::{Embedded, Engines};
use chat4all_server::health::Health;
use chat4all_server::http::{self, Gateway, HttpSettings};
use chat4all_server::live::{Hub, LiveSettings};
use chat4all_server::ready::Readiness;
use chat4all_server::router::{self, RouterOptions};
use chat4all_server::secret::Secret;
use chat4all_server::shutdown::{self, Stopper};
use chat4all_server::sync::Sync;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub const PASSWORD: &str = "correct horse";
pub const SECRET: &str = "a secret of the tests, 32 letters long";

/// An installation. [`stop`](Self::stop) it at the end of a test: it fails if something was left undone.
pub struct TestApp {
    pub api: Router,
    pub accounts: Arc<AccountService>,
    pub engines: Engines,
    pub health: Health,
    router: JoinHandle<()>,
    stopper: Stopper,
    pub embedded: Embedded,
    _folder: Option<TempDir>,
}

/// What may differ between installations.
pub struct Options {
    pub limits: AuthLimits,
    pub http: HttpSettings,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: AuthLimits::OFF, http: HttpSettings::default() }
    }
}

/// Somebody signed in.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub token: String,
    pub refresh_token: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let embedded = embedded(folder.path());
        Self { _folder: Some(folder), ..Self::over(embedded, options).await }
    }

    /// Over engines of a folder that outlasts it; to be ended by [`close`](Self::close).
    pub async fn over(embedded: Embedded, options: Options) -> Self {
        let clock = system_clock();
        let engines = embedded.engines();
        let hub = Hub::start(engines.clone(), LiveSettings::default());
        let (stopper, shutdown) = shutdown::channel();
        let (health, heard) = (Health::default(), Arc::clone(&hub));
        let router_options = RouterOptions {
            name: "test".into(),
            retention: None,
            paused: false,
            clock,
            health: health.clone(),
            on_progress: Arc::new(move |partition, progress| heard.note_progress(partition, *progress)),
            public_topics: None,
        };
        let router = tokio::spawn(router::run(engines.clone(), router_options, shutdown));
        let settings = AccountSettings {
            limits: options.limits,
            password: PasswordCost { memory_kib: 64, passes: 1, at_once: 2, waiting: 64 },
            ..AccountSettings::default()
        };
        let (secret, ambient) = (Secret::new(SECRET).unwrap(), Ambient::system());
        let (people, bus) = (Arc::clone(&engines.accounts), Arc::clone(&engines.bus));
        let accounts = AccountService::open(people, bus, &secret, ambient.clone(), settings).await.unwrap();
        let gateway = Gateway {
            accounts: Arc::clone(&accounts),
            chat: Chat::new(&engines, Arc::clone(&hub), ambient.clone()),
            sync: Sync::new(Arc::clone(&hub), &secret),
            dead_letters: DeadLetters::new(engines.clone(), ambient),
            ready: Readiness::new(engines.clone(), health.clone(), Some(Arc::clone(&hub))),
            hub,
            trusted_proxies: options.http.trusted_proxies.clone(),
        };
        let ready = gateway.ready.clone();
        let api = http::router(Some(Arc::new(gateway)), ready, &options.http, Router::new());
        Self { api, accounts, engines, health, router, stopper, embedded, _folder: None }
    }

    /// Signs somebody up.
    pub async fn person(&self, username: &str) -> Person {
        let reply = self.register(username).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        person(&reply.json())
    }

    pub async fn register(&self, username: &str) -> Reply {
        let body =
            json!({"username": username, "password": PASSWORD, "display_name": username.to_uppercase()});
        self.call(Call::post("/auth/register").json(&body)).await
    }

    /// Signs up an administrator.
    pub async fn administrator(&self, username: &str) -> Person {
        self.person(username).await;
        self.accounts.grant_admin(Actor::Operator, username).await.unwrap();
        let body = json!({"username": username, "password": PASSWORD});
        person(&self.call(Call::post("/auth/token").json(&body)).await.json())
    }

    /// Makes a group of `creator`'s and gives its id.
    pub async fn group(&self, creator: &Person, members: &[&Person]) -> String {
        let members: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        let body = json!({"type": "group", "name": "friends", "participant_ids": members});
        let reply = self.call(Call::post("/v1/conversations").by(creator).json(&body)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.text("conversation_id")
    }

    /// Sends to a conversation and gives the stored message.
    pub async fn say(&self, sender: &Person, conversation: &str, text: &str) -> Value {
        let body = json!({"conversation_id": conversation, "content": text});
        let call = Call::post("/v1/messages").by(sender).header("prefer", "wait=10").json(&body);
        let reply = self.call(call).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()
    }

    /// Calls the API. Every answer is held to what is promised of every answer.
    pub async fn call(&self, call: Call) -> Reply {
        let (method, path) = (call.0.method().clone(), call.0.uri().path().to_owned());
        let described = format!("{method} {path}");
        let response = self.api.clone().oneshot(call.0).await.unwrap();
        let (parts, body) = response.into_parts();
        assert!(body.size_hint().exact().is_some(), "{described}: an answer of unknown length");
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let reply = Reply { status: parts.status, headers: parts.headers, bytes };
        assert!(reply.headers.contains_key("x-request-id"), "{described}: no request id");
        if reply.status.is_client_error() || (reply.status.is_server_error() && reply.status != 503) {
            reply.problem(&described);
        }
        schema::check(&method, &path, &reply);
        reply
    }

    pub async fn get(&self, person: &Person, path: &str) -> Reply {
        self.call(Call::get(path).by(person)).await
    }

    /// Asks again until `done`, for 10 seconds at most.
    pub async fn until(&self, person: &Person, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let reply = self.get(person, path).await;
                if reply.status == 200 && done(&reply.json()) {
                    return reply.json();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asking).await.expect("within 10 seconds")
    }

    pub async fn stop(self) {
        self.close().await;
    }

    /// Ends, and lets go of the folder.
    pub async fn close(self) {
        self.stopper.stop();
        self.router.await.unwrap();
        assert!(self.health.complaints().is_empty(), "{:?}", self.health.complaints());
        self.embedded.close().await;
    }
}

/// The engines of a folder.
pub fn embedded(folder: &Path) -> Embedded {
    Embedded::open(DataFolder::open(folder).unwrap(), None, &system_clock()).unwrap()
}

/// A request to be made.
#[derive(Debug)]
pub struct Call(pub Request<Body>);

impl Call {
    pub fn new(method: Method, path: &str) -> Self {
        Self(Request::builder().method(method).uri(path).body(Body::empty()).unwrap())
    }

    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub fn put(path: &str) -> Self {
        Self::new(Method::PUT, path)
    }

    pub fn patch(path: &str) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub fn by(self, person: &Person) -> Self {
        self.bearer(&person.token)
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.0.body_mut() = body.into();
        self
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A field that is a string.
    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The code of a problem document that keeps its form.
    pub fn code(&self) -> String {
        self.text("code")
    }

    /// The fields that a problem document names, sorted.
    pub fn fields(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let mut fields: Vec<String> =
            errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect();
        fields.sort();
        fields
    }

    fn problem(&self, described: &str) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{described}: {self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{described}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{described}");
        for field in ["type", "title", "detail", "code"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{described}: {field}");
        }
        assert_eq!(self.header("www-authenticate").is_some(), self.status == 401, "{described}");
        assert_eq!(self.header("retry-after").is_some(), self.status == 429, "{described}");
    }
}

fn person(tokens: &Value) -> Person {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Person {
        id: text(&tokens["user"]["user_id"]),
        token: text(&tokens["access_token"]),
        refresh_token: text(&tokens["refresh_token"]),
    }
}
