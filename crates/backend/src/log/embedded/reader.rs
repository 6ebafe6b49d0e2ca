//! Reading the file, on blocking threads, a few at a time.

use super::super::{Record, Topic};
use super::file;
use super::partition::READ_BYTES;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reads at once. Each takes a core while it lasts, and holds the write-ahead file.
const READERS: usize = 2;

pub(super) struct Reader {
    path: PathBuf,
    permits: Arc<Semaphore>,
    /// Connections nobody uses, at most [`READERS`].
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, permits: Arc::new(Semaphore::new(READERS)), idle: Arc::default() }
    }

    /// Records with offsets in `from..before`, oldest first, up to [`READ_BYTES`].
    pub(super) async fn records(&self, of: (Topic, u32), from: u64, before: u64) -> Result<Vec<Record>> {
        self.run(move |connection| read_records(connection, of, from, before)).await
    }

    /// The first offset marked with the minute of `time_ms` or a later one.
    pub(super) async fn mark(&self, topic: Topic, partition: u32, time_ms: u64) -> Result<Option<u64>> {
        self.run(move |connection| {
            let minute = i64::try_from(time_ms / file::MARK_MS).unwrap_or(i64::MAX);
            let mut query = connection.prepare_cached(
                "SELECT first FROM marks WHERE topic = ? AND partition = ? AND minute >= ? ORDER BY minute LIMIT 1",
            )?;
            let mark: Option<i64> =
                query.query_row((topic.name(), partition, minute), |row| row.get(0)).optional()?;
            Ok(mark.map(file::offset))
        })
        .await
    }

    /// Reads no more, and closes what nobody uses.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }

    async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone = |e| Error::new(ErrorKind::Unavailable, e);
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|e| gone(e.to_string()))?;
        let (permits, idle, path) = (Arc::clone(&self.permits), Arc::clone(&self.idle), self.path.clone());
        let task = tokio::task::spawn_blocking(move || {
            // Held until the read is over, also when the caller has gone.
            let _permit = permit;
            let free = idle.lock().pop();
            let connection = match free {
                Some(connection) => connection,
                None => file::open_for_reading(&path)?,
            };
            let outcome = read(&connection);
            if outcome.is_ok() && !permits.is_closed() {
                idle.lock().push(connection);
            }
            outcome.map_err(file::read_error)
        });
        task.await.map_err(|e| gone(e.to_string()))?
    }
}

fn read_records(
    connection: &Connection,
    (topic, partition): (Topic, u32),
    from: u64,
    before: u64,
) -> rusqlite::Result<Vec<Record>> {
    let table = file::table(topic, partition);
    let mut query = connection.prepare_cached(&format!(
        "SELECT offset, payload FROM {table} WHERE offset >= ? AND offset < ? ORDER BY offset"
    ))?;
    let mut rows = query.query((file::sql(from), file::sql(before)))?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let payload = row.get_ref(1)?.as_blob()?;
        if bytes > 0 && bytes + payload.len() > READ_BYTES {
            break;
        }
        bytes += payload.len() + size_of::<Record>();
        records.push(Record { offset: file::offset(row.get(0)?), payload: Bytes::copy_from_slice(payload) });
    }
    Ok(records)
}
