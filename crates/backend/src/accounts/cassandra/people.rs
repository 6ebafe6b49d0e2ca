//! Accounts: made, found, changed.

use super::super::{Account, Credentials, Login, NewAccount, ProfileChange};
use super::CassandraAccounts;
use super::claims::Unique;
use super::user::{Person, User, user_id};
use super::users::{Decision, Part, new_step};
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::UserId;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::try_join;
use uuid::Uuid;

/// How many partitions are read at once for one call.
pub(super) const AT_ONCE: usize = 32;
/// The fewest candidates of a search that are read at once.
const CANDIDATES: usize = 100;

impl CassandraAccounts {
    pub(super) async fn make(&self, new: &NewAccount) -> Result<()> {
        self.look(new).await?;
        let (user, step) = (&new.account.user_id, new_step());
        self.users
            .step(user, Part::Account, step, |found| async move {
                self.claim(new, &found, step).await?;
                Ok(Decision::Change(vec![self.users.changes.make(new, step)?], ()))
            })
            .await
    }

    /// Refuses early what is taken already, so that nothing is left of most refused tries.
    pub(super) async fn look(&self, new: &NewAccount) -> Result<()> {
        try_join_all(uniques(new).iter().map(|what| self.claims.look(what))).await.map(|_| ())
    }

    /// All that must be there before an account is made by a step.
    pub(super) async fn claim(&self, new: &NewAccount, found: &User, step: Uuid) -> Result<()> {
        let user = &new.account.user_id;
        if found.person.is_some() {
            return Err(Error::new(ErrorKind::Conflict, format!("there is an account {user}")));
        }
        let claims = async {
            // One after the other, so that two who want the same do not each wait for the other.
            for what in uniques(new) {
                self.claims.take(&what, user, found.version).await?;
            }
            Ok(())
        };
        try_join!(claims, self.names.put(&new.account, step), self.ids.put(user)).map(|_| ())
    }

    pub(super) async fn people(&self, ids: &[UserId]) -> Result<Vec<Option<Person>>> {
        let read: Vec<_> = ids.iter().map(|user| self.users.read(user, Part::Account)).collect();
        stream::iter(read).buffered(AT_ONCE).map_ok(|user| user.person).try_collect().await
    }

    pub(super) async fn signing_in(&self, login: &Login) -> Result<Option<Credentials>> {
        let found = match login {
            Login::Username(name) => self.claims.holder(&Unique::Username(name.to_lowercase())).await?,
            Login::Email(email) => self.claims.holder(&Unique::Email(email.to_lowercase())).await?,
            Login::Id(user) => self.users.read(user, Part::Account).await?.person,
        };
        Ok(found.map(|person| Credentials { account: person.account, password_hash: person.password_hash }))
    }

    pub(super) async fn find(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        let mut search = self.names.search(prefix, after);
        let mut found: Vec<Account> = Vec::new();
        while found.len() < limit
            && let Some(candidates) = search.next(CANDIDATES.max(limit)).await?
        {
            let ids =
                candidates.iter().map(|candidate| user_id(&candidate.user_id)).collect::<Result<Vec<_>>>()?;
            let people = self.people(&ids).await?;
            for (candidate, person) in candidates.iter().zip(people) {
                let Some(person) = person.filter(|person| person.names == candidate.version) else {
                    continue;
                };
                // An account of which several names fit comes several times in a row.
                if found.last().is_none_or(|last| last.user_id != person.account.user_id) {
                    found.push(person.account);
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    pub(super) async fn all(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<Account>> {
        let mut after = after.map(UserId::to_string).unwrap_or_default();
        let mut all = Vec::new();
        while all.len() < limit {
            let wanted = limit - all.len();
            let ids = self.ids.behind(&after, wanted).await?;
            all.extend(self.people(&ids).await?.into_iter().flatten().map(|person| person.account));
            match ids.last() {
                Some(last) if ids.len() == wanted => after = last.to_string(),
                _ => break,
            }
        }
        Ok(all)
    }

    pub(super) async fn change(&self, user: &UserId, change: &ProfileChange) -> Result<Option<Account>> {
        let step = new_step();
        let changed =
            self.users.step(user, Part::Account, step, |found| self.changed(user, change, found, step));
        let Some((before, after)) = changed.await? else { return Ok(None) };
        self.tidy(&before, &after, step).await;
        Ok(Some(after))
    }

    /// The account before and after a change.
    async fn changed(
        &self,
        user: &UserId,
        change: &ProfileChange,
        found: User,
        step: Uuid,
    ) -> Result<Decision<Option<(Person, Account)>>> {
        let Some(before) = found.person else { return Ok(Decision::Answer(None)) };
        let after = with(&before.account, change);
        if after == before.account {
            return Ok(Decision::Answer(Some((before, after))));
        }
        let email = after.email.as_ref().map(|email| email.to_lowercase());
        if let Some(email) = email.filter(|email| before.email_key().as_ref() != Some(email)) {
            self.claims.take(&Unique::Email(email), user, found.version).await?;
        }
        let renamed = after.display_name != before.account.display_name;
        if renamed {
            self.names.put(&after, step).await?;
        }
        let names = if renamed { step } else { before.names };
        let changes = vec![self.users.changes.profile(&after, names)?];
        Ok(Decision::Change(changes, Some((before, after))))
    }

    /// Forgets what a change left behind. What is not forgotten misleads nobody.
    async fn tidy(&self, before: &Person, after: &Account, step: Uuid) {
        if before.account.display_name != after.display_name && before.names != step {
            let _ = self.names.remove(&before.account, before.names).await;
        }
        let kept = after.email.as_ref().map(|email| email.to_lowercase());
        if let Some(email) = before.email_key().filter(|email| Some(email) != kept.as_ref()) {
            let _ = self.claims.clear(&Unique::Email(email), &after.user_id).await;
        }
    }
}

/// What an account needs for itself alone.
fn uniques(new: &NewAccount) -> Vec<Unique> {
    let account = &new.account;
    let username = Unique::Username(account.username.to_lowercase());
    let email = account.email.as_ref().map(|email| Unique::Email(email.to_lowercase()));
    let invite = new.invite.map(|hash| Unique::Invite { hash, at: account.created_at });
    std::iter::once(username).chain(email).chain(invite).collect()
}

fn with(account: &Account, change: &ProfileChange) -> Account {
    let change = change.clone();
    Account {
        display_name: change.display_name.unwrap_or_else(|| account.display_name.clone()),
        email: change.email.unwrap_or_else(|| account.email.clone()),
        avatar_file_id: change.avatar_file_id.unwrap_or_else(|| account.avatar_file_id.clone()),
        time_zone: change.time_zone.unwrap_or_else(|| account.time_zone.clone()),
        last_seen_to: change.last_seen_to.unwrap_or(account.last_seen_to),
        quiet_hours: change.quiet_hours.unwrap_or(account.quiet_hours),
        ..account.clone()
    }
}
