//! Who may see and do what in a conversation, decided in this one place.
//!
//! Its answers are types that nothing else can make. Whoever reads a conversation must show a [`Membership`],
//! whoever appends a command a [`Writer`]; so no use-case can go round the check.

use crate::account::Caller;
use crate::error::{Failure, Result};
use crate::live::{Hub, Sight};
use chat4all_backend::store::Store;
use chat4all_model::api::{Role, Scope};
use chat4all_model::command::{Action, Command, Count};
use chat4all_model::fact::Interval;
use chat4all_model::id::{ConversationId, ConversationKind, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Decides who may see and do what in a conversation. Refusals are never remembered.
#[derive(Clone)]
pub struct Access {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
}

/// A proof that somebody is, or was, a member, and of what can be seen as such.
#[derive(Debug, Clone)]
pub struct Membership {
    user: UserId,
    conversation: ConversationId,
    newest: Interval,
    sight: Sight,
}

/// A proof that somebody may write to a conversation, as far as can be said before it is decided.
#[derive(Debug, Clone)]
pub struct Writer {
    user: UserId,
    conversation: ConversationId,
    membership: Option<Membership>,
}

impl Access {
    /// Decides by what `store` holds and `hub` has heard.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, hub: Arc<Hub>) -> Self {
        Self { store, hub }
    }

    /// The caller's membership, to read. Who has left keeps what could be seen until then.
    ///
    /// # Errors
    /// `NotFound` to strangers; `Forbidden` to keys that may not read.
    pub async fn member(&self, caller: &Caller, conversation: &ConversationId) -> Result<Membership> {
        caller.require(Scope::Read)?;
        // Who has heard of it can read it: the stream may know of a conversation before the store does.
        self.hub.readable(conversation).await?;
        self.load(&caller.user_id, conversation).await?.ok_or_else(Failure::not_found)
    }

    /// The same membership as the store has it now. Whoever has read rows that change clips them by this: what
    /// was read is then no newer than what it is clipped by. The stream may be behind the store, so it is not
    /// asked.
    ///
    /// # Errors
    /// The engine's own.
    pub async fn again(&self, membership: &Membership) -> Result<Membership> {
        let (user, conversation) = (&membership.user, &membership.conversation);
        let intervals = self.store.intervals(conversation, user).await?;
        // An interval that the stream has closed already stays closed.
        let all = intervals.into_iter().chain(membership.sight.intervals().iter().cloned());
        Membership::of(user, conversation, all.collect()).ok_or_else(Failure::not_found)
    }

    /// All the caller's memberships, past ones too, by conversation.
    ///
    /// # Errors
    /// `Forbidden` to keys that may not read.
    pub async fn memberships(&self, caller: &Caller) -> Result<Vec<Membership>> {
        caller.require(Scope::Read)?;
        self.hub.readable_everywhere().await?;
        let mut all: BTreeMap<ConversationId, Vec<Interval>> = BTreeMap::new();
        for (conversation, interval) in self.store.memberships(&caller.user_id).await? {
            all.entry(conversation).or_default().push(interval);
        }
        let user = &caller.user_id;
        Ok(all.into_iter().filter_map(|(c, intervals)| Membership::of(user, &c, intervals)).collect())
    }

    /// To write to a conversation as a member of now.
    ///
    /// # Errors
    /// `NotFound` to strangers, `Forbidden` to who has left and to keys that may not write.
    pub async fn writer(&self, caller: &Caller, conversation: &ConversationId) -> Result<Writer> {
        let membership = self.writing(caller, conversation).await?.ok_or_else(Failure::not_found)?;
        membership.present()?;
        Ok(Writer::of(membership))
    }

    /// To change a group as one of its admins.
    ///
    /// # Errors
    /// As [`writer`](Self::writer), and `Forbidden` to members; `Conflict` if it is no group.
    pub async fn admin(&self, caller: &Caller, conversation: &ConversationId) -> Result<Writer> {
        let writer = self.writer(caller, conversation).await?;
        if conversation.kind() != ConversationKind::Group {
            let why = "only groups have a name and members that change";
            return Err(Failure::new(chat4all_model::api::Code::Conflict, why));
        }
        match writer.membership() {
            Some(membership) if membership.newest.role == Role::Admin => Ok(writer),
            _ => Err(Failure::forbidden("only an admin of the group may do this")),
        }
    }

    /// To change what is the caller's own in a conversation; who has left may too.
    ///
    /// # Errors
    /// `NotFound` to strangers, `Forbidden` to keys that may not write.
    pub async fn owner(&self, caller: &Caller, conversation: &ConversationId) -> Result<Writer> {
        let membership = self.writing(caller, conversation).await?.ok_or_else(Failure::not_found)?;
        Ok(Writer::of(membership))
    }

    /// To send to a conversation, or to begin one that the caller's first command makes.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub async fn sender(&self, caller: &Caller, conversation: &ConversationId) -> Result<Writer> {
        if let Some(membership) = self.writing(caller, conversation).await? {
            membership.present()?;
            return Ok(Writer::of(membership));
        }
        let me = &caller.user_id;
        match conversation.kind() {
            ConversationKind::Direct(a, b) if *me == a || *me == b => {}
            ConversationKind::Channel { account, .. } if *me == account => {}
            _ => return Err(Failure::not_found()),
        }
        Ok(Writer { user: me.clone(), conversation: conversation.clone(), membership: None })
    }

    /// To make a conversation whose id says that it is the caller's to make.
    ///
    /// # Errors
    /// `NotFound` if it is not, `Forbidden` to keys that may not write.
    pub fn creator(&self, caller: &Caller, conversation: &ConversationId) -> Result<Writer> {
        caller.require(Scope::Write)?;
        let me = &caller.user_id;
        let mine = match conversation.kind() {
            ConversationKind::Direct(a, b) => *me == a || *me == b,
            ConversationKind::Channel { account, .. } => *me == account,
            ConversationKind::Group => {
                let rest = conversation.as_str().trim_start_matches("g:");
                rest.split_once(':').is_none_or(|(creator, _)| creator == me.as_str())
            }
        };
        if !mine {
            return Err(Failure::not_found());
        }
        Ok(Writer { user: me.clone(), conversation: conversation.clone(), membership: None })
    }

    async fn writing(&self, caller: &Caller, conversation: &ConversationId) -> Result<Option<Membership>> {
        caller.require(Scope::Write)?;
        let user = &caller.user_id;
        if self.hub.intervals(user, conversation).is_none() && self.hub.is_ready() {
            // Who writes will write again: for the next minute the stream keeps the memberships as if the user
            // were connected. If that fails, the store answers.
            drop(self.hub.attach(user).await);
        }
        self.load(user, conversation).await
    }

    async fn load(&self, user: &UserId, conversation: &ConversationId) -> Result<Option<Membership>> {
        // Of connected users the stream keeps the intervals; everybody else's are in the store, once it has come
        // as far as this process has heard.
        if let Some(intervals) = self.hub.intervals(user, conversation)
            && let Some(membership) = Membership::of(user, conversation, intervals)
        {
            return Ok(Some(membership));
        }
        self.hub.readable(conversation).await?;
        Ok(Membership::of(user, conversation, self.store.intervals(conversation, user).await?))
    }
}

impl Membership {
    fn of(user: &UserId, conversation: &ConversationId, intervals: Vec<Interval>) -> Option<Self> {
        let sight = Sight::new(intervals);
        let newest = sight.intervals().last()?.clone();
        Some(Self { user: user.clone(), conversation: conversation.clone(), newest, sight })
    }

    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Of which conversation.
    #[must_use]
    pub fn conversation(&self) -> &ConversationId {
        &self.conversation
    }

    /// The newest interval: the present one, or the one that ended last.
    #[must_use]
    pub fn newest(&self) -> &Interval {
        &self.newest
    }

    /// What can be seen, by all intervals.
    #[must_use]
    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Where the newest counting starts.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.newest.from.seq
    }

    /// Where it ended; none while it lasts.
    #[must_use]
    pub fn left(&self) -> Option<Count> {
        self.newest.to
    }

    /// The last `seq` that can be seen of a conversation whose head is `head`.
    #[must_use]
    pub fn clip(&self, head: u64) -> u64 {
        self.newest.to.map_or(head, |to| to.seq.min(head))
    }

    /// Whether the event `seq` can be seen.
    #[must_use]
    pub fn sees(&self, seq: u64) -> bool {
        self.sight.contains(seq)
    }

    /// Refuses who has left.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn present(&self) -> Result<&Self> {
        match self.newest.to {
            None => Ok(self),
            Some(_) => Err(Failure::forbidden("you are no longer a member of this conversation")),
        }
    }
}

impl Writer {
    fn of(membership: Membership) -> Self {
        let (user, conversation) = (membership.user.clone(), membership.conversation.clone());
        Self { user, conversation, membership: Some(membership) }
    }

    /// Who writes.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// To which conversation.
    #[must_use]
    pub fn conversation(&self) -> &ConversationId {
        &self.conversation
    }

    /// The membership it rests on; none if the conversation is yet to begin.
    #[must_use]
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// The command of this writer.
    #[must_use]
    pub fn command(&self, time: u64, key: &str, action: Action) -> Command {
        Command::new(self.conversation.clone(), self.user.clone(), time, key, action)
    }
}
