//! Several statements of one transaction, sent at once: one way to the server and back for all of them.

use super::{Fault, Step};
use deadpool_postgres::ClientWrapper;
use futures_util::future::{BoxFuture, FutureExt, MaybeDone, maybe_done};
use futures_util::{TryStreamExt, poll};
use std::pin::Pin;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

/// The values of a statement.
pub(crate) type Params<'a> = Vec<Box<dyn ToSql + Sync + Send + 'a>>;

/// A statement and its values.
pub(crate) struct Query<'a> {
    sql: &'static str,
    params: Params<'a>,
}

impl<'a> Query<'a> {
    pub(crate) fn new(sql: &'static str, params: Params<'a>) -> Self {
        Self { sql, params }
    }
}

/// A row to be written: its values in the order of the columns.
pub(crate) trait Cells<'a>: Sized {
    /// The values of a statement that takes rows column by column.
    fn columns(rows: impl Iterator<Item = Self>) -> Params<'a>;
}

macro_rules! cells {
    ($($cell:ident)+) => {
        impl<'a, $($cell: ToSql + Sync + Send + 'a),+> Cells<'a> for ($($cell,)+) {
            #[expect(non_snake_case, reason = "a column is called as the type of its cells")]
            fn columns(rows: impl Iterator<Item = Self>) -> Params<'a> {
                let ($($cell,)+): ($(Vec<$cell>,)+) = rows.collect();
                vec![$(Box::new($cell)),+]
            }
        }
    };
}

cells!(A B);
cells!(A B C);
cells!(A B C D);
cells!(A B C D E);
cells!(A B C D E F);
cells!(A B C D E F G);
cells!(A B C D E F G H);
cells!(A B C D E F G H I);
cells!(A B C D E F G H I J K);

/// Runs them between `begin` and a `COMMIT` that is on its way before the first answer. The server does the rest
/// even if nobody waits for it: no lock outlives a client.
pub(super) async fn at_once(step: &Step, begin: &str, queries: &[Query<'_>]) -> Result<Vec<Vec<Row>>, Fault> {
    let client: &ClientWrapper = step.client()?;
    let mut statements = Vec::with_capacity(queries.len());
    for query in queries {
        statements.push(client.prepare_cached(query.sql).await?);
    }
    if let ([statement], [query]) = (&statements[..], queries) {
        // One alone is a transaction of its own.
        step.commits();
        return Ok(vec![rows(client, statement, &query.params).await?]);
    }
    let mut answers = Vec::with_capacity(queries.len() + 2);
    answers.push(Answer::to(control(client, begin)).await);
    for (statement, query) in statements.iter().zip(queries) {
        answers.push(Answer::to(rows(client, statement, &query.params)).await);
    }
    // One that could not even be sent must not be missing from what is committed.
    let unsent = answers.iter_mut().any(Answer::is_an_error);
    step.commits();
    answers.push(Answer::to(control(client, if unsent { "ROLLBACK" } else { "COMMIT" })).await);
    let mut all = Vec::with_capacity(answers.len());
    for answer in answers {
        // Of several errors the first is the cause, the others tell that the transaction was undone.
        all.push(answer.rows().await?);
    }
    all.pop();
    all.remove(0);
    Ok(all)
}

async fn control(client: &ClientWrapper, sql: &str) -> Result<Vec<Row>, Error> {
    client.batch_execute(sql).await.map(|()| Vec::new())
}

async fn rows(client: &ClientWrapper, statement: &Statement, params: &Params<'_>) -> Result<Vec<Row>, Error> {
    let params = params.iter().map(|value| &**value as &(dyn ToSql + Sync));
    client.query_raw(statement, params).await?.try_collect().await
}

/// A request on its way.
type Request<'a> = BoxFuture<'a, Result<Vec<Row>, Error>>;

/// What a request that was sent will be answered.
struct Answer<'a>(Pin<Box<MaybeDone<Request<'a>>>>);

impl<'a> Answer<'a> {
    /// Sends a request, which happens when it is polled first. Waits for nothing.
    async fn to(request: impl Future<Output = Result<Vec<Row>, Error>> + Send + 'a) -> Self {
        let mut request = Box::pin(maybe_done(request.boxed()));
        let _ = poll!(request.as_mut());
        Self(request)
    }

    fn is_an_error(&mut self) -> bool {
        matches!(self.0.as_mut().output_mut(), Some(Err(_)))
    }

    async fn rows(mut self) -> Result<Vec<Row>, Error> {
        self.0.as_mut().await;
        self.0.as_mut().take_output().unwrap_or_else(|| Ok(Vec::new()))
    }
}
