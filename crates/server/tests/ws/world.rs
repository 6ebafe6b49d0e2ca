//! An installation in one process with the gateway on a port, and a client that speaks raw frames.

use axum::Router;
use axum::extract::{ConnectInfo, Query, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chat4all_backend::folder::DataFolder;
use chat4all_model::api::RegisterRequest;
use chat4all_server::account::{AccountService, AccountSettings, Ambient, AuthLimits, PasswordCost};
use chat4all_server::chat::Chat;
use chat4all_server::clock::system_clock;
use chat4all_server::engines::Embedded;
use chat4all_server::health::Health;
use chat4all_server::live::{Hub, LiveSettings};
use chat4all_server::router::{self, RouterOptions};
use chat4all_server::secret::Secret;
use chat4all_server::shutdown::{self, Stopper};
use chat4all_server::sync::Sync;
use chat4all_server::ws::{self, Gateway, GatewaySettings};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) accounts: Arc<AccountService>,
    pub(crate) address: SocketAddr,
    pub(crate) stopper: Stopper,
    _embedded: Embedded,
    _folder: tempfile::TempDir,
}

pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl World {
    pub(crate) async fn new(live: LiveSettings, settings: GatewaySettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path().join("data")).unwrap();
        let embedded = Embedded::open(data, None, &system_clock()).unwrap();
        let engines = embedded.engines();
        let hub = Hub::start(engines.clone(), live);
        let (stopper, shutdown) = shutdown::channel();
        let heard = Arc::clone(&hub);
        let options = RouterOptions {
            name: "test".into(),
            retention: None,
            paused: false,
            clock: system_clock(),
            health: Health::default(),
            on_progress: Arc::new(move |partition, progress| heard.note_progress(partition, *progress)),
            public_topics: None,
        };
        tokio::spawn(router::run(engines.clone(), options, shutdown.clone()));
        let account_settings = AccountSettings {
            limits: AuthLimits::OFF,
            password: PasswordCost { memory_kib: 64, passes: 1, at_once: 2, waiting: 64 },
            ..AccountSettings::default()
        };
        let secret = Secret::new(&"s".repeat(32)).unwrap();
        let (people, bus) = (Arc::clone(&engines.accounts), Arc::clone(&engines.bus));
        let accounts =
            AccountService::open(people, bus, &secret, Ambient::system(), account_settings).await.unwrap();
        tokio::spawn(Arc::clone(&accounts).run());
        let chat = Chat::new(&engines, Arc::clone(&hub), Ambient::system());
        let sync = Sync::new(hub, &secret);
        let gateway = Gateway::new(Arc::clone(&accounts), chat, sync, Ambient::system(), settings, shutdown);
        tokio::spawn(Arc::clone(&gateway).run());
        let app = Router::new().route("/ws", get(open)).with_state(gateway);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { accounts, address, stopper, _embedded: embedded, _folder: folder }
    }

    pub(crate) async fn person(&self, name: &str) -> Person {
        let request = RegisterRequest {
            username: name.into(),
            password: "correct horse".into(),
            ..RegisterRequest::default()
        };
        let tokens = self.accounts.register(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap().value;
        let caller = self.accounts.authenticate(&tokens.access_token).await.unwrap();
        Person { id: caller.user_id.to_string(), token: tokens.access_token }
    }

    /// Connects and reads up to `live`: what came between, and the cursor.
    pub(crate) async fn live(&self, person: &Person, cursor: Option<&str>) -> (Client, Vec<Value>, String) {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let mut client = self.connect(&format!("?token={}{cursor}", person.token)).await.unwrap();
        let hello = client.next().await;
        assert_eq!((hello["type"].as_str(), hello["user_id"].as_str()), (Some("hello"), Some(&*person.id)));
        let mut missed = Vec::new();
        loop {
            let frame = client.next().await;
            if frame["type"] == "live" {
                let cursor = frame["cursor"].as_str().unwrap().to_owned();
                return (client, missed, cursor);
            }
            missed.push(frame);
        }
    }

    pub(crate) async fn connect(&self, query: &str) -> Result<Client, tungstenite::Error> {
        let (socket, _) = connect_async(format!("ws://{}/ws{query}", self.address)).await?;
        Ok(Client(socket))
    }
}

async fn open(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(query): Query<ws::Query>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    match gateway.open(upgrade, &headers, query, peer.ip()).await {
        Ok(response) => response,
        Err(failure) => StatusCode::from_u16(failure.code.status()).unwrap().into_response(),
    }
}

pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn say(&mut self, frame: Value) {
        self.raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// The next text frame.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("instead of a frame: {other:?}"),
            }
        }
    }

    /// The next frame of this type; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The code with which the server closes; frames before it are passed over.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a close in time") {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }
}
