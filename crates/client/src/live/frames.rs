use chat4all_model::api::{Control, Event};
use serde::Deserialize;
use std::borrow::Cow;

/// A frame from the server.
#[expect(clippy::large_enum_variant, reason = "nearly all are events, and none is kept")]
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Control(Control),
    Event {
        event: Event,
        cursor: Option<String>,
    },
    /// Of a later version, or of a kind that does not last; passed over.
    Unknown,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    cursor: Option<String>,
}

/// Reads a frame. Events are told from control frames by their upper case, so that each is parsed once.
///
/// # Errors
/// Not JSON, or a kind this client knows with fields it does not understand.
pub(super) fn read(text: &str) -> Result<Frame, serde_json::Error> {
    let head: Head<'_> = serde_json::from_str(text)?;
    let known = |kind: &str, kinds: &[&str]| kinds.contains(&kind);
    if known(&head.kind, CONTROLS) {
        serde_json::from_str(text).map(Frame::Control)
    } else if known(&head.kind, EVENTS) {
        let event = serde_json::from_str(text)?;
        Ok(Frame::Event { event, cursor: head.cursor })
    } else {
        Ok(Frame::Unknown)
    }
}

const CONTROLS: &[&str] = &["hello", "live", "cursor", "resync", "pong", "ack", "error"];

const EVENTS: &[&str] = &[
    "NEW_MESSAGE",
    "MESSAGE_UPDATED",
    "MESSAGE_DELETED",
    "REACTION_ADDED",
    "REACTION_REMOVED",
    "CONVERSATION_CREATED",
    "CONVERSATION_UPDATED",
    "PARTICIPANT_ADDED",
    "PARTICIPANT_REMOVED",
    "PARTICIPANT_UPDATED",
    "RECEIPT",
    "MESSAGE_STATUS",
    "CONVERSATION_SETTINGS",
    "REJECTED",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_knows_and_passes_over_the_rest() {
        assert_eq!(read(r#"{"type":"resync"}"#).unwrap(), Frame::Control(Control::Resync));
        assert_eq!(read(r#"{"type":"TYPING","conversation_id":"g:1"}"#).unwrap(), Frame::Unknown);
        assert_eq!(read(r#"{"type":"device","data":{}}"#).unwrap(), Frame::Unknown);
        assert!(read("{").is_err());
        assert!(read(r#"{"type":"live"}"#).is_err());
        let text = r#"{"type":"CONVERSATION_UPDATED","conversation_id":"g:1","seq":3,"timestamp":1,
            "actor_id":"u","name":"n","cursor":"c","a_later_field":1}"#;
        let Frame::Event { event, cursor } = read(text).unwrap() else { panic!("no event") };
        assert_eq!((event.at().unwrap().seq, cursor.as_deref()), (3, Some("c")));
    }

    #[test]
    fn knows_every_kind_of_event() {
        for kind in EVENTS {
            let error = serde_json::from_str::<Event>(&format!(r#"{{"type":"{kind}"}}"#)).unwrap_err();
            assert!(error.to_string().contains("missing field"), "{kind}: {error}");
        }
    }
}
