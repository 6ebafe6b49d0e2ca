//! Cursors: nothing that was not sealed here opens, and what opens seals to the same text.

use chat4all_model::cursor::CursorKey;
use chat4all_model::id::UserId;

/// Opens any bytes as a cursor.
pub(crate) fn body(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key = CursorKey::new([7; 32]);
    let (alice, bob) = (user("alice"), user("bob"));
    if let Ok(cursor) = key.open(text, &alice) {
        assert_eq!(key.seal(&cursor, &alice), text, "another text of the same cursor");
        assert!(key.open(text, &bob).is_err(), "somebody else's cursor");
    }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a plain name")
}
