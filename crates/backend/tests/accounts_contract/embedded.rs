//! The fixture of the embedded accounts, and what only they promise.

use async_trait::async_trait;
use chat4all_backend::accounts::{Accounts, EmbeddedAccounts, Fixture};
use chat4all_backend::{ErrorKind, Result};
use libtest_mimic::{Failed, Trial};
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) fn fixture() -> Result<Arc<dyn Fixture>, String> {
    Ok(Arc::new(Embedded::new().map_err(|e| e.to_string())?))
}

struct Embedded(TempDir);

impl Embedded {
    fn new() -> std::io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    fn try_open(&self) -> Result<EmbeddedAccounts> {
        EmbeddedAccounts::open(self.0.path())
    }
}

#[async_trait]
impl Fixture for Embedded {
    async fn open(&self) -> Arc<dyn Accounts> {
        Arc::new(self.try_open().expect("the accounts of a fresh folder"))
    }
}

type Run = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let all: [(&str, Run); 3] = [
        ("a_newer_schema_is_refused_by_name", a_newer_schema_is_refused_by_name),
        ("a_folder_that_cannot_be_used_is_unavailable", a_folder_that_cannot_be_used_is_unavailable),
        ("a_file_that_is_no_database_is_corrupt", a_file_that_is_no_database_is_corrupt),
    ];
    all.into_iter().map(|(name, run)| Trial::test(format!("embedded::{name}"), run))
}

fn a_newer_schema_is_refused_by_name() -> Result<(), Failed> {
    let embedded = Embedded::new()?;
    drop(embedded.try_open()?);
    let file = rusqlite::Connection::open(embedded.0.path().join("accounts.db"))?;
    file.pragma_update(None, "user_version", 99)?;
    let error = embedded.try_open().err().ok_or("a newer file was opened")?;
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("newer chat4all"), "{error}");
    Ok(())
}

fn a_folder_that_cannot_be_used_is_unavailable() -> Result<(), Failed> {
    let opened = EmbeddedAccounts::open(std::path::Path::new("/nonexistent/folder"));
    assert_eq!(opened.err().ok_or("it was opened")?.kind, ErrorKind::Unavailable);
    Ok(())
}

fn a_file_that_is_no_database_is_corrupt() -> Result<(), Failed> {
    let embedded = Embedded::new()?;
    std::fs::write(embedded.0.path().join("accounts.db"), [7; 8192])?;
    assert_eq!(embedded.try_open().err().ok_or("it was opened")?.kind, ErrorKind::Corrupt);
    Ok(())
}
