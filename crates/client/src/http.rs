use crate::{
    Backoff, ClientError,
    session::{Credentials, Keyring, SessionStore},
};
use bytes::Bytes;
use chat4all_model::api::Problem;
use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The token that lets a later read see an earlier write, through any process.
const POSITION: &str = "chat4all-position";
/// A call that takes longer is broken off; longer than any wait the server promises to answer within.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How hard a call tries.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Tries in all, at least 1.
    pub attempts: u32,
    /// The waits between them where the server names none.
    pub backoff: Backoff,
    /// A `Retry-After` longer than this is given to the caller as the refusal it is.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            backoff: Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) },
            longest_wait: Duration::from_secs(15),
        }
    }
}

/// A client of one server, signed in as at most one account. Clones share everything.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    base: Url,
    retry: Retry,
    keyring: Keyring,
    store: Option<Arc<dyn SessionStore>>,
    /// Of the last write; sent with every later call.
    position: Mutex<Option<HeaderValue>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.0.base.as_str()).finish_non_exhaustive()
    }
}

/// Whether a call may be made again when nobody knows what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Making it twice is making it once.
    Harmless,
    /// The same, by virtue of this `Idempotency-Key`.
    Keyed(String),
    /// Only after an answer that says it was not accepted.
    Refused,
}

/// One call, before its answer.
pub(crate) struct Call {
    method: Method,
    url: Url,
    body: Option<Bytes>,
    repeat: Repeat,
    signed: bool,
    prefer: Option<String>,
}

impl Call {
    pub(crate) fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    pub(crate) fn unsigned(mut self) -> Self {
        self.signed = false;
        self
    }

    pub(crate) fn prefer(mut self, value: String) -> Self {
        self.prefer = Some(value);
        self
    }

    pub(crate) fn query(mut self, pairs: &[(&str, Option<String>)]) -> Self {
        for (name, value) in pairs {
            if let Some(value) = value {
                self.url.query_pairs_mut().append_pair(name, value);
            }
        }
        self
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let json = serde_json::to_vec(body).map_err(|error| ClientError::Answer {
            status: 0,
            detail: format!("cannot be written as JSON: {error}"),
        })?;
        self.body = Some(json.into());
        Ok(self)
    }
}

/// An answer below 400.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ClientError::Answer { status: self.status, detail: error.to_string() })
    }
}

/// A fresh idempotency key: also sorts by time, which logs are grateful for.
pub(crate) fn fresh_key() -> String {
    uuid::Uuid::now_v7().to_string()
}

impl Client {
    /// A client of the server at `base_url`, signed in as nobody.
    ///
    /// # Errors
    /// The address is no `http(s)` URL, or the system's certificates cannot be read.
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .timeout(CALL_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(ClientError::Transport)?;
        Self::with_http(base_url, http)
    }

    /// The same, over connections that are shared with other clients: thousands of them in one process need one
    /// pool, not one each.
    ///
    /// # Errors
    /// The address is no `http(s)` URL.
    pub fn with_http(base_url: &str, http: reqwest::Client) -> Result<Self, ClientError> {
        let address = |reason: String| ClientError::Address(format!("{base_url}: {reason}"));
        let base = Url::parse(base_url).map_err(|error| address(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(address("needs http:// or https://".into()));
        }
        Ok(Self(Arc::new(Inner {
            http,
            base,
            retry: Retry::default(),
            keyring: Keyring::default(),
            store: None,
            position: Mutex::default(),
        })))
    }

    /// Another client of the same server over the same connections, signed in as nobody.
    #[must_use]
    pub fn another(&self) -> Self {
        self.rebuilt(self.0.retry, None)
    }

    /// Keeps the tokens in `store` whenever they change. Takes up the session found there.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn SessionStore>) -> Self {
        let found = store.load();
        let client = self.rebuilt(self.0.retry, Some(store));
        if let Some(session) = found {
            client.set_session(session);
        }
        client
    }

    /// The same client that tries as hard as `retry` says.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        let client = self.rebuilt(retry, self.0.store.clone());
        client.keyring().set(self.keyring().get());
        client
    }

    fn rebuilt(&self, retry: Retry, store: Option<Arc<dyn SessionStore>>) -> Self {
        Self(Arc::new(Inner {
            http: self.0.http.clone(),
            base: self.0.base.clone(),
            retry,
            keyring: Keyring::default(),
            store,
            position: Mutex::default(),
        }))
    }

    /// The server's address.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.0.base.as_str()
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    pub(crate) fn store(&self) -> Option<Arc<dyn SessionStore>> {
        self.0.store.clone()
    }

    /// The URL of a path whose segments may hold anything.
    pub(crate) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.0.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    pub(crate) fn call(&self, method: Method, path: &[&str]) -> Call {
        let url = self.url(path);
        Call { method, url, body: None, repeat: Repeat::Harmless, signed: true, prefer: None }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<T, ClientError> {
        self.run(self.call(Method::GET, path).query(query)).await?.json()
    }

    /// A POST that creates: safe to make again by its key.
    pub(crate) async fn create<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let call = self.call(Method::POST, path).body(body)?.repeat(Repeat::Keyed(fresh_key()));
        self.run(call).await?.json()
    }

    /// A POST without a session. Made again only by those whose repetition the server forgives.
    pub(crate) async fn post_open<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let path: Vec<&str> = path.split('/').collect();
        let repeat = if path.contains(&"register") { Repeat::Refused } else { Repeat::Harmless };
        let call = self.call(Method::POST, &path).unsigned().repeat(repeat).body(body)?;
        self.run(call).await?.json()
    }

    /// Makes the call, again where that is safe and may help.
    pub(crate) async fn run(&self, call: Call) -> Result<Answer, ClientError> {
        let mut failures = 0;
        let mut renewed = false;
        loop {
            let token = if call.signed { Some(self.access_token().await?) } else { None };
            let (error, retry_after) = match self.attempt(&call, token.as_deref()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if let (Some(token), false, true) = (&token, renewed, error.ends_session())
                && matches!(self.keyring().get(), Credentials::Session(_))
            {
                renewed = true;
                self.renew(token).await?;
                continue;
            }
            failures += 1;
            let worth_it = may_repeat(&call.repeat, &error) && failures < self.0.retry.attempts;
            let wait = retry_after.unwrap_or_else(|| self.0.retry.backoff.wait(failures));
            if !worth_it || wait > self.0.retry.longest_wait {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(
        &self,
        call: &Call,
        token: Option<&str>,
    ) -> Result<Answer, (ClientError, Option<Duration>)> {
        let transport = |error| (ClientError::Transport(error), None);
        let mut request = self.0.http.request(call.method.clone(), call.url.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(position) = self.0.position.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            request = request.header(POSITION, position);
        }
        if let Repeat::Keyed(key) = &call.repeat {
            request = request.header("idempotency-key", key);
        }
        if let Some(prefer) = &call.prefer {
            request = request.header("prefer", prefer);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        if call.method != Method::GET
            && let Some(position) = response.headers().get(POSITION)
        {
            *self.0.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position.clone());
        }
        let retry_after = retry_after(&response);
        let body = response.bytes().await.map_err(transport)?;
        if status.is_success() {
            return Ok(Answer { status: status.as_u16(), body });
        }
        Err((refusal(status, &body), retry_after))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => ClientError::Problem(Box::new(problem)),
        Err(_) => ClientError::Answer {
            status: status.as_u16(),
            detail: String::from_utf8_lossy(body).chars().take(200).collect(),
        },
    }
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn may_repeat(repeat: &Repeat, error: &ClientError) -> bool {
    let (status, connecting) = match error {
        ClientError::Problem(problem) => (problem.status, false),
        ClientError::Answer { status, .. } => (*status, false),
        ClientError::Transport(error) => (0, error.is_connect()),
        _ => return false,
    };
    match status {
        // Surely not accepted.
        429 | 503 => true,
        // It may have been accepted.
        0 | 500 | 502 | 504 => connecting || *repeat != Repeat::Refused,
        _ => false,
    }
}
