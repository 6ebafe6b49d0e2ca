//! The embedded store: one SQLite file.

/// The store of an installation of one process.
#[derive(Debug)]
pub struct EmbeddedStore;
