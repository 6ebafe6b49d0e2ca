//! Connecting to one server and signing in.

use super::address::Address;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// How long it may take to reach a server, shake hands and sign in.
const DIAL_LIMIT: Duration = Duration::from_secs(2);

/// Told of every message of the channels that a connection subscribed to: channel, message. Must not block.
pub(super) type Heard = Arc<dyn Fn(&[u8], Bytes) + Send + Sync>;

/// How servers are spoken to: as whom, and whether in secret.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) login: RedisConnectionInfo,
    pub(super) tls: Option<TlsConnector>,
    /// Where a URL has the password, for whoever left it out.
    pub(super) password_goes: &'static str,
}

/// A connection that is signed in.
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    /// What moves its bytes. Ends when the connection does, and the connection with it.
    pub(super) driver: JoinSet<()>,
}

impl Dialler {
    /// Connects to a server.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be reached, `Invalid` if it refuses what the URL says (its certificate or our
    /// password is not believed, there is no such database).
    pub(super) async fn dial(&self, address: &Address, heard: Option<Heard>) -> Result<Dialled> {
        let connecting = Box::pin(self.connect(address, heard));
        tokio::time::timeout(DIAL_LIMIT, connecting).await.unwrap_or_else(|_| {
            // A server without TLS waits for the end of what it takes for a line.
            let doubt = if self.tls.is_some() { "; does it speak TLS?" } else { "" };
            let why = format!("{address} does not answer within {DIAL_LIMIT:?}{doubt}");
            Err(Error::new(ErrorKind::Unavailable, why))
        })
    }

    async fn connect(&self, address: &Address, heard: Option<Heard>) -> Result<Dialled> {
        let unreachable = |error: std::io::Error| {
            let kind = match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                true => ErrorKind::Invalid,
                false => ErrorKind::Unavailable,
            };
            Error::new(kind, format!("{address} cannot be reached: {error}"))
        };
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let signed_in = match &self.tls {
            None => self.sign_in(stream, heard).await,
            Some(tls) => {
                let name = ServerName::try_from(address.host.clone()).map_err(|error| {
                    Error::new(ErrorKind::Invalid, format!("{address} cannot be reached with TLS: {error}"))
                })?;
                self.sign_in(tls.connect(name, stream).await.map_err(unreachable)?, heard).await
            }
        };
        signed_in.map_err(|error| self.refused(address, &error))
    }

    async fn sign_in(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        heard: Option<Heard>,
    ) -> Result<Dialled, RedisError> {
        // Every request has a deadline of its own.
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
        if let Some(heard) = heard {
            config = config.set_push_sender(move |push: PushInfo| {
                if let Some((channel, message)) = message(push) {
                    heard(&channel, message);
                }
                Ok::<_, Infallible>(())
            });
        }
        let (connection, driving) =
            MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
        let mut driver = JoinSet::new();
        driver.spawn(driving);
        Ok(Dialled { connection, driver })
    }

    fn refused(&self, address: &Address, error: &RedisError) -> Error {
        let invalid = |why: &str| Error::new(ErrorKind::Invalid, format!("{address}: {why}"));
        match error.code() {
            Some("WRONGPASS") => invalid(match self.login.username() {
                Some(_) => "the user or the password is refused",
                None => "the password is refused",
            }),
            Some("NOAUTH") => invalid(&format!("a password is wanted: write {}", self.password_goes)),
            Some("LOADING") => {
                Error::new(ErrorKind::Unavailable, format!("{address} is still loading its data"))
            }
            Some("DENIED") => {
                invalid("the server is in protected mode and takes only clients of its own machine")
            }
            Some(_) => invalid(&format!("the server refuses to be signed in to: {error}")),
            None if error.kind() == redis::ErrorKind::RESP3NotSupported => {
                invalid("the server is too old: Redis 6 or newer is wanted")
            }
            None if error.kind() == redis::ErrorKind::Parse => invalid("what answers is no Redis"),
            None => {
                let doubt = if self.tls.is_none() { "; does it want TLS, `rediss`?" } else { "" };
                Error::new(ErrorKind::Unavailable, format!("{address} cuts the connection: {error}{doubt}"))
            }
        }
    }
}

fn message(push: PushInfo) -> Option<(Vec<u8>, Bytes)> {
    if push.kind != PushKind::Message {
        return None;
    }
    match <[Value; 2]>::try_from(push.data) {
        Ok([Value::BulkString(channel), Value::BulkString(message)]) => Some((channel, message.into())),
        _ => None,
    }
}
