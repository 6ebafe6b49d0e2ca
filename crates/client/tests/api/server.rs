//! A small server that says what the test wants: events from a script, one cursor per position in it, sends kept by
//! their key.

use axum::{
    Json, Router,
    extract::{
        Path, Query, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

pub(crate) struct World {
    pub(crate) state: Mutex<Inner>,
    /// Rises whenever the script grows.
    grown: watch::Sender<usize>,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// All events in order; a cursor is a position in it.
    pub(crate) script: Vec<Value>,
    /// Positions that a socket passes over, as a faulty server would.
    pub(crate) lost: HashSet<usize>,
    /// Cursors below are answered with `resync`.
    pub(crate) oldest: usize,
    /// client_id → content, in the order they came first.
    pub(crate) stored: Vec<(String, String)>,
    /// Sends that are taken but whose answer is lost with the connection.
    pub(crate) swallow_acks: u32,
    /// Sends answered `overloaded` first.
    pub(crate) overload: u32,
    pub(crate) connects: Vec<Option<String>>,
    pub(crate) acked_cursors: Vec<String>,
    pub(crate) good_token: String,
    pub(crate) refreshes: u32,
    pub(crate) post_failures: u32,
    pub(crate) posts: Vec<Option<String>>,
}

impl World {
    pub(crate) fn event(&self, conversation: &str, seq: u64) {
        let mut state = self.state.lock().unwrap();
        state.script.push(json!({
            "type": "NEW_MESSAGE", "conversation_id": conversation, "seq": seq, "timestamp": seq, "actor_id": "u",
            "message_id": format!("{conversation}-{seq}"), "sender_id": "u", "recipient_id": null, "kind": "text",
            "content": format!("text {seq}"),
        }));
        let length = state.script.len();
        drop(state);
        self.grown.send_replace(length);
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.state.lock().unwrap())
    }
}

/// Starts it; gives its URL.
pub(crate) async fn start() -> (Arc<World>, String) {
    let inner = Inner { good_token: "token-0".into(), ..Default::default() };
    let world = Arc::new(World { state: Mutex::new(inner), grown: watch::Sender::new(0) });
    let app = Router::new()
        .route("/ws", get(ws))
        .route("/auth/refresh", post(refresh))
        .route("/v1/sync", get(sync))
        .route("/v1/unread", get(unread))
        .route("/v1/messages", post(send))
        .route("/v1/conversations/{id}/events", get(events))
        .with_state(world.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (world, url)
}

fn problem(status: u16, code: &str) -> Response {
    let body = json!({"type": "about:blank", "title": code, "status": status, "detail": code, "code": code,
        "request_id": "r"});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn bearer(headers: &HeaderMap) -> String {
    headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

async fn refresh(State(world): State<Arc<World>>, Json(body): Json<Value>) -> Response {
    let number = world.with(|state| {
        state.refreshes += 1;
        state.good_token = format!("token-{}", state.refreshes);
        state.refreshes
    });
    if body["refresh_token"] != json!(format!("refresh-{}", number - 1)) {
        return problem(401, "refresh_reused");
    }
    Json(json!({"user": {"user_id": "me", "username": "me", "email": null, "display_name": null,
        "avatar_file_id": null, "time_zone": null, "last_seen_to": "everyone", "quiet_hours": null,
        "permissions": [], "created_at": 0},
        "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 3600,
        "refresh_token": format!("refresh-{number}")}))
    .into_response()
}

async fn unread(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    if bearer(&headers) != world.with(|state| state.good_token.clone()) {
        return problem(401, "token_expired");
    }
    Json(json!({"conversations": 0, "messages": 0, "mentions": 0})).into_response()
}

async fn send(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    let fail = world.with(|state| {
        state.posts.push(key);
        let fail = state.post_failures > 0;
        state.post_failures = state.post_failures.saturating_sub(1);
        fail
    });
    if fail {
        return problem(504, "outcome_unknown");
    }
    let body = json!({"message_id": "m", "conversation_id": "c", "status": "SENT"});
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

async fn sync(State(world): State<Arc<World>>) -> Json<Value> {
    world.with(|state| {
        let mut heads: HashMap<String, u64> = HashMap::new();
        for event in &state.script {
            heads.insert(event["conversation_id"].as_str().unwrap().into(), event["seq"].as_u64().unwrap());
        }
        let items: Vec<Value> = heads
            .into_iter()
            .map(|(id, last)| {
                json!({"conversation_id": id, "type": "group", "name": null, "created_by": "u", "created_at": 0,
                    "participant_count": 0, "participants": [], "first_seq": 1, "last_seq": last,
                    "last_message": null, "last_activity": 0, "unread_count": 0, "mention_count": 0,
                    "read_seq": 0, "delivered_seq": 0, "muted_until": null, "archived": false, "pinned": false})
            })
            .collect();
        Json(json!({"cursor": state.script.len().to_string(), "conversations": {"items": items, "next": null}}))
    })
}

async fn events(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let after: u64 = query["after"].parse().unwrap();
    world.with(|state| {
        // Small pages, so that a hole takes several.
        let items: Vec<&Value> = state
            .script
            .iter()
            .filter(|event| event["conversation_id"] == id.as_str() && event["seq"].as_u64().unwrap() > after)
            .take(2)
            .collect();
        Json(json!({"items": items, "next": null}))
    })
}

async fn ws(
    State(world): State<Arc<World>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let token = bearer(&headers);
    world.with(|state| {
        state.connects.push(query.get("cursor").cloned());
    });
    upgrade.on_upgrade(move |socket| session(world, socket, token, query.get("cursor").cloned()))
}

async fn session(world: Arc<World>, mut socket: WebSocket, token: String, cursor: Option<String>) {
    if token != world.with(|state| state.good_token.clone()) {
        let frame = CloseFrame { code: 4401, reason: "token".into() };
        let _ = socket.send(Message::Close(Some(frame))).await;
        return;
    }
    let _ = drive(&world, &mut socket, cursor).await;
}

async fn say(socket: &mut WebSocket, frame: Value) -> Option<()> {
    socket.send(Message::text(frame.to_string())).await.ok()
}

async fn drive(world: &World, socket: &mut WebSocket, cursor: Option<String>) -> Option<()> {
    let mut grown = world.grown.subscribe();
    say(socket, json!({"type": "hello", "user_id": "me", "session_id": "s", "heartbeat_ms": 200})).await?;
    let oldest = world.with(|state| state.oldest);
    let mut at =
        cursor.map_or_else(|| world.with(|state| state.script.len()), |cursor| cursor.parse().unwrap());
    if at < oldest {
        return say(socket, json!({"type": "resync"})).await;
    }
    let mut live = false;
    loop {
        let (events, end) = world.with(|state| {
            let end = state.script.len();
            let given = (at..end).filter(|position| !state.lost.contains(position));
            (given.map(|position| (position + 1, state.script[position].clone())).collect::<Vec<_>>(), end)
        });
        at = end;
        for (position, mut event) in events {
            // Not every frame carries one, as in life.
            if position % 3 == 0 {
                event["cursor"] = json!(position.to_string());
            }
            say(socket, event).await?;
        }
        if !live {
            live = true;
            say(socket, json!({"type": "live", "cursor": at.to_string()})).await?;
        }
        tokio::select! {
            changed = grown.changed() => changed.ok()?,
            message = socket.recv() => {
                let Message::Text(text) = message?.ok()? else { return None };
                answer(world, socket, &serde_json::from_str(&text).unwrap(), at).await?;
            }
        }
    }
}

async fn answer(world: &World, socket: &mut WebSocket, frame: &Value, at: usize) -> Option<()> {
    match frame["type"].as_str().unwrap() {
        "ping" => say(socket, json!({"type": "pong", "cursor": at.to_string()})).await,
        "ack" => {
            world.with(|state| state.acked_cursors.push(frame["cursor"].as_str().unwrap().into()));
            Some(())
        }
        "send" => {
            let key = frame["client_id"].as_str().unwrap().to_owned();
            let content = frame["content"].as_str().unwrap().to_owned();
            if content == "forbidden" {
                let error = json!({"type": "error", "id": frame["id"], "code": "forbidden", "detail": "no"});
                return say(socket, error).await;
            }
            let verdict = world.with(|state| {
                if state.overload > 0 {
                    state.overload -= 1;
                    return Err("overloaded");
                }
                if !state.stored.iter().any(|(stored, _)| *stored == key) {
                    state.stored.push((key.clone(), content));
                }
                let swallow = state.swallow_acks > 0;
                state.swallow_acks = state.swallow_acks.saturating_sub(1);
                if swallow { Err("swallow") } else { Ok(()) }
            });
            match verdict {
                Ok(()) => {
                    let ack = json!({"type": "ack", "id": frame["id"], "client_id": key,
                        "message_id": format!("m-{key}"), "conversation_id": "c", "status": "SENT"});
                    say(socket, ack).await
                }
                Err("overloaded") => {
                    let error = json!({"type": "error", "id": frame["id"], "code": "overloaded", "detail": "busy",
                        "retry_after_ms": 20});
                    say(socket, error).await
                }
                // Returning breaks the connection.
                Err(_) => None,
            }
        }
        _ => Some(()),
    }
}
