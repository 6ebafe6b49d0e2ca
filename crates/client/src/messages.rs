use crate::{
    Client, ClientError,
    http::{Call, Repeat, fresh_key},
};
use chat4all_model::api::{
    Accepted, Edit, EditMessage, Message, MessagePage, Page, Pending, Reaction, Receipt, SendMessage,
};
use reqwest::Method;

/// Which part of a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Range {
    /// The newest, newest first.
    #[default]
    Newest,
    /// Below this `seq`, newest first.
    Before(u64),
    /// Above this `seq`, oldest first.
    After(u64),
    /// About this `seq`, newest first.
    Around(u64),
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is so.
    Done,
    /// Accepted; the outcome was not known in time and comes as an event, or as `REJECTED`.
    Pending,
}

/// Messages and what is done to them (`/v1/messages`).
impl Client {
    /// Sends a message; on return it is durable. Without a `client_id` a key is made, so that the retries within
    /// this call cannot send it twice; retries of a later call need the caller's own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send(&self, message: &SendMessage) -> Result<Accepted, ClientError> {
        self.run(self.sending(message)?).await?.json()
    }

    /// Sends a message and waits up to `seconds` for it to be stored; none if it takes longer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_and_wait(
        &self,
        message: &SendMessage,
        seconds: u32,
    ) -> Result<Option<Message>, ClientError> {
        let answer = self.run(self.sending(message)?.prefer(format!("wait={seconds}"))).await?;
        if answer.status == 201 { answer.json().map(Some) } else { Ok(None) }
    }

    fn sending(&self, message: &SendMessage) -> Result<Call, ClientError> {
        let key = message.client_id.clone().unwrap_or_else(fresh_key);
        Ok(self.call(Method::POST, &["v1", "messages"]).body(message)?.repeat(Repeat::Keyed(key)))
    }

    /// A page of a conversation's messages.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn messages(
        &self,
        conversation_id: &str,
        range: Range,
        limit: Option<u32>,
    ) -> Result<MessagePage, ClientError> {
        let place = match range {
            Range::Newest => ("before", None),
            Range::Before(seq) => ("before", Some(seq.to_string())),
            Range::After(seq) => ("after", Some(seq.to_string())),
            Range::Around(seq) => ("around", Some(seq.to_string())),
        };
        let limit = limit.map(|limit| limit.to_string());
        self.get(&["v1", "conversations", conversation_id, "messages"], &[place, ("limit", limit)]).await
    }

    /// One message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn message(&self, message_id: &str) -> Result<Message, ClientError> {
        self.get(&["v1", "messages", message_id], &[]).await
    }

    /// Changes the text of one's own message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn edit(&self, message_id: &str, content: &str) -> Result<Changed, ClientError> {
        let call = self.call(Method::PATCH, &["v1", "messages", message_id]);
        self.change(call.body(&EditMessage { content: content.into() })?).await
    }

    /// Deletes a message for everybody.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, message_id: &str) -> Result<Changed, ClientError> {
        self.change(self.call(Method::DELETE, &["v1", "messages", message_id])).await
    }

    /// Reacts to a message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn react(&self, message_id: &str, emoji: &str) -> Result<Changed, ClientError> {
        self.change(self.call(Method::PUT, &["v1", "messages", message_id, "reactions", emoji])).await
    }

    /// Takes a reaction back.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unreact(&self, message_id: &str, emoji: &str) -> Result<Changed, ClientError> {
        self.change(self.call(Method::DELETE, &["v1", "messages", message_id, "reactions", emoji])).await
    }

    async fn change(&self, call: Call) -> Result<Changed, ClientError> {
        let answer = self.run(call).await?;
        let pending = answer.status == 202 && answer.json::<Pending>().is_ok_and(|answer| answer.pending);
        Ok(if pending { Changed::Pending } else { Changed::Done })
    }

    /// The caller has read up to and including this message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn mark_message_read(&self, message_id: &str) -> Result<(), ClientError> {
        self.run(self.call(Method::POST, &["v1", "messages", message_id, "read"])).await.map(drop)
    }

    /// Everything up to and including this message has reached the caller.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn mark_message_delivered(&self, message_id: &str) -> Result<(), ClientError> {
        self.run(self.call(Method::POST, &["v1", "messages", message_id, "delivered"])).await.map(drop)
    }

    /// Who has it delivered, who has read it, when.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn receipts(&self, message_id: &str) -> Result<Page<Receipt>, ClientError> {
        self.get(&["v1", "messages", message_id, "receipts"], &[]).await
    }

    /// Who reacted with what.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reactions(&self, message_id: &str) -> Result<Page<Reaction>, ClientError> {
        self.get(&["v1", "messages", message_id, "reactions"], &[]).await
    }

    /// The earlier texts of a message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn edits(&self, message_id: &str) -> Result<Page<Edit>, ClientError> {
        self.get(&["v1", "messages", message_id, "edits"], &[]).await
    }
}
