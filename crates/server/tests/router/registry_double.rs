//! A schema registry that can be away and that refuses what it is told to.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{post, put};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpListener;

/// What it has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Subjects whose later schemas are held against the one before.
    pub(crate) backward: Vec<String>,
    /// Schemas by subject.
    pub(crate) schemas: BTreeMap<String, Value>,
    /// `Authorization` of the last request.
    pub(crate) authorization: String,
    /// Requests of all kinds.
    pub(crate) requests: usize,
    away: bool,
    refuses: bool,
}

/// The first id it gives; the next one is one more.
pub(crate) const FIRST_ID: u32 = 0x0102_0304;

#[derive(Clone)]
pub(crate) struct RegistryDouble {
    seen: Arc<Mutex<Seen>>,
    pub(crate) url: String,
}

impl RegistryDouble {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://operator:pass%20word@{}/apis", listener.local_addr().unwrap());
        let double = Self { seen: Arc::default(), url };
        let router = Router::new()
            .route("/apis/config/{subject}", put(config))
            .route("/apis/subjects/{subject}/versions", post(register))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        double
    }

    /// Whether it answers nothing but that it is away.
    pub(crate) fn be_away(&self, away: bool) {
        self.seen.lock().away = away;
    }

    /// Whether it takes every schema for one that breaks readers.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.seen.lock().refuses = refuses;
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock())
    }

    fn note(&self, headers: &HeaderMap) -> Result<parking_lot::MutexGuard<'_, Seen>, StatusCode> {
        let mut seen = self.seen.lock();
        seen.requests += 1;
        seen.authorization = headers.get("authorization").unwrap().to_str().unwrap().to_owned();
        if seen.away { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok(seen) }
    }
}

type Answer = Result<String, (StatusCode, String)>;

async fn config(
    State(double): State<RegistryDouble>,
    Path(subject): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let mut seen = double.note(&headers).map_err(|status| (status, String::new()))?;
    assert_eq!(body, r#"{"compatibility":"BACKWARD"}"#);
    seen.backward.push(subject);
    Ok(body)
}

async fn register(
    State(double): State<RegistryDouble>,
    Path(subject): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let mut seen = double.note(&headers).map_err(|status| (status, String::new()))?;
    if seen.refuses {
        let why = json!({"error_code": 409, "message": "a required property was added"});
        return Err((StatusCode::CONFLICT, why.to_string()));
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["schemaType"], "JSON");
    let id = FIRST_ID + u32::try_from(seen.schemas.len()).unwrap();
    seen.schemas.insert(subject, serde_json::from_str(body["schema"].as_str().unwrap()).unwrap());
    Ok(json!({"id": id}).to_string())
}
