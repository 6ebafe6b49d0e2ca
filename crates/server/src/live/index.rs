//! Who is connected, to which conversations they belong, and where those stand in the ring.

use super::session::Session;
use super::sight::Sight;
use super::slab::Slab;
use chat4all_model::fact::{Fact, Interval, What};
use chat4all_model::id::{ConversationId, UserId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Conversations and connected users by number.
#[derive(Debug, Default)]
pub(super) struct Index {
    conversation_numbers: HashMap<ConversationId, u32>,
    conversations: Slab<Conversation>,
    user_numbers: HashMap<UserId, u32>,
    users: Slab<User>,
}

/// A conversation that is in the ring or has a connected member.
#[derive(Debug)]
pub(super) struct Conversation {
    id: ConversationId,
    pub(super) partition: u32,
    /// What each connected user may see of it.
    pub(super) members: BTreeMap<u32, Sight>,
    /// Its facts in the ring, oldest first.
    pub(super) recent: VecDeque<Posting>,
    /// The offset of the last fact heard of it; 0 before the first.
    pub(super) heard: u64,
}

/// Where a fact of a conversation stands in the ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting {
    /// The conversation's `seq` after it; never falls.
    pub(super) seq: u64,
    pub(super) serial: u64,
}

/// A connected user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    /// Rising.
    pub(super) conversations: Vec<u32>,
    pub(super) sessions: Vec<Attached>,
    /// Holders of an attachment, sessions or not.
    pub(super) holders: u32,
    /// Since when nobody holds it, in seconds of the hub's time.
    idle_since: u64,
    /// Set once its memberships have been read.
    pub(super) loaded: Arc<OnceCell<()>>,
}

/// A session of a user.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) session: Arc<Session>,
    /// Whether it gets what comes; before, it reads the ring.
    pub(super) live: bool,
}

impl Index {
    pub(super) fn number(&self, conversation: &ConversationId) -> Option<u32> {
        self.conversation_numbers.get(conversation).copied()
    }

    /// The number of a conversation, given now if it has none.
    pub(super) fn intern(&mut self, id: &ConversationId, partition: u32) -> u32 {
        if let Some(number) = self.conversation_numbers.get(id) {
            return *number;
        }
        let number = self.conversations.insert(Conversation {
            id: id.clone(),
            partition,
            members: BTreeMap::new(),
            recent: VecDeque::new(),
            heard: 0,
        });
        self.conversation_numbers.insert(id.clone(), number);
        number
    }

    pub(super) fn conversation(&self, number: u32) -> Option<&Conversation> {
        self.conversations.get(number)
    }

    pub(super) fn conversation_mut(&mut self, number: u32) -> Option<&mut Conversation> {
        self.conversations.get_mut(number)
    }

    /// Forgets a conversation that nothing points to any more.
    pub(super) fn release(&mut self, number: u32) {
        let unused = |c: &Conversation| c.members.is_empty() && c.recent.is_empty();
        if self.conversations.get(number).is_some_and(unused)
            && let Some(conversation) = self.conversations.remove(number)
        {
            self.conversation_numbers.remove(&conversation.id);
        }
    }

    pub(super) fn user_number(&self, user: &UserId) -> Option<u32> {
        self.user_numbers.get(user).copied()
    }

    pub(super) fn user(&self, number: u32) -> Option<&User> {
        self.users.get(number)
    }

    pub(super) fn user_mut(&mut self, number: u32) -> Option<&mut User> {
        self.users.get_mut(number)
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &User> {
        self.users.iter().map(|(_, user)| user)
    }

    /// One more holder of a user's entry, made now if there is none.
    pub(super) fn hold(&mut self, id: &UserId) -> u32 {
        let number = match self.user_numbers.get(id) {
            Some(number) => *number,
            None => {
                let number = self.users.insert(User {
                    id: id.clone(),
                    conversations: Vec::new(),
                    sessions: Vec::new(),
                    holders: 0,
                    idle_since: 0,
                    loaded: Arc::default(),
                });
                self.user_numbers.insert(id.clone(), number);
                number
            }
        };
        if let Some(user) = self.users.get_mut(number) {
            user.holders += 1;
        }
        number
    }

    /// One holder less. The entry stays for a while, so that a short cut costs no read.
    pub(super) fn let_go(&mut self, number: u32, session: Option<&Arc<Session>>, now: u64) {
        if let Some(user) = self.users.get_mut(number) {
            user.holders = user.holders.saturating_sub(1);
            user.idle_since = now;
            if let Some(session) = session {
                user.sessions.retain(|attached| !Arc::ptr_eq(&attached.session, session));
            }
        }
    }

    /// Forgets users whom nobody has held since `before`, and the longest idle ones above `keep`.
    pub(super) fn sweep(&mut self, before: u64, keep: usize) {
        let mut idle: Vec<(u64, u32)> = self
            .users
            .iter()
            .filter(|(_, user)| user.holders == 0)
            .map(|(number, user)| (user.idle_since, number))
            .collect();
        idle.sort_unstable();
        let surplus = idle.len().saturating_sub(keep);
        for (at, (since, number)) in idle.into_iter().enumerate() {
            if since <= before || at < surplus {
                self.forget(number);
            }
        }
    }

    fn forget(&mut self, number: u32) {
        let Some(user) = self.users.remove(number) else { return };
        self.user_numbers.remove(&user.id);
        for conversation in user.conversations {
            if let Some(entry) = self.conversations.get_mut(conversation) {
                entry.members.remove(&number);
            }
            self.release(conversation);
        }
    }

    /// How many users have an entry.
    pub(super) fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Takes an interval of a user.
    pub(super) fn merge(&mut self, number: u32, conversation: u32, interval: Interval) {
        let Some(user) = self.users.get_mut(number) else { return };
        let Some(entry) = self.conversations.get_mut(conversation) else { return };
        entry.members.entry(number).or_default().merge(interval);
        if let Err(at) = user.conversations.binary_search(&conversation) {
            user.conversations.insert(at, conversation);
        }
    }

    /// Takes the memberships that a fact begins, ends or changes, of connected users.
    pub(super) fn hear(&mut self, conversation: u32, fact: &Fact) {
        let (members, more) = match &fact.what {
            What::Created { members, .. } | What::Added { members } => (members.as_slice(), None),
            What::Removed { members, promoted } => (members.as_slice(), promoted.as_ref()),
            What::RoleSet { member } => (std::slice::from_ref(member), None),
            _ => return,
        };
        for member in members.iter().chain(more) {
            if let Some(number) = self.user_number(&member.user) {
                self.merge(number, conversation, member.clone());
            }
        }
    }
}
