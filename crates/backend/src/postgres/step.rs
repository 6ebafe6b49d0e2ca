//! A connection at work.

use super::{Fault, Row};
use crate::{Error, ErrorKind, Result};
use deadpool_postgres::Object;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::types::ToSql;

/// A connection, taken from the pool for one method. When nobody has it any more it goes back, unless it stands in
/// the middle of a transaction or is lost: then it is closed, which undoes the transaction.
#[derive(Clone)]
pub(crate) struct Step(Arc<Lease>);

struct Lease {
    /// None only while dropping.
    client: Option<Object>,
    /// The next user would find something unfinished.
    unfinished: AtomicBool,
    /// A commit was sent, which may have been done though its answer is lost.
    committed: AtomicBool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.unfinished.load(Ordering::Relaxed)
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}

impl Step {
    pub(super) fn new(client: Object) -> Self {
        let (unfinished, committed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Lease { client: Some(client), unfinished, committed }))
    }

    pub(super) fn client(&self) -> Result<&Object> {
        let gone = || Error::new(ErrorKind::Unavailable, "the connection was given back");
        self.0.client.as_ref().ok_or_else(gone)
    }

    pub(super) async fn begin(&self) -> Result<(), Fault> {
        self.spoil();
        Ok(self.client()?.batch_execute("BEGIN").await?)
    }

    /// Ends the transaction, with `COMMIT` or `ROLLBACK`.
    pub(super) async fn end(&self, how: &str) -> Result<(), Fault> {
        self.client()?.batch_execute(how).await?;
        self.0.unfinished.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// From now on a lost answer leaves in doubt whether all or nothing was done.
    pub(super) fn commits(&self) {
        self.0.committed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_committed(&self) -> bool {
        self.0.committed.load(Ordering::Relaxed)
    }

    /// Nobody shall use the connection again.
    pub(super) fn spoil(&self) {
        self.0.unfinished.store(true, Ordering::Relaxed);
    }

    /// The rows of a statement.
    pub(crate) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }

    /// The first row of a statement.
    pub(crate) async fn row(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// How many rows a statement changed.
    pub(crate) async fn run(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Fault> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, params).await?)
    }

    /// Statements without parameters.
    pub(crate) async fn script(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client()?.batch_execute(sql).await?)
    }
}
