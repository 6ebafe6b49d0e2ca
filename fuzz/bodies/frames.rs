//! Frames of the socket: any text is read or refused by the server, and whatever the types of the API take is
//! written so that they take the same again.

use chat4all_model::api::{ClientFrame, ServerFrame};

/// Reads any bytes as frames.
pub(crate) fn body(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let taken = chat4all_server::ws::is_frame(text);
    if let Ok(frame) = serde_json::from_str::<ClientFrame>(text) {
        let written = serde_json::to_string(&frame).expect("a frame can be written");
        assert_eq!(
            serde_json::from_str::<ClientFrame>(&written).expect("what was written can be read"),
            frame
        );
        // The other way round holds too, but for fields that the server refuses and the client's type passes over.
        if taken {
            assert!(chat4all_server::ws::is_frame(&written), "{written}");
        }
    }
    if let Ok(frame) = serde_json::from_str::<ServerFrame>(text) {
        let written = serde_json::to_string(&frame).expect("a frame can be written");
        assert_eq!(
            serde_json::from_str::<ServerFrame>(&written).expect("what was written can be read"),
            frame
        );
    }
}
