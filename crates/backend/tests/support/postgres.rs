//! A schema of its own for each test in the PostgreSQL that `CHAT4ALL_TEST_POSTGRES_URL` names.

use chat4all_backend::address::EngineUrl;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::{Client, NoTls};

const SERVER: &str = "CHAT4ALL_TEST_POSTGRES_URL";

/// Goes with its schema.
pub(crate) struct TestSchema {
    server: String,
    pub(crate) name: String,
}

impl TestSchema {
    /// A name that nobody has; the schema is made by whoever is opened first.
    pub(crate) fn new() -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let server = std::env::var(SERVER).map_err(|_| format!("{SERVER} is not set"))?;
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { server, name })
    }

    /// The address of the schema, with further parameters, each with a `&` before it.
    pub(crate) fn url(&self, parameters: &str) -> EngineUrl {
        EngineUrl::parse(&format!("{}?schema={}{parameters}", self.server, self.name)).unwrap()
    }

    /// A connection that no engine knows of, in the schema.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.server, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("SET search_path = {}", self.name)).await.unwrap();
        client
    }
}

impl Drop for TestSchema {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread of its own: whoever drops it may be in a runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&server, NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute(&format!("DROP SCHEMA IF EXISTS {name} CASCADE")).await.unwrap();
            });
        });
        dropping.join().unwrap();
    }
}
