//! The audit log. An entry of a step is written before the step and says whose partition decides of it: it counts if
//! that has a row of the same id, which the step makes.

use super::super::AuditEntry;
use super::buckets::{Buckets, List, bucket_of};
use super::user::{ms, time, user_id};
use super::users::Users;
use crate::Result;
use crate::cassandra::{Cassandra, bind};
use chat4all_model::id::UserId;
use futures_util::future::try_join_all;
use scylla::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;

/// The table `audit_log`.
pub(super) struct AuditLog {
    cassandra: Arc<Cassandra>,
    users: Arc<Users>,
    buckets: Arc<Buckets>,
    put: PreparedStatement,
    settle: PreparedStatement,
    has: PreparedStatement,
    newest: PreparedStatement,
    before: PreparedStatement,
}

#[derive(DeserializeRow)]
struct EntryRow {
    entry_id: String,
    at: Option<i64>,
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
    detail: Option<String>,
    decided_by: Option<String>,
}

impl AuditLog {
    pub(super) async fn prepare(
        cassandra: &Arc<Cassandra>,
        users: &Arc<Users>,
        buckets: &Arc<Buckets>,
    ) -> Result<Self> {
        let c = cassandra;
        let put = "INSERT INTO audit_log (bucket, entry_id, at, actor, action, target, detail, decided_by) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let settle = "DELETE decided_by FROM audit_log WHERE bucket = ? AND entry_id = ?";
        let page =
            "SELECT entry_id, at, actor, action, target, detail, decided_by FROM audit_log WHERE bucket = ?";
        Ok(Self {
            put: c.write_statement(put).await?,
            settle: c.write_statement(settle).await?,
            has: c.read_statement(&format!("{page} AND entry_id = ?")).await?,
            newest: c.read_statement(&format!("{page} LIMIT ?")).await?,
            before: c.read_statement(&format!("{page} AND entry_id < ? LIMIT ?")).await?,
            cassandra: Arc::clone(c),
            users: Arc::clone(users),
            buckets: Arc::clone(buckets),
        })
    }

    /// Appends an entry; one that counts at once, or one that a step of `decided_by` decides of.
    pub(super) async fn append(&self, entry: &AuditEntry, decided_by: Option<&UserId>) -> Result<()> {
        self.buckets.note(List::AuditLog, &entry.entry_id).await?;
        let id = &entry.entry_id;
        let (actor, action, target, detail) = (&entry.actor, &entry.action, &entry.target, &entry.detail);
        let decided_by = decided_by.map(UserId::as_str);
        let row = (bucket_of(id), id, ms(entry.at), actor, action, target, detail, decided_by);
        self.cassandra.write(&bind(&self.put, &row)?).await
    }

    /// Spares readers the question whether the step of an entry was taken.
    pub(super) async fn settle(&self, entry: &AuditEntry) -> Result<()> {
        let id = &entry.entry_id;
        self.cassandra.write(&bind(&self.settle, &(bucket_of(id), id))?).await
    }

    /// Whether there is an entry that counted at once.
    pub(super) async fn has(&self, entry: &str) -> Result<bool> {
        let rows: Vec<EntryRow> = self.cassandra.rows(&self.has, &(bucket_of(entry), entry)).await?;
        Ok(!rows.is_empty())
    }

    /// The newest entries before `before`.
    pub(super) async fn page(&self, before: Option<&str>, limit: usize) -> Result<Vec<AuditEntry>> {
        let mut before = before.map(str::to_owned);
        let mut page = Vec::new();
        for bucket in self.buckets.of(List::AuditLog).await?.into_iter().rev() {
            while page.len() < limit && before.as_deref().is_none_or(|before| bucket.as_str() <= before) {
                let wanted = limit - page.len();
                let rows = self.rows(&bucket, before.as_deref(), wanted).await?;
                let more = rows.len() == wanted;
                before = rows.last().map(|row| row.entry_id.clone()).or(before);
                page.extend(
                    try_join_all(rows.into_iter().map(|row| self.counted(row))).await?.into_iter().flatten(),
                );
                if !more {
                    break;
                }
            }
        }
        Ok(page)
    }

    async fn rows(&self, bucket: &str, before: Option<&str>, limit: usize) -> Result<Vec<EntryRow>> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        match before {
            Some(before) => self.cassandra.rows(&self.before, &(bucket, before, limit)).await,
            None => self.cassandra.rows(&self.newest, &(bucket, limit)).await,
        }
    }

    async fn counted(&self, row: EntryRow) -> Result<Option<AuditEntry>> {
        if let Some(user) = &row.decided_by
            && !self.users.has_audit(&user_id(user)?, &row.entry_id).await?
        {
            return Ok(None);
        }
        Ok(Some(AuditEntry {
            entry_id: row.entry_id,
            at: time(row.at),
            actor: row.actor.unwrap_or_default(),
            action: row.action.unwrap_or_default(),
            target: row.target,
            detail: row.detail,
        }))
    }
}
