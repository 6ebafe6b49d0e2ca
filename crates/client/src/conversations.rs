use crate::{Client, ClientError, http::Repeat};
use chat4all_model::api::{
    AddParticipants, Conversation, ConversationPatch, ConversationType, CreateConversation, MarkRequest,
    Markers, Page, Participant, Role, RolePatch, SettingsPatch, Unread,
};
use reqwest::Method;

/// Conversations, their members and the caller's place in them (`/v1/conversations`).
impl Client {
    /// Makes a conversation, or gives the one that is there already.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_conversation(
        &self,
        request: &CreateConversation,
    ) -> Result<Conversation, ClientError> {
        self.create(&["v1", "conversations"], request).await
    }

    /// The direct conversation with a user.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn direct(&self, user_id: &str) -> Result<Conversation, ClientError> {
        self.create_conversation(&CreateConversation {
            kind: ConversationType::Direct,
            participant_ids: vec![user_id.into()],
            name: None,
            conversation_id: None,
            history: None,
        })
        .await
    }

    /// A new group.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn group(&self, name: &str, user_ids: Vec<String>) -> Result<Conversation, ClientError> {
        self.create_conversation(&CreateConversation {
            kind: ConversationType::Group,
            participant_ids: user_ids,
            name: Some(name.into()),
            conversation_id: None,
            history: None,
        })
        .await
    }

    /// A page of the inbox, newest activity first; `cursor` is the `next` of the page before.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn conversations(
        &self,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Page<Conversation>, ClientError> {
        let limit = limit.map(|limit| limit.to_string());
        self.get(&["v1", "conversations"], &[("limit", limit), ("cursor", cursor.map(Into::into))]).await
    }

    /// One conversation.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn conversation(&self, id: &str) -> Result<Conversation, ClientError> {
        self.get(&["v1", "conversations", id], &[]).await
    }

    /// Renames a conversation.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rename(&self, id: &str, name: &str) -> Result<(), ClientError> {
        let call = self.call(Method::PATCH, &["v1", "conversations", id]);
        self.run(call.body(&ConversationPatch { name: name.into() })?).await.map(drop)
    }

    /// Mutes, archives or pins a conversation for the caller.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_settings(&self, id: &str, patch: &SettingsPatch) -> Result<(), ClientError> {
        self.run(self.call(Method::PATCH, &["v1", "conversations", id, "me"]).body(patch)?).await.map(drop)
    }

    /// A page of the members.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn participants(
        &self,
        id: &str,
        cursor: Option<&str>,
    ) -> Result<Page<Participant>, ClientError> {
        let query = [("limit", Some("200".into())), ("cursor", cursor.map(Into::into))];
        self.get(&["v1", "conversations", id, "participants"], &query).await
    }

    /// Adds members.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_participants(&self, id: &str, request: &AddParticipants) -> Result<(), ClientError> {
        let call = self.call(Method::POST, &["v1", "conversations", id, "participants"]);
        self.run(call.body(request)?.repeat(Repeat::Keyed(crate::http::fresh_key()))).await.map(drop)
    }

    /// Changes a member's role.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_role(&self, id: &str, user_id: &str, role: Role) -> Result<(), ClientError> {
        let call = self.call(Method::PATCH, &["v1", "conversations", id, "participants", user_id]);
        self.run(call.body(&RolePatch { role })?).await.map(drop)
    }

    /// Removes a member; removing oneself is leaving.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_participant(&self, id: &str, user_id: &str) -> Result<(), ClientError> {
        let path = ["v1", "conversations", id, "participants", user_id];
        self.run(self.call(Method::DELETE, &path)).await.map(drop)
    }

    /// The caller has read everything up to `seq`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn mark_read(&self, id: &str, seq: u64) -> Result<(), ClientError> {
        let call = self.call(Method::POST, &["v1", "conversations", id, "read"]);
        self.run(call.body(&MarkRequest { seq })?).await.map(drop)
    }

    /// Everything up to `seq` has reached the caller.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn mark_delivered(&self, id: &str, seq: u64) -> Result<(), ClientError> {
        let call = self.call(Method::POST, &["v1", "conversations", id, "delivered"]);
        self.run(call.body(&MarkRequest { seq })?).await.map(drop)
    }

    /// How far each member has come.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn markers(&self, id: &str) -> Result<Vec<Markers>, ClientError> {
        let page: Page<Markers> = self.get(&["v1", "conversations", id, "markers"], &[]).await?;
        Ok(page.items)
    }

    /// How much is unread in all.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unread(&self) -> Result<Unread, ClientError> {
        self.get(&["v1", "unread"], &[]).await
    }
}
