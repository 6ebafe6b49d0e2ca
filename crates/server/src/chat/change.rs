//! Changes of messages, names and one's own settings.

use super::submit::Changed;
use super::{Chat, conversation_id, validate};
use crate::access::Writer;
use crate::account::Caller;
use crate::error::{Failure, Result};
use chat4all_model::api::{ConversationPatch, SettingsPatch};
use chat4all_model::command::{Action, SettingsChange};
use chat4all_model::id::RecordId;

impl Chat {
    /// Changes the text of a message of the caller's own, named by its id alone or within a conversation.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidRequest`, `LimitReached` after a hundred edits.
    pub async fn edit(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
        text: &str,
        key: Option<&str>,
    ) -> Result<Changed> {
        validate::edited_text(text)?;
        let (writer, target) = self.target(caller, within, message).await?;
        self.change(&writer, key, Action::Edit { target, text: text.into() }).await
    }

    /// Deletes a message: the sender or an admin may.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn delete(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
        key: Option<&str>,
    ) -> Result<Changed> {
        let (writer, target) = self.target(caller, within, message).await?;
        self.change(&writer, key, Action::Delete { target }).await
    }

    /// Reacts to a message.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidRequest`, `LimitReached` at fifty kinds.
    pub async fn react(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
        emoji: &str,
        key: Option<&str>,
    ) -> Result<Changed> {
        validate::emoji(emoji)?;
        let (writer, target) = self.target(caller, within, message).await?;
        self.change(&writer, key, Action::React { target, emoji: emoji.into(), remove: false }).await
    }

    /// Takes a reaction back.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `InvalidRequest`.
    pub async fn unreact(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
        emoji: &str,
        key: Option<&str>,
    ) -> Result<Changed> {
        validate::emoji(emoji)?;
        let (writer, target) = self.target(caller, within, message).await?;
        self.change(&writer, key, Action::React { target, emoji: emoji.into(), remove: true }).await
    }

    /// Renames a group.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Conflict` if it is no group, `InvalidRequest`.
    pub async fn rename(
        &self,
        caller: &Caller,
        conversation: &str,
        patch: ConversationPatch,
        key: Option<&str>,
    ) -> Result<Changed> {
        let writer = self.access.admin(caller, &conversation_id(conversation)?).await?;
        validate::name(&patch.name)?;
        self.change(&writer, key, Action::Rename { name: patch.name.into() }).await
    }

    /// Changes the caller's own settings of a conversation; who has left may too.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn settings(
        &self,
        caller: &Caller,
        conversation: &str,
        patch: SettingsPatch,
        key: Option<&str>,
    ) -> Result<Changed> {
        let writer = self.access.owner(caller, &conversation_id(conversation)?).await?;
        let SettingsPatch { muted_until, archived, pinned } = patch;
        self.change(&writer, key, Action::Settings(SettingsChange { muted_until, archived, pinned })).await
    }

    /// Makes the command of a change and sees it through.
    pub(super) async fn change(&self, writer: &Writer, key: Option<&str>, action: Action) -> Result<Changed> {
        validate::key(key)?;
        let client_id = key.map(Into::into);
        let key = self.key_or_new(key);
        let mut command = writer.command(self.ambient.now(), &key, action);
        command.client_id = client_id;
        self.submit(command, &key).await
    }

    /// The message to change, and the right to try. Whether it is the caller's to change is decided in the log.
    async fn target(
        &self,
        caller: &Caller,
        within: Option<&str>,
        message: &str,
    ) -> Result<(Writer, RecordId)> {
        let (id, conversation, known) = self.locate(message, within).await?;
        let writer = match &known {
            Some(_) => self.access.writer(caller, &conversation).await?,
            // The message may be the one that begins the conversation.
            None => self.access.sender(caller, &conversation).await?,
        };
        let sees = |seq| writer.membership().is_some_and(|m| m.sees(seq));
        if known.is_some_and(|known| !sees(known.seq)) {
            return Err(Failure::not_found());
        }
        Ok((writer, id))
    }
}
