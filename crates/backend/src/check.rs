//! Looking at an embedded engine's file from outside, while nobody has it open.

use crate::sqlite::{BUSY, failed, opening};
use crate::{Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// How many faults are told.
const MAX_FAULTS: usize = 5;

/// What SQLite finds wrong with a file, the first few faults; nothing if it is sound. Reads all of it, and blocks
/// while it does.
///
/// # Errors
/// `Unavailable` if it is not there or cannot be read, `Corrupt` if it is no database.
pub fn quick_check(path: &Path) -> Result<Vec<String>> {
    if !path.is_file() {
        return Err(Error::new(ErrorKind::Unavailable, format!("{} is not there", path.display())));
    }
    // Not read-only: a file that was not closed cleanly is recovered from its write-ahead file first.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| opening(path, &e))?;
    connection.busy_timeout(BUSY).map_err(|e| opening(path, &e))?;
    let mut query =
        connection.prepare(&format!("PRAGMA quick_check({MAX_FAULTS})")).map_err(|e| opening(path, &e))?;
    let faults = query.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let faults: Vec<String> = faults.collect::<rusqlite::Result<_>>().map_err(failed)?;
    Ok(faults.into_iter().filter(|fault| fault != "ok").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_file_has_no_faults_and_a_damaged_one_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        assert_eq!(quick_check(&path).unwrap_err().kind, ErrorKind::Unavailable);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a);").unwrap();
        for n in 0..2_000 {
            connection.execute("INSERT INTO t VALUES (?)", [format!("row {n}")]).unwrap();
        }
        connection.close().unwrap();
        assert_eq!(quick_check(&path).unwrap(), Vec::<String>::new());
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(8192).take(8192) {
            *byte = 0x5a;
        }
        std::fs::write(&path, bytes).unwrap();
        let found = quick_check(&path);
        assert!(found.is_err() || found.is_ok_and(|faults| !faults.is_empty()));
    }
}
