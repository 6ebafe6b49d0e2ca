//! What requests may hold. Every wrong field of a request is told at once.

use crate::error::{Failure, Result};
use chat4all_model::api::{FieldError, MessageKind, SendMessage};
use chat4all_model::command::Content;
use chat4all_model::id::{ConversationId, IdError, Platform, RecordId, UserId};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Unicode code points of a text.
pub const MAX_TEXT: usize = 16_384;
/// Code points of a group's name.
pub const MAX_NAME: usize = 200;
/// Files of a message.
pub const MAX_FILES: usize = 10;
/// Mentions of a message.
pub const MAX_MENTIONS: usize = 100;
/// Bytes of a message's `data`, as JSON.
pub const MAX_DATA_BYTES: usize = 16 * 1024;
/// Levels of a message's `data`.
pub const MAX_DATA_DEPTH: usize = 32;
/// Characters of an idempotency key.
pub const MAX_KEY: usize = 255;
/// Bytes of a reaction.
pub const MAX_EMOJI_BYTES: usize = 64;
/// People that one request names.
pub const MAX_USERS: usize = 500;

/// Collects what is wrong with a request.
#[derive(Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    fn must(&mut self, ok: bool, field: &str, message: impl Into<String>) {
        if !ok {
            self.add(field, message);
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::fields(self.0)) }
    }

    fn no_nul(&mut self, field: &str, text: &str) {
        self.must(!text.contains('\0'), field, "must not hold the character U+0000");
    }

    fn text(&mut self, field: &str, text: &str, most: usize) {
        self.must(text.chars().count() <= most, field, format!("must have at most {most} characters"));
        self.no_nul(field, text);
    }

    fn key(&mut self, field: &str, key: &str) {
        self.must(!key.is_empty(), field, "must not be empty");
        self.text(field, key, MAX_KEY);
    }
}

/// A send whose every field is good by itself.
#[derive(Debug)]
pub(super) struct Valid {
    pub(super) conversation: Option<ConversationId>,
    pub(super) recipient: Option<Recipient>,
    pub(super) kind: MessageKind,
    pub(super) content: Content,
    pub(super) reply_to: Option<RecordId>,
    pub(super) seen: Option<u64>,
    pub(super) key: Option<Arc<str>>,
    pub(super) client_id: Option<Arc<str>>,
}

/// To whom a message goes that names no conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recipient {
    /// A person or bot here.
    User(UserId),
    /// Somebody on another platform.
    Address(String),
}

/// Checks the fields of a send by `caller`; `key` is the `Idempotency-Key` header.
pub(super) fn send(message: SendMessage, key: Option<&str>, caller: &UserId) -> Result<Valid> {
    let mut errors = Errors::default();
    let mut unknown = false;

    let conversation = message.conversation_id.as_deref().and_then(|id| match ConversationId::parse(id) {
        Ok(id) => Some(id),
        Err(IdError::Form) => {
            unknown = true;
            None
        }
        Err(error) => {
            errors.add("conversation_id", error.to_string());
            None
        }
    });
    let recipient = message
        .recipient_id
        .as_deref()
        .and_then(|id| recipient(id).map_err(|why| errors.add("recipient_id", why)).ok());
    if message.conversation_id.is_none() && message.recipient_id.is_none() {
        errors.add("conversation_id", "one of conversation_id and recipient_id is needed");
    }
    if let Some(sender) = &message.sender_id {
        errors.must(sender == caller.as_str(), "sender_id", "can only be yourself");
    }

    let kind = message.kind.unwrap_or_default();
    errors.must(kind != MessageKind::System, "kind", "cannot be `system`");
    let files = files(&message, &mut errors);
    errors.must(kind != MessageKind::File || !files.is_empty(), "kind", "`file` needs file_ids");
    match &message.content {
        Some(text) => {
            errors.text("content", text, MAX_TEXT);
            let blank = text.trim().is_empty() && files.is_empty();
            errors.must(!blank, "content", "must not be blank unless a file is attached");
        }
        None => errors.must(!files.is_empty(), "content", "is needed unless a file is attached"),
    }
    let mentions = mentions(message.mentions.unwrap_or_default(), &mut errors);
    let data = message.data.map(|data| data_text(data, &mut errors));
    let reply_to = message
        .reply_to
        .as_deref()
        .and_then(|id| RecordId::parse(id).map_err(|_| errors.add("reply_to", "is no message's id")).ok());

    if let Some(client_id) = &message.client_id {
        errors.key("client_id", client_id);
    }
    if let Some(key) = key {
        errors.key("Idempotency-Key", key);
        let both = message.client_id.as_deref().is_none_or(|client_id| client_id == key);
        errors.must(both, "client_id", "differs from the Idempotency-Key header");
    }
    errors.finish()?;
    if unknown {
        return Err(Failure::not_found());
    }
    let client_id: Option<Arc<str>> = message.client_id.map(Into::into);
    Ok(Valid {
        conversation,
        recipient,
        kind,
        content: Content { text: message.content.map(Into::into), data, files, mentions },
        reply_to,
        seen: message.seen,
        key: key.map(Into::into).or_else(|| client_id.clone()),
        client_id,
    })
}

/// Reads a recipient: a user's id, or an address of another platform.
pub(super) fn recipient(id: &str) -> Result<Recipient, String> {
    if !id.contains(':') {
        return UserId::parse(id).map(Recipient::User).map_err(|error| error.to_string());
    }
    let rest = id.split_once(':').map_or("", |(_, rest)| rest);
    let good = match Platform::of(id) {
        Some(Platform::Whatsapp) => {
            let digits = rest.strip_prefix('+').unwrap_or_default();
            (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        }
        Some(Platform::Instagram) => {
            rest.len() <= 30 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
        }
        None => false,
    };
    let why = "must be a user's id, `whatsapp:+` and 5-15 digits, or `instagram:` and an account";
    if good { Ok(Recipient::Address(id.to_owned())) } else { Err(why.to_owned()) }
}

/// The key of a command that is no send.
pub(super) fn key(key: Option<&str>) -> Result<()> {
    let mut errors = Errors::default();
    if let Some(key) = key {
        errors.key("Idempotency-Key", key);
    }
    errors.finish()
}

/// The new text of a message.
pub(super) fn edited_text(text: &str) -> Result<()> {
    let mut errors = Errors::default();
    errors.text("content", text, MAX_TEXT);
    errors.must(!text.trim().is_empty(), "content", "must not be blank; delete the message instead");
    errors.finish()
}

/// A group's name.
pub(super) fn name(name: &str) -> Result<()> {
    let mut errors = Errors::default();
    errors.text("name", name, MAX_NAME);
    errors.must(!name.trim().is_empty(), "name", "must not be blank");
    errors.finish()
}

/// What one reacts with.
pub(super) fn emoji(emoji: &str) -> Result<()> {
    let mut errors = Errors::default();
    let sized = (1..=MAX_EMOJI_BYTES).contains(&emoji.len());
    errors.must(sized, "emoji", format!("must have 1 to {MAX_EMOJI_BYTES} bytes"));
    let plain = !emoji.chars().any(|c| c.is_control() || c.is_whitespace());
    errors.must(plain, "emoji", "must not hold blanks or control characters");
    errors.finish()
}

/// The people that a request names: each once, in a fixed order, so that the same people are the same content.
pub(super) fn users(field: &str, ids: &[String]) -> Result<Vec<UserId>> {
    let mut errors = Errors::default();
    errors.must(ids.len() <= MAX_USERS, field, format!("must name at most {MAX_USERS} people"));
    let mut users = BTreeSet::new();
    for (at, id) in ids.iter().take(MAX_USERS).enumerate() {
        match UserId::parse(id) {
            Ok(user) => {
                users.insert(user);
            }
            Err(error) => errors.add(format!("{field}[{at}]"), error.to_string()),
        }
    }
    errors.finish()?;
    Ok(users.into_iter().collect())
}

fn files(message: &SendMessage, errors: &mut Errors) -> Vec<Arc<str>> {
    let mut files: Vec<Arc<str>> = Vec::new();
    let listed = message.file_ids.iter().flatten();
    for id in message.file_id.iter().chain(listed) {
        let good = UserId::parse(id).is_ok();
        errors.must(good, "file_ids", "holds what is no file's id");
        if good && files.iter().all(|file| **file != **id) {
            files.push(id.as_str().into());
        }
    }
    errors.must(files.len() <= MAX_FILES, "file_ids", format!("must name at most {MAX_FILES} files"));
    files
}

fn mentions(ids: Vec<String>, errors: &mut Errors) -> Vec<Arc<str>> {
    let fits = ids.len() <= MAX_MENTIONS;
    errors.must(fits, "mentions", format!("must name at most {MAX_MENTIONS}"));
    let mut mentions: Vec<Arc<str>> = Vec::new();
    for id in ids.into_iter().take(MAX_MENTIONS) {
        errors.must(UserId::parse(&id).is_ok(), "mentions", "must hold users' ids or `all`");
        if mentions.iter().all(|one| **one != *id) {
            mentions.push(id.into());
        }
    }
    mentions
}

fn data_text(data: serde_json::Map<String, Value>, errors: &mut Errors) -> Arc<str> {
    let data = Value::Object(data);
    errors.must(
        depth_at_most(&data, MAX_DATA_DEPTH),
        "data",
        format!("must nest at most {MAX_DATA_DEPTH} deep"),
    );
    let text = data.to_string();
    errors.must(text.len() <= MAX_DATA_BYTES, "data", format!("must have at most {MAX_DATA_BYTES} bytes"));
    text.into()
}

fn depth_at_most(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(items) => most > 0 && items.iter().all(|item| depth_at_most(item, most - 1)),
        Value::Object(fields) => most > 0 && fields.values().all(|field| depth_at_most(field, most - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn me() -> UserId {
        UserId::parse("me").unwrap()
    }

    fn check(message: serde_json::Value, key: Option<&str>) -> Result<Valid> {
        send(serde_json::from_value(message).unwrap(), key, &me())
    }

    fn fields(result: Result<Valid>) -> Vec<String> {
        result.unwrap_err().errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn every_wrong_field_is_told() {
        let message = json!({
            "recipient_id": "fax:1", "content": " \u{2003}\n", "sender_id": "you", "reply_to": "x",
            "mentions": ["é"], "client_id": "", "kind": "system",
        });
        let mut wrong = fields(check(message, None));
        wrong.sort();
        assert_eq!(
            wrong,
            ["client_id", "content", "kind", "mentions", "recipient_id", "reply_to", "sender_id"]
        );
        assert_eq!(fields(check(json!({"content": "x"}), None)), ["conversation_id"]);
    }

    #[test]
    fn texts_are_measured_in_code_points_and_kept_byte_for_byte() {
        for one in ["a", "漢", "👩‍👩‍👧", "ש", "e\u{301}"] {
            let points = one.chars().count();
            let text = one.repeat(MAX_TEXT / points);
            let valid = check(json!({"recipient_id": "bob", "content": text}), None).unwrap();
            assert_eq!(valid.content.text.as_deref(), Some(text.as_str()));
        }
        let long = "漢".repeat(MAX_TEXT + 1);
        assert_eq!(fields(check(json!({"recipient_id": "bob", "content": long}), None)), ["content"]);
        assert_eq!(fields(check(json!({"recipient_id": "bob", "content": "a\0b"}), None)), ["content"]);
    }

    #[test]
    fn a_key_and_a_client_id_must_agree() {
        let message = |client_id: &str| json!({"recipient_id": "b", "content": "x", "client_id": client_id});
        assert_eq!(check(message("k"), Some("k")).unwrap().key.as_deref(), Some("k"));
        assert_eq!(check(message("k"), None).unwrap().key.as_deref(), Some("k"));
        assert_eq!(fields(check(message("k"), Some("l"))), ["client_id"]);
        assert_eq!(fields(check(message(&"k".repeat(256)), None)), ["client_id"]);
        assert!(check(message(&"é".repeat(255)), None).is_ok());
    }

    #[test]
    fn data_is_bounded_in_bytes_and_depth() {
        let nested = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({"a": inner}));
        let message = |data| json!({"recipient_id": "b", "content": "x", "data": data});
        assert!(check(message(nested(MAX_DATA_DEPTH)), None).is_ok());
        assert_eq!(fields(check(message(nested(MAX_DATA_DEPTH + 1)), None)), ["data"]);
        let wide = json!({"a": "x".repeat(MAX_DATA_BYTES)});
        assert_eq!(fields(check(message(wide), None)), ["data"]);
    }

    #[test]
    fn recipients_are_people_here_or_addresses_of_known_shape() {
        for good in ["whatsapp:+5511999999999", "instagram:some.body_1"] {
            assert_eq!(recipient(good), Ok(Recipient::Address(good.to_owned())));
        }
        for bad in
            ["whatsapp:", "whatsapp:+", "whatsapp:55", "whatsapp:+55x11", "instagram:a-b", "fax:1", "", "é"]
        {
            assert!(recipient(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_conversation_id_of_no_known_form_is_not_there() {
        let failure = check(json!({"conversation_id": "nowhere", "content": "x"}), None).unwrap_err();
        assert_eq!(failure.code, chat4all_model::api::Code::NotFound);
        assert_eq!(fields(check(json!({"conversation_id": "é", "content": "x"}), None)), ["conversation_id"]);
    }

    #[test]
    fn reactions_are_short_and_visible() {
        for good in ["👍", "👩🏽‍❤️‍💋‍👨🏿", ":+1:"] {
            assert!(emoji(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "\u{7}", &"x".repeat(65)] {
            assert!(emoji(bad).is_err(), "{bad:?}");
        }
    }
}
