//! Sessions and their refresh tokens.

use super::super::{AuditEntry, NewSession, Rotated, Rotation, SessionId, Which};
use super::CassandraAccounts;
use super::agenda::{Entry, Kind};
use super::user::User;
use super::users::{Decision, Part, new_step};
use crate::Result;
use crate::cassandra::Change;
use chat4all_model::id::UserId;
use tokio::{join, try_join};

impl CassandraAccounts {
    pub(super) async fn set_hash(
        &self,
        user: &UserId,
        hash: &str,
        keep: Option<&SessionId>,
        now: u64,
        audit: &AuditEntry,
    ) -> Result<Vec<SessionId>> {
        let set = self.users.step(user, Part::Sessions, new_step(), |found| async move {
            if found.person.is_none() {
                return Ok(Decision::Answer(None));
            }
            let over: Vec<SessionId> =
                living(&found).into_iter().filter(|session| Some(session) != keep).collect();
            let mut changes = self.audited_end(user, &over, now, audit).await?;
            changes.push(self.users.changes.password(user, hash));
            Ok(Decision::Change(changes, Some(over)))
        });
        let Some(over) = set.await? else { return Ok(Vec::new()) };
        join!(self.settle_end(user, &over, now), self.settle_audit(audit));
        Ok(over)
    }

    pub(super) async fn permit(
        &self,
        user: &UserId,
        permissions: &[String],
        now: u64,
        audit: &AuditEntry,
    ) -> Result<Vec<SessionId>> {
        let set = self.users.step(user, Part::Sessions, new_step(), |found| async move {
            let before = found.person.as_ref().map(|person| &person.account.permissions);
            let Some(before) = before.filter(|before| *before != permissions) else {
                return Ok(Decision::Answer(None));
            };
            let taken = before.iter().any(|permission| !permissions.contains(permission));
            let over = if taken { living(&found) } else { Vec::new() };
            let mut changes = self.audited_end(user, &over, now, audit).await?;
            changes.push(self.users.changes.permissions(user, permissions));
            Ok(Decision::Change(changes, Some(over)))
        });
        let Some(over) = set.await? else { return Ok(Vec::new()) };
        join!(self.settle_end(user, &over, now), self.settle_audit(audit));
        Ok(over)
    }

    pub(super) async fn begin(&self, new: &NewSession) -> Result<()> {
        let (user, session) = (&new.user_id, &new.session_id);
        let expiry = &entries(user, std::slice::from_ref(session), new.expires_at);
        self.users
            .step(user, Part::Account, new_step(), |_| async move {
                try_join!(
                    self.tokens.put(&new.refresh, user, session),
                    self.agenda.put(Kind::Expiry, expiry)
                )?;
                let changes = &self.users.changes;
                let session_row = changes.session(user, session, new.created_at, new.expires_at);
                let token_row = changes.token(user, session, &new.refresh, new.expires_at);
                Ok(Decision::Change(vec![session_row, token_row], ()))
            })
            .await
    }

    pub(super) async fn turn(&self, rotation: &Rotation) -> Result<Rotated> {
        let Some((user, session)) = &self.tokens.of(&rotation.spent).await? else { return Ok(Rotated::Gone) };
        let part = Part::Token(session, &rotation.spent);
        let turned =
            self.users.step(user, part, new_step(), |found| self.turned(rotation, user, session, found));
        let rotated = turned.await?;
        if let Rotated::Reused { .. } = &rotated {
            self.settle_end(user, std::slice::from_ref(session), rotation.now).await;
        }
        Ok(rotated)
    }

    async fn turned(
        &self,
        rotation: &Rotation,
        user: &UserId,
        session: &SessionId,
        found: User,
    ) -> Result<Decision<Rotated>> {
        let (session_id, user_id, now) = (session.clone(), user.clone(), rotation.now);
        let token = found.tokens.first().filter(|token| token.expires_at > now);
        let Some(token) = token.filter(|_| found.living().next().is_some()) else {
            return Ok(Decision::Answer(Rotated::Gone));
        };
        Ok(match token.spent_at {
            Some(spent_at) if now.saturating_sub(spent_at) <= rotation.grace_ms => {
                Decision::Answer(Rotated::Successor { session_id, user_id, spent_at })
            }
            Some(_) => {
                let changes = self.end(user, std::slice::from_ref(session), now).await?;
                Decision::Change(changes, Rotated::Reused { session_id, user_id })
            }
            None => {
                self.tokens.put(&rotation.next, user, session).await?;
                let changes = vec![
                    self.users.changes.spend(user, session, &rotation.spent, now),
                    self.users.changes.token(user, session, &rotation.next, rotation.expires_at),
                    self.users.changes.prolong(user, session, rotation.expires_at),
                ];
                Decision::Change(changes, Rotated::Successor { session_id, user_id, spent_at: now })
            }
        })
    }

    pub(super) async fn end_some(&self, user: &UserId, which: &Which, now: u64) -> Result<Vec<SessionId>> {
        let part = match which {
            Which::One(session) => Part::Session(session),
            Which::All => Part::Sessions,
        };
        let ended = self.users.step(user, part, new_step(), |found| async move {
            let over = living(&found);
            if over.is_empty() {
                return Ok(Decision::Answer(over));
            }
            Ok(Decision::Change(self.end(user, &over, now).await?, over))
        });
        let over = ended.await?;
        self.settle_end(user, &over, now).await;
        Ok(over)
    }

    /// Puts sessions on the agenda as ended, and gives what ends them.
    async fn end(&self, user: &UserId, sessions: &[SessionId], now: u64) -> Result<Vec<Change>> {
        self.agenda.put(Kind::Ended, &entries(user, sessions, now)).await?;
        Ok(sessions.iter().map(|session| self.users.changes.end(user, session, now)).collect())
    }

    /// The same, with an entry of the audit log.
    pub(super) async fn audited_end(
        &self,
        user: &UserId,
        sessions: &[SessionId],
        now: u64,
        audit: &AuditEntry,
    ) -> Result<Vec<Change>> {
        let (mut changes, ()) =
            try_join!(self.end(user, sessions, now), self.audit.append(audit, Some(user)))?;
        changes.push(self.users.changes.audit(user, &audit.entry_id));
        Ok(changes)
    }

    /// Spares readers of the agenda a question for each session that was ended. Without it they ask.
    pub(super) async fn settle_end(&self, user: &UserId, sessions: &[SessionId], now: u64) {
        let settled: Vec<Entry> = entries(user, sessions, now).into_iter().map(Entry::settled).collect();
        if let Err(error) = self.agenda.put(Kind::Ended, &settled).await {
            tracing::debug!(%error, "ended sessions are not marked as such on the agenda");
        }
    }

    /// The same for the audit log.
    pub(super) async fn settle_audit(&self, audit: &AuditEntry) {
        if let Err(error) = self.audit.settle(audit).await {
            tracing::debug!(%error, "an entry of the audit log is not marked as true");
        }
    }
}

fn entries(user: &UserId, sessions: &[SessionId], ended_at: u64) -> Vec<Entry> {
    sessions.iter().map(|session| Entry::session(ended_at, session, user)).collect()
}

fn living(user: &User) -> Vec<SessionId> {
    user.living().map(|session| session.session_id.clone()).collect()
}
