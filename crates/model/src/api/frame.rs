use super::{Event, SendMessage, Status};
use serde::{Deserialize, Serialize};

/// What a client may send over `/ws`. `id` is repeated in the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    Send {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(flatten)]
        message: SendMessage,
    },
    Edit {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        message_id: String,
        content: String,
    },
    Delete {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        message_id: String,
    },
    React {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        message_id: String,
        emoji: String,
        #[serde(default)]
        remove: bool,
    },
    Read {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        conversation_id: String,
        seq: u64,
    },
    /// Everything up to the cursor has arrived.
    Ack { cursor: String },
    /// A fresh access token for this connection.
    Token {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        token: String,
    },
    Ping {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
}

/// What the server sends over `/ws`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every frame is an event; a box would only cost an allocation"
)]
pub enum ServerFrame {
    /// Something that is not an event.
    Control(Control),
    /// An event, with the cursor now and then.
    Event {
        #[serde(flatten)]
        event: Event,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
}

/// A frame of the server that is not an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// The first frame.
    Hello { user_id: String, session_id: String, heartbeat_ms: u64 },
    /// Everything after the client's cursor has been given; from here on it is live.
    Live { cursor: String },
    /// A cursor alone, on a quiet connection.
    Cursor { cursor: String },
    /// The cursor cannot be served: take a snapshot.
    Resync,
    /// The answer to `ping`.
    Pong {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        cursor: String,
    },
    /// It is durable, or done.
    Ack {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<Status>,
        /// The outcome is not known after 5 s.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pending: Option<bool>,
    },
    /// It was refused.
    Error {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        code: String,
        detail: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

/// Close codes of `/ws` beyond those of RFC 6455.
pub mod close {
    /// A frame over the limit.
    pub const TOO_LARGE: u16 = 1009;
    /// The server restarts; reconnect with jitter.
    pub const RESTART: u16 = 1012;
    /// The protocol was broken.
    pub const PROTOCOL: u16 = 4400;
    /// The token is missing, bad, revoked or expired.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// No heartbeat.
    pub const NO_HEARTBEAT: u16 = 4408;
    /// Too slow a reader; resume.
    pub const TOO_SLOW: u16 = 4410;
    /// Too many frames or connections.
    pub const TOO_MANY: u16 = 4429;
}
