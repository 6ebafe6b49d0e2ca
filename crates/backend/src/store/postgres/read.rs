//! What is read: each call is one statement, or several of one moment, and follows an index.

mod events;
mod people;
mod state;

use super::PostgresStore;
use crate::postgres::{Row, column, number, unsigned};
use crate::store::page::{LetterId, Whole, whole};
use crate::store::split::from_blob;
use crate::store::{DeadLetter, StoredEvent};
use crate::{Error, ErrorKind, Result};
use chat4all_model::id::{ConversationId, IdError, UserId};
use chat4all_model::rows::Position;

impl PostgresStore {
    pub(super) async fn read_dead_letters(
        &self,
        after: Option<LetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        let sql = "SELECT partition, position, part, dead, replayed_at FROM dead_letters
            WHERE (position, partition, part) > ($1, $2, $3) ORDER BY position, partition, part LIMIT $4";
        let after = after.unwrap_or(LetterId { partition: 0, position: -1, part: 0 });
        let (partition, part) = (i64::from(after.partition), i64::from(after.part));
        let rows = self.database.rows(sql, &[&after.position, &partition, &part, &limited(limit)]).await?;
        rows.iter().map(dead_letter).collect()
    }

    pub(super) async fn read_rejections(
        &self,
        user: &UserId,
        partition: u32,
        (from, to): (Position, Position),
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        let page = async |first: i64, last: i64, limit: i64| {
            let sql = "SELECT position, fact FROM rejections WHERE user_id = $1 AND partition = $2
                AND position BETWEEN $3 AND $4 ORDER BY position, part LIMIT $5";
            let partition = number(partition.into());
            let rows = self.database.rows(sql, &[&user.as_str(), &partition, &first, &last, &limit]).await?;
            let rejection =
                |row| Ok(StoredEvent { position: position(row, 0)?, fact: from_blob(column(row, 1)?)? });
            rows.iter().map(rejection).collect::<Result<Vec<_>>>()
        };
        let found = page(number(from.0).saturating_add(1), number(to.0), limited(limit).saturating_add(1));
        match whole(found.await?, limit, |rejection| rejection.position) {
            Whole::Page(page) => Ok(page),
            Whole::Position(only) => page(number(only.0), number(only.0), i64::MAX).await,
        }
    }
}

fn dead_letter(row: &Row) -> Result<DeadLetter> {
    let (partition, position, part): (i64, i64, i64) = (column(row, 0)?, column(row, 1)?, column(row, 2)?);
    Ok(DeadLetter {
        id: format!("{partition}-{position}-{part}"),
        time: 0,
        dead: from_blob(column(row, 3)?)?,
        replayed_at: column::<Option<i64>>(row, 4)?.map(i64::unsigned_abs),
    })
}

fn limited(limit: usize) -> i64 {
    number(limit as u64)
}

fn position(row: &Row, index: usize) -> Result<Position> {
    unsigned(row, index).map(Position)
}

fn user(row: &Row, index: usize) -> Result<UserId> {
    UserId::parse(column(row, index)?).map_err(unreadable)
}

fn conversation(row: &Row, index: usize) -> Result<ConversationId> {
    ConversationId::parse(column(row, index)?).map_err(unreadable)
}

fn unreadable(error: IdError) -> Error {
    Error::new(ErrorKind::Corrupt, error)
}

/// Answers that name which question they are to, 1 for the first, in the order of the questions.
fn in_order<T>(
    questions: usize,
    rows: &[Row],
    read: impl Fn(&Row) -> Result<Option<T>>,
) -> Result<Vec<Option<T>>> {
    let mut answers: Vec<Option<T>> = (0..questions).map(|_| None).collect();
    for row in rows {
        if let Some(answer) =
            usize::try_from(column::<i64>(row, 0)? - 1).ok().and_then(|i| answers.get_mut(i))
        {
            *answer = read(row)?;
        }
    }
    Ok(answers)
}
