//! Bots. A bot's account and its key are in the bot's own partition; its owner's says which bots may be his.
//!
//! A slot in the owner's partition is a claim like those of names (see [`claims`](super::claims)): it counts against
//! the limit while the bot may yet be made and while it lives.

use super::super::{AuditEntry, Bot, NewAccount, NewKey, Refusal, SessionId, TokenHash};
use super::CassandraAccounts;
use super::user::{Slot, User};
use super::users::{Decision, Part, new_step};
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::UserId;
use futures_util::future::try_join_all;
use tokio::{join, try_join};
use uuid::Uuid;

impl CassandraAccounts {
    pub(super) async fn make_bot(
        &self,
        new: &NewAccount,
        key: &NewKey,
        limit: usize,
        audit: &AuditEntry,
    ) -> Result<()> {
        self.look(new).await?;
        let (bot, step) = (&new.account.user_id, new_step());
        let made = self.users.step(bot, Part::Account, step, |found| async move {
            if let Some(owner) = &new.account.owner {
                self.take_slot(owner, bot, found.version, limit).await?;
            }
            try_join!(
                self.claim(new, &found, step),
                self.tokens.put(&key.hash, bot, &key.session_id),
                self.audit.append(audit, Some(bot)),
            )?;
            let changes = &self.users.changes;
            let account = changes.make(new, step)?;
            let session = changes.session(bot, &key.session_id, new.account.created_at, u64::MAX);
            let key = changes.key(bot, key)?;
            Ok(Decision::Change(vec![account, session, key, changes.audit(bot, &audit.entry_id)], ()))
        });
        Box::pin(made).await?;
        self.settle_audit(audit).await;
        Ok(())
    }

    /// Claims one of an owner's slots for the step that makes a bot and follows on `version`.
    pub(super) async fn take_slot(
        &self,
        owner: &UserId,
        bot: &UserId,
        version: Option<Uuid>,
        limit: usize,
    ) -> Result<()> {
        let slot = self.users.step(owner, Part::Bots, new_step(), |found| async move {
            let others: Vec<&Slot> = found.bots.iter().filter(|slot| slot.bot != *bot).collect();
            let live = try_join_all(others.iter().map(|slot| self.lives(slot))).await?;
            if live.iter().filter(|lives| **lives).count() >= limit {
                return Err(Error::new(ErrorKind::Conflict, Refusal::TooMany));
            }
            let changes = &self.users.changes;
            let dead = others.iter().zip(live).filter(|(_, lives)| !lives);
            let dead = dead.map(|(slot, _)| changes.forget_bot(owner, &slot.bot));
            Ok(Decision::Change(dead.chain([changes.bot(owner, bot, version)]).collect(), ()))
        });
        slot.await
    }

    /// Whether the bot of a slot lives; waits until it is decided whether it is made.
    async fn lives(&self, slot: &Slot) -> Result<bool> {
        let mut found = self.users.read(&slot.bot, Part::Sessions).await?;
        if found.person.is_none() {
            self.users.beyond(&slot.bot, slot.claimed).await?;
            found = self.users.read(&slot.bot, Part::Sessions).await?;
        }
        Ok(found.bot()?.is_some())
    }

    pub(super) async fn bots_of(&self, owner: &UserId) -> Result<Vec<Bot>> {
        let slots = self.users.read(owner, Part::Bots).await?.bots;
        let bots = try_join_all(slots.iter().map(|slot| self.users.read(&slot.bot, Part::Sessions))).await?;
        let bots = bots.iter().filter_map(|bot| living(bot, owner).transpose());
        bots.take(super::super::MAX_ENTRIES).collect()
    }

    pub(super) async fn end_bot(
        &self,
        owner: &UserId,
        bot: &UserId,
        now: u64,
        audit: &AuditEntry,
    ) -> Result<Option<SessionId>> {
        let revoked = self.users.step(bot, Part::Sessions, new_step(), |found| async move {
            let Some(living) = living(&found, owner)? else { return Ok(Decision::Answer(None)) };
            let key = living.session_id;
            let changes = self.audited_end(bot, std::slice::from_ref(&key), now, audit).await?;
            Ok(Decision::Change(changes, Some(key)))
        });
        let revoked = revoked.await?;
        if let Some(key) = &revoked {
            join!(self.settle_end(bot, std::slice::from_ref(key), now), self.settle_audit(audit));
        }
        Ok(revoked)
    }

    pub(super) async fn with_key(&self, hash: &TokenHash) -> Result<Option<Bot>> {
        let Some((bot, session)) = self.tokens.of(hash).await? else { return Ok(None) };
        let mut found = self.users.read(&bot, Part::Session(&session)).await?;
        found.sessions.retain(|session| session.key_hash.as_ref() == Some(hash));
        found.bot()
    }
}

/// A living bot of an owner.
fn living(user: &User, owner: &UserId) -> Result<Option<Bot>> {
    Ok(user.bot()?.filter(|bot| bot.account.owner.as_ref() == Some(owner)))
}
