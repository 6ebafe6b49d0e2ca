//! Frames of the server that are no events.

use crate::error::Failure;
use bytes::Bytes;
use chat4all_model::api::Control;

/// A frame's text.
pub(super) fn text(control: &Control) -> Bytes {
    // Strings and numbers only, which always serialize.
    serde_json::to_vec(control).unwrap_or_default().into()
}

/// The answer to a change.
pub(super) fn changed(
    id: Option<String>,
    client_id: Option<String>,
    message_id: Option<String>,
    pending: bool,
) -> Control {
    let pending = pending.then_some(true);
    Control::Ack { id, client_id, message_id, conversation_id: None, status: None, pending }
}

/// The answer to what was refused.
pub(super) fn error(id: Option<String>, client_id: Option<String>, failure: &Failure) -> Control {
    if failure.is_fault() {
        tracing::warn!(target: "ws", %failure, "a frame could not be served");
    }
    Control::Error {
        id,
        client_id,
        code: failure.code.as_str().to_owned(),
        detail: failure.detail.clone(),
        retry_after_ms: failure.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    }
}
