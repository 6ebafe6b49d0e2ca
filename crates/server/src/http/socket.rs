//! `/ws`: what of a socket is still HTTP.

use super::extract::client_address;
use super::problem::Problem;
use crate::ws;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chat4all_model::api::Code;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The route of sockets. `trusted` are the proxies whose `X-Forwarded-For` is believed.
pub fn sockets(gateway: Arc<ws::Gateway>, trusted: Vec<IpAddr>) -> Router {
    Router::new().route("/ws", get(open)).with_state((gateway, trusted.into()))
}

async fn open(
    State((gateway, trusted)): State<(Arc<ws::Gateway>, Arc<[IpAddr]>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: Result<Query<ws::Query>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        return Problem(crate::Failure::invalid("query", "knows `token`, `cursor` and `device_id`"))
            .into_response();
    };
    let Ok(upgrade) = upgrade else {
        let detail = "this path takes only WebSocket upgrades (RFC 6455)";
        return Problem(crate::Failure::new(Code::InvalidRequest, detail)).into_response();
    };
    let address = client_address(peer.ip(), &headers, &trusted);
    match gateway.open(upgrade, &headers, query, address).await {
        Ok(response) => response,
        Err(failure) => Problem(failure).into_response(),
    }
}
