//! Conversations and their members.

use super::{MAX_ADMINS, MAX_PARTICIPANTS, No, Scene, State, Torn, beginning, unborn};
use crate::api::{Code, History, Role};
use crate::command::Count;
use crate::fact::{About, Fact, Head, Interval, What};
use crate::id::{ConversationKind, UserId};
use std::sync::Arc;

impl<S: State> Scene<'_, S> {
    pub(super) fn create(
        &self,
        name: Option<&Arc<str>>,
        members: &[UserId],
        history: History,
    ) -> Result<Vec<Fact>, No> {
        match (&self.head, self.command.conversation.kind()) {
            // Nobody takes a name under somebody else's, nor learns whether it is taken.
            (_, ConversationKind::Group)
                if self
                    .command
                    .conversation
                    .chosen_by()
                    .is_some_and(|by| by != self.command.actor.as_str()) =>
            {
                Err(No::Rule(Code::NotFound))
            }
            (None, ConversationKind::Group) => {
                Ok(vec![self.created(name.cloned(), members.iter().cloned(), history, Role::Member)?])
            }
            (Some(_), ConversationKind::Group) if self.me.is_none() => Err(No::Rule(Code::NotFound)),
            (Some(_), ConversationKind::Group) => Err(No::Rule(Code::Conflict)),
            (_, _) => match self.birth()? {
                Some(fact) => Ok(vec![fact]),
                None => Err(No::Change),
            },
        }
    }

    /// The first event of a conversation that begins with its first command; none if it has begun.
    pub(super) fn birth(&self) -> Result<Option<Fact>, No> {
        let me = &self.command.actor;
        match (&self.head, self.command.conversation.kind()) {
            (Some(_), _) => self.as_member().map(|_| None),
            (None, ConversationKind::Direct(a, b)) if *me == a || *me == b => {
                Ok(Some(self.created(None, [a, b].into_iter(), History::All, Role::Member)?))
            }
            (None, ConversationKind::Channel { account, .. }) if *me == account => {
                Ok(Some(self.created(None, std::iter::empty(), History::All, Role::Admin)?))
            }
            (None, _) => Err(No::Rule(Code::NotFound)),
        }
    }

    fn created(
        &self,
        name: Option<Arc<str>>,
        others: impl Iterator<Item = UserId>,
        history: History,
        role: Role,
    ) -> Result<Fact, No> {
        let command = self.command;
        let direct = matches!(command.conversation.kind(), ConversationKind::Direct(..));
        let member = |user, role| Interval {
            user,
            role,
            from: Count { seq: 1, n: 0 },
            since: 1,
            to: None,
            other_seq: 0,
            joined_at: command.time,
        };
        let mine = if direct { role } else { Role::Admin };
        let mut members = vec![member(command.actor.clone(), mine)];
        for user in others {
            if members.iter().all(|m| m.user != user) {
                members.push(member(user, role));
            }
        }
        let participants = u32::try_from(members.len()).unwrap_or(u32::MAX);
        if participants > MAX_PARTICIPANTS {
            return Err(No::Rule(Code::LimitReached));
        }
        let admins = u32::from(mine == Role::Admin);
        let head = Head { participants, admins, ..unborn() };
        let about = About { name, created_by: command.actor.clone(), created_at: command.time, history };
        Ok(self.next(&head, What::Created { about, members }))
    }

    pub(super) fn rename(&self, name: &Arc<str>) -> Result<Vec<Fact>, No> {
        let (head, _) = self.as_admin()?;
        let about = self.about()?;
        if about.name.as_ref() == Some(name) {
            return Err(No::Change);
        }
        let about = About { name: Some(name.clone()), ..about };
        Ok(vec![self.next(head, What::Renamed { about })])
    }

    pub(super) fn add(&self, users: &[UserId], role: Role) -> Result<Vec<Fact>, No> {
        let (head, _) = self.as_admin()?;
        let from = beginning(self.about()?.history, head.seq + 1, head.n);
        let mut members: Vec<Interval> = Vec::new();
        for user in users {
            let here = self.interval(user)?.is_some_and(|i| i.to.is_none());
            if !here && members.iter().all(|m| m.user != *user) {
                members.push(Interval {
                    user: user.clone(),
                    role,
                    from,
                    since: head.seq + 1,
                    to: None,
                    other_seq: 0,
                    joined_at: self.command.time,
                });
            }
        }
        let new = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let new_admins = if role == Role::Admin { new } else { 0 };
        if new == 0 {
            return Err(No::Change);
        }
        let participants = head.participants.saturating_add(new);
        if participants > MAX_PARTICIPANTS || head.admins.saturating_add(new_admins) > MAX_ADMINS {
            return Err(No::Rule(Code::LimitReached));
        }
        let head = Head { participants, admins: head.admins + new_admins, ..head.clone() };
        Ok(vec![self.next(&head, What::Added { members })])
    }

    pub(super) fn remove(&self, user: &UserId) -> Result<Vec<Fact>, No> {
        if *user == self.command.actor {
            return self.leave(None);
        }
        let (head, _) = self.as_admin()?;
        let member = self.present(user)?;
        Ok(vec![self.gone(head, member, None)?])
    }

    pub(super) fn leave(&self, successor: Option<&UserId>) -> Result<Vec<Fact>, No> {
        let (head, me) = self.as_member()?;
        self.in_group()?;
        let last_admin = me.role == Role::Admin && head.admins == 1 && head.participants > 1;
        let promoted = if last_admin {
            // Without a successor who is still here the api must name another.
            let heir = successor.filter(|s| **s != me.user).ok_or(No::Rule(Code::Conflict))?;
            let heir = self.present(heir).map_err(|_| No::Rule(Code::Conflict))?;
            Some(Interval { role: Role::Admin, ..heir })
        } else {
            None
        };
        Ok(vec![self.gone(head, me.clone(), promoted)?])
    }

    fn gone(&self, head: &Head, member: Interval, promoted: Option<Interval>) -> Result<Fact, Torn> {
        let was_admin = u32::from(member.role == Role::Admin);
        let admins = (head.admins + u32::from(promoted.is_some())).checked_sub(was_admin);
        let head = Head {
            participants: head.participants.checked_sub(1).ok_or(Torn("more members left than joined"))?,
            admins: admins.ok_or(Torn("an admin that was not counted"))?,
            ..head.clone()
        };
        let to = Some(Count { seq: head.seq + 1, n: head.n });
        let member = Interval { to, other_seq: head.last_by_others(&member.user), ..member };
        Ok(self.next(&head, What::Removed { members: vec![member], promoted }))
    }

    pub(super) fn set_role(&self, user: &UserId, role: Role) -> Result<Vec<Fact>, No> {
        let (head, _) = self.as_admin()?;
        let member = self.present(user)?;
        if member.role == role {
            return Err(No::Change);
        }
        let admins = match role {
            Role::Admin => head.admins + 1,
            Role::Member => head.admins.checked_sub(1).ok_or(Torn("an admin that was not counted"))?,
        };
        if admins == 0 {
            return Err(No::Rule(Code::Conflict));
        }
        if admins > MAX_ADMINS {
            return Err(No::Rule(Code::LimitReached));
        }
        let head = Head { admins, ..head.clone() };
        Ok(vec![self.next(&head, What::RoleSet { member: Interval { role, ..member } })])
    }

    /// The interval of somebody who is a member now.
    fn present(&self, user: &UserId) -> Result<Interval, No> {
        self.interval(user)?.filter(|i| i.to.is_none()).ok_or(No::Rule(Code::NotFound))
    }
}
