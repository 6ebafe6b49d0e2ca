use super::Command;
use crate::{ClientError, http::fresh_key};
use chat4all_model::api::{ClientFrame, SendMessage};
use std::time::Duration;
use tokio::sync::mpsc;

/// Sends over a [`Live`](super::Live); cloned freely.
///
/// Each method gives a `client_id` that the answer, [`Update::Acked`](super::Update::Acked) or
/// [`Update::Refused`](super::Update::Refused), repeats. Those that are `async` wait only while the outbox is full.
#[derive(Debug, Clone)]
pub struct LiveSender {
    /// To the connection's task, which takes no more than its outbox holds.
    commands: mpsc::Sender<Command>,
    /// To the connection's task: break the connection, and stay away for so long.
    cuts: mpsc::Sender<Duration>,
}

impl LiveSender {
    pub(super) fn new(commands: mpsc::Sender<Command>, cuts: mpsc::Sender<Duration>) -> Self {
        Self { commands, cuts }
    }

    /// Sends a message, under its `client_id` or one made here.
    ///
    /// # Errors
    /// [`ClientError::Ended`] once the connection has ended for good.
    pub async fn send(&self, message: SendMessage) -> Result<String, ClientError> {
        self.put(sending(message)).await
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    /// [`ClientError::OutboxFull`], or [`ClientError::Ended`].
    pub fn try_send(&self, message: SendMessage) -> Result<String, ClientError> {
        self.try_put(sending(message))
    }

    /// Changes the text of one's own message.
    ///
    /// # Errors
    /// [`ClientError::Ended`]
    pub async fn edit(&self, message_id: &str, content: &str) -> Result<String, ClientError> {
        self.put(editing(message_id, content)).await
    }

    /// As [`edit`](Self::edit), without waiting.
    ///
    /// # Errors
    /// [`ClientError::OutboxFull`], or [`ClientError::Ended`].
    pub fn try_edit(&self, message_id: &str, content: &str) -> Result<String, ClientError> {
        self.try_put(editing(message_id, content))
    }

    /// Deletes a message for everybody.
    ///
    /// # Errors
    /// [`ClientError::Ended`]
    pub async fn delete(&self, message_id: &str) -> Result<String, ClientError> {
        self.put(deleting(message_id)).await
    }

    /// As [`delete`](Self::delete), without waiting.
    ///
    /// # Errors
    /// [`ClientError::OutboxFull`], or [`ClientError::Ended`].
    pub fn try_delete(&self, message_id: &str) -> Result<String, ClientError> {
        self.try_put(deleting(message_id))
    }

    /// Reacts to a message.
    ///
    /// # Errors
    /// [`ClientError::Ended`]
    pub async fn react(&self, message_id: &str, emoji: &str) -> Result<String, ClientError> {
        self.put(reacting(message_id, emoji, false)).await
    }

    /// As [`react`](Self::react), without waiting.
    ///
    /// # Errors
    /// [`ClientError::OutboxFull`], or [`ClientError::Ended`].
    pub fn try_react(&self, message_id: &str, emoji: &str) -> Result<String, ClientError> {
        self.try_put(reacting(message_id, emoji, false))
    }

    /// Takes a reaction back.
    ///
    /// # Errors
    /// [`ClientError::Ended`]
    pub async fn unreact(&self, message_id: &str, emoji: &str) -> Result<String, ClientError> {
        self.put(reacting(message_id, emoji, true)).await
    }

    /// As [`unreact`](Self::unreact), without waiting.
    ///
    /// # Errors
    /// [`ClientError::OutboxFull`], or [`ClientError::Ended`].
    pub fn try_unreact(&self, message_id: &str, emoji: &str) -> Result<String, ClientError> {
        self.try_put(reacting(message_id, emoji, true))
    }

    /// The caller has read everything up to `seq`. Sent until the server has it; not answered.
    ///
    /// # Errors
    /// [`ClientError::Ended`]
    pub async fn read(&self, conversation_id: &str, seq: u64) -> Result<(), ClientError> {
        let command = Command::Read { conversation_id: conversation_id.into(), seq };
        self.commands.send(command).await.map_err(|_| ClientError::Ended)
    }

    /// Breaks the connection as a network would, without a word to the server. It reconnects by itself.
    pub fn cut(&self) {
        self.cut_for(Duration::ZERO);
    }

    /// Breaks the connection and stays away for so long; without one, delays the next.
    pub fn cut_for(&self, away: Duration) {
        // Full: as many cuts are still to come, one more would change nothing.
        let _ = self.cuts.try_send(away);
    }

    async fn put(&self, (client_id, frame): (String, ClientFrame)) -> Result<String, ClientError> {
        let command = Command::Lasting { client_id: client_id.clone(), frame: Box::new(frame) };
        self.commands.send(command).await.map_err(|_| ClientError::Ended)?;
        Ok(client_id)
    }

    fn try_put(&self, (client_id, frame): (String, ClientFrame)) -> Result<String, ClientError> {
        let command = Command::Lasting { client_id: client_id.clone(), frame: Box::new(frame) };
        match self.commands.try_send(command) {
            Ok(()) => Ok(client_id),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ClientError::OutboxFull),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ClientError::Ended),
        }
    }
}

fn sending(mut message: SendMessage) -> (String, ClientFrame) {
    let client_id = message.client_id.get_or_insert_with(fresh_key).clone();
    (client_id.clone(), ClientFrame::Send { id: Some(client_id), message })
}

fn editing(message_id: &str, content: &str) -> (String, ClientFrame) {
    let key = fresh_key();
    let (id, client_id) = (Some(key.clone()), Some(key.clone()));
    (key, ClientFrame::Edit { id, client_id, message_id: message_id.into(), content: content.into() })
}

fn deleting(message_id: &str) -> (String, ClientFrame) {
    let key = fresh_key();
    let (id, client_id) = (Some(key.clone()), Some(key.clone()));
    (key, ClientFrame::Delete { id, client_id, message_id: message_id.into() })
}

fn reacting(message_id: &str, emoji: &str, remove: bool) -> (String, ClientFrame) {
    let key = fresh_key();
    let (id, client_id) = (Some(key.clone()), Some(key.clone()));
    (key, ClientFrame::React { id, client_id, message_id: message_id.into(), emoji: emoji.into(), remove })
}
