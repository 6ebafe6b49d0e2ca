//! The limits of requests as JSON Schema, from the same constants that are checked.

use crate::chat::{MAX_EMOJI_BYTES, MAX_FILES, MAX_KEY, MAX_MENTIONS, MAX_NAME, MAX_TEXT, MAX_USERS};
use chat4all_model::id::MAX_ID_LEN;
use serde_json::{Value, json};

/// An id.
const ID: &str = "^[A-Za-z0-9_.:@+-]+$";
/// A text without U+0000.
const TEXT: &str = "^[^\\u0000]*$";
/// The largest integer that every client can write.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Puts the limits of fields into the schemas of requests.
pub(super) fn put(schemas: &mut Value) {
    let id = json!({"minLength": 1, "maxLength": MAX_ID_LEN, "pattern": ID});
    let ids = |least: usize, most: usize| json!({"minItems": least, "maxItems": most, "items": id.clone()});
    let text = |least: usize, most: usize| json!({"minLength": least, "maxLength": most, "pattern": TEXT});
    let username = json!({"minLength": 3, "maxLength": 32, "pattern": "^[A-Za-z0-9_.-]+$"});
    let password = json!({"minLength": 8, "maxLength": 256});
    let email = json!({"maxLength": 254, "format": "email"});
    let seq = json!({"maximum": MAX_INTEGER});
    let minute = json!({"maximum": 1439});
    let chosen = json!({"minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$"});
    let fields = [
        ("RegisterRequest", "username", username.clone()),
        ("RegisterRequest", "password", password.clone()),
        ("RegisterRequest", "email", email.clone()),
        ("RegisterRequest", "display_name", text(1, 64)),
        ("PasswordRequest", "new_password", password),
        ("ProfilePatch", "display_name", text(1, 64)),
        ("ProfilePatch", "email", email),
        ("ProfilePatch", "avatar_file_id", id.clone()),
        ("ProfilePatch", "time_zone", json!({"maxLength": 64, "pattern": "^[A-Za-z][A-Za-z0-9_+/-]*$"})),
        ("QuietHours", "from_minute", minute.clone()),
        ("QuietHours", "to_minute", minute),
        ("BotRequest", "username", username),
        ("BotRequest", "display_name", text(1, 64)),
        ("BotRequest", "scopes", json!({"minItems": 1})),
        ("CreateConversation", "participant_ids", ids(0, MAX_USERS)),
        ("CreateConversation", "name", text(1, MAX_NAME)),
        ("CreateConversation", "conversation_id", chosen),
        ("ConversationPatch", "name", text(1, MAX_NAME)),
        ("SettingsPatch", "muted_until", seq.clone()),
        ("AddParticipants", "user_ids", ids(1, MAX_USERS)),
        ("MarkRequest", "seq", seq.clone()),
        ("SendMessage", "conversation_id", id.clone()),
        ("SendMessage", "recipient_id", id.clone()),
        ("SendMessage", "sender_id", id.clone()),
        ("SendMessage", "content", text(0, MAX_TEXT)),
        ("SendMessage", "file_ids", ids(0, MAX_FILES)),
        ("SendMessage", "file_id", id.clone()),
        ("SendMessage", "mentions", ids(0, MAX_MENTIONS)),
        ("SendMessage", "reply_to", message_id()),
        ("SendMessage", "seen", seq),
        ("SendMessage", "client_id", text(1, MAX_KEY)),
        ("EditMessage", "content", text(1, MAX_TEXT)),
    ];
    for (schema, field, limits) in fields {
        merge(&mut schemas[schema]["properties"][field], limits);
    }
}

/// Puts the limits of a parameter, by its name, and lets an optional one be left out rather than be null.
pub(super) fn put_parameter(parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let schema = &mut parameter["schema"];
    if let Some(kinds) = schema["type"].as_array_mut() {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    let limits = match name.as_str() {
        "message_id" => message_id(),
        "emoji" => json!({"minLength": 1, "maxLength": MAX_EMOJI_BYTES / 4}),
        "Idempotency-Key" => json!({"minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$"}),
        "Prefer" => json!({"maxLength": 255, "pattern": "^wait=[0-9]{1,3}$"}),
        "before" | "after" | "around" => json!({"maximum": MAX_INTEGER}),
        name if name.ends_with("_id") => json!({"minLength": 1, "maxLength": MAX_ID_LEN, "pattern": ID}),
        _ => return,
    };
    merge(schema, limits);
}

fn message_id() -> Value {
    json!({"minLength": 22, "maxLength": 22, "pattern": "^[A-Za-z0-9_-]+$"})
}

fn merge(into: &mut Value, limits: Value) {
    let (Value::Object(into), Value::Object(limits)) = (into, limits) else { return };
    for (key, limit) in limits {
        match into.get_mut(&key) {
            Some(present @ Value::Object(_)) => merge(present, limit),
            _ => {
                into.insert(key, limit);
            }
        }
    }
}
