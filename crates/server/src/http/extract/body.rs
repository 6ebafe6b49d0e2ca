//! Bodies: JSON of a bounded size, every wrong field of which is told.

use super::super::problem::Problem;
use super::quoted;
use crate::error::Failure;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use chat4all_model::api::{Code, FieldError};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// Bytes that a body may have.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(15);
/// Wrong fields that are told of one body.
const MAX_ERRORS: usize = 32;

/// A body of JSON.
#[derive(Debug)]
pub(in crate::http) struct Json<T>(pub(in crate::http) T);

/// A body of JSON that may be left out.
#[derive(Debug)]
pub(in crate::http) struct OptionalJson<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(not_json().into());
        }
        Ok(Self(read(&bytes(request).await?)?))
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let bytes = bytes(request).await?;
        match (bytes.is_empty(), json) {
            (true, _) => Ok(Self(T::default())),
            (false, true) => Ok(Self(read(&bytes)?)),
            (false, false) => Err(not_json().into()),
        }
    }
}

fn not_json() -> Failure {
    Failure::new(Code::UnsupportedMediaType, "Content-Type must be application/json")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let (kind, sub) = essence.split_once('/').unwrap_or_default();
    let sub_fits = sub.eq_ignore_ascii_case("json") || sub.to_ascii_lowercase().ends_with("+json");
    kind.eq_ignore_ascii_case("application") && sub_fits
}

async fn bytes(request: Request) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(Code::TooLarge, format!("a body may have {MAX_BODY_BYTES} bytes"));
    let length = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    let whole = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::invalid("body", "was cut short")),
        Err(_) => Err(Failure::invalid("body", "did not arrive in time")),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // Serde would take a list for an object, its items for the fields in their order.
    if bytes.trim_ascii_start().first().is_some_and(|first| matches!(first, b'[' | b'n')) {
        return Err(Failure::invalid("body", "must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let wrong = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => match json.end() {
            Ok(()) => return Ok(value),
            Err(error) => return Err(Failure::invalid("body", error.to_string())),
        },
        Err(wrong) => field_error(&wrong),
    };
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return Err(Failure::new(Code::InvalidRequest, format!("the body is not JSON: {}", wrong.message)));
    };
    let mut all = faults::<T>(value);
    if all.is_empty() {
        // What is wrong does not survive reading it as a plain value: a field given twice.
        all.push(wrong);
    }
    Err(Failure::fields(all))
}

/// Everything that is wrong with a body, field by field: what was told is mended, and it is read again.
fn faults<T: DeserializeOwned>(mut value: Value) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = Vec::new();
    while let Some(error) = fault::<T>(&value) {
        let top = top_field(&error.field).to_owned();
        let told = errors.iter().any(|known| top_field(&known.field) == top);
        let missing = is_missing(&error);
        if !told {
            errors.push(error);
        }
        let Some(object) = value.as_object_mut() else { break };
        let removed = object.remove(&top).is_some();
        if errors.len() >= MAX_ERRORS || !(removed || missing) {
            break;
        }
        if missing && !fill::<T>(&mut value, &top) {
            break;
        }
    }
    errors
}

/// Puts something of the right type where a field is missing, to see what else is wrong. False if nothing fits.
fn fill<T: DeserializeOwned>(value: &mut Value, field: &str) -> bool {
    [json!(""), json!(0), json!([]), json!({}), json!(false)].into_iter().any(|some| {
        value[field] = some;
        fault::<T>(value).is_none_or(|error| top_field(&error.field) != field)
    })
}

fn fault<T: DeserializeOwned>(value: &Value) -> Option<FieldError> {
    serde_path_to_error::deserialize::<_, T>(value).err().map(|error| field_error(&error))
}

fn is_missing(error: &FieldError) -> bool {
    error.message == "is required"
}

fn top_field(field: &str) -> &str {
    field.split(['.', '[']).next().unwrap_or(field)
}

fn field_error<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> FieldError {
    let (path, text) = (error.path().to_string(), error.inner().to_string());
    let name = quoted(&text).unwrap_or_default().to_owned();
    let within = |name: &str| match path.as_str() {
        "." => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    if text.starts_with("missing field") {
        return FieldError { field: within(&name), message: "is required".to_owned() };
    }
    if text.starts_with("unknown field") {
        return FieldError { field: within(&name), message: "is no field of this request".to_owned() };
    }
    if text.starts_with("duplicate field") {
        return FieldError { field: within(&name), message: "is given twice".to_owned() };
    }
    let field = if path == "." { "body".to_owned() } else { path };
    FieldError { field, message: text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_model::api::{CreateConversation, RegisterRequest, SendMessage};

    fn wrong<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> Vec<String> {
        let mut fields: Vec<_> =
            read::<T>(body.as_bytes()).unwrap_err().errors.into_iter().map(|error| error.field).collect();
        fields.sort();
        fields
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(wrong::<RegisterRequest>("{}"), ["password", "username"]);
        assert_eq!(
            wrong::<RegisterRequest>(r#"{"password": 1, "x": 2, "y": 3}"#),
            ["password", "username", "x", "y"]
        );
        assert_eq!(
            wrong::<CreateConversation>(r#"{"type": "x", "participant_ids": [1]}"#),
            ["participant_ids[0]", "type"]
        );
        assert_eq!(wrong::<SendMessage>(r#"{"content": 1, "seen": -1}"#), ["content", "seen"]);
        assert_eq!(wrong::<SendMessage>(r#"{"content": "a", "content": "b"}"#), ["content"]);
        assert_eq!(wrong::<SendMessage>("[]"), ["body"]);
        assert!(wrong::<SendMessage>("{").is_empty(), "there is no field yet");
        assert_eq!(wrong::<SendMessage>("{} {}"), ["body"]);
    }

    #[test]
    fn bodies_deeper_than_any_sense_are_refused() {
        let deep = format!(r#"{{"data": {}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
        assert_eq!(read::<SendMessage>(deep.as_bytes()).unwrap_err().code, Code::InvalidRequest);
        assert_eq!(read::<SendMessage>(b"{\"content\": \"\xff\"}").unwrap_err().code, Code::InvalidRequest);
    }

    #[test]
    fn json_is_known_by_its_type() {
        for (kind, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_json(&headers), json, "{kind}");
        }
    }
}
