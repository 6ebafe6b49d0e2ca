//! Whose a refresh token or a bot's key is. Written before the step that makes the token, and never changed: what the
//! token is good for, the user's partition says.

use super::super::{SessionId, TokenHash};
use super::user::user_id;
use crate::Result;
use crate::cassandra::{Cassandra, bind};
use chat4all_model::id::UserId;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;

/// How many are removed at once.
const AT_ONCE: usize = 32;

/// The table `tokens`.
pub(super) struct Tokens {
    cassandra: Arc<Cassandra>,
    put: PreparedStatement,
    remove: PreparedStatement,
    of: PreparedStatement,
}

impl Tokens {
    pub(super) async fn prepare(cassandra: &Arc<Cassandra>) -> Result<Self> {
        let put = "INSERT INTO tokens (hash, user_id, session_id) VALUES (?, ?, ?)";
        let of = "SELECT user_id, session_id FROM tokens WHERE hash = ?";
        Ok(Self {
            put: cassandra.write_statement(put).await?,
            remove: cassandra.write_statement("DELETE FROM tokens WHERE hash = ?").await?,
            of: cassandra.read_statement(of).await?,
            cassandra: Arc::clone(cassandra),
        })
    }

    pub(super) async fn put(&self, hash: &TokenHash, user: &UserId, session: &SessionId) -> Result<()> {
        let row = (hash.as_slice(), user.as_str(), session.as_str());
        self.cassandra.write(&bind(&self.put, &row)?).await
    }

    pub(super) async fn remove(&self, hashes: &[TokenHash]) -> Result<()> {
        let removed: Vec<_> = hashes.iter().map(|hash| self.remove_one(hash)).collect();
        stream::iter(removed).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn remove_one(&self, hash: &TokenHash) -> Result<()> {
        self.cassandra.write(&bind(&self.remove, &(hash.as_slice(),))?).await
    }

    pub(super) async fn of(&self, hash: &TokenHash) -> Result<Option<(UserId, SessionId)>> {
        let rows: Vec<(String, String)> = self.cassandra.rows(&self.of, &(hash.as_slice(),)).await?;
        let found = rows.first().map(|(user, session)| Ok((user_id(user)?, SessionId::new(session))));
        found.transpose()
    }
}
