//! A SQLite file as the embedded engines keep it: one writer thread with group commit, a few readers, migrations.

use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, ffi};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How many writes may wait.
const WRITE_QUEUE: usize = 1024;
/// How many writes share one commit.
const BATCH: usize = 128;
/// How many reads run at once.
const READERS: usize = 4;
/// How many reads may wait.
const READ_QUEUE: usize = 1024;
/// How long another process (a backup, the admin tool) may hold the file.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// A file in WAL mode whose every commit is synced.
pub(crate) struct Database {
    /// `None` only while dropping: closing the queue ends the writer.
    writes: Option<SyncSender<Box<dyn Job>>>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<Readers>,
}

impl Database {
    /// Opens the file, making it if it is not there, and brings its schema to `migrations.len()`.
    ///
    /// # Errors
    /// `Invalid` if the schema is newer than this program knows, `Unavailable` if the file cannot be opened.
    pub(crate) fn open(path: &Path, migrations: &[&str]) -> Result<Self> {
        let mut connection = Connection::open(path).map_err(|e| opening(path, &e))?;
        prepare(&connection).map_err(|e| opening(path, &e))?;
        migrate(&mut connection, path, migrations)?;
        let (writes, queue) = sync_channel(WRITE_QUEUE);
        let writer = std::thread::Builder::new()
            .name("accounts-writer".into())
            .spawn(move || write_all(&mut connection, &queue))
            .map_err(|e| Error::new(ErrorKind::Unavailable, e))?;
        Ok(Self { writes: Some(writes), writer: Some(writer), readers: Readers::new(path) })
    }

    /// Runs `work` in a transaction of its own, answered once it is on disk. An `Err` undoes it.
    ///
    /// # Cancellation
    /// Once called the work is done, whoever waits for it.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        let job = Box::new(Work { work: Some(work), result: None, answer });
        let gone = || Error::new(ErrorKind::Unavailable, "the writer has ended");
        match self.writes.as_ref().ok_or_else(gone)?.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(Error::new(ErrorKind::Overloaded, "the queue of writes is full"));
            }
            Err(TrySendError::Disconnected(_)) => return Err(gone()),
        }
        outcome.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::OutcomeUnknown, "the writer has ended")))
    }

    /// Runs `work` on a connection that cannot write, off the async threads, on one snapshot.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.readers.read(work).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.writes.take());
        if let Some(writer) = self.writer.take() {
            // What was queued is written before the file is closed; a panic there has been reported already.
            let _ = writer.join();
        }
    }
}

/// A few connections that cannot write, each used on one blocking thread at a time.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Semaphore,
    places: Arc<Semaphore>,
}

impl Readers {
    /// Readers of a file that exists.
    pub(crate) fn new(path: &Path) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            turns: Semaphore::new(READERS),
            places: Arc::new(Semaphore::new(READERS + READ_QUEUE)),
        })
    }

    /// Runs `work` off the async threads, on one snapshot.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let readers = Arc::clone(self);
        let place = Arc::clone(&readers.places)
            .try_acquire_owned()
            .map_err(|_| Error::new(ErrorKind::Overloaded, "too many reads are waiting"))?;
        let turn = readers.turns.acquire().await.map_err(|e| Error::new(ErrorKind::Unavailable, e))?;
        // The turn comes back with the thread, not with a caller who went away meanwhile.
        turn.forget();
        tokio::task::spawn_blocking(move || {
            let _turn = Turn(&readers);
            let _place = place;
            readers.run(work)
        })
        .await
        .unwrap_or_else(|e| Err(Error::new(ErrorKind::Unavailable, e)))
    }

    /// Reads no more, and closes what nobody uses.
    pub(crate) fn close(&self) {
        self.turns.close();
        self.idle.lock().clear();
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().map_err(|e| opening(&self.path, &e))?,
        };
        let result = {
            let snapshot = connection.unchecked_transaction().map_err(failed)?;
            work(&snapshot)
        };
        let mut idle = self.idle.lock();
        if !self.turns.is_closed() {
            idle.push(connection);
        }
        result
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }
}

/// Gives a reader's turn back.
struct Turn<'a>(&'a Readers);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns.add_permits(1);
    }
}

/// A write that waits for its commit.
trait Job: Send {
    /// Does the work; whether it is to be kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers: with the work's own result, or with why the batch it was part of is not on disk.
    fn answer(self: Box<Self>, batch: Option<Error>);
}

struct Work<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, batch: Option<Error>) {
        let result = match (self.result, batch) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(batch)) => Err(batch),
            (Some(ok), None) => ok,
            (None, None) => Err(Error::new(ErrorKind::Unavailable, "not run")),
        };
        // Whoever asked may have gone; the work stands all the same.
        let _ = self.answer.send(result);
    }
}

fn write_all(connection: &mut Connection, queue: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        let outcome = write_batch(connection, queue, &mut jobs);
        if let Err(error) = &outcome {
            end_if_sync_failed(error);
            tracing::error!(%error, writes = jobs.len(), "a batch of writes failed");
        }
        for job in jobs {
            job.answer(outcome.as_ref().err().map(copy));
        }
    }
}

/// Runs the jobs at hand, each undone alone if it fails, and commits them together.
fn write_batch(
    connection: &mut Connection,
    queue: &Receiver<Box<dyn Job>>,
    jobs: &mut Vec<Box<dyn Job>>,
) -> rusqlite::Result<()> {
    let mut batch = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut next = 0;
    loop {
        let step = batch.savepoint()?;
        if jobs[next].run(&step) {
            step.commit()?;
        } else {
            drop(step);
            // A full disk or a failed read makes SQLite undo the whole transaction, not the statement.
            if batch.is_autocommit() {
                return Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK),
                    None,
                ));
            }
        }
        next += 1;
        if jobs.len() == BATCH {
            break;
        }
        match queue.try_recv() {
            Ok(job) => jobs.push(job),
            Err(_) => break,
        }
    }
    batch.commit()
}

/// The same error for each job of a batch.
fn copy(error: &rusqlite::Error) -> Error {
    Error::new(kind_of(error), error.to_string())
}

/// After a failed sync nobody knows what is on disk, and asking again may wrongly succeed.
fn end_if_sync_failed(error: &rusqlite::Error) {
    if let rusqlite::Error::SqliteFailure(e, _) = error
        && matches!(e.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    {
        tracing::error!(%error, "the disk failed to sync; ending, so that nothing is answered that may be lost");
        std::process::abort();
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Brings a schema of version n to n + 1 with `migrations[n]`; the version stands in the file's header.
pub(crate) fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let batch =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    let version: u32 =
        batch.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| opening(path, &e))?;
    let newest = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let Some(missing) = migrations.get(version as usize..) else {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{} has schema version {version}, this program knows versions up to {newest}: it was written by a \
                 newer chat4all; start that one",
                path.display()
            ),
        ));
    };
    for step in missing {
        batch.execute_batch(step).map_err(failed)?;
    }
    batch.pragma_update(None, "user_version", newest).map_err(failed)?;
    batch.commit().map_err(failed)
}

/// Why a file cannot be opened.
pub(crate) fn opening(path: &Path, error: &rusqlite::Error) -> Error {
    Error::new(kind_of(error), format!("{}: {error}", path.display()))
}

/// A statement that failed, by what it means for the caller.
pub(crate) fn failed(error: rusqlite::Error) -> Error {
    Error::new(kind_of(&error), error)
}

fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::ErrorCode as Code;
    let rusqlite::Error::SqliteFailure(e, _) = error else {
        return ErrorKind::Corrupt;
    };
    match e.code {
        Code::ConstraintViolation => ErrorKind::Conflict,
        Code::DatabaseCorrupt | Code::NotADatabase => ErrorKind::Corrupt,
        Code::TooBig | Code::ApiMisuse | Code::TypeMismatch | Code::ParameterOutOfRange => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}
