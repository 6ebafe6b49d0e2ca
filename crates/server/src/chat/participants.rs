//! Who is in a conversation: listing, adding, removing, leaving, roles.

use super::conversation::participant;
use super::page::{Paging, cut};
use super::submit::Changed;
use super::{Chat, conversation_id, user_id, validate};
use crate::access::{Membership, Writer};
use crate::account::Caller;
use crate::error::{Failure, Result};
use chat4all_model::api::{AddParticipants, Code, Page, Participant, Role, RolePatch};
use chat4all_model::command::Action;
use chat4all_model::id::{ConversationKind, UserId};

/// How often a leave by the last admin names another successor, should the named one leave meanwhile.
const MAX_LEAVE_TRIES: usize = 5;

impl Chat {
    /// Members by time of joining; to who has left, those of then.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub async fn participants(&self, m: &Membership, paging: &Paging) -> Result<Page<Participant>> {
        let (limit, after) = (paging.limit()?, paging.after::<(u64, UserId)>()?);
        let mut members = self.content.members(m, after.clone(), limit + 1).await?;
        let now = self.access.again(m).await?;
        if now.left() != m.left() {
            members = self.content.members(&now, after, limit + 1).await?;
        }
        let (members, next) = cut(members, limit, |member| (member.joined_at, member.user.clone()));
        let users: Vec<UserId> = members.iter().map(|member| member.user.clone()).collect();
        let people = self.people(users).await?;
        Ok(Page { items: members.iter().map(|member| participant(member, &people)).collect(), next })
    }

    /// Adds people to a group.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Conflict` if it is no group, `InvalidRequest`, `LimitReached`.
    pub async fn add(
        &self,
        caller: &Caller,
        conversation: &str,
        request: AddParticipants,
        key: Option<&str>,
    ) -> Result<Changed> {
        let writer = self.access.admin(caller, &conversation_id(conversation)?).await?;
        let users = validate::users("user_ids", &request.user_ids)?;
        if users.is_empty() {
            return Err(Failure::invalid("user_ids", "must name somebody"));
        }
        self.must_exist("user_ids", &users).await?;
        let role = request.role.unwrap_or(Role::Member);
        self.change(&writer, key, Action::Add { users, role }).await
    }

    /// Changes a member's role.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`; `Conflict` if it would leave the group without an admin.
    pub async fn set_role(
        &self,
        caller: &Caller,
        conversation: &str,
        user: &str,
        patch: RolePatch,
        key: Option<&str>,
    ) -> Result<Changed> {
        let writer = self.access.admin(caller, &conversation_id(conversation)?).await?;
        self.change(&writer, key, Action::SetRole { user: user_id(user)?, role: patch.role }).await
    }

    /// Removes a member, or leaves if it is the caller.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Conflict` if it is no group.
    pub async fn remove(
        &self,
        caller: &Caller,
        conversation: &str,
        user: &str,
        key: Option<&str>,
    ) -> Result<Changed> {
        let conversation = conversation_id(conversation)?;
        let user = user_id(user)?;
        if user != caller.user_id {
            let writer = self.access.admin(caller, &conversation).await?;
            return self.change(&writer, key, Action::Remove { user }).await;
        }
        let writer = self.access.owner(caller, &conversation).await?;
        if conversation.kind() != ConversationKind::Group {
            let why = "this conversation cannot be left; archive it instead";
            return Err(Failure::new(Code::Conflict, why));
        }
        if writer.membership().is_some_and(|m| m.left().is_some()) {
            return Ok(Changed::Same(None));
        }
        self.leave(&writer, key).await
    }

    async fn leave(&self, writer: &Writer, key: Option<&str>) -> Result<Changed> {
        let key = self.key_or_new(key);
        for _ in 1..MAX_LEAVE_TRIES {
            let successor = self.successor(writer).await?;
            // A refused command leaves no trace, so each try may have the same key.
            match self.change(writer, Some(&key), Action::Leave { successor }).await {
                Err(failure) if failure.code == Code::Conflict => {}
                outcome => return outcome,
            }
        }
        let successor = self.successor(writer).await?;
        self.change(writer, Some(&key), Action::Leave { successor }).await
    }

    /// The longest-standing other member, who becomes admin if the last one leaves. Named always: whether it is
    /// needed is decided.
    async fn successor(&self, writer: &Writer) -> Result<Option<UserId>> {
        let Some(m) = writer.membership() else { return Ok(None) };
        self.hub.readable(m.conversation()).await?;
        let first = self.content.members(m, None, 2).await?;
        Ok(first.into_iter().map(|member| member.user).find(|user| user != writer.user()))
    }
}
