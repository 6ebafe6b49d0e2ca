//! axum, a JWT check, and a handler that does nothing.

use crate::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::net::TcpListener;

const SECRET: &[u8] = b"a secret that guards nothing: 32+ bytes";
const ACCEPTED: &str = r#"{"message_id":"0190f5d2-7c1e-7000-8000-000000000002","conversation_id":"g:0190f5d2-7c1e-7000-8000-000000000001","status":"SENT"}"#;

/// The claims of an access token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    username: String,
    permissions: Vec<String>,
    sid: String,
    iat: u64,
    exp: u64,
}

/// A token this server takes for an hour.
pub(crate) fn token() -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let claims = Claims {
        sub: "0190f5d2-7c1e-7000-8000-000000000003".to_owned(),
        username: "bench".to_owned(),
        permissions: vec!["messages:read".to_owned(), "messages:write".to_owned()],
        sid: "0190f5d2-7c1e-7000-8000-000000000004".to_owned(),
        iat: now,
        exp: now + 3600,
    };
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET))?)
}

pub(crate) async fn serve(address: SocketAddr) -> Result<()> {
    let checks = Arc::new((DecodingKey::from_secret(SECRET), Validation::new(Algorithm::HS256)));
    let accept = move |headers: HeaderMap, body: Bytes| {
        let checks = Arc::clone(&checks);
        async move { answer(&headers, &body, &checks) }
    };
    let app = Router::new().route("/v1/messages", post(accept));
    Ok(axum::serve(TcpListener::bind(address).await?, app).await?)
}

fn answer(headers: &HeaderMap, body: &Bytes, (key, validation): &(DecodingKey, Validation)) -> Response {
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match token.map(|token| jsonwebtoken::decode::<Claims>(token, key, validation)) {
        Some(Ok(_)) if !body.is_empty() => {
            (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], ACCEPTED).into_response()
        }
        Some(Ok(_)) => StatusCode::BAD_REQUEST.into_response(),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}
