//! Idempotency keys under fire: from two connections at once, again after restarts, and with another content.

use super::person::Called;
use chat4all_client::model::SendMessage;
use chat4all_client::{Client, ClientError};
use std::sync::atomic::{AtomicU64, Ordering};

/// A key that was used, and what it gave.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The key.
    pub(super) key: String,
    /// The message it gave.
    pub(super) id: String,
    /// Where.
    pub(super) conversation: String,
    /// What it said.
    pub(super) text: String,
    /// Whether the message has come as an event: what is only accepted may still be rejected, and then its key is
    /// free again.
    pub(super) stored: bool,
}

/// A key that nobody else uses: the accounts are the storm's own.
pub(super) fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("storm-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn message(key: &str, conversation: &str, text: &str) -> SendMessage {
    SendMessage {
        conversation_id: Some(conversation.into()),
        content: Some(text.into()),
        client_id: Some(key.into()),
        ..SendMessage::default()
    }
}

/// The same send over two connections at once.
pub(super) async fn twice(one: Client, two: Client, conversation: String, text: String) -> Called {
    let key = fresh();
    let message = message(&key, &conversation, &text);
    let (first, second) = tokio::join!(one.send(&message), two.send(&message));
    match (first, second) {
        (Ok(first), Ok(second)) if first.message_id != second.message_id => {
            Called::KeyFault(format!("{key} gave {} and {}", first.message_id, second.message_id))
        }
        (Ok(accepted), _) | (_, Ok(accepted)) => {
            Called::Key(Key { key, id: accepted.message_id, conversation, text, stored: false })
        }
        _ => Called::Nothing,
    }
}

/// A key of before, most likely of another life of the server: with its own content it gives the same message,
/// with another it is refused.
pub(super) async fn again(client: Client, key: Key, other_text: String) -> Called {
    match client.send(&message(&key.key, &key.conversation, &key.text)).await {
        Ok(accepted) if accepted.message_id != key.id => {
            return Called::KeyFault(format!("{} gave {} and then {}", key.key, key.id, accepted.message_id));
        }
        // Removed from the conversation, or the server is away for too long.
        Err(ClientError::Problem(problem)) if problem.code == "idempotency_key_reused" => {
            return Called::KeyFault(format!("{} is refused for its own content", key.key));
        }
        Err(_) => return Called::Nothing,
        Ok(_) => {}
    }
    match client.send(&message(&key.key, &key.conversation, &other_text)).await {
        Ok(_) => Called::KeyFault(format!("{} took another content", key.key)),
        Err(_) => Called::Nothing,
    }
}
