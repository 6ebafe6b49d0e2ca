//! Blobs: files by key, in a local folder or on S3.
//!
//! No trait of ours: [`ObjectStore`] says what is needed, and its errors tell what callers act on (not found, exists
//! already). [`failed`] makes ours of the others.

mod s3;

use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long [`Blobs::check`] may take.
const CHECK_LIMIT: Duration = Duration::from_secs(4);
/// A key that is asked for to see whether anybody answers. Nothing is ever put there.
const ANY_KEY: &str = "ready";
/// Of an embedded installation, in its data folder.
const FOLDER: &str = "blobs";
/// What has a meaning in a URL.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');

/// Where files are. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    /// Keeps them. Every call has a time limit.
    pub store: Arc<dyn ObjectStore>,
    /// Makes URLs with which a client reads or writes one of them at the store itself. None for a local folder, which
    /// clients cannot reach: there the server answers URLs that it has signed itself.
    pub signer: Option<Arc<dyn Signer>>,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    Bucket(String),
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blobs").field(&self.place).finish()
    }
}

/// Opens the store that `url` names; `data` is the folder of an embedded installation.
///
/// | URL | |
/// |---|---|
/// | `embedded` | the folder `blobs` in `data`, made if it is not there |
/// | `file:///path` | this folder, made if it is not there |
/// | `s3://KEY:SECRET@BUCKET/PREFIX` | a bucket of S3, or of what speaks as it does; keys begin with `PREFIX/` |
///
/// | parameter of `s3` | default | |
/// |---|---|---|
/// | `endpoint` | Amazon's for the region | `https://host:port` or `http://host:port` of another S3 |
/// | `region` | `us-east-1` | part of every signature |
/// | `path_style` | `true` | `false`: the bucket is part of the host's name instead of the path |
/// | `ca` | the system's | a PEM file of further certificates to believe |
///
/// Without `KEY:SECRET@` the credentials are those of the environment: `AWS_ACCESS_KEY_ID` and
/// `AWS_SECRET_ACCESS_KEY` (with `AWS_SESSION_TOKEN`), a web identity, a container's or the machine's role; and the
/// region is that of `AWS_REGION`.
///
/// # Errors
/// Within five seconds: `Invalid` if the URL is wrong or refused, `Unavailable` if the store cannot be reached.
pub async fn open(url: &str, data: &Path) -> Result<Blobs> {
    let blobs = match url.split_once("://").map_or((url, ""), |(scheme, rest)| (scheme, rest)) {
        ("embedded", "") => made(data.join(FOLDER)).await?,
        ("file", path) => made(folder(path)?).await?,
        ("s3", _) => s3::open(EngineUrl::parse(url)?).await?,
        ("gs" | "az" | "azure", _) => {
            return Err(invalid("this build keeps files on S3 or in a folder only: `s3://…`, `file:///…`"));
        }
        (scheme, _) => {
            return Err(invalid(format!(
                "`{scheme}` is no scheme for files; there are `s3://…`, `file:///…` and `embedded`"
            )));
        }
    };
    blobs.check().await?;
    Ok(blobs)
}

/// The URL of the files of an embedded installation, for those who do not hold its data folder `data`, an absolute path.
#[must_use]
pub fn url_of(data: &Path) -> String {
    let folder = data.join(FOLDER);
    format!("file://{}", utf8_percent_encode(&folder.to_string_lossy(), ENCODED))
}

impl Blobs {
    /// Those of an embedded installation, in its data folder `data`, made if they are not there. Blocks.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be made.
    pub fn embedded(data: &Path) -> Result<Self> {
        in_folder(data.join(FOLDER))
    }

    /// Whether the store answers and lets us in. Asks it.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer, `Invalid` if the credentials are refused or the bucket is not there.
    pub async fn check(&self) -> Result<()> {
        match &self.place {
            Place::Folder(folder) => match tokio::fs::metadata(folder).await {
                Ok(found) if found.is_dir() => Ok(()),
                Ok(_) => Err(invalid(format!("{} is no folder", folder.display()))),
                Err(error) => Err(unavailable(format!("{}: {error}", folder.display()))),
            },
            Place::Bucket(bucket) => {
                // Not `head`: only the answer to `get` has a body, which tells a missing bucket from a missing key.
                match timeout(CHECK_LIMIT, self.store.get(&Key::from(ANY_KEY))).await {
                    Ok(Err(object_store::Error::NotFound { source, .. })) => {
                        match source.to_string().contains("NoSuchBucket") {
                            true => Err(invalid(format!("there is no bucket `{bucket}`"))),
                            false => Ok(()),
                        }
                    }
                    Ok(Err(error)) => {
                        let mut error = failed(error);
                        if error.kind == ErrorKind::OutcomeUnknown {
                            error.kind = ErrorKind::Unavailable;
                        }
                        Err(error)
                    }
                    Ok(Ok(_)) => Ok(()),
                    Err(_) => Err(unavailable(format!("the bucket `{bucket}` does not answer"))),
                }
            }
        }
    }
}

/// What an error of the store means, for whoever does not act on it himself.
#[must_use]
pub fn failed(error: object_store::Error) -> Error {
    use object_store::Error as E;
    let kind = match &error {
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => ErrorKind::Conflict,
        E::Generic { source, .. } => kind(source.as_ref()),
        E::JoinError { .. } => ErrorKind::OutcomeUnknown,
        // Credentials that are refused, a key that is none or is not there, what this store cannot do.
        _ => ErrorKind::Invalid,
    };
    Error::new(kind, error)
}

fn kind(error: &(dyn StdError + 'static)) -> ErrorKind {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return match http.kind() {
                HttpErrorKind::Connect => ErrorKind::Unavailable,
                _ => ErrorKind::OutcomeUnknown,
            };
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Overloaded,
                _ => ErrorKind::Unavailable,
            };
        }
        next = cause.source();
    }
    // An answer that reports a fault of the store's own.
    ErrorKind::OutcomeUnknown
}

fn folder(path: &str) -> Result<PathBuf> {
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| invalid("the path is not UTF-8"))?;
    match decoded.starts_with('/') {
        true => Ok(PathBuf::from(decoded.as_ref())),
        false => {
            Err(invalid(format!("`file://{path}`: write three slashes and a whole path, `file:///path`")))
        }
    }
}

async fn made(folder: PathBuf) -> Result<Blobs> {
    let ended = |error| unavailable(format!("making the folder ended badly: {error}"));
    tokio::task::spawn_blocking(|| in_folder(folder)).await.map_err(ended)?
}

fn in_folder(folder: PathBuf) -> Result<Blobs> {
    let named = |error: &dyn fmt::Display| unavailable(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(|error| named(&error))?;
    // A file is on the disk before anybody hears that it is kept.
    let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| named(&error))?.with_fsync(true);
    Ok(Blobs { store: Arc::new(store), signer: None, place: Place::Folder(folder) })
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why.into())
}

fn unavailable(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, why.into())
}
