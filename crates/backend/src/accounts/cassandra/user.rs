//! A user's partition as it is read.

use super::super::{Account, Bot, SessionId, TokenHash};
use super::claims::Unique;
use crate::{Error, ErrorKind, Result};
use chat4all_model::api::{QuietHours, Scope};
use chat4all_model::id::UserId;
use scylla::DeserializeRow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// How many of its last steps a partition knows.
const REMEMBERED: usize = 8;

pub(super) const ACCOUNT: &str = "account";
pub(super) const AUDIT: &str = "audit";
pub(super) const BOT: &str = "bot";
pub(super) const SESSION: &str = "session";
pub(super) const TOKEN: &str = "token";

/// The columns of a [`UserRow`].
pub(super) const COLUMNS: &str = "user_id, kind, id, hash, version, past, username, email, display_name, avatar_file_id, \
     time_zone, last_seen_to, quiet_from, quiet_to, permissions, owner, created_at, password_hash, invite, names, \
     expires_at, ended_at, spent_at, key_hash, scopes, claimed";

/// A row of the table `users`.
#[derive(DeserializeRow)]
pub(super) struct UserRow {
    user_id: String,
    kind: String,
    id: String,
    hash: Vec<u8>,
    version: Option<Uuid>,
    past: Option<Vec<Uuid>>,
    username: Option<String>,
    email: Option<String>,
    display_name: Option<String>,
    avatar_file_id: Option<String>,
    time_zone: Option<String>,
    last_seen_to: Option<String>,
    quiet_from: Option<i32>,
    quiet_to: Option<i32>,
    permissions: Option<Vec<String>>,
    owner: Option<String>,
    created_at: Option<i64>,
    password_hash: Option<String>,
    invite: Option<Vec<u8>>,
    names: Option<Uuid>,
    expires_at: Option<i64>,
    ended_at: Option<i64>,
    spent_at: Option<i64>,
    key_hash: Option<Vec<u8>>,
    scopes: Option<Vec<String>>,
    claimed: Option<Uuid>,
}

/// What was read of a user's partition.
#[derive(Default)]
pub(super) struct User {
    /// The last step; none before the first.
    pub(super) version: Option<Uuid>,
    /// The last steps, that one included.
    past: Vec<Uuid>,
    /// None if the account was not made (yet).
    pub(super) person: Option<Person>,
    pub(super) sessions: Vec<Session>,
    pub(super) tokens: Vec<Token>,
    pub(super) bots: Vec<Slot>,
}

/// An account with what only the engine knows of it.
pub(super) struct Person {
    pub(super) account: Account,
    pub(super) password_hash: Option<String>,
    pub(super) invite: Option<TokenHash>,
    /// The version of the rows that it is found by.
    pub(super) names: Uuid,
}

/// A session, or a bot's key.
pub(super) struct Session {
    pub(super) session_id: SessionId,
    pub(super) created_at: u64,
    pub(super) expires_at: u64,
    pub(super) ended_at: Option<u64>,
    /// Of a key.
    pub(super) key_hash: Option<TokenHash>,
    scopes: Vec<String>,
}

/// A refresh token of a session.
pub(super) struct Token {
    pub(super) session_id: SessionId,
    pub(super) hash: TokenHash,
    pub(super) expires_at: u64,
    pub(super) spent_at: Option<u64>,
}

/// A bot that may be the user's.
pub(super) struct Slot {
    pub(super) bot: UserId,
    /// The version of the bot that its making was to follow.
    pub(super) claimed: Option<Uuid>,
}

impl User {
    pub(super) fn of(rows: Vec<UserRow>) -> Result<Self> {
        let mut user = Self::default();
        for row in rows {
            match row.kind.as_str() {
                ACCOUNT => {
                    user.version = row.version;
                    user.past = row.past.clone().unwrap_or_default();
                    user.person = row.username.is_some().then(|| person(row)).transpose()?;
                }
                BOT => user.bots.push(Slot { bot: user_id(&row.id)?, claimed: row.claimed }),
                SESSION => user.sessions.push(session(row)?),
                TOKEN => user.tokens.push(token(&row)?),
                _ => {}
            }
        }
        Ok(user)
    }

    /// Whether a step is among the last ones.
    pub(super) fn has_taken(&self, step: Uuid) -> bool {
        self.past.contains(&step)
    }

    /// Whether all steps since `version` are remembered.
    pub(super) fn remembers(&self, version: Option<Uuid>) -> bool {
        version.map_or(self.past.len() < REMEMBERED, |version| self.past.contains(&version))
    }

    /// The last steps with one more.
    pub(super) fn past_with(&self, step: Uuid) -> Vec<Uuid> {
        let forgotten = (self.past.len() + 1).saturating_sub(REMEMBERED);
        self.past.iter().skip(forgotten).copied().chain([step]).collect()
    }

    /// Whether the user has something that only one may have.
    pub(super) fn has(&self, what: &Unique) -> bool {
        self.person.as_ref().is_some_and(|person| match what {
            Unique::Username(name) => person.account.username == *name,
            Unique::Email(email) => person.email_key().as_ref() == Some(email),
            Unique::Invite { hash, .. } => person.invite.as_ref() == Some(hash),
        })
    }

    /// The sessions that live.
    pub(super) fn living(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|session| session.ended_at.is_none())
    }

    /// The bot that the user is, if its key lives.
    pub(super) fn bot(&self) -> Result<Option<Bot>> {
        let key = self.living().find(|session| session.key_hash.is_some());
        let Some((person, key)) = self.person.as_ref().zip(key) else { return Ok(None) };
        Ok(Some(Bot {
            account: person.account.clone(),
            session_id: key.session_id.clone(),
            scopes: key.scopes()?,
        }))
    }
}

impl Session {
    /// What a key may do.
    pub(super) fn scopes(&self) -> Result<Vec<Scope>> {
        self.scopes.iter().map(|scope| of_text(scope)).collect()
    }
}

impl Person {
    /// The e-mail address as it is unique.
    pub(super) fn email_key(&self) -> Option<String> {
        self.account.email.as_ref().map(|email| email.to_lowercase())
    }
}

fn person(row: UserRow) -> Result<Person> {
    let minute = |minute: i32| u16::try_from(minute).map_err(corrupt);
    let quiet = row.quiet_from.zip(row.quiet_to);
    let quiet_hours = quiet
        .map(|(from, to)| Ok::<_, Error>(QuietHours { from_minute: minute(from)?, to_minute: minute(to)? }));
    Ok(Person {
        account: Account {
            user_id: user_id(&row.user_id)?,
            username: row.username.unwrap_or_default(),
            email: row.email,
            display_name: row.display_name,
            avatar_file_id: row.avatar_file_id,
            time_zone: row.time_zone,
            last_seen_to: of_text(&row.last_seen_to.unwrap_or_default())?,
            quiet_hours: quiet_hours.transpose()?,
            permissions: row.permissions.unwrap_or_default(),
            owner: row.owner.as_deref().map(user_id).transpose()?,
            created_at: time(row.created_at),
        },
        password_hash: row.password_hash,
        invite: row.invite.as_deref().map(hash).transpose()?,
        names: row.names.unwrap_or_default(),
    })
}

fn session(row: UserRow) -> Result<Session> {
    Ok(Session {
        session_id: SessionId::new(&row.id),
        created_at: time(row.created_at),
        expires_at: time(row.expires_at),
        ended_at: row.ended_at.map(|at| time(Some(at))),
        key_hash: row.key_hash.as_deref().map(hash).transpose()?,
        scopes: row.scopes.unwrap_or_default(),
    })
}

fn token(row: &UserRow) -> Result<Token> {
    Ok(Token {
        session_id: SessionId::new(&row.id),
        hash: hash(&row.hash)?,
        expires_at: time(row.expires_at),
        spent_at: row.spent_at.map(|at| time(Some(at))),
    })
}

/// Cassandra's integers are signed; no time of ours reaches their end.
pub(super) fn ms(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

pub(super) fn time(ms: Option<i64>) -> u64 {
    u64::try_from(ms.unwrap_or_default()).unwrap_or_default()
}

pub(super) fn user_id(text: &str) -> Result<UserId> {
    UserId::parse(text).map_err(corrupt)
}

pub(super) fn hash(bytes: &[u8]) -> Result<TokenHash> {
    bytes.try_into().map_err(corrupt)
}

/// A value of a closed set, by its name in the API.
pub(super) fn text_of(value: &impl Serialize) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        other => Err(Error::new(ErrorKind::Invalid, format!("not a name: {other:?}"))),
    }
}

fn of_text<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(corrupt)
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_remembers_the_last_steps() {
        let mut user = User::default();
        assert!(user.remembers(None), "nothing was done yet");
        let steps: Vec<Uuid> = (1..=9).map(Uuid::from_u128).collect();
        for step in &steps {
            user.past = user.past_with(*step);
            user.version = Some(*step);
        }
        assert_eq!(user.past, steps[1..]);
        assert!(user.has_taken(steps[1]) && !user.has_taken(steps[0]));
        assert!(user.remembers(Some(steps[1])) && !user.remembers(Some(steps[0])) && !user.remembers(None));
    }
}
