//! The fixture of the store in PostgreSQL, and what only it promises.

#[path = "../support/postgres.rs"]
mod server;

use async_trait::async_trait;
use chat4all_backend::Result;
use chat4all_backend::store::contract::world::BEGINNING;
use chat4all_backend::store::contract::{Capability, Fixture};
use chat4all_backend::store::{PostgresStore, Store};
use server::TestSchema;
use std::sync::Arc;

pub(crate) fn fixture() -> Result<Box<dyn Fixture>, String> {
    Ok(Box::new(Postgres(TestSchema::new()?)))
}

struct Postgres(TestSchema);

impl Postgres {
    async fn store(&self) -> Result<PostgresStore> {
        PostgresStore::open(self.0.url("&sslmode=disable&pool=4"), Arc::new(|| BEGINNING)).await
    }
}

#[async_trait]
impl Fixture for Postgres {
    fn can(&self, _: Capability) -> bool {
        true
    }

    async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.store().await?))
    }

    async fn reopen(&self) -> Result<Arc<dyn Store>> {
        self.open().await
    }
}
