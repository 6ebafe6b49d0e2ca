//! What the engines on Apache Cassandra share: a session from a URL, the tables' versions, statements, errors.
//!
//! `cassandra://user:password@host:9042,host/keyspace?replication=3&dc=…&consistency=LOCAL_QUORUM&tls=true&ca=…&timeout_ms=5000`.
//! The keyspace (`chat4all`) is made if it is not there, in datacenter `dc` (the only one, if there is one), with
//! `replication` copies (one on a single node, else three). With TLS the nodes' certificates must name their addresses.
//!
//! Cassandra's default `commitlog_sync: periodic` loses writes that were acknowledged when processes are killed;
//! production needs `batch` or `group`. A node that has it otherwise is named in the log at start.

mod failure;
mod schema;
mod settings;

pub(crate) use schema::Schema;

use self::failure::{NextOnRefusal, nothing_done, of_connecting, of_request};
use self::settings::Settings;
use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result};
use scylla::client::PoolSize;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::{DefaultPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row};
use scylla_cql_core::serialize::row::SerializedValues;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long the first contact may take, all nodes tried.
const CONNECT: Duration = Duration::from_secs(8);
/// A connection whose node says nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(4);
/// A node's requests are handled by as many of its threads as there are connections.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
/// A read that has not been answered after this long is also asked of another node.
const SPECULATE: Duration = Duration::from_millis(500);
/// Rows of a page: of the largest ones (a text of 64 KiB) they are some 30 MB.
const PAGE_ROWS: i32 = 500;
/// How often an idempotent request is sent again whose outcome is unknown, and after how long.
const AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// A keyspace of a cluster, its tables up to date.
pub(crate) struct Cassandra {
    session: Session,
    keyspace: String,
    timeout: Duration,
    /// For what only reads.
    reads: ExecutionProfileHandle,
    /// Of a read that sees every lightweight transaction that was decided.
    serial: Consistency,
}

impl Cassandra {
    /// Connects, and brings `schema` up to date.
    ///
    /// # Errors
    /// `Invalid` if the URL is wrong or the tables are of a newer program, `Unavailable` if the cluster cannot be
    /// reached.
    pub(crate) async fn open(url: EngineUrl, schema: &Schema) -> Result<Self> {
        let settings = Settings::of(url).await?;
        let cassandra = Box::pin(Self::connect(settings)).await?;
        Box::pin(cassandra.migrate(schema)).await?;
        cassandra.warn_of_periodic_commits().await;
        Ok(cassandra)
    }

    async fn connect(settings: Settings) -> Result<Self> {
        let Settings { addresses, keyspace, timeout, .. } = settings;
        let mut policy = DefaultPolicy::builder().token_aware(true);
        if let Some(dc) = &settings.dc {
            policy = policy.prefer_datacenter(dc.clone());
        }
        let profile = ExecutionProfile::builder()
            .consistency(settings.consistency)
            .serial_consistency(Some(settings.serial))
            .request_timeout(Some(timeout))
            .load_balancing_policy(policy.build())
            .retry_policy(Arc::new(NextOnRefusal));
        let speculative = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: SPECULATE };
        let reads = profile.clone().speculative_execution_policy(Some(Arc::new(speculative))).build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&addresses)
            .default_execution_profile_handle(profile.build().into_handle())
            .pool_size(PoolSize::PerHost(CONNECTIONS))
            .connection_timeout(CONNECT / 2)
            .keepalive_interval(SILENCE / 2)
            .keepalive_timeout(SILENCE / 2)
            .tls_context(settings.tls)
            .keyspaces_to_fetch([&keyspace])
            .fetch_full_schema_metadata(false);
        if let Some((user, password)) = &settings.credentials {
            builder = builder.user(user, password);
        }
        let addresses = addresses.join(", ");
        let late = || {
            let why = format!("Cassandra at {addresses} did not answer within {} s", CONNECT.as_secs());
            Error::new(ErrorKind::Unavailable, why)
        };
        let session = Box::pin(tokio::time::timeout(CONNECT, builder.build())).await.map_err(|_| late())?;
        let session = session.map_err(|error| of_connecting(error, &addresses))?;
        schema::keyspace(&session, &keyspace, settings.replication, settings.dc.as_deref()).await?;
        let serial = match settings.serial {
            SerialConsistency::Serial => Consistency::Serial,
            SerialConsistency::LocalSerial => Consistency::LocalSerial,
        };
        Ok(Self { session, keyspace, timeout, reads: reads.into_handle(), serial })
    }

    /// Says so if a node acknowledges writes before they are on its disk.
    async fn warn_of_periodic_commits(&self) {
        let setting = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
        for node in self.session.get_cluster_state().get_nodes_info() {
            let mut statement = Statement::new(setting);
            let this_node = NodeIdentifier::Node(Arc::clone(node));
            statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(this_node, None)));
            let answer = self.session.query_unpaged(statement, ()).await.ok();
            // A node that is away, or lets only operators read its settings, is passed over.
            let Some(rows) = answer.and_then(|answer| answer.into_rows_result().ok()) else { continue };
            if rows.first_row::<(String,)>().is_ok_and(|(value,)| value == "periodic") {
                tracing::warn!(
                    node = %node.address,
                    "Cassandra acknowledges writes before they are on the disk (`commitlog_sync: periodic`): \
                     a killed node may lose them. Set it to `batch` or `group`."
                );
            }
        }
    }

    /// The keyspace that unqualified names are of.
    pub(crate) fn keyspace(&self) -> &str {
        &self.keyspace
    }

    /// Prepares a query.
    pub(crate) async fn read_statement(&self, cql: &str) -> Result<PreparedStatement> {
        let mut statement = Statement::new(cql).with_page_size(PAGE_ROWS);
        statement.set_is_idempotent(true);
        statement.set_execution_profile_handle(Some(self.reads.clone()));
        Ok(self.session.prepare(statement).await?)
    }

    /// Prepares a query that sees every lightweight transaction that was decided before it began.
    pub(crate) async fn serial_read_statement(&self, cql: &str) -> Result<PreparedStatement> {
        let mut statement = self.read_statement(cql).await?;
        statement.set_consistency(self.serial);
        Ok(statement)
    }

    /// Prepares a write that does the same however often it is done.
    pub(crate) async fn write_statement(&self, cql: &str) -> Result<PreparedStatement> {
        let mut statement = Statement::new(cql);
        statement.set_is_idempotent(true);
        Ok(self.session.prepare(statement).await?)
    }

    /// Prepares a lightweight transaction (`IF …`).
    pub(crate) async fn condition_statement(&self, cql: &str) -> Result<PreparedStatement> {
        Ok(self.session.prepare(cql).await?)
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub(crate) async fn rows<T>(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
    ) -> Result<Vec<T>>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let mut rows = Vec::new();
        let keep = |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        };
        self.scan(statement, values, keep).await?;
        Ok(rows)
    }

    /// Gives `each` the rows of a query, read page by page, until it has enough.
    ///
    /// # Errors
    /// Those of `each`; `Corrupt` if the rows are not of the expected types; else as the kinds say, nothing is done.
    pub(crate) async fn scan<T>(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
        mut each: impl FnMut(T) -> Result<ControlFlow<()>>,
    ) -> Result<()>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let mut page = PagingState::start();
        loop {
            let ask = || self.session.execute_single_page(statement, values, page.clone());
            let answer: Result<(QueryResult, PagingStateResponse)> = self.persist(ask).await;
            let (result, next) = answer.map_err(nothing_done)?;
            let result = result.into_rows_result().map_err(unexpected)?;
            for row in result.rows::<T>().map_err(unexpected)? {
                if each(row.map_err(unexpected)?)?.is_break() {
                    return Ok(());
                }
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(()),
                ControlFlow::Continue(next) => page = next,
            }
        }
    }

    /// Writes what [`write_statement`](Self::write_statement) prepared, its values bound.
    ///
    /// # Errors
    /// `OutcomeUnknown` if any of its attempts may have been done.
    pub(crate) async fn write(&self, write: &Bound) -> Result<()> {
        self.persist(|| self.session.execute_unpaged(&write.statement, write)).await.map(|_| ())
    }

    /// Writes several at once, as one request. Each is done or not done for itself, and all are when it returns.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) async fn write_all(&self, writes: &[Bound]) -> Result<()> {
        if let [write] = writes {
            return self.write(write).await;
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        for write in writes {
            batch.append_statement(write.statement.clone());
        }
        self.persist(|| self.session.batch(&batch, writes)).await.map(|_| ())
    }

    /// Where a write goes, as far as the cluster is known.
    pub(crate) fn place(&self, write: &Bound) -> Place {
        let token = write.statement.calculate_token(write).ok().flatten();
        let (Some(token), Some(table)) = (token, write.statement.get_table_spec()) else {
            return Place::default();
        };
        let cluster = self.session.get_cluster_state();
        let nodes = cluster.get_token_endpoints(table.ks_name(), table.table_name(), token);
        let mut nodes: Vec<Uuid> = nodes.into_iter().map(|(node, _)| node.host_id).collect();
        nodes.sort_unstable();
        Place { nodes, token: token.value() }
    }

    /// Runs a lightweight transaction, once. None if it was applied, else the row that stands against it, as the
    /// server gives it: `[applied]` first.
    ///
    /// # Errors
    /// `OutcomeUnknown` if it may have been applied: a [serial read](Self::serial_read_statement) tells.
    pub(crate) async fn condition(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
    ) -> Result<Option<Row>> {
        let answer = self.session.execute_unpaged(statement, values).await.map_err(of_request)?;
        let row: Row = answer.into_rows_result().map_err(unexpected)?.first_row().map_err(unexpected)?;
        Ok((!applied(&row)).then_some(row))
    }

    /// Runs lightweight transactions and writes on one partition of one table as one, once. Whether it was applied.
    ///
    /// # Errors
    /// As [`condition`](Self::condition).
    pub(crate) async fn condition_all(&self, changes: &[Change]) -> Result<bool> {
        let mut batch = Batch::new(BatchType::Unlogged);
        for change in changes {
            batch.append_statement(change.statement.clone());
        }
        let values: Vec<&Values> = changes.iter().map(|change| &*change.values).collect();
        let answer = self.session.batch(&batch, values).await.map_err(of_request)?;
        let row: Row = answer.into_rows_result().map_err(unexpected)?.first_row().map_err(unexpected)?;
        Ok(applied(&row))
    }

    /// Changes something in the schema or truncates a table, and waits until the nodes agree.
    pub(crate) async fn alter(&self, cql: &str) -> Result<()> {
        self.session.query_unpaged(cql, ()).await.map(|_| ()).map_err(of_request)
    }

    /// Sends an idempotent request again while nobody knows what became of it and there is time.
    async fn persist<T, F>(&self, mut send: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, ExecutionError>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut pauses = AGAIN.iter();
        let mut unknown = false;
        loop {
            let mut error = match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => of_request(error),
            };
            unknown |= error.kind == ErrorKind::OutcomeUnknown;
            match pauses.next() {
                Some(pause) if unknown && Instant::now() + *pause < deadline => {
                    tokio::time::sleep(*pause).await
                }
                _ => {
                    if unknown {
                        error.kind = ErrorKind::OutcomeUnknown;
                    }
                    return Err(error);
                }
            }
        }
    }
}

impl fmt::Debug for Cassandra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cassandra").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

type Values = dyn SerializeRow + Send + Sync;

/// One of several statements that are [run as one](Cassandra::condition_all).
pub(crate) struct Change {
    statement: PreparedStatement,
    values: Box<Values>,
}

impl Change {
    pub(crate) fn new(
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync + 'static,
    ) -> Self {
        Self { statement: statement.clone(), values: Box::new(values) }
    }
}

/// Where a row is kept.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The nodes that have it, in no meaningful order.
    pub(crate) nodes: Vec<Uuid>,
    /// Of its partition.
    pub(crate) token: i64,
}

/// A statement with its values.
pub(crate) struct Bound {
    statement: PreparedStatement,
    values: SerializedValues,
}

impl Bound {
    /// Bytes of the values.
    pub(crate) fn bytes(&self) -> usize {
        self.values.buffer_size()
    }
}

impl SerializeRow for Bound {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        writer.append_serialize_row(&self.values);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Binds values to a statement.
///
/// # Errors
/// `Invalid` if they are not of its types.
pub(crate) fn bind(statement: &PreparedStatement, values: &impl SerializeRow) -> Result<Bound> {
    let columns = statement.get_variable_col_specs();
    let context = RowSerializationContext::from_specs(columns.as_slice());
    let values = SerializedValues::from_serializable(&context, values);
    let values = values.map_err(|e| Error::new(ErrorKind::Invalid, e))?;
    Ok(Bound { statement: statement.clone(), values })
}

/// Whether a lightweight transaction's answer says that it was applied.
fn applied(row: &Row) -> bool {
    matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true))))
}

/// An answer that is not what the statement asks for.
fn unexpected(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, error)
}
