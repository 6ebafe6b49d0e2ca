//! Tables of a port, and how they came to be what they are.

use super::{Fault, Step, column};
use crate::{Error, ErrorKind, Result};

/// The tables of a port. Several ports may have theirs in one database.
pub(crate) struct Schema {
    /// Which port's.
    pub(crate) name: &'static str,
    /// What brings version n to n + 1. A step that was published never changes.
    pub(crate) steps: &'static [&'static str],
}

impl Schema {
    /// Brings the tables up to date, in `namespace` if it is named. Of several processes at once one does it.
    pub(super) async fn apply(&self, step: &Step, namespace: Option<&str>) -> Result<(), Fault> {
        let lock = format!("chat4all {} {}", self.name, namespace.unwrap_or_default());
        step.rows("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&lock]).await?;
        if let Some(namespace) = namespace
            && step.row("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&namespace]).await?.is_none()
        {
            step.script(&format!("CREATE SCHEMA {namespace}")).await?;
        }
        let table = format!("{}_migrations", self.name);
        let known = match step.row("SELECT to_regclass($1) IS NOT NULL", &[&table]).await? {
            Some(row) => column(&row, 0)?,
            None => false,
        };
        if !known {
            step.script(&format!(
                "CREATE TABLE {table} (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            ))
            .await?;
        }
        let row = step.row(&format!("SELECT coalesce(max(version), 0) FROM {table}"), &[]).await?;
        let version: i32 = row.map_or(Ok(0), |row| column(&row, 0))?;
        let newest = i32::try_from(self.steps.len()).unwrap_or(i32::MAX);
        let Some(missing) = usize::try_from(version).ok().and_then(|version| self.steps.get(version..))
        else {
            let why = format!(
                "the tables of {} have schema version {version}, this program knows versions up to {newest}: they \
                 were written by a newer chat4all; start that one",
                self.name
            );
            return Err(Error::new(ErrorKind::Invalid, why).into());
        };
        for (version, sql) in (version + 1..).zip(missing) {
            step.script(sql).await?;
            step.run(&format!("INSERT INTO {table} (version) VALUES ($1)"), &[&version]).await?;
        }
        Ok(())
    }
}
