//! Forgetting what is over.

use super::super::SessionId;
use super::CassandraAccounts;
use super::agenda::{Entry, Kind, Place};
use super::user::{Session, Token};
use super::users::{Decision, Part, new_step};
use crate::Result;
use chat4all_model::id::UserId;
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// How many entries are looked at at once.
const AT_ONCE: usize = 8;

impl CassandraAccounts {
    pub(super) async fn forget(&self, before: u64, limit: usize) -> Result<usize> {
        let mut forgotten = 0;
        for kind in [Kind::Ended, Kind::Expiry, Kind::Invite] {
            let mut place = Place::default();
            loop {
                let due = self.agenda.page(kind, &place, before, limit).await?;
                let seen_to: Vec<_> = due.iter().map(|entry| self.see_to(kind, entry, before)).collect();
                let seen_to: Vec<usize> =
                    stream::iter(seen_to).buffer_unordered(AT_ONCE).try_collect().await?;
                forgotten += seen_to.iter().sum::<usize>();
                // Behind entries that led to nothing may be others.
                match due.last() {
                    Some(last) if due.len() == limit && seen_to.iter().all(|forgot| *forgot == 0) => {
                        place = last.place();
                    }
                    _ => break,
                }
            }
        }
        Ok(forgotten)
    }

    /// Does what an entry is for and takes it off. Gives how much that forgot.
    async fn see_to(&self, kind: Kind, entry: &Entry, before: u64) -> Result<usize> {
        let session = SessionId::new(&entry.id);
        let forgotten = match (kind, &entry.user) {
            (Kind::Ended, Some(user)) => self.forget_ended(user, &session, entry.at).await?,
            (Kind::Expiry, Some(user)) => self.forget_expired(user, &session, before).await?,
            (Kind::Invite, _) => self.claims.forget_invite(&entry.id, entry.at).await?.into(),
            (Kind::Ended | Kind::Expiry, None) => 0,
        };
        self.agenda.remove(kind, entry).await?;
        Ok(forgotten)
    }

    /// Forgets a session that ended at that time.
    async fn forget_ended(&self, user: &UserId, session: &SessionId, at: u64) -> Result<usize> {
        let step = self.users.step(user, Part::Session(session), new_step(), |found| async move {
            match found.sessions.first() {
                Some(found) if found.ended_at == Some(at) => self.forget_session(user, found).await,
                // A step that has been under way all this time must not end it any more: nobody would hear of it.
                Some(found) if found.ended_at.is_none() => Ok(Decision::Change(Vec::new(), 0)),
                _ => Ok(Decision::Answer(0)),
            }
        });
        step.await
    }

    /// Forgets a session that expired; if it was prolonged, its tokens that did.
    async fn forget_expired(&self, user: &UserId, session: &SessionId, before: u64) -> Result<usize> {
        let step = self.users.step(user, Part::Session(session), new_step(), |found| async move {
            match found.sessions.first() {
                Some(found) if found.ended_at.is_none() && found.expires_at < before => {
                    self.forget_session(user, found).await
                }
                Some(found) if found.ended_at.is_none() => {
                    let again = Entry::session(found.expires_at, session, user);
                    self.agenda.put(Kind::Expiry, &[again]).await?;
                    self.forget_tokens(user, session, before).await
                }
                _ => Ok(Decision::Answer(0)),
            }
        });
        step.await
    }

    async fn forget_session(&self, user: &UserId, session: &Session) -> Result<Decision<usize>> {
        let tokens = self.users.tokens(user, &session.session_id).await?;
        let hashes: Vec<_> = tokens.iter().map(|token| token.hash).chain(session.key_hash).collect();
        // First, so that none is left that nobody looks for.
        self.tokens.remove(&hashes).await?;
        let changes = self.users.changes.forget_session(user, &session.session_id);
        Ok(Decision::Change(changes.into(), 1 + tokens.len()))
    }

    async fn forget_tokens(
        &self,
        user: &UserId,
        session: &SessionId,
        before: u64,
    ) -> Result<Decision<usize>> {
        let mut tokens: Vec<Token> = self.users.tokens(user, session).await?;
        tokens.retain(|token| token.expires_at < before);
        if tokens.is_empty() {
            return Ok(Decision::Answer(0));
        }
        let hashes: Vec<_> = tokens.iter().map(|token| token.hash).collect();
        self.tokens.remove(&hashes).await?;
        let changes = hashes.iter().map(|hash| self.users.changes.forget_token(user, session, hash));
        Ok(Decision::Change(changes.collect(), hashes.len()))
    }
}
