use super::rules::{self, Faults};
use super::watch::Life;
use super::{AccountService, Caller, CallerKind, hash_of, refusal};
use crate::error::{Failure, Result};
use chat4all_backend::accounts::{self, Account, NewAccount, NewKey, SessionId, TokenHash};
use chat4all_model::api::{Bot, BotRequest, LastSeenTo, Page, Scope};
use chat4all_model::id::UserId;
use parking_lot::Mutex;
use std::collections::HashMap;

/// What an API key begins with, so that it is told from an access token, and found when it leaks.
pub(super) const KEY_PREFIX: &str = "c4a_";
/// How long a key is taken for good without asking the store, in milliseconds.
const FRESH_MS: u64 = 5_000;
/// How many keys are remembered.
const MAX_KEYS: usize = 4096;

/// Keys that were found good a moment ago. Revoked ones are known by their session, as with every bearer.
#[derive(Default)]
pub(super) struct Keys(Mutex<HashMap<TokenHash, (u64, Caller)>>);

impl Keys {
    fn get(&self, hash: &TokenHash, now: u64) -> Option<(u64, Caller)> {
        let known = self.0.lock();
        known.get(hash).filter(|(at, _)| *at <= now && now - at < FRESH_MS).cloned()
    }

    fn put(&self, hash: TokenHash, at: u64, caller: Caller) {
        let mut known = self.0.lock();
        if known.len() >= MAX_KEYS {
            known.retain(|_, (then, _)| at.saturating_sub(*then) < FRESH_MS);
        }
        if known.len() < MAX_KEYS {
            known.insert(hash, (at, caller));
        }
    }
}

impl AccountService {
    /// `POST /v1/bots`: the answer shows the key, once.
    ///
    /// # Errors
    /// `InvalidRequest`, `UsernameTaken`, `LimitReached`, `RateLimited`, `Forbidden` for bots.
    pub async fn create_bot(&self, caller: &Caller, request: BotRequest) -> Result<Bot> {
        caller.require_person()?;
        let mut faults = Faults::default();
        let username = faults.check("username", rules::username(&request.username));
        let display_name =
            request.display_name.and_then(|n| faults.check("display_name", rules::display_name(&n)));
        let scopes = faults.check("scopes", scopes(request.scopes));
        faults.finish()?;
        self.count_change(caller).await?;
        let account = Account {
            user_id: self.new_user_id()?,
            username: username.unwrap_or_default(),
            email: None,
            display_name,
            avatar_file_id: None,
            time_zone: None,
            last_seen_to: LastSeenTo::Everyone,
            quiet_hours: None,
            permissions: Vec::new(),
            owner: Some(caller.user_id.clone()),
            created_at: self.ambient.now(),
        };
        let secret = format!("{KEY_PREFIX}{}", self.random_token());
        let key = NewKey {
            session_id: SessionId::new(&self.ambient.uuid()),
            hash: hash_of(&secret),
            scopes: scopes.unwrap_or_default(),
        };
        let made = accounts::Bot {
            account: account.clone(),
            session_id: key.session_id.clone(),
            scopes: key.scopes.clone(),
        };
        let bot_id = account.user_id.to_string();
        let entry = self.entry(caller.user_id.as_str(), "bot.create", Some(&bot_id), None);
        let new = NewAccount { account, password_hash: None, invite: None };
        self.accounts.create_bot(new, key, self.settings.bots, entry).await.map_err(refusal)?;
        Ok(Bot { api_key: Some(secret), ..shown(made) })
    }

    /// `GET /v1/bots`: the caller's own, all of them.
    ///
    /// # Errors
    /// `Forbidden` for bots.
    pub async fn list_bots(&self, caller: &Caller) -> Result<Page<Bot>> {
        caller.require_person()?;
        let bots = self.accounts.bots(&caller.user_id).await?;
        Ok(Page { items: bots.into_iter().map(shown).collect(), next: None })
    }

    /// `DELETE /v1/bots/{id}`: its key is good for nothing from now on. What it wrote stays.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such bot.
    pub async fn revoke_bot(&self, caller: &Caller, bot: &str) -> Result<()> {
        caller.require_person()?;
        let bot = UserId::parse(bot).map_err(|_| Failure::not_found())?;
        let now = self.ambient.now();
        let entry = self.entry(caller.user_id.as_str(), "bot.revoke", Some(bot.as_str()), None);
        let ended = self.accounts.revoke_bot(&caller.user_id, &bot, now, entry).await?;
        let session = ended.ok_or_else(Failure::not_found)?;
        self.watch.note(&bot, &[session], now).await;
        Ok(())
    }

    /// The caller of an API key.
    pub(super) async fn bot_caller(&self, key: &str, now: u64) -> Result<Caller> {
        let refused = || Failure::unauthenticated("the API key is not valid");
        let hash = hash_of(key);
        if let Some((at, caller)) = self.keys.get(&hash, now) {
            match self.watch.life(&caller.session_id, at) {
                Life::Living => return Ok(caller),
                Life::Ended => return Err(refused()),
                Life::Unknown => {}
            }
        }
        let bot = self.accounts.bot_of_key(&hash).await?.ok_or_else(refused)?;
        let caller = Caller {
            user_id: bot.account.user_id,
            username: bot.account.username.into(),
            permissions: bot.account.permissions.into(),
            session_id: bot.session_id,
            scopes: bot.scopes.into(),
            kind: CallerKind::Bot,
            expires_at: None,
            _checked: (),
        };
        self.keys.put(hash, now, caller.clone());
        Ok(caller)
    }
}

fn scopes(asked: Option<Vec<Scope>>) -> Result<Vec<Scope>, &'static str> {
    let Some(asked) = asked else { return Ok(vec![Scope::Read, Scope::Write]) };
    let scopes: Vec<Scope> = [Scope::Read, Scope::Write].into_iter().filter(|s| asked.contains(s)).collect();
    if scopes.is_empty() { Err("must name at least one of read and write") } else { Ok(scopes) }
}

fn shown(bot: accounts::Bot) -> Bot {
    Bot {
        bot_id: bot.account.user_id.to_string(),
        username: bot.account.username,
        display_name: bot.account.display_name,
        scopes: bot.scopes,
        created_at: bot.account.created_at,
        api_key: None,
    }
}
