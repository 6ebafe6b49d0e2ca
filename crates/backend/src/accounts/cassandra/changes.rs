//! What a step changes in a user's partition.

use super::super::{Account, NewAccount, NewKey, SessionId, TokenHash};
use super::user::{ACCOUNT, AUDIT, BOT, SESSION, TOKEN, ms, text_of};
use crate::Result;
use crate::cassandra::{Cassandra, Change};
use chat4all_model::id::UserId;
use scylla::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::MaybeUnset::{self, Set};
use uuid::Uuid;

/// The columns of a [`Put`].
const COLUMNS: &str = "user_id, kind, id, hash, username, email, display_name, avatar_file_id, time_zone, \
     last_seen_to, quiet_from, quiet_to, permissions, owner, created_at, password_hash, invite, names, expires_at, \
     ended_at, spent_at, key_hash, scopes, claimed";

/// The statements that steps are made of.
pub(super) struct Changes {
    step: PreparedStatement,
    put: PreparedStatement,
    forget: PreparedStatement,
    forget_all: PreparedStatement,
}

/// A row of the table `users`. What is not set stays as it is.
#[derive(Default, SerializeRow)]
struct Put {
    user_id: String,
    kind: &'static str,
    id: String,
    hash: Vec<u8>,
    username: MaybeUnset<String>,
    email: MaybeUnset<Option<String>>,
    display_name: MaybeUnset<Option<String>>,
    avatar_file_id: MaybeUnset<Option<String>>,
    time_zone: MaybeUnset<Option<String>>,
    last_seen_to: MaybeUnset<String>,
    quiet_from: MaybeUnset<Option<i32>>,
    quiet_to: MaybeUnset<Option<i32>>,
    permissions: MaybeUnset<Vec<String>>,
    owner: MaybeUnset<String>,
    created_at: MaybeUnset<i64>,
    password_hash: MaybeUnset<String>,
    invite: MaybeUnset<Vec<u8>>,
    names: MaybeUnset<Uuid>,
    expires_at: MaybeUnset<i64>,
    ended_at: MaybeUnset<i64>,
    spent_at: MaybeUnset<i64>,
    key_hash: MaybeUnset<Vec<u8>>,
    scopes: MaybeUnset<Vec<String>>,
    claimed: MaybeUnset<Uuid>,
}

impl Put {
    fn new(user: &UserId, kind: &'static str, id: &str, hash: &[u8]) -> Self {
        Self { user_id: user.to_string(), kind, id: id.to_owned(), hash: hash.to_owned(), ..Self::default() }
    }

    fn account(user: &UserId) -> Self {
        Self::new(user, ACCOUNT, "", &[])
    }

    fn session(user: &UserId, session: &SessionId) -> Self {
        Self::new(user, SESSION, session.as_str(), &[])
    }

    fn token(user: &UserId, session: &SessionId, hash: &TokenHash) -> Self {
        Self::new(user, TOKEN, session.as_str(), hash)
    }

    /// What the owner of an account may change, and the version of the rows that it is found by.
    fn profile(account: &Account, names: Uuid) -> Result<Self> {
        let quiet = account.quiet_hours;
        Ok(Self {
            email: Set(account.email.clone()),
            display_name: Set(account.display_name.clone()),
            avatar_file_id: Set(account.avatar_file_id.clone()),
            time_zone: Set(account.time_zone.clone()),
            last_seen_to: Set(text_of(&account.last_seen_to)?),
            quiet_from: Set(quiet.map(|quiet| quiet.from_minute.into())),
            quiet_to: Set(quiet.map(|quiet| quiet.to_minute.into())),
            names: Set(names),
            ..Self::account(&account.user_id)
        })
    }
}

impl Changes {
    pub(super) async fn prepare(cassandra: &Cassandra) -> Result<Self> {
        let values = vec!["?"; COLUMNS.split(',').count()].join(", ");
        let all = "DELETE FROM users WHERE user_id = ? AND kind = ? AND id = ?";
        let step = "UPDATE users SET version = ?, past = ? \
                    WHERE user_id = ? AND kind = 'account' AND id = '' AND hash = 0x IF version = ?";
        Ok(Self {
            step: cassandra.condition_statement(step).await?,
            put: cassandra
                .write_statement(&format!("INSERT INTO users ({COLUMNS}) VALUES ({values})"))
                .await?,
            forget: cassandra.write_statement(&format!("{all} AND hash = ?")).await?,
            forget_all: cassandra.write_statement(all).await?,
        })
    }

    /// What makes changes a step: they are made only if it follows on `follows`.
    pub(super) fn step(&self, user: &UserId, follows: Option<Uuid>, step: Uuid, past: Vec<Uuid>) -> Change {
        Change::new(&self.step, (step, past, user.to_string(), follows))
    }

    fn put(&self, row: Put) -> Change {
        Change::new(&self.put, row)
    }

    fn forget(&self, user: &UserId, kind: &'static str, id: &str, hash: &[u8]) -> Change {
        Change::new(&self.forget, (user.to_string(), kind, id.to_owned(), hash.to_owned()))
    }

    pub(super) fn make(&self, new: &NewAccount, names: Uuid) -> Result<Change> {
        let account = &new.account;
        Ok(self.put(Put {
            username: Set(account.username.to_lowercase()),
            permissions: Set(account.permissions.clone()),
            owner: MaybeUnset::from_option(account.owner.as_ref().map(UserId::to_string)),
            created_at: Set(ms(account.created_at)),
            password_hash: MaybeUnset::from_option(new.password_hash.clone()),
            invite: MaybeUnset::from_option(new.invite.map(Vec::from)),
            ..Put::profile(account, names)?
        }))
    }

    pub(super) fn profile(&self, account: &Account, names: Uuid) -> Result<Change> {
        Ok(self.put(Put::profile(account, names)?))
    }

    pub(super) fn password(&self, user: &UserId, hash: &str) -> Change {
        self.put(Put { password_hash: Set(hash.to_owned()), ..Put::account(user) })
    }

    /// Notes the invite that an account spent.
    pub(super) fn invite(&self, user: &UserId, hash: &TokenHash) -> Change {
        self.put(Put { invite: Set(hash.to_vec()), ..Put::account(user) })
    }

    pub(super) fn permissions(&self, user: &UserId, permissions: &[String]) -> Change {
        self.put(Put { permissions: Set(permissions.to_vec()), ..Put::account(user) })
    }

    pub(super) fn session(&self, user: &UserId, session: &SessionId, from: u64, to: u64) -> Change {
        self.put(Put { created_at: Set(ms(from)), expires_at: Set(ms(to)), ..Put::session(user, session) })
    }

    /// Makes a session the one of a bot's key.
    pub(super) fn key(&self, bot: &UserId, key: &NewKey) -> Result<Change> {
        Ok(self.put(Put {
            key_hash: Set(key.hash.to_vec()),
            scopes: Set(key.scopes.iter().map(text_of).collect::<Result<_>>()?),
            ..Put::session(bot, &key.session_id)
        }))
    }

    pub(super) fn prolong(&self, user: &UserId, session: &SessionId, to: u64) -> Change {
        self.put(Put { expires_at: Set(ms(to)), ..Put::session(user, session) })
    }

    pub(super) fn end(&self, user: &UserId, session: &SessionId, at: u64) -> Change {
        self.put(Put { ended_at: Set(ms(at)), ..Put::session(user, session) })
    }

    /// Forgets a session and its refresh tokens.
    pub(super) fn forget_session(&self, user: &UserId, session: &SessionId) -> [Change; 2] {
        let tokens = (user.to_string(), TOKEN, session.to_string());
        [self.forget(user, SESSION, session.as_str(), &[]), Change::new(&self.forget_all, tokens)]
    }

    pub(super) fn token(&self, user: &UserId, session: &SessionId, hash: &TokenHash, to: u64) -> Change {
        self.put(Put { expires_at: Set(ms(to)), ..Put::token(user, session, hash) })
    }

    pub(super) fn spend(&self, user: &UserId, session: &SessionId, hash: &TokenHash, at: u64) -> Change {
        self.put(Put { spent_at: Set(ms(at)), ..Put::token(user, session, hash) })
    }

    pub(super) fn forget_token(&self, user: &UserId, session: &SessionId, hash: &TokenHash) -> Change {
        self.forget(user, TOKEN, session.as_str(), hash)
    }

    pub(super) fn bot(&self, owner: &UserId, bot: &UserId, claimed: Option<Uuid>) -> Change {
        self.put(Put { claimed: MaybeUnset::from_option(claimed), ..Put::new(owner, BOT, bot.as_str(), &[]) })
    }

    pub(super) fn forget_bot(&self, owner: &UserId, bot: &UserId) -> Change {
        self.forget(owner, BOT, bot.as_str(), &[])
    }

    pub(super) fn audit(&self, user: &UserId, entry: &str) -> Change {
        self.put(Put::new(user, AUDIT, entry, &[]))
    }
}
