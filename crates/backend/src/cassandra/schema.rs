//! Keyspace and tables: made by whoever comes first, brought forward by one process at a time.
//!
//! Two nodes that are told at once to make a table make two, and their schemas never agree. So there is a lock: a row
//! that is taken by a lightweight transaction, and expires with its holder. Its own table is made without a lock, under
//! an id that everybody derives from the keyspace: whoever makes it makes the same one.

use super::{Cassandra, bind};
use crate::{Error, ErrorKind, Result};
use scylla::client::session::Session;
use scylla::statement::Statement;
use scylla::value::Row;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A part of the keyspace with numbered changes of its own: the first leads from nothing to version 1.
pub(crate) struct Schema {
    /// Its name in `schema_versions`.
    pub(crate) part: &'static str,
    /// Statements that end with a semicolon at the end of a line. Each must be harmless when it is run again.
    pub(crate) migrations: &'static [&'static str],
}

/// A lock expires this long after its holder last showed itself.
const LOCK_SECONDS: i32 = 30;
/// How long another may hold it, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);
/// How long one change may take.
const CHANGE: Duration = Duration::from_secs(60);

/// A statement that changes the schema. It waits for all nodes, which under load take far longer than a read may.
fn change(statement: &str) -> Statement {
    let mut statement = Statement::new(statement);
    statement.set_request_timeout(Some(CHANGE));
    statement
}

/// Uses the keyspace, which is made if it is not there.
pub(super) async fn keyspace(
    session: &Session,
    keyspace: &str,
    replication: Option<u32>,
    dc: Option<&str>,
) -> Result<()> {
    // To look for it in the system's tables would not do: what stands there need not be in use yet.
    match session.use_keyspace(keyspace, false).await.map_err(Error::from) {
        Err(error) if error.kind == ErrorKind::Invalid => {
            let replication = copies(session, replication, dc)?;
            let make = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}");
            session.query_unpaged(change(&make), ()).await.map_err(super::failure::of_request)?;
            Ok(session.use_keyspace(keyspace, false).await?)
        }
        other => other,
    }
}

/// How often, and in which datacenter, rows are kept.
fn copies(session: &Session, replication: Option<u32>, dc: Option<&str>) -> Result<String> {
    let cluster = session.get_cluster_state();
    let nodes = cluster.get_nodes_info();
    let mut known: Vec<&str> = nodes.iter().filter_map(|node| node.datacenter.as_deref()).collect();
    known.sort_unstable();
    known.dedup();
    let wrong = |why: String| Err(Error::new(ErrorKind::Invalid, why));
    let dc = match (dc, known.as_slice()) {
        (Some(dc), known) if !known.contains(&dc) => {
            return wrong(format!("`dc={dc}`: there is no such datacenter but {}", known.join(", ")));
        }
        (Some(dc), _) => dc,
        (None, [only]) => only,
        (None, known) => {
            let known = known.join(", ");
            return wrong(format!("there are several datacenters: say with `dc=` which of {known} to use"));
        }
    };
    let copies = replication.unwrap_or(if nodes.len() == 1 { 1 } else { 3 });
    Ok(format!("{{'class': 'NetworkTopologyStrategy', '{dc}': {copies}}}"))
}

impl Cassandra {
    /// Brings a part's tables to the newest version.
    pub(super) async fn migrate(&self, schema: &Schema) -> Result<()> {
        if self.version(schema).await?.is_none_or(|version| version < schema.migrations.len()) {
            self.make(&format!(
                "CREATE TABLE IF NOT EXISTS schema_lock (part text PRIMARY KEY, holder text)
                 WITH id = {} AND gc_grace_seconds = 3600",
                lock_table(&self.keyspace)
            ))
            .await?;
            let holder = Uuid::now_v7().to_string();
            let deadline = Instant::now() + PATIENCE;
            while !self.migrated(schema, &holder).await? {
                if Instant::now() > deadline {
                    let why =
                        format!("another process has been changing the tables of {} too long", schema.part);
                    return Err(Error::new(ErrorKind::Unavailable, why));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        // What another made need not be known to every node yet.
        self.session.await_schema_agreement().await?;
        Ok(())
    }

    /// Whether it is done; not if another has the lock, or nobody knows who has.
    async fn migrated(&self, schema: &Schema, holder: &str) -> Result<bool> {
        match Box::pin(self.migrate_alone(schema, holder)).await {
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => Ok(false),
            other => other,
        }
    }

    async fn migrate_alone(&self, schema: &Schema, holder: &str) -> Result<bool> {
        // One lock for all parts: two tables changed at once by two nodes are no better than one.
        let take = format!(
            "INSERT INTO schema_lock (part, holder) VALUES ('all', ?) IF NOT EXISTS USING TTL {LOCK_SECONDS}"
        );
        let keep = format!(
            "UPDATE schema_lock USING TTL {LOCK_SECONDS} SET holder = ? WHERE part = 'all' IF holder = ?"
        );
        // An attempt that was not answered may have taken it.
        if !self.decides(&take, (holder,)).await? && !self.decides(&keep, (holder, holder)).await? {
            return Ok(false);
        }
        self.session.await_schema_agreement().await?;
        self.make(
            "CREATE TABLE IF NOT EXISTS schema_versions
             (part text, version int, made_at timestamp, PRIMARY KEY (part, version))",
        )
        .await?;
        // Another may have done it meanwhile.
        let from = self.version(schema).await?.unwrap_or_default();
        for (version, migration) in (from + 1..).zip(&schema.migrations[from..]) {
            for statement in migration.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
                if !self.decides(&keep, (holder, holder)).await? {
                    return Ok(false);
                }
                self.make(statement).await?;
            }
            let note =
                "INSERT INTO schema_versions (part, version, made_at) VALUES (?, ?, toTimestamp(now()))";
            let version = i32::try_from(version).unwrap_or(i32::MAX);
            self.write(&bind(&self.write_statement(note).await?, &(schema.part, version))?).await?;
        }
        self.decides("DELETE FROM schema_lock WHERE part = 'all' IF holder = ?", (holder,)).await?;
        Ok(true)
    }

    /// Changes the schema and waits until the nodes agree on it.
    async fn make(&self, statement: &str) -> Result<()> {
        let made = self.session.query_unpaged(change(statement), ()).await;
        made.map(|_| ()).map_err(super::failure::of_request)
    }

    /// How many of the part's changes have been made; none if that is kept nowhere yet.
    async fn version(&self, schema: &Schema) -> Result<Option<usize>> {
        let newest = "SELECT max(version) FROM schema_versions WHERE part = ?";
        let newest = match self.read_statement(newest).await {
            Err(error) if error.kind == ErrorKind::Invalid => return Ok(None),
            newest => newest?,
        };
        let found: Vec<(Option<i32>,)> = self.rows(&newest, &(schema.part,)).await?;
        let version = found.first().and_then(|(version,)| *version).unwrap_or_default();
        let version = usize::try_from(version).unwrap_or_default();
        let known = schema.migrations.len();
        if version > known {
            let why = format!(
                "the tables of {} in keyspace {} are of version {version}, made by a newer program; this one \
                 knows them up to {known}",
                schema.part, self.keyspace
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        Ok(Some(version))
    }

    /// Whether a lightweight transaction was applied.
    async fn decides(
        &self,
        statement: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<bool> {
        let answer =
            self.session.query_unpaged(statement, values).await.map_err(super::failure::of_request)?;
        let rows = answer.into_rows_result().map_err(super::unexpected)?;
        let row: Row = rows.first_row().map_err(super::unexpected)?;
        Ok(super::applied(&row))
    }
}

/// The id of the table of locks in a keyspace: the same for everybody, another in every keyspace.
fn lock_table(keyspace: &str) -> Uuid {
    // FNV-1a, which is the same in every build.
    let half = |salt: u8| {
        let bytes = std::iter::once(salt).chain(keyspace.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    Uuid::from_u64_pair(half(1), half(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyspace_has_a_table_of_locks_of_its_own() {
        assert_eq!(lock_table("chat4all").to_string(), lock_table("chat4all").to_string());
        assert_ne!(lock_table("chat4all"), lock_table("chat4al1"));
    }
}
