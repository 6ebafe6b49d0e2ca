//! A schema of its own for each test in the PostgreSQL that `CHAT4ALL_TEST_POSTGRES_URL` names.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use chat4all_backend::address::EngineUrl;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

const SERVER: &str = "CHAT4ALL_TEST_POSTGRES_URL";
const PORT: u16 = 5432;
/// After how long a server has said all that it has to say.
const SETTLES: Duration = Duration::from_millis(300);

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
        let url = format!("{}?sslmode=disable&schema={}{parameters}", self.server, self.name);
        EngineUrl::parse(&url).unwrap()
    }

    /// The same server with something else in place of `host:port` and the database.
    pub(crate) fn elsewhere(&self, address: &str, database: &str, parameters: &str) -> EngineUrl {
        let url = EngineUrl::parse(&self.server).unwrap();
        let user = url.user().unwrap();
        let schema = &self.name;
        let url =
            format!("postgres://{user}@{address}/{database}?sslmode=disable&schema={schema}{parameters}");
        EngineUrl::parse(&url).unwrap()
    }

    /// The schema by way of a [`Cut`], with further parameters.
    pub(crate) fn through(&self, cut: &Cut, parameters: &str) -> EngineUrl {
        let database = EngineUrl::parse(&self.server).unwrap().path().to_owned();
        self.elsewhere(&cut.address, &database, parameters)
    }

    /// A way to the server.
    pub(crate) async fn cut(&self) -> Cut {
        let server = EngineUrl::parse(&self.server).unwrap().addresses(PORT).remove(0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let when = Arc::new(Mutex::new(None));
        let (hung_up, hangs_up) = watch::channel(());
        let end = Arc::clone(&when);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (end, mut hangs_up) = (Arc::clone(&end), hangs_up.clone());
                hangs_up.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass_on(client, server, end) => {}
                        _ = hangs_up.changed() => {}
                    }
                });
            }
        });
        Cut { address, when, hung_up, task }
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

/// A way to the server that can be cut with a word to the server.
pub(crate) struct Cut {
    address: String,
    when: Arc<Mutex<Option<&'static [u8]>>>,
    hung_up: watch::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Cut {
    /// Cuts every connection that says this to the server: the server hears it, and its answer is lost.
    pub(crate) fn when(&self, said: &'static str) {
        *self.when.lock().unwrap() = Some(said.as_bytes());
    }

    /// Ends every connection that there is.
    pub(crate) fn hang_up(&self) {
        self.hung_up.send_replace(());
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, end: Arc<Mutex<Option<&'static [u8]>>>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            biased;
            Ok(read) = client.read(&mut asked) => {
                if read == 0 || server.write_all(&asked[..read]).await.is_err() {
                    return;
                }
                let end = *end.lock().unwrap();
                if end.is_some_and(|end| asked[..read].windows(end.len()).any(|said| said == end)) {
                    // The server does what it was told before the client hears that nobody is there.
                    while let Ok(Ok(1..)) = tokio::time::timeout(SETTLES, server.read(&mut answered)).await {}
                    return;
                }
            }
            Ok(read) = server.read(&mut answered) => {
                if read == 0 || client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}
