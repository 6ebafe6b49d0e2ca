//! The WebSocket gateway, `/ws`: frames as `api.md` §6 says, on top of the use-cases and the live path.
//!
//! The way of a connection: [`Gateway::open`] checks it before the upgrade, [`socket`] runs it, [`frame`] reads
//! what comes, [`lane`] has it done in order, [`answer`] writes what is said to it.

mod answer;
mod frame;
mod lane;
mod limits;
mod registry;
mod socket;

use crate::account::{AccountService, Ambient, Caller};
use crate::chat::Chat;
use crate::error::{Failure, Result};
use crate::shutdown::Shutdown;
use crate::sync::Sync;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use chat4all_model::api::{Code, Scope, close};
use limits::{Connections, Place};
use registry::Registry;
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The subprotocol that we speak.
const PROTOCOL: &str = "chat4all";
/// The longest frame of a client, in bytes.
const MAX_FRAME: usize = 256 * 1024;
/// Read from the network at once. A connection that is idle costs little more than this.
const READ_BUFFER: usize = 1024;
/// Written to the network at once.
const WRITE_BUFFER: usize = 64 * 1024;

/// Whether a text is a frame that a client may send; for who tries the reader with anything.
#[must_use]
pub fn is_frame(text: &str) -> bool {
    frame::read(text).is_ok()
}

/// The settings of the gateway.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Connections a user may have with this process.
    pub per_user: u32,
    /// Connections an address may have with it.
    pub per_address: u32,
    /// Frames a second that a connection may send for long.
    pub frames_per_second: u32,
    /// Frames it may send at once.
    pub frame_burst: u32,
    /// Web pages that may connect, as `Origin` names them; none for all, which is safe as tokens are no cookies.
    pub origins: Option<Vec<String>>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self { per_user: 50, per_address: 10_000, frames_per_second: 500, frame_burst: 2_000, origins: None }
    }
}

/// What every connection shares.
pub struct Gateway {
    accounts: Arc<AccountService>,
    chat: Chat,
    sync: Sync,
    ambient: Ambient,
    settings: GatewaySettings,
    connections: Arc<Connections>,
    registry: Arc<Registry>,
    shutdown: Shutdown,
}

/// The query of `/ws`.
#[derive(Debug, Default, Deserialize)]
pub struct Query {
    /// The token, where headers cannot be set.
    pub token: Option<String>,
    /// Where to resume.
    pub cursor: Option<String>,
    /// The device, for signals between devices of one user.
    pub device_id: Option<String>,
}

impl Gateway {
    /// The gateway over these use-cases. Connections end when `shutdown` is asked for.
    #[must_use]
    pub fn new(
        accounts: Arc<AccountService>,
        chat: Chat,
        sync: Sync,
        ambient: Ambient,
        settings: GatewaySettings,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let gateway = Self {
            accounts,
            chat,
            sync,
            ambient,
            settings,
            connections: Arc::default(),
            registry: Arc::default(),
            shutdown,
        };
        Arc::new(gateway)
    }

    /// Ends the connections whose sessions end, and all of them when the process does. One task a process.
    pub async fn run(self: Arc<Self>) {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = Arc::clone(&self.registry).follow(Arc::clone(self.accounts.watch())) => {}
            () = shutdown.asked() => {}
        }
        self.sync.hub().end_sessions();
    }

    /// Checks who asks and upgrades the connection. Browsers, which cannot see how an upgrade was refused, are
    /// let in to be told by a close code.
    ///
    /// # Errors
    /// `Unauthenticated`, `TokenExpired`, `Forbidden`, `RateLimited`, `Unavailable`; to browsers only
    /// `Forbidden`, for a foreign page.
    pub async fn open(
        self: &Arc<Self>,
        upgrade: WebSocketUpgrade,
        headers: &HeaderMap,
        query: Query,
        address: IpAddr,
    ) -> Result<Response> {
        self.check_origin(headers)?;
        let mut upgrade = upgrade
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(WRITE_BUFFER + 2 * MAX_FRAME)
            .max_message_size(MAX_FRAME)
            .max_frame_size(MAX_FRAME)
            .on_failed_upgrade(|error| tracing::debug!(%error, "an upgrade failed"));
        let offered = offered(headers);
        if offered.is_some() {
            upgrade.set_selected_protocol(HeaderValue::from_static(PROTOCOL));
        }
        let browser = headers.contains_key(ORIGIN);
        let token = query
            .token
            .as_deref()
            .or_else(|| bearer(headers))
            .or(offered.as_deref().filter(|t| !t.is_empty()));
        match self.admit(token, address).await {
            Ok((caller, place)) => {
                let gateway = Arc::clone(self);
                Ok(upgrade
                    .on_upgrade(move |socket| socket::run(gateway, socket, Arc::new(caller), place, query)))
            }
            Err(failure) if browser => {
                let code = match failure.code {
                    Code::Unauthenticated | Code::TokenExpired | Code::Forbidden => close::UNAUTHENTICATED,
                    Code::RateLimited => close::TOO_MANY,
                    _ => close::RESTART,
                };
                Ok(upgrade.on_upgrade(move |socket| refuse(socket, code, failure.code.as_str())))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn admit(&self, token: Option<&str>, address: IpAddr) -> Result<(Caller, Place)> {
        if self.shutdown.is_asked() {
            return Err(Failure::new(Code::Unavailable, "the server restarts"));
        }
        let token = token.ok_or_else(|| Failure::unauthenticated("a token is needed to connect"))?;
        let caller = self.accounts.authenticate(token).await?;
        caller.require(Scope::Read)?;
        let GatewaySettings { per_user, per_address, .. } = self.settings;
        let place =
            self.connections.enter(&caller.user_id, address, per_user, per_address).ok_or_else(|| {
                let mut failure = Failure::new(Code::RateLimited, "too many connections; close some first");
                failure.retry_after = Some(Duration::from_secs(10));
                failure
            })?;
        Ok((caller, place))
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<()> {
        let (Some(allowed), Some(origin)) = (&self.settings.origins, headers.get(ORIGIN)) else {
            return Ok(());
        };
        let known = origin.to_str().is_ok_and(|origin| allowed.iter().any(|known| known == origin));
        if known { Ok(()) } else { Err(Failure::forbidden("pages of this origin may not connect")) }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token among the offered subprotocols, beside ours; none if ours is not offered.
fn offered(headers: &HeaderMap) -> Option<String> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    let rest = |protocol: &&&str| **protocol != PROTOCOL;
    offered
        .contains(&PROTOCOL)
        .then(|| offered.iter().find(rest).map(|token| (*token).to_owned()).unwrap_or_default())
}

/// Lets somebody in only to say why not.
async fn refuse(mut socket: WebSocket, code: u16, reason: &'static str) {
    refuse_with(&mut socket, code, reason).await;
}

async fn refuse_with(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let goodbye = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    // Whoever does not even take this is let go.
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.send(goodbye)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_beside_the_protocol() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(offered(&headers(&["chat4all, t.o.k"])).as_deref(), Some("t.o.k"));
        assert_eq!(offered(&headers(&["t.o.k", "chat4all"])).as_deref(), Some("t.o.k"));
        assert_eq!(offered(&headers(&["chat4all"])).as_deref(), Some(""));
        assert_eq!(offered(&headers(&["graphql-transport-ws, t"])), None);
        let mut with = HeaderMap::new();
        with.insert(AUTHORIZATION, HeaderValue::from_static("bearer abc"));
        assert_eq!(bearer(&with), Some("abc"));
        with.insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(bearer(&with), None);
    }
}
