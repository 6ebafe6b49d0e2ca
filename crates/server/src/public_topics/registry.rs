//! A schema registry that speaks Confluent's API, as Confluent's own, Apicurio and Karapace do.

use chat4all_backend::{Error, ErrorKind, Result};
use reqwest::{Client, Method, Response, StatusCode, Url, header, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

const CONNECT_WAIT: Duration = Duration::from_secs(3);
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read. What is asked for is answered in a line.
const MAX_ANSWER: usize = 64 * 1024;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct SchemaRegistry {
    http: Client,
    /// With credentials, which the client takes for `Authorization`.
    url: Url,
    /// Without them.
    name: String,
}

impl SchemaRegistry {
    /// The registry at `url` (`http://…` or `https://…`); its user part are the credentials. Asks it nothing yet.
    ///
    /// # Errors
    /// `Invalid` if it is no such URL.
    pub fn open(url: &str) -> Result<Self> {
        let wrong = |why: String| Error::new(ErrorKind::Invalid, format!("the schema registry's URL {why}"));
        let url = Url::parse(url).map_err(|error| wrong(format!("is none: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("begins with `{}:`; write http:// or https://", url.scheme())));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a `?` or a `#`; leave out what begins there".to_owned()));
        }
        let mut bare = url.clone();
        let stripped = bare.set_username("").and_then(|()| bare.set_password(None));
        stripped.map_err(|()| wrong("names no host".to_owned()))?;
        let http = Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .timeout(ANSWER_WAIT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Error::new(ErrorKind::Invalid, error))?;
        Ok(Self { http, url, name: bare.into() })
    }

    /// Has the registry hold later schemas of `subject` against this one, registers it, and gives its id. The same
    /// schema gets the same id, however often it is registered.
    ///
    /// # Errors
    /// `Conflict` if readers of this schema could not read what was written with the one before; `Invalid` if the
    /// registry refuses the credentials or the schema; `Unavailable`.
    pub async fn register(&self, subject: &str, schema: &Value) -> Result<u32> {
        #[derive(Deserialize)]
        struct Registered {
            id: u32,
        }
        let backward = json!({"compatibility": "BACKWARD"});
        let _: Value = self.ask(Method::PUT, &["config", subject], subject, &backward).await?;
        let version = json!({"schemaType": "JSON", "schema": schema.to_string()});
        let path = ["subjects", subject, "versions"];
        let registered: Registered = self.ask(Method::POST, &path, subject, &version).await?;
        Ok(registered.id)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        subject: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.http.request(method, url).header(header::ACCEPT, CONTENT_TYPE).json(body);
        // Asking again changes nothing, so that a time-out leaves nothing unknown.
        let away = |error: reqwest::Error| self.failed(ErrorKind::Unavailable, &innermost(&error));
        let mut answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let text = read(&mut answer).await.map_err(away)?;
        if status.is_success() {
            return serde_json::from_slice(&text).map_err(|error| {
                self.failed(ErrorKind::Corrupt, &format!("answers what is not understood: {error}"))
            });
        }
        let why = reason(&text);
        Err(match status {
            StatusCode::CONFLICT => self.failed(
                ErrorKind::Conflict,
                &format!("holds another schema of {subject}, whose records this one cannot read: {why}"),
            ),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.failed(ErrorKind::Invalid, &format!("refuses the credentials: {why}"))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                self.failed(ErrorKind::Unavailable, &format!("answers {status}: {why}"))
            }
            status => self.failed(ErrorKind::Invalid, &format!("refuses {subject} with {status}: {why}")),
        })
    }

    fn failed(&self, kind: ErrorKind, why: &str) -> Error {
        Error::new(kind, format!("the schema registry {} {why}", self.name))
    }
}

/// Without credentials.
impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SchemaRegistry").field(&self.name).finish()
    }
}

/// As much of an answer as is of use.
async fn read(answer: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = MAX_ANSWER - text.len();
        text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if text.len() == MAX_ANSWER {
            break;
        }
    }
    Ok(text)
}

/// What a registry says of its refusal.
fn reason(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let said = serde_json::from_slice(text).map(|refusal: Refusal| refusal.message);
    said.unwrap_or_else(|_| "no reason given".to_owned())
}

/// Why a request failed: the outer errors say only that it did.
fn innermost(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    format!("cannot be reached: {source}")
}
