//! A plain SQLite table of messages with the two indexes that history and retries need.

use crate::Result;
use crate::kinds::content;
use crate::stats::Picker;
use rusqlite::{Connection, params};
use std::path::Path;

const BATCH: u64 = 10_000;

/// An open table.
pub(crate) struct Table {
    connection: Connection,
}

impl Table {
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let connection = Connection::open(folder.join("plain.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             CREATE TABLE messages (
                 conversation BLOB NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL,
                 sender BLOB NOT NULL, time INTEGER NOT NULL, content TEXT NOT NULL);
             CREATE UNIQUE INDEX by_seq ON messages (conversation, seq);
             CREATE UNIQUE INDEX by_id ON messages (id);",
        )?;
        Ok(Self { connection })
    }

    /// Stores this many messages, the conversations taking turns, as live traffic would.
    pub(crate) fn fill(&mut self, messages: u64, conversations: u64) -> Result<()> {
        let content = content();
        let mut picker = Picker::new(1);
        let mut number = 0;
        while number < messages {
            let transaction = self.connection.transaction()?;
            let mut insert = transaction.prepare("INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for number in number..messages.min(number + BATCH) {
                let time = 1_790_000_000_000 + number / 20;
                let (conversation, seq) = (number % conversations, number / conversations + 1);
                let id = id(time, number, picker.next_u64());
                let sender = id_of(conversation * 4 + seq % 4);
                insert.execute(params![
                    id_of(conversation),
                    signed(seq)?,
                    id,
                    sender,
                    signed(time)?,
                    content
                ])?;
            }
            drop(insert);
            transaction.commit()?;
            number += BATCH;
        }
        Ok(())
    }

    /// Reads the newest messages before `before`, every column; gives their number.
    pub(crate) fn page(&self, conversation: u64, before: u64, limit: u64) -> Result<usize> {
        let mut query = self.connection.prepare_cached(
            "SELECT seq, id, sender, time, content FROM messages
             WHERE conversation = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",
        )?;
        let rows = query.query_map(params![id_of(conversation), signed(before)?, signed(limit)?], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, [u8; 16]>(1)?,
                row.get::<_, [u8; 16]>(2)?,
                row.get::<_, i64>(3)?,
                row.get::<_, String>(4)?,
            ))
        })?;
        let mut count = 0;
        for row in rows {
            std::hint::black_box(row?);
            count += 1;
        }
        Ok(count)
    }

    /// Writes everything to the one file.
    pub(crate) fn close(self) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

/// A time-ordered id as a UUIDv7 is: milliseconds, a count, then chance.
fn id(time: u64, count: u64, chance: u64) -> [u8; 16] {
    let mut id = [0; 16];
    let (head, tail) = id.split_at_mut(8);
    head.copy_from_slice(&((time << 16) | (count & 0xfff)).to_be_bytes());
    tail.copy_from_slice(&chance.to_be_bytes());
    id
}

/// SQLite knows signed integers only.
fn signed(number: u64) -> Result<i64> {
    Ok(i64::try_from(number)?)
}

fn id_of(number: u64) -> [u8; 16] {
    id(1_780_000_000_000, number, Picker::new(number).next_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_full_and_clipped_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::create(folder.path()).unwrap();
        table.fill(12_345, 10).unwrap();
        assert_eq!(table.page(3, 1000, 50).unwrap(), 50);
        assert_eq!(table.page(3, 11, 50).unwrap(), 10);
        assert_eq!(table.page(99, 1000, 50).unwrap(), 0);
        table.close().unwrap();
    }
}
