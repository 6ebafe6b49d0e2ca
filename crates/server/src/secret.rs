//! The one secret of an installation, shared by its processes. Every key derives from it.

use hmac::{Hmac, KeyInit, Mac};
use rand::TryRngCore;
use sha2::Sha256;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The shortest secret, in bytes, that may be given by hand.
const MIN_BYTES: usize = 32;

/// The secret. It shows itself to nobody, `Debug` included.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Too few characters to be unguessable.
    #[error("the secret must have at least {MIN_BYTES} characters (make one with `openssl rand -hex 32`)")]
    Short,
    /// The file in the data folder cannot be read or made.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Secret {
    /// The secret as it was given by hand.
    ///
    /// # Errors
    /// `Short`.
    pub fn new(secret: &str) -> Result<Self, SecretError> {
        let secret = secret.trim();
        if secret.len() < MIN_BYTES { Err(SecretError::Short) } else { Ok(Self(secret.as_bytes().to_vec())) }
    }

    /// The secret of a data folder, from its file `secret`, made with 32 random bytes if it is not there.
    ///
    /// # Errors
    /// If the file can be neither read nor made, or was cut short.
    pub fn of_folder(folder: &Path) -> Result<Self, SecretError> {
        let path = folder.join("secret");
        let failed = |source| SecretError::File { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(secret) => {
                let mode = fs::metadata(&path).map_err(failed)?.permissions().mode();
                if mode & 0o077 != 0 {
                    tracing::warn!(path = %path.display(), "others may read the secret; `chmod 600` it");
                }
                Self::new(&secret)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let secret = fresh().map_err(failed)?;
                write(folder, &path, &secret).map_err(failed)?;
                Self::new(&secret)
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// The key for one purpose, named by `label`. Keys of two labels tell nothing of each other.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        keyed_hash(&self.0, format!("chat4all/{label}").as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// HMAC-SHA256.
pub(crate) fn keyed_hash(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn fresh() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Written beside and moved, so that a crash leaves a whole secret or none.
fn write(folder: &Path, path: &Path, secret: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_secret_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Secret::of_folder(folder.path()).unwrap();
        let again = Secret::of_folder(folder.path()).unwrap();
        assert_eq!(first.derive("cursor"), again.derive("cursor"));
        let mode = fs::metadata(folder.path().join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(first.derive("cursor"), Secret::of_folder(other.path()).unwrap().derive("cursor"));
    }

    #[test]
    fn labels_give_different_keys_and_nothing_shows_them() {
        let secret = Secret::new(&"s".repeat(32)).unwrap();
        assert_ne!(secret.derive("access-token"), secret.derive("cursor"));
        assert_eq!(format!("{secret:?}"), "Secret");
        assert!(matches!(Secret::new("short"), Err(SecretError::Short)));
    }

    #[test]
    fn a_secret_that_was_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "").unwrap();
        assert!(matches!(Secret::of_folder(folder.path()), Err(SecretError::Short)));
    }
}
