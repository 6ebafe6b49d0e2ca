//! axum sockets in rooms and nothing behind them: what one says, all in the room hear. Frames look like ours and
//! weigh the same.

use crate::Result;
use crate::frame;
use crate::setup::{Group, User};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::SinkExt;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Frames that a socket may be behind before it is cut off.
const BEHIND: usize = 4096;

/// Every room by name.
type Rooms = Arc<Mutex<HashMap<String, Arc<Mutex<Room>>>>>;

#[derive(Default)]
struct Room {
    seq: u64,
    sockets: Vec<Arc<Outbox>>,
}

/// What waits for a socket. Senders fill it, the socket's task empties it in one write.
#[derive(Default)]
struct Outbox {
    frames: Mutex<Vec<Utf8Bytes>>,
    filled: Notify,
}

/// Groups that this server will take for rooms. The token names room and person.
pub(crate) fn groups(groups: usize, members: usize) -> Vec<Group> {
    let user = |room: usize, place: usize| {
        let user_id = format!("0190f5d2-7c1e-7000-{room:04}-{place:012}");
        Rc::new(User { access_token: format!("{room}/{user_id}"), user_id })
    };
    let group = |room| Group {
        conversation_id: format!("g:0190f5d2-7c1e-7000-8000-{room:012}"),
        members: (0..members).map(|place| user(room, place)).collect(),
    };
    (0..groups).map(group).collect()
}

pub(crate) async fn serve(address: SocketAddr) -> Result<()> {
    // Without it, Nagle's algorithm holds a small frame back until the one before is acknowledged.
    let listener = TcpListener::bind(address).await?.tap_io(|stream| drop(stream.set_nodelay(true)));
    let app = Router::new().route("/ws", get(open)).with_state(Rooms::default());
    Ok(axum::serve(listener, app).await?)
}

async fn open(State(rooms): State<Rooms>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((room, user)) = token.and_then(|token| token.strip_prefix("Bearer ")?.split_once('/')) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let user = user.to_owned();
    let room = Arc::clone(locked(&rooms).entry(room.to_owned()).or_default());
    upgrade.read_buffer_size(4096).write_buffer_size(4096).on_upgrade(async move |socket| {
        let outbox = Arc::new(Outbox::default());
        locked(&room).sockets.push(Arc::clone(&outbox));
        // A socket that ends, ends: the generator notices on its side.
        let _ = attend(socket, &user, &room, &outbox).await;
        locked(&room).sockets.retain(|other| !Arc::ptr_eq(other, &outbox));
    })
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn attend(
    mut socket: WebSocket,
    user: &str,
    room: &Mutex<Room>,
    outbox: &Outbox,
) -> Result<(), axum::Error> {
    let hello = format!(r#"{{"type":"hello","user_id":"{user}","session_id":"none","heartbeat_ms":30000}}"#);
    socket.feed(Message::text(hello)).await?;
    socket.send(Message::text(r#"{"type":"live","cursor":"none"}"#)).await?;
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    if let Some(ack) = say(user, room, &text) {
                        push(outbox, ack);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            () = outbox.filled.notified() => {
                let frames = std::mem::take(&mut *locked(&outbox.frames));
                if frames.len() > BEHIND {
                    return Ok(());
                }
                for frame in frames {
                    socket.feed(Message::Text(frame)).await?;
                }
                socket.flush().await?;
            }
        }
    }
}

/// Tells everybody in the room; gives the ack.
fn say(user: &str, room: &Mutex<Room>, sent: &str) -> Option<Utf8Bytes> {
    let conversation = frame::text(sent.as_bytes(), b"\"conversation_id\":\"")?;
    let content = frame::text(sent.as_bytes(), b"\"content\":\"")?;
    let client_id = frame::text(sent.as_bytes(), b"\"client_id\":\"")?;
    let mut room = locked(room);
    room.seq += 1;
    let seq = room.seq;
    let event = Utf8Bytes::from(format!(
        r#"{{"type":"NEW_MESSAGE","conversation_id":"{conversation}","seq":{seq},"timestamp":1790000000000,"actor_id":"{user}","message_id":"0190f5d2-7c1e-7000-8000-{seq:012}","sender_id":"{user}","recipient_id":null,"kind":"text","content":"{content}"}}"#
    ));
    for outbox in &room.sockets {
        push(outbox, event.clone());
    }
    Some(format!(r#"{{"type":"ack","client_id":"{client_id}","status":"SENT"}}"#).into())
}

fn push(outbox: &Outbox, frame: Utf8Bytes) {
    let mut frames = locked(&outbox.frames);
    // One too many tells the socket's task to give up.
    if frames.len() <= BEHIND {
        frames.push(frame);
    }
    drop(frames);
    outbox.filled.notify_one();
}
