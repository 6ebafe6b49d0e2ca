//! Lists that grow for ever, cut into partitions by how their ids begin. So any ids are in order; of UUIDv7, whose
//! first 20 bits are those of the time, a bucket is what was made in three days.

use crate::Result;
use crate::cassandra::{Cassandra, bind};
use parking_lot::Mutex;
use scylla::statement::prepared::PreparedStatement;
use std::collections::HashSet;
use std::sync::Arc;

/// How many characters of an id name its bucket.
const PREFIX: usize = 5;

/// A list in buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum List {
    UserIds,
    AuditLog,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            Self::UserIds => "user_ids",
            Self::AuditLog => "audit_log",
        }
    }
}

/// The bucket of an id.
pub(super) fn bucket_of(id: &str) -> &str {
    let end = id.char_indices().nth(PREFIX).map_or(id.len(), |(end, _)| end);
    &id[..end]
}

/// The table `buckets`.
pub(super) struct Buckets {
    cassandra: Arc<Cassandra>,
    put: PreparedStatement,
    all: PreparedStatement,
    /// Those that are surely there: none is ever removed. Some 120 a year and list.
    known: Mutex<HashSet<(List, String)>>,
}

impl Buckets {
    pub(super) async fn prepare(cassandra: &Arc<Cassandra>) -> Result<Self> {
        Ok(Self {
            put: cassandra.write_statement("INSERT INTO buckets (list, bucket) VALUES (?, ?)").await?,
            all: cassandra.read_statement("SELECT bucket FROM buckets WHERE list = ?").await?,
            cassandra: Arc::clone(cassandra),
            known: Mutex::default(),
        })
    }

    /// Sees to it that the bucket of an id is known, before the id is written.
    pub(super) async fn note(&self, list: List, id: &str) -> Result<()> {
        let bucket = (list, bucket_of(id).to_owned());
        if self.known.lock().contains(&bucket) {
            return Ok(());
        }
        self.cassandra.write(&bind(&self.put, &(list.name(), &bucket.1))?).await?;
        self.known.lock().insert(bucket);
        Ok(())
    }

    /// All buckets in order.
    pub(super) async fn of(&self, list: List) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self.cassandra.rows(&self.all, &(list.name(),)).await?;
        Ok(rows.into_iter().map(|(bucket,)| bucket).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::bucket_of;

    #[test]
    fn buckets_are_in_the_order_of_their_ids() {
        let mut ids = ["", "é", "ééééééé", "019", "0190a", "0190a000-0000", "0190b", "operator"];
        ids.sort_unstable();
        assert!(ids.is_sorted_by_key(|id| bucket_of(id)));
        assert_eq!(bucket_of("ééééééé").chars().count(), 5);
    }
}
