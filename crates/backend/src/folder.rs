//! The data folder: where the embedded engines keep their files, held by one process at a time.

use crate::{Error, ErrorKind, Result};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A data folder that belongs to this process. Clones share the lock; it is released with the last of them
/// (engines keep one until their threads have ended) or with the process, however that ends.
#[derive(Debug, Clone)]
pub struct DataFolder {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    #[expect(dead_code, reason = "the open file is the lock")]
    lock: File,
}

impl DataFolder {
    /// Takes the folder, creating it (mode 0700) if it is not there.
    ///
    /// # Errors
    /// `Conflict` if another process holds it, `Unavailable` if it cannot be created or written; both in words
    /// for whoever started the program. Blocks for some file operations.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let made = !path.exists();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| refused(path, "cannot be created", &e))?;
        if made {
            // Its files outlast a power cut only if it does.
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(|e| refused(path, "cannot be kept", &e))?;
        }
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| refused(path, "cannot be written", &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, &mut lock)),
            Err(TryLockError::Error(e)) => return Err(refused(path, "cannot be locked", &e)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|e| refused(path, "cannot be written", &e))?;
        Ok(Self { held: Arc::new(Held { path: path.to_owned(), lock }) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.held.path
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.held.path.join(name)
    }
}

fn refused(path: &Path, what: &str, source: &io::Error) -> Error {
    let advice = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; give this user write access to it, or choose another with --data"
        }
        io::ErrorKind::StorageFull => "; make space on that disk, or choose another folder with --data",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; its file system is mounted read-only, choose another with --data"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; a file is in its place",
        _ => "",
    };
    Error::new(ErrorKind::Unavailable, format!("the data folder {} {what}: {source}{advice}", path.display()))
}

fn held(path: &Path, lock: &mut File) -> Error {
    let mut holder = String::new();
    // The number only helps the reader; the lock alone decides.
    let who = match lock.read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
        _ => "another process".to_owned(),
    };
    Error::new(
        ErrorKind::Conflict,
        format!(
            "the data folder {} is in use by {who}; stop it, or choose another with --data",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_holder_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataFolder::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let clone = first.clone();
        drop(first);
        let refused = DataFolder::open(&path).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(clone);
        DataFolder::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = DataFolder::open(file.path()).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert!(refused.to_string().contains(&file.path().display().to_string()), "{refused}");
    }
}
