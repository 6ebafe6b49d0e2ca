//! All users' ids in order. Written before the account is made; it is listed if it was.

use super::buckets::{Buckets, List, bucket_of};
use super::user::user_id;
use crate::Result;
use crate::cassandra::{Cassandra, bind};
use chat4all_model::id::UserId;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;

/// The table `user_ids`.
pub(super) struct Ids {
    cassandra: Arc<Cassandra>,
    buckets: Arc<Buckets>,
    put: PreparedStatement,
    page: PreparedStatement,
}

impl Ids {
    pub(super) async fn prepare(cassandra: &Arc<Cassandra>, buckets: &Arc<Buckets>) -> Result<Self> {
        let page = "SELECT user_id FROM user_ids WHERE bucket = ? AND user_id > ? LIMIT ?";
        Ok(Self {
            put: cassandra.write_statement("INSERT INTO user_ids (bucket, user_id) VALUES (?, ?)").await?,
            page: cassandra.read_statement(page).await?,
            cassandra: Arc::clone(cassandra),
            buckets: Arc::clone(buckets),
        })
    }

    pub(super) async fn put(&self, user: &UserId) -> Result<()> {
        self.buckets.note(List::UserIds, user.as_str()).await?;
        self.cassandra.write(&bind(&self.put, &(bucket_of(user.as_str()), user.as_str()))?).await
    }

    /// The ids behind `after`.
    pub(super) async fn behind(&self, after: &str, limit: usize) -> Result<Vec<UserId>> {
        let mut ids: Vec<UserId> = Vec::new();
        for bucket in self.buckets.of(List::UserIds).await? {
            if ids.len() < limit && bucket.as_str() >= bucket_of(after) {
                ids.extend(self.page(&bucket, after, limit - ids.len()).await?);
            }
        }
        Ok(ids)
    }

    async fn page(&self, bucket: &str, after: &str, limit: usize) -> Result<Vec<UserId>> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows: Vec<(String,)> = self.cassandra.rows(&self.page, &(bucket, after, limit)).await?;
        rows.iter().map(|(id,)| user_id(id)).collect()
    }
}
