//! Reading requests: what is wrong with one is always answered with a problem that names it.

mod body;

pub(super) use body::{Json, OptionalJson};

use super::problem::Problem;
use super::trail::note_user;
use super::{Gateway, position};
use crate::account::Caller;
use crate::error::Failure;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Who asks. Whoever takes it has read what `Chat4All-Position` promised, too.
#[derive(Debug)]
pub(super) struct Auth(pub(super) Caller);

impl FromRequestParts<Arc<Gateway>> for Auth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let caller = gateway.accounts.authenticate(bearer(&parts.headers)?).await?;
        note_user(&caller.user_id);
        position::reach(&gateway.hub, parts).await?;
        Ok(Self(caller))
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| Failure::unauthenticated("sign in first"))?;
    let bearer = header.to_str().ok().and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.ok_or_else(|| Failure::unauthenticated("Authorization must be `Bearer` and a token"))
}

/// The parameters of a path.
#[derive(Debug)]
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(why)) => {
                Err(Failure::invalid("path", why.body_text()).into())
            }
            Err(why) => Err(Failure::internal(why).into()),
        }
    }
}

/// The parameters of a query. Unknown ones are refused if `T` refuses them.
#[derive(Debug)]
pub(super) struct Asks<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asks<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(why)) => {
                let text = why.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                let named = text.split_once(": ").filter(|(field, _)| !field.contains(' '));
                let (field, message) = named.unwrap_or_else(|| (quoted(text).unwrap_or("query"), text));
                Err(Failure::invalid(field, message).into())
            }
            Err(why) => Err(Failure::internal(why).into()),
        }
    }
}

/// What a message of serde puts between backticks first: the field it is about.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// From which address a request came: the connection's, or, behind trusted proxies, what the first of them says.
#[derive(Debug)]
pub(super) struct From(pub(super) IpAddr);

impl FromRequestParts<Arc<Gateway>> for From {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // Only a router that is called without a connection has none.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(peer)| peer.ip());
        Ok(Self(client_address(peer, &parts.headers, &gateway.trusted_proxies)))
    }
}

/// The address behind `peer`: each proxy appends whom it heard from, so the list is read from its end for as long
/// as the speaker is trusted.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.contains(&address.to_canonical());
    let mut address = peer.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|v| v.to_str().unwrap_or_default()).collect();
    for heard in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(heard) = heard.trim().parse::<IpAddr>() else { break };
        if !is_trusted(&address) {
            break;
        }
        address = heard.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let trusted = [ip("10.0.0.1"), ip("10.0.0.2")];
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1, 2.2.2.2"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.2"));
        assert_eq!(client_address(ip("9.9.9.9"), &headers, &trusted), ip("9.9.9.9"));
        assert_eq!(client_address(ip("::ffff:10.0.0.1"), &headers, &trusted), ip("2.2.2.2"));
        assert_eq!(client_address(ip("10.0.0.1"), &HeaderMap::new(), &trusted), ip("10.0.0.1"));
        assert_eq!(client_address(ip("10.0.0.1"), &headers, &[]), ip("10.0.0.1"));
    }

    #[test]
    fn a_bearer_has_its_scheme() {
        let read = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(str::to_owned).ok()
        };
        assert_eq!(read("bearer  abc"), Some("abc".to_owned()));
        assert_eq!(read("Basic abc"), None);
        assert_eq!(read("Bearer"), None);
        assert!(bearer(&HeaderMap::new()).is_err());
    }
}
