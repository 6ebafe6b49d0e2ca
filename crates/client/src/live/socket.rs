use crate::{Client, ClientError};
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderValue, header},
        protocol::WebSocketConfig,
    },
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that takes nothing for so long is as good as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Per connection: the default of 128 KiB would cost a load generator a gigabyte for 8,000 of them.
const READ_BUFFER: usize = 4096;

pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What came.
pub(super) enum Incoming {
    Text(tungstenite::Utf8Bytes),
    /// Something that needs no answer of ours.
    Nothing,
    Closed {
        code: Option<u16>,
        reason: String,
    },
}

/// Opens a connection that resumes after `cursor`.
pub(super) async fn connect(
    client: &Client,
    token: &str,
    cursor: Option<&str>,
    device_id: Option<&str>,
) -> Result<Socket, ClientError> {
    let mut url = client.url(&["ws"]);
    for (name, value) in [("cursor", cursor), ("device_id", device_id)] {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    // `http` becomes `ws`, `https` becomes `wss`.
    let address = url.as_str().replacen("http", "ws", 1);
    let mut request = address.into_client_request().map_err(socket)?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| ClientError::Address("a token with odd characters".into()))?;
    request.headers_mut().insert(header::AUTHORIZATION, bearer);

    let opening = async {
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let opened = client_async_tls_with_config(request, stream, Some(config), None).await;
        opened.map(|(stream, _)| Socket(stream)).map_err(refused)
    };
    timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(io(std::io::ErrorKind::TimedOut.into())))
}

fn socket(error: tungstenite::Error) -> ClientError {
    ClientError::Socket(Box::new(error))
}

fn io(error: std::io::Error) -> ClientError {
    socket(error.into())
}

/// A handshake answered with a problem document is that problem.
fn refused(error: tungstenite::Error) -> ClientError {
    if let tungstenite::Error::Http(response) = &error
        && let Some(body) = response.body()
        && let Ok(problem) = serde_json::from_slice(body)
    {
        return ClientError::Problem(Box::new(problem));
    }
    socket(error)
}

impl Socket {
    /// What comes next. Safe to cancel.
    pub(super) async fn next(&mut self) -> Incoming {
        let lost = |reason: String| Incoming::Closed { code: None, reason };
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Incoming::Text(text),
            Some(Ok(Message::Close(Some(frame)))) => {
                Incoming::Closed { code: Some(frame.code.into()), reason: frame.reason.to_string() }
            }
            Some(Ok(Message::Close(None))) | None => lost("closed".into()),
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Incoming::Nothing
            }
            Some(Err(error)) => lost(error.to_string()),
        }
    }

    /// Writes all of them in one go.
    pub(super) async fn send(&mut self, frames: Vec<String>) -> Result<(), ClientError> {
        let writing = async {
            for frame in frames {
                self.0.feed(Message::text(frame)).await?;
            }
            self.0.flush().await
        };
        let written = timeout(WRITE_TIMEOUT, writing).await;
        written
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
            .map_err(socket)
    }
}
