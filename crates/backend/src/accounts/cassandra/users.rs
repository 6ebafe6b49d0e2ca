//! Users' partitions, and steps that change one at a time.

use super::super::{SessionId, TokenHash};
use super::changes::Changes;
use super::user::{ACCOUNT, AUDIT, BOT, COLUMNS, SESSION, TOKEN, Token, User, UserRow};
use crate::cassandra::{Cassandra, Change};
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::UserId;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a step may take, with all its tries.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// How long a step that somebody else has begun is waited for. It loses nothing when it is overtaken but time.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(20);
/// Steps that were in each other's way try again after a random time, up to this and longer each time.
const PAUSE_MS: u64 = 10;
const LONGEST_PAUSE_MS: u64 = 200;

/// What is read of a partition beside the account.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    /// Nothing.
    Account,
    /// All sessions.
    Sessions,
    /// All bots.
    Bots,
    /// One session.
    Session(&'a SessionId),
    /// One session and one of its tokens.
    Token(&'a SessionId, &'a TokenHash),
    /// All.
    Whole,
}

/// Sessions, or refresh tokens, each by the ids of its session and its own.
pub(super) type Row = (String, Vec<u8>);

/// What a step comes to.
pub(super) enum Decision<T> {
    /// Nothing is to change.
    Answer(T),
    /// These changes, and the answer once they are made.
    Change(Vec<Change>, T),
}

/// The table `users`.
pub(super) struct Users {
    cassandra: Arc<Cassandra>,
    read: Read,
    /// What steps are made of.
    pub(super) changes: Changes,
}

struct Read {
    account: PreparedStatement,
    /// Ends what is under way: a plain read behind it sees all that was decided.
    serial: PreparedStatement,
    kind: PreparedStatement,
    token: PreparedStatement,
    tokens: PreparedStatement,
    audit: PreparedStatement,
    whole: PreparedStatement,
    page: PreparedStatement,
}

impl Users {
    pub(super) async fn prepare(cassandra: &Arc<Cassandra>) -> Result<Self> {
        let c = cassandra;
        let select = |rest: &str| format!("SELECT {COLUMNS} FROM users WHERE user_id = ? AND {rest}");
        let account = select(&format!("kind = '{ACCOUNT}'"));
        let token = select(&format!(
            "(kind, id, hash) IN (('{ACCOUNT}', '', 0x), ('{SESSION}', ?, 0x), ('{TOKEN}', ?, ?))"
        ));
        let read = Read {
            account: c.read_statement(&account).await?,
            serial: c.serial_read_statement(&account).await?,
            kind: c.read_statement(&select(&format!("kind IN ('{ACCOUNT}', ?)"))).await?,
            token: c.read_statement(&token).await?,
            tokens: c.read_statement(&select(&format!("kind = '{TOKEN}' AND id = ?"))).await?,
            whole: c.read_statement(&format!("SELECT {COLUMNS} FROM users WHERE user_id = ?")).await?,
            page: c.read_statement(&select("kind = ? AND (id, hash) > (?, ?) LIMIT ?")).await?,
            audit: c.read_statement(&select(&format!("kind = '{AUDIT}' AND id = ?"))).await?,
        };
        Ok(Self { read, changes: Changes::prepare(c).await?, cassandra: Arc::clone(c) })
    }

    /// Reads a user.
    pub(super) async fn read(&self, user: &UserId, part: Part<'_>) -> Result<User> {
        let (read, user) = (&self.read, user.as_str());
        let rows = match part {
            Part::Account => self.cassandra.rows::<UserRow>(&read.account, &(user,)).await,
            Part::Sessions => self.cassandra.rows(&read.kind, &(user, SESSION)).await,
            Part::Bots => self.cassandra.rows(&read.kind, &(user, BOT)).await,
            Part::Session(session) => {
                let id = session.as_str();
                self.cassandra.rows(&read.token, &(user, id, id, b"".as_slice())).await
            }
            Part::Token(session, hash) => {
                let id = session.as_str();
                self.cassandra.rows(&read.token, &(user, id, id, hash.as_slice())).await
            }
            Part::Whole => self.cassandra.rows(&read.whole, &(user,)).await,
        };
        User::of(rows?)
    }

    /// The refresh tokens of a session.
    pub(super) async fn tokens(&self, user: &UserId, session: &SessionId) -> Result<Vec<Token>> {
        let values = (user.as_str(), session.as_str());
        Ok(User::of(self.cassandra.rows(&self.read.tokens, &values).await?)?.tokens)
    }

    /// The sessions (`kind` is [`SESSION`]) or tokens ([`TOKEN`]) of a user behind a row.
    pub(super) async fn page(
        &self,
        user: &UserId,
        kind: &str,
        (id, hash): &Row,
        limit: usize,
    ) -> Result<User> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let values = (user.as_str(), kind, id, hash, limit);
        User::of(self.cassandra.rows(&self.read.page, &values).await?)
    }

    /// Whether a step was taken that an entry of the audit log tells of.
    pub(super) async fn has_audit(&self, user: &UserId, entry: &str) -> Result<bool> {
        let rows: Vec<UserRow> = self.cassandra.rows(&self.read.audit, &(user.as_str(), entry)).await?;
        Ok(!rows.is_empty())
    }

    /// Takes a step: reads, decides, and makes the changes if nobody else has taken one meanwhile, else all over
    /// again. All that `decide` itself writes must be harmless until its changes are made.
    ///
    /// # Errors
    /// Those of `decide`; `OutcomeUnknown` if the changes may have been made, else `Unavailable` if they could not be.
    pub(super) async fn step<T, F>(
        &self,
        user: &UserId,
        part: Part<'_>,
        step: Uuid,
        mut decide: impl FnMut(User) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Decision<T>>>,
    {
        let began = Instant::now();
        // The last try: the version that it follows on, and its answer.
        let mut tried: Option<(Option<Uuid>, T)> = None;
        // Whether it may have been made, or yet be.
        let mut unknown = false;
        for tries in 1.. {
            let found =
                if unknown { self.read_decided(user, part).await } else { self.read(user, part).await };
            let found = found.map_err(|error| certain(error, !unknown))?;
            if let Some((follows, answer)) = tried {
                if found.has_taken(step) {
                    return Ok(answer);
                }
                if unknown && !found.remembers(follows) {
                    return Err(Error::new(ErrorKind::OutcomeUnknown, "too much was done meanwhile"));
                }
                // If others came first, it will not be.
                unknown &= found.version == follows;
            }
            let (version, past) = (found.version, found.past_with(step));
            let decision = decide(found).await.map_err(|error| certain(error, !unknown))?;
            let (changes, answer) = match decision {
                Decision::Answer(answer) => return Ok(answer),
                Decision::Change(changes, answer) => (changes, answer),
            };
            match self.commit(user, version, step, past, changes).await {
                Ok(true) => return Ok(answer),
                Ok(false) => {}
                Err(error) if error.kind == ErrorKind::OutcomeUnknown => unknown = true,
                Err(error) => return Err(certain(error, !unknown)),
            }
            tried = Some((version, answer));
            if began.elapsed() > LIMIT {
                break;
            }
            pause(tries).await;
        }
        Err(certain(crowded(), !unknown))
    }

    /// Waits until a user's version is another than `version`, and makes it another if nobody else does: whatever
    /// was to follow it will not be done. Gives the account as it is then.
    pub(super) async fn beyond(&self, user: &UserId, version: Option<Uuid>) -> Result<User> {
        let began = Instant::now();
        loop {
            let mut found = self.read(user, Part::Account).await?;
            if found.version != version {
                found = self.read_decided(user, Part::Account).await?;
            }
            if found.version != version {
                return Ok(found);
            }
            if began.elapsed() > LIMIT {
                return Err(crowded());
            }
            if began.elapsed() > PATIENCE {
                let step = new_step();
                match self.commit(user, version, step, found.past_with(step), Vec::new()).await {
                    Err(error) if error.kind != ErrorKind::OutcomeUnknown => return Err(error),
                    // The next look tells.
                    _ => continue,
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Reads a user, all steps that were decided included: also those that nobody was told of.
    pub(super) async fn read_decided(&self, user: &UserId, part: Part<'_>) -> Result<User> {
        self.cassandra.rows::<UserRow>(&self.read.serial, &(user.as_str(),)).await?;
        self.read(user, part).await
    }

    async fn commit(
        &self,
        user: &UserId,
        follows: Option<Uuid>,
        step: Uuid,
        past: Vec<Uuid>,
        changes: Vec<Change>,
    ) -> Result<bool> {
        let this = self.changes.step(user, follows, step, past);
        let all: Vec<Change> = std::iter::once(this).chain(changes).collect();
        self.cassandra.condition_all(&all).await
    }
}

/// A step's id, which is the version that it leads to.
pub(super) fn new_step() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// What of an error is certain: whether nothing was done.
pub(super) fn certain(mut error: Error, nothing_done: bool) -> Error {
    error.kind = match (error.kind, nothing_done) {
        (ErrorKind::OutcomeUnknown, true) => ErrorKind::Unavailable,
        (ErrorKind::Unavailable | ErrorKind::Overloaded, false) => ErrorKind::OutcomeUnknown,
        (kind, _) => kind,
    };
    error
}

fn crowded() -> Error {
    Error::new(ErrorKind::Unavailable, "too many change one account at once")
}

/// Rests before the next try.
pub(super) async fn pause(tries: u64) {
    let longest = (PAUSE_MS * tries).min(LONGEST_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=longest))).await;
}
