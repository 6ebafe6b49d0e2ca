//! A connection's place in the index.

use super::readable::PATIENCE;
use super::session::Session;
use super::{Hub, index};
use crate::error::{Failure, Result};
use bytes::Bytes;
use chat4all_model::api::{Code, Event};
use chat4all_model::id::{ConversationId, UserId};
use std::sync::Arc;

/// A user who is connected, with the queue of one connection. Dropping it disconnects.
pub struct Attachment {
    hub: Arc<Hub>,
    number: u32,
    user: UserId,
    session: Arc<Session>,
}

/// What the ring has next for a connection that catches up.
#[derive(Debug)]
pub enum Step {
    /// It does not reach back so far.
    Behind,
    /// A page; ask again.
    Page(Vec<Bytes>),
    /// The last page. From here on the session's queue is filled.
    Live(Vec<Bytes>),
}

impl Hub {
    /// Connects a user: registered for what happens from now on first, then the memberships are read, no older
    /// than what this process has heard.
    ///
    /// # Errors
    /// `Unavailable` if the store does not come so far in time: never live with an older index.
    pub async fn attach(self: &Arc<Self>, user: &UserId) -> Result<Attachment> {
        let mut cold = self.cold.subscribe();
        let warm =
            tokio::time::timeout(PATIENCE, cold.wait_for(|cold| *cold == 0)).await.map(|warm| warm.is_ok());
        if warm != Ok(true) {
            return Err(Failure::new(Code::Unavailable, "the log is not followed yet"));
        }
        let session = Arc::new(Session::new(self.settings.queue));
        let (number, loaded) = {
            let mut state = self.state.lock();
            let number = state.index.hold(user);
            let entry = state.index.user_mut(number);
            let loaded = entry.map(|entry| {
                entry.sessions.push(index::Attached { session: Arc::clone(&session), live: false });
                Arc::clone(&entry.loaded)
            });
            (number, loaded.unwrap_or_default())
        };
        let attachment = Attachment { hub: Arc::clone(self), number, user: user.clone(), session };
        loaded.get_or_try_init(|| self.load(user, number)).await?;
        Ok(attachment)
    }

    /// Reads a user's memberships and merges them with what was heard meanwhile.
    async fn load(&self, user: &UserId, number: u32) -> Result<()> {
        self.readable_everywhere().await?;
        let memberships = self.engines.store.memberships(user).await?;
        let state = &mut *self.state.lock();
        for (conversation, interval) in memberships {
            let conversation = state.index.intern(&conversation, self.partition(&conversation));
            let known = state.index.conversation(conversation).and_then(|c| c.members.get(&number));
            let heard = known.is_some_and(|s| s.intervals().iter().any(|i| i.since == interval.since));
            // What the stream said of it meanwhile is newer; only an end counts, whoever tells it.
            if !heard || interval.to.is_some() {
                state.index.merge(number, conversation, interval);
            }
        }
        Ok(())
    }
}

impl Attachment {
    /// The queue that the connection drains.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Who is connected.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The hub it is connected to.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Goes live without catching up, and gives the positions from which it is.
    #[must_use]
    pub fn go_live(&self) -> Vec<u64> {
        let mut state = self.hub.state.lock();
        self.mark_live(&mut state);
        state.rings.iter().map(|ring| ring.next).collect()
    }

    /// The next page after `from`, which moves on; at the last one the session goes live.
    #[must_use]
    pub fn step(&self, from: &mut Vec<u64>) -> Step {
        let mut state = self.hub.state.lock();
        let Some(picked) = state.pick(self.number, from, usize::MAX) else { return Step::Behind };
        let frames = state.frames(&picked);
        from.clone_from(&picked.next);
        if picked.done {
            self.mark_live(&mut state);
            Step::Live(frames)
        } else {
            Step::Page(frames)
        }
    }

    /// The next page of about `limit` events after `from`, which moves on, and whether there are more; none if
    /// the ring does not reach back so far.
    #[must_use]
    pub fn events(&self, from: &mut Vec<u64>, limit: usize) -> Option<(Vec<Event>, bool)> {
        let state = self.hub.state.lock();
        let picked = state.pick(self.number, from, limit)?;
        from.clone_from(&picked.next);
        Some((state.events(&picked), !picked.done))
    }

    /// The last fact of a message by somebody else in each conversation, among the records between two
    /// positions: what a client that says it has come from `from` to `to` has had delivered. None if the ring
    /// does not reach back so far.
    #[must_use]
    pub fn received(
        &self,
        from: &[u64],
        to: &[u64],
    ) -> Option<Vec<(ConversationId, chat4all_model::command::Count)>> {
        let state = self.hub.state.lock();
        state.received(self.number, &self.user, from, to)
    }

    fn mark_live(&self, state: &mut super::state::State) {
        if let Some(user) = state.index.user_mut(self.number) {
            for attached in user.sessions.iter_mut().filter(|a| Arc::ptr_eq(&a.session, &self.session)) {
                attached.live = true;
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let now = self.hub.second();
        self.hub.state.lock().index.let_go(self.number, Some(&self.session), now);
    }
}
