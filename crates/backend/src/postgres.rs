//! PostgreSQL, as its store and its accounts share it: a URL becomes a bounded pool of connections to an up-to-date
//! schema, and every statement has a time limit and an error of a known kind.
//!
//! A method of a port is one of four shapes: one statement that reads ([`Database::rows`]) or writes
//! ([`Database::apply`]); several at once, sent with their `BEGIN` and `COMMIT` in one go
//! ([`Database::snapshot`], [`Database::batch`]), so that no lock outlives a client that is paused or cut off; and a
//! transaction that decides as it goes ([`Database::transaction`]).

mod cell;
mod fault;
mod migrate;
mod query;
mod settings;
mod step;

pub(crate) use self::cell::{Cell, Text, column, number, unsigned};
pub(crate) use self::fault::Fault;
pub(crate) use self::migrate::Schema;
pub(crate) use self::query::{Cells, Params, Query};
pub(crate) use self::step::Step;
pub(crate) use tokio_postgres::Row;
pub(crate) use tokio_postgres::types::ToSql;

use self::fault::{After, Engine};
use self::settings::Settings;
use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use rand::Rng;
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Calls that may wait for a connection.
const MAX_WAITING: usize = 1_024;
/// How often something is tried whose connection was lost before it did anything, or that another transaction stood
/// in the way of.
const ATTEMPTS: u32 = 8;
/// About how long a pause before another try after another transaction is, in milliseconds; it doubles.
const PAUSE_MS: u64 = 5;
/// How long a change of the schema or of a whole table may take.
const MAINTENANCE: Duration = Duration::from_secs(3_600);

/// A database of PostgreSQL, or a schema of one.
pub(crate) struct Database {
    pool: Pool,
    engine: Engine,
    /// Of one method, but for waiting for a connection.
    limit: Duration,
}

impl Database {
    /// Connects, and brings the tables of `schema` up to date.
    ///
    /// # Errors
    /// `Invalid` if the URL, the credentials, the database or its settings are wrong, or a newer program wrote the
    /// tables; `Unavailable` if no server answers.
    pub(crate) async fn open(url: EngineUrl, schema: &Schema) -> Result<Self> {
        let Settings { config, tls, namespace, pool, limit, connecting, engine } = Settings::of(url)?;
        let tls = tokio::task::spawn_blocking(move || tls.client())
            .await
            .map_err(|e| Error::new(ErrorKind::Unavailable, e))??;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, MakeRustlsConnect::new(tls), recycling);
        let pool = Pool::builder(manager)
            .max_size(pool)
            .wait_timeout(Some(limit / 2))
            .create_timeout(Some(connecting))
            .recycle_timeout(Some(connecting))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| Error::new(ErrorKind::Invalid, e))?;
        let database = Self { pool, engine, limit };
        database.check().await?;
        let namespace = namespace.as_deref();
        database.maintain(|step| async move { schema.apply(&step, namespace).await }).await?;
        Ok(database)
    }

    /// Whether the server keeps what it says it kept, and keeps texts as they are.
    async fn check(&self) -> Result<()> {
        let client = self.pool.get().await.map_err(|e| self.engine.opening(e))?;
        let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
                   current_setting('synchronous_commit')";
        drop(client);
        let [row] = &self.rows(sql, &[]).await?[..] else {
            return Err(self.engine.error(ErrorKind::Corrupt, "it does not say what it is"));
        };
        let (version, encoding, commit): (i32, String, String) =
            (column(row, 0)?, column(row, 1)?, column(row, 2)?);
        let wrong = |why: String| Err(self.engine.error(ErrorKind::Invalid, why));
        if version < 130_000 {
            return wrong(format!("this is PostgreSQL {}, at least 13 is needed", version / 10_000));
        }
        if encoding != "UTF8" {
            return wrong(format!(
                "the database has the encoding {encoding}: make one with the encoding UTF8"
            ));
        }
        if commit == "off" {
            return wrong(
                "`synchronous_commit` is off, so that a power cut takes what was answered: set it to on for this \
                 user or database"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Reads with one statement.
    pub(crate) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.statement(sql, params, After::Nothing).await
    }

    /// Writes with one statement, a transaction of its own.
    pub(crate) async fn apply(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.statement(sql, params, After::Commit).await
    }

    /// Reads with several statements at one moment; the answers in their order.
    pub(crate) async fn snapshot(&self, queries: &[Query<'_>]) -> Result<Vec<Vec<Row>>> {
        self.at_once("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", queries, After::Nothing).await
    }

    /// Writes with several statements, all or nothing; the answers in their order.
    pub(crate) async fn batch(&self, queries: &[Query<'_>]) -> Result<Vec<Vec<Row>>> {
        self.at_once("BEGIN", queries, After::Commit).await
    }

    /// Writes in a transaction that decides as it goes. An error of `work` undoes it. `work` is done again if
    /// another transaction stood in its way, so it may have no effect but through its argument.
    pub(crate) async fn transaction<T, F>(&self, work: impl Fn(Step) -> F) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        self.decide(self.limit, work).await
    }

    /// The same for what takes long: changes of the schema or of whole tables.
    pub(crate) async fn maintain<T, F>(&self, work: impl Fn(Step) -> F) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        self.decide(MAINTENANCE, |step| {
            let work = work(step.clone());
            async move {
                step.script("SET LOCAL statement_timeout = 0").await?;
                work.await
            }
        })
        .await
    }

    async fn statement(&self, sql: &str, params: &[&(dyn ToSql + Sync)], after: After) -> Result<Vec<Row>> {
        self.patiently(self.limit, after, |step| async move {
            let statement = step.client()?.prepare_cached(sql).await?;
            step.commits();
            Ok(step.client()?.query(&statement, params).await?)
        })
        .await
    }

    async fn at_once(&self, begin: &str, queries: &[Query<'_>], after: After) -> Result<Vec<Vec<Row>>> {
        self.patiently(self.limit, after, |step| async move { query::at_once(&step, begin, queries).await })
            .await
    }

    async fn decide<T, F>(&self, limit: Duration, work: impl Fn(Step) -> F) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        self.patiently(limit, After::Commit, |step| {
            let work = work(step.clone());
            async move {
                step.begin().await?;
                let done = match work.await {
                    Ok(done) => done,
                    Err(fault) => {
                        step.end("ROLLBACK").await?;
                        return Err(fault);
                    }
                };
                step.commits();
                step.end("COMMIT").await?;
                Ok(done)
            }
        })
        .await
    }

    /// Does something with a connection within a time, and again if another transaction stood in its way.
    async fn patiently<T, F>(&self, limit: Duration, after: After, work: impl Fn(Step) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let mut attempt = 1;
        loop {
            let step = Step::new(self.client().await?);
            let outcome = tokio::time::timeout(limit, work(step.clone())).await;
            let after = if step.has_committed() { after } else { After::Nothing };
            match outcome {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(Fault::Own(error))) => return Err(error),
                Ok(Err(Fault::Engine(error))) if fault::in_the_way(&error) && attempt < ATTEMPTS => {
                    drop(step);
                    tracing::debug!(attempt, "a transaction stood in the way of another and is tried again");
                    let longest = PAUSE_MS << attempt;
                    let pause = rand::rng().random_range(longest / 2..=longest);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    attempt += 1;
                }
                // It may have been lost long ago, with a restart of the server: another one may do.
                Ok(Err(Fault::Engine(error)))
                    if fault::is_lost(&error) && after == After::Nothing && attempt < ATTEMPTS =>
                {
                    step.spoil();
                    attempt += 1;
                }
                Ok(Err(Fault::Engine(error))) => {
                    if fault::spoils(&error) {
                        step.spoil();
                    }
                    return Err(self.engine.failed(&error, after));
                }
                Err(_) => {
                    step.spoil();
                    return Err(self.engine.late(after));
                }
            }
        }
    }

    async fn client(&self) -> Result<Object> {
        if self.pool.status().waiting >= MAX_WAITING {
            return Err(self.engine.error(ErrorKind::Overloaded, "too many calls wait for a connection"));
        }
        self.pool.get().await.map_err(|e| self.engine.connecting(e))
    }
}
