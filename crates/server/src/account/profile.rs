use super::limit::Count;
use super::rules::{self, Faults};
use super::{AccountService, Caller, me, refusal, user};
use crate::error::{Failure, Result};
use chat4all_backend::accounts::{Login, ProfileChange};
use chat4all_model::api::{Code, LastSeenTo, Me, Page, PasswordRequest, ProfilePatch, Scope, User};
use chat4all_model::id::UserId;

/// Entries of a page, where none are asked for, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 200;

impl AccountService {
    /// `GET /auth/me`
    ///
    /// # Errors
    /// `Unauthenticated` if the account is gone.
    pub async fn me(&self, caller: &Caller) -> Result<Me> {
        self.account(&caller.user_id).await?.map(me).ok_or_else(no_account)
    }

    /// `PATCH /auth/me`
    ///
    /// # Errors
    /// `InvalidRequest`, `EmailTaken`, `RateLimited`.
    pub async fn update_me(&self, caller: &Caller, patch: ProfilePatch) -> Result<Me> {
        caller.require(Scope::Write)?;
        let mut faults = Faults::default();
        let change = ProfileChange {
            display_name: checked(&mut faults, "display_name", patch.display_name, |n| {
                rules::display_name(&n)
            }),
            email: checked(&mut faults, "email", patch.email, |e| rules::email(&e)),
            avatar_file_id: checked(&mut faults, "avatar_file_id", patch.avatar_file_id, |f| {
                rules::file_id(&f)
            }),
            time_zone: checked(&mut faults, "time_zone", patch.time_zone, |z| rules::time_zone(&z)),
            last_seen_to: patch.last_seen_to.map(|to| to.unwrap_or(LastSeenTo::Everyone)),
            quiet_hours: checked(&mut faults, "quiet_hours", patch.quiet_hours, rules::quiet_hours),
        };
        faults.finish()?;
        if change.email.is_some() {
            // Else one could ask quickly which addresses have accounts.
            self.count_change(caller).await?;
        }
        let changed = self.accounts.update(&caller.user_id, change).await.map_err(refusal)?;
        changed.map(me).ok_or_else(no_account)
    }

    /// `POST /auth/password`: ends the other sessions.
    ///
    /// # Errors
    /// `InvalidCredentials` if the current one is wrong, `InvalidRequest`, `RateLimited`, `Forbidden` for bots.
    pub async fn change_password(&self, caller: &Caller, request: PasswordRequest) -> Result<()> {
        caller.require_person()?;
        let mut faults = Faults::default();
        faults.check("new_password", rules::password(&request.new_password));
        faults.finish()?;
        self.count_change(caller).await?;
        let login = Login::Id(caller.user_id.clone());
        let current = self.accounts.credentials(&login).await?.ok_or_else(no_account)?;
        if !self.passwords.verify(request.current_password, current.password_hash).await? {
            return Err(Failure::new(Code::InvalidCredentials, "the current password is wrong"));
        }
        let hash = self.passwords.hash(request.new_password, &self.ambient).await?;
        let now = self.ambient.now();
        let me = caller.user_id.as_str();
        let entry = self.entry(me, "user.password.change", Some(me), None);
        let keep = Some(&caller.session_id);
        let ended = self.accounts.set_password(&caller.user_id, &hash, keep, now, entry).await?;
        self.watch.note(&caller.user_id, &ended, now).await;
        Ok(())
    }

    /// `GET /v1/users?query=`: by username; `cursor` is `next` of the page before.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub async fn search_users(
        &self,
        caller: &Caller,
        query: &str,
        cursor: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Page<User>> {
        caller.require(Scope::Read)?;
        let limit = page_size(limit)?;
        let words: Vec<&str> = query.split_whitespace().collect();
        let prefix = words.join(" ");
        if !(2..=64).contains(&prefix.chars().count()) {
            return Err(Failure::invalid("query", "must have 2 to 64 characters"));
        }
        let after = cursor.map(rules::username).transpose().map_err(|_| bad_cursor())?;
        let found = self.accounts.search(&prefix, after.as_deref(), limit + 1).await?;
        Ok(page(found.into_iter().map(user).collect(), limit, |u| u.username.clone()))
    }

    /// `GET /v1/users/{id}`
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn user(&self, caller: &Caller, id: &str) -> Result<User> {
        caller.require(Scope::Read)?;
        let id = UserId::parse(id).map_err(|_| Failure::not_found())?;
        self.account(&id).await?.map(user).ok_or_else(Failure::not_found)
    }

    pub(super) async fn count_change(&self, caller: &Caller) -> Result<()> {
        let rule = self.settings.limits.change;
        self.limiter
            .take(&[Count { policy: "change", key: caller.user_id.to_string(), rule }])
            .await
            .map(|_| ())
    }
}

pub(super) fn page_size(limit: Option<usize>) -> Result<usize> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=MAX_PAGE => Ok(limit),
        _ => Err(Failure::invalid("limit", "must be 1 to 200")),
    }
}

/// A page of `limit` from one entry more, which tells whether there is a next page.
pub(super) fn page<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}

pub(super) fn bad_cursor() -> Failure {
    Failure::invalid("cursor", "must be `next` of the page before")
}

fn no_account() -> Failure {
    Failure::unauthenticated("there is no such account any more")
}

/// A field of a patch by its rule: left out, cleared, or set.
fn checked<T, U>(
    faults: &mut Faults,
    field: &str,
    value: Option<Option<T>>,
    rule: impl FnOnce(T) -> Result<U, &'static str>,
) -> Option<Option<U>> {
    value.map(|value| value.and_then(|value| faults.check(field, rule(value))))
}
