//! axum sockets and nothing behind them: what one says, all hear. Frames look like ours and weigh the same.

use crate::Result;
use crate::frame;
use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

/// Frames that a socket may be behind before it is cut off.
const BEHIND: usize = 1024;

struct Room {
    seq: AtomicU64,
    frames: broadcast::Sender<Utf8Bytes>,
}

pub(crate) async fn serve(address: SocketAddr) -> Result<()> {
    let room = Arc::new(Room { seq: AtomicU64::new(1), frames: broadcast::channel(BEHIND).0 });
    let upgrade = move |upgrade: WebSocketUpgrade| {
        let room = Arc::clone(&room);
        async move { open(upgrade, room) }
    };
    Ok(axum::serve(TcpListener::bind(address).await?, Router::new().route("/ws", get(upgrade))).await?)
}

fn open(upgrade: WebSocketUpgrade, room: Arc<Room>) -> Response {
    upgrade.read_buffer_size(4096).write_buffer_size(4096).on_upgrade(async move |socket| {
        // A socket that ends, ends: the generator notices on its side.
        let _ = attend(socket, &room).await;
    })
}

async fn attend(socket: WebSocket, room: &Room) -> Result<(), axum::Error> {
    let mut frames = room.frames.subscribe();
    let (mut sink, mut stream) = socket.split();
    for frame in [
        r#"{"type":"hello","user_id":"nobody","session_id":"none","heartbeat_ms":30000}"#,
        r#"{"type":"live","cursor":"none"}"#,
    ] {
        sink.feed(Message::text(frame)).await?;
    }
    sink.flush().await?;
    loop {
        tokio::select! {
            received = stream.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    if let Some(ack) = broadcast(room, &text) {
                        sink.send(Message::text(ack)).await?;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            frame = frames.recv() => {
                let Ok(mut frame) = frame.inspect_err(|error| debug_assert_ne!(*error, RecvError::Closed)) else {
                    return Ok(());
                };
                // Everything that waits goes out with one write.
                loop {
                    sink.feed(Message::Text(frame)).await?;
                    frame = match frames.try_recv() {
                        Ok(next) => next,
                        Err(TryRecvError::Empty) => break,
                        Err(_) => return Ok(()),
                    };
                }
                sink.flush().await?;
            }
        }
    }
}

/// Tells everybody; gives the sender's ack.
fn broadcast(room: &Room, sent: &str) -> Option<String> {
    let conversation = frame::text(sent.as_bytes(), b"\"conversation_id\":\"")?;
    let content = frame::text(sent.as_bytes(), b"\"content\":\"")?;
    let client_id = frame::text(sent.as_bytes(), b"\"client_id\":\"")?;
    // Taken and sent under no lock: with one sender they stay in order.
    let seq = room.seq.fetch_add(1, Ordering::Relaxed);
    let event = format!(
        r#"{{"type":"NEW_MESSAGE","conversation_id":"{conversation}","seq":{seq},"timestamp":1790000000000,"actor_id":"0190f5d2-7c1e-7000-8000-000000000003","message_id":"0190f5d2-7c1e-7000-8000-{seq:012}","sender_id":"0190f5d2-7c1e-7000-8000-000000000003","recipient_id":null,"kind":"text","content":"{content}"}}"#
    );
    // Nobody listening is no error.
    let _ = room.frames.send(event.into());
    Some(format!(r#"{{"type":"ack","client_id":"{client_id}","status":"SENT"}}"#))
}
