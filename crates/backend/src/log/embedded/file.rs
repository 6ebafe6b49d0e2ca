//! The file: its tables, and how it is opened.
//!
//! Each partition is a table of nothing but offset and payload: a second index would double the cost of an append.

use super::super::{Bounds, Topic};
use super::Options;
use crate::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use std::path::Path;
use std::time::Duration;

/// How far apart the marks of time are.
pub(super) const MARK_MS: u64 = 60_000;

const FORMAT: i64 = 1;
const NEW_PARTITIONS: u32 = 4;

/// The file as the writer gets it.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) partitions: u32,
    pub(super) epoch: u32,
    /// By slot.
    pub(super) bounds: Vec<Bounds>,
}

/// Where a partition stands in lists of all partitions.
pub(super) fn slot(topic: Topic, partition: u32, count: u32) -> usize {
    topic as usize * count as usize + partition as usize
}

/// Every topic and partition in the order of their slots.
pub(super) fn slots(count: u32) -> impl Iterator<Item = (Topic, u32)> {
    Topic::ALL.into_iter().flat_map(move |topic| (0..count).map(move |partition| (topic, partition)))
}

/// The name of a partition's table, quoted.
pub(super) fn table(topic: Topic, partition: u32) -> String {
    format!("\"{}/{partition}\"", topic.name())
}

/// Offsets are SQLite's signed integers; none comes near their end.
pub(super) fn sql(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// An offset read back. The file holds none below zero.
pub(super) fn offset(sql: i64) -> u64 {
    sql.unsigned_abs()
}

/// Opens the file for its one writer, making it if need be.
pub(super) fn open(path: &Path, options: &Options) -> Result<Opened> {
    if options.partitions == Some(0) {
        return Err(Error::new(ErrorKind::Invalid, "a log has at least one partition"));
    }
    let mut connection = Connection::open(path).map_err(read_error)?;
    set_up(&connection, options).map_err(read_error)?;
    let (partitions, epoch) = tables(&mut connection, options)?;
    let bounds = slots(partitions)
        .map(|(topic, partition)| bounds(&connection, topic, partition))
        .collect::<rusqlite::Result<_>>()
        .map_err(read_error)?;
    Ok(Opened { connection, partitions, epoch, bounds })
}

/// Opens the file, which exists, for reading.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(read_error)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(read_error)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// What a failure that wrote nothing means.
pub(super) fn read_error(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, error)
}

fn set_up(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Of a new file only. Costs 0.1 to 0.3 µs of CPU a record; without it the file never gives back what is trimmed.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    // 300 bytes a record, 500 a commit, two cores: 490,000 records/s against 288,000 with a rollback journal, and
    // readers need not wait. On busy cores 252,000 to 292,000 against 63,000 to 72,000.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // The writer does it itself: SQLite passes over a sync that fails in an automatic checkpoint.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    if let Some(bytes) = options.max_file_bytes {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update(None, "max_page_count", sql(bytes) / page)?;
    }
    Ok(())
}

fn tables(connection: &mut Connection, options: &Options) -> Result<(u32, u32)> {
    let transaction = connection.transaction().map_err(read_error)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS log (format INTEGER, partitions INTEGER, epoch INTEGER) STRICT;
             CREATE TABLE IF NOT EXISTS bounds (topic TEXT, partition INTEGER, start INTEGER NOT NULL,
                 next INTEGER NOT NULL, PRIMARY KEY (topic, partition)) STRICT, WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS marks (topic TEXT, partition INTEGER, minute INTEGER, first INTEGER NOT NULL,
                 PRIMARY KEY (topic, partition, minute)) STRICT, WITHOUT ROWID;",
        )
        .map_err(read_error)?;
    let found = transaction
        .query_row("SELECT format, partitions, epoch FROM log", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, u32>(2)?))
        })
        .optional()
        .map_err(read_error)?;
    let (partitions, epoch) = match found {
        Some((format, ..)) if format != FORMAT => {
            let why = format!("the log's file has format {format}, this program reads {FORMAT}");
            return Err(Error::new(ErrorKind::Corrupt, why));
        }
        Some((_, partitions, epoch)) => (partitions, epoch),
        None => {
            let partitions = options.partitions.unwrap_or(NEW_PARTITIONS);
            transaction
                .execute("INSERT INTO log VALUES (?, ?, ?)", params![FORMAT, partitions, options.epoch])
                .map_err(read_error)?;
            (partitions, options.epoch)
        }
    };
    if let Some(asked) = options.partitions.filter(|asked| *asked != partitions) {
        let why = format!(
            "the log was made with {partitions} partitions and cannot change to {asked}: \
             leave --partitions out or give {partitions}; a new data folder can have another number"
        );
        return Err(Error::new(ErrorKind::Invalid, why));
    }
    for (topic, partition) in slots(partitions) {
        let table = table(topic, partition);
        transaction
            .execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {table} (offset INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT"
            ))
            .map_err(read_error)?;
        transaction
            .execute("INSERT OR IGNORE INTO bounds VALUES (?, ?, 0, 0)", params![topic.name(), partition])
            .map_err(read_error)?;
    }
    transaction.commit().map_err(read_error)?;
    Ok((partitions, epoch))
}

/// `next` is written when trimming only, so that offsets are not reused when no record is left.
fn bounds(connection: &Connection, topic: Topic, partition: u32) -> rusqlite::Result<Bounds> {
    let (start, next): (i64, i64) = connection.query_row(
        "SELECT start, next FROM bounds WHERE topic = ? AND partition = ?",
        params![topic.name(), partition],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let last: Option<i64> =
        connection.query_row(&format!("SELECT max(offset) FROM {}", table(topic, partition)), [], |row| {
            row.get(0)
        })?;
    let end = last.map_or(next, |last| next.max(last + 1));
    Ok(Bounds { start: offset(start), end: offset(end) })
}
