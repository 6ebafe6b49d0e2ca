//! Reading what clients send.
//!
//! In two steps, so that the answer to a frame that is wrong still repeats its `id`: first the kind and the `id`,
//! then the fields of that kind, all of them known.

use crate::error::Failure;
use chat4all_model::api::{Code, FieldError, SendMessage};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The longest `id` of a frame.
const MAX_ID: usize = 255;

/// A frame, and the `id` that its answer repeats.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) id: Option<String>,
    pub(super) what: Asked,
}

/// What a frame asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Send(Box<SendMessage>),
    Change(Change),
    Read { conversation_id: String, seq: u64 },
    Ack { cursor: String },
    Token { token: String },
    Ping,
}

/// A change of a message.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) client_id: Option<String>,
    pub(super) message_id: String,
    pub(super) what: Changing,
}

#[derive(Debug)]
pub(super) enum Changing {
    Edit { content: String },
    Delete,
    React { emoji: String },
    Unreact { emoji: String },
}

/// A frame that is refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) id: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) failure: Box<Failure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    #[serde(default)]
    client_id: Option<String>,
    message_id: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    #[serde(default)]
    client_id: Option<String>,
    message_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct React {
    #[serde(default)]
    client_id: Option<String>,
    message_id: String,
    emoji: String,
    #[serde(default)]
    remove: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    conversation_id: String,
    seq: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ack {
    cursor: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ping {}

/// Reads a text frame.
///
/// # Errors
/// What is wrong with it, and its `id` as far as it could be read.
pub(super) fn read(text: &str) -> Result<Frame, Refused> {
    let refuse = |failure| Refused { id: None, client_id: None, failure: Box::new(failure) };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| refuse(Failure::new(Code::InvalidRequest, format!("not JSON: {error}"))))?;
    let Value::Object(mut fields) = value else {
        return Err(refuse(Failure::new(Code::InvalidRequest, "a frame is a JSON object with a `type`")));
    };
    let id = match fields.remove("id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if id.len() <= MAX_ID => Some(id),
        Some(_) => return Err(refuse(Failure::invalid("id", "is a string of at most 255 bytes"))),
    };
    let client_id = fields.get("client_id").and_then(Value::as_str).filter(|id| id.len() <= MAX_ID);
    let client_id = client_id.map(str::to_owned);
    let kind = match fields.remove("type") {
        Some(Value::String(kind)) => kind,
        Some(_) => {
            return Err(Refused {
                id,
                client_id,
                failure: Box::new(Failure::invalid("type", "is a string")),
            });
        }
        None => {
            return Err(Refused { id, client_id, failure: Box::new(Failure::invalid("type", "is missing")) });
        }
    };
    match asked(&kind, fields) {
        Ok(what) => Ok(Frame { id, what }),
        Err(failure) => Err(Refused { id, client_id, failure: Box::new(failure) }),
    }
}

fn asked(kind: &str, fields: Map<String, Value>) -> Result<Asked, Failure> {
    Ok(match kind {
        "send" => Asked::Send(Box::new(strict(fields)?)),
        "edit" => {
            let Edit { client_id, message_id, content } = strict(fields)?;
            Asked::Change(Change { client_id, message_id, what: Changing::Edit { content } })
        }
        "delete" => {
            let Delete { client_id, message_id } = strict(fields)?;
            Asked::Change(Change { client_id, message_id, what: Changing::Delete })
        }
        "react" => {
            let React { client_id, message_id, emoji, remove } = strict(fields)?;
            let what = if remove { Changing::Unreact { emoji } } else { Changing::React { emoji } };
            Asked::Change(Change { client_id, message_id, what })
        }
        "read" => {
            let Read { conversation_id, seq } = strict(fields)?;
            Asked::Read { conversation_id, seq }
        }
        "ack" => Asked::Ack { cursor: strict::<Ack>(fields)?.cursor },
        "token" => Asked::Token { token: strict::<Token>(fields)?.token },
        "ping" => {
            let Ping {} = strict(fields)?;
            Asked::Ping
        }
        "typing" | "presence" => {
            return Err(Failure::new(Code::NotFound, format!("`{kind}` is not served here yet")));
        }
        _ => {
            let known = "send, edit, delete, react, read, ack, token, ping";
            return Err(Failure::invalid("type", format!("is none of {known}")));
        }
    })
}

/// Fields of a kind; the wrong one is named.
fn strict<T: for<'de> Deserialize<'de>>(fields: Map<String, Value>) -> Result<T, Failure> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let message = error.inner().to_string();
        let quoted = message.split('`').nth(1).unwrap_or_default();
        let path = error.path().to_string();
        let named = message.starts_with("unknown field") || message.starts_with("missing field");
        let field = if named { quoted.to_owned() } else { path };
        Failure::fields(vec![FieldError { field, message }])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_is_refused_with_the_id_where_there_is_one() {
        let deep =
            format!("{}1{}", r#"{"type":"send","data":"#.to_owned() + &"[".repeat(5000), "]".repeat(5000));
        let long_id = format!(r#"{{"type":"ping","id":"{}"}}"#, "i".repeat(256));
        let table: &[(&str, Option<&str>, Code, &str)] = &[
            ("", None, Code::InvalidRequest, "not JSON"),
            ("{", None, Code::InvalidRequest, "not JSON"),
            ("null", None, Code::InvalidRequest, "object"),
            ("[]", None, Code::InvalidRequest, "object"),
            ("\u{0}", None, Code::InvalidRequest, "not JSON"),
            (&deep, None, Code::InvalidRequest, "recursion"),
            (&long_id, None, Code::InvalidRequest, "id"),
            (r#"{"id":"1"}"#, Some("1"), Code::InvalidRequest, "type: is missing"),
            (r#"{"id":"1","type":7}"#, Some("1"), Code::InvalidRequest, "type"),
            (r#"{"id":{},"type":"ping"}"#, None, Code::InvalidRequest, "id"),
            (r#"{"id":"1","type":"dance"}"#, Some("1"), Code::InvalidRequest, "none of"),
            (r#"{"id":"1","type":"typing","conversation_id":"g:1"}"#, Some("1"), Code::NotFound, "typing"),
            (r#"{"id":"1","type":"presence"}"#, Some("1"), Code::NotFound, "presence"),
            (r#"{"id":"1","type":"ping","x":1}"#, Some("1"), Code::InvalidRequest, "unknown field `x`"),
            (r#"{"id":"1","type":"send","contents":"a"}"#, Some("1"), Code::InvalidRequest, "`contents`"),
            (r#"{"id":"1","type":"send","content":1}"#, Some("1"), Code::InvalidRequest, "content"),
            (r#"{"id":"1","type":"edit","message_id":"m"}"#, Some("1"), Code::InvalidRequest, "`content`"),
            (
                r#"{"id":"1","type":"read","conversation_id":"c","seq":-1}"#,
                Some("1"),
                Code::InvalidRequest,
                "seq",
            ),
            (r#"{"id":"1","type":"ack"}"#, Some("1"), Code::InvalidRequest, "`cursor`"),
            (r#"{"id":"1","type":"token","token":null}"#, Some("1"), Code::InvalidRequest, "token"),
        ];
        for (text, id, code, detail) in table {
            let refused = read(text).expect_err(text);
            assert_eq!((refused.id.as_deref(), refused.failure.code), (*id, *code), "{text:.80}");
            assert!(refused.failure.detail.contains(detail), "{text:.80}: {}", refused.failure.detail);
        }
    }

    #[test]
    fn a_refused_send_names_its_client_id() {
        let refused = read(r#"{"type":"send","client_id":"k","nope":1}"#).expect_err("refused");
        assert_eq!(refused.client_id.as_deref(), Some("k"));
    }

    #[test]
    fn every_frame_the_client_crate_writes_is_read() {
        use chat4all_model::api::ClientFrame;
        let id = || Some("7".to_owned());
        let (message_id, content) = (|| "m".to_owned(), || "é\u{200d}🧑".to_owned());
        let frames = [
            ClientFrame::Send {
                id: id(),
                message: SendMessage { content: Some(content()), ..Default::default() },
            },
            ClientFrame::Edit { id: id(), client_id: id(), message_id: message_id(), content: content() },
            ClientFrame::Delete { id: id(), client_id: None, message_id: message_id() },
            ClientFrame::React {
                id: id(),
                client_id: None,
                message_id: message_id(),
                emoji: content(),
                remove: true,
            },
            ClientFrame::Read { id: id(), conversation_id: "g:1".into(), seq: 4 },
            ClientFrame::Ack { cursor: "c".into() },
            ClientFrame::Token { id: id(), token: "t".into() },
            ClientFrame::Ping { id: id() },
        ];
        for frame in frames {
            let text = serde_json::to_string(&frame).unwrap();
            let read = read(&text).unwrap_or_else(|refused| panic!("{text}: {}", refused.failure));
            let expected = if matches!(frame, ClientFrame::Ack { .. }) { None } else { Some("7") };
            assert_eq!(read.id.as_deref(), expected, "{text}");
        }
    }
}
