//! The contract of accounts, held by each engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use async_trait::async_trait;
use chat4all_backend::accounts::{Accounts, EmbeddedAccounts, Fixture, cases};
use chat4all_backend::{ErrorKind, Result};
use std::sync::Arc;
use tempfile::TempDir;

struct Embedded(TempDir);

impl Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn try_open(&self) -> Result<EmbeddedAccounts> {
        EmbeddedAccounts::open(self.0.path())
    }
}

#[async_trait]
impl Fixture for Embedded {
    async fn open(&self) -> Arc<dyn Accounts> {
        Arc::new(self.try_open().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    for case in cases() {
        let run = tokio::spawn((case.run)(Arc::new(Embedded::new())));
        assert!(run.await.is_ok(), "embedded accounts: {}", case.name);
    }
}

#[test]
fn a_newer_schema_is_refused_by_name() {
    let embedded = Embedded::new();
    drop(embedded.try_open().unwrap());
    let file = rusqlite::Connection::open(embedded.0.path().join("accounts.db")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    let error = embedded.try_open().err().unwrap();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("newer chat4all"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_used_is_unavailable() {
    let error = EmbeddedAccounts::open(std::path::Path::new("/nonexistent/folder")).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[test]
fn a_file_that_is_no_database_is_corrupt() {
    let embedded = Embedded::new();
    std::fs::write(embedded.0.path().join("accounts.db"), [7; 8192]).unwrap();
    assert_eq!(embedded.try_open().err().unwrap().kind, ErrorKind::Corrupt);
}
