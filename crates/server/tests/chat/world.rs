//! An installation in one process.

use chat4all_backend::accounts::EmbeddedAccounts;
use chat4all_backend::blobs::Blobs;
use chat4all_backend::bus::EmbeddedBus;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::{self, EmbeddedLog};
use chat4all_backend::store::{self, EmbeddedStore};
use chat4all_model::api::{
    BotRequest, Code, ConversationType, CreateConversation, History, Message, RegisterRequest, Scope,
    SendMessage,
};
use chat4all_server::account::{AccountService, AccountSettings, Ambient, AuthLimits, Caller, PasswordCost};
use chat4all_server::chat::{Changed, Chat, Created, Sent, Waited, Window};
use chat4all_server::clock::system_clock;
use chat4all_server::engines::Engines;
use chat4all_server::error::{Failure, Result};
use chat4all_server::health::Health;
use chat4all_server::live::{Hub, LiveSettings};
use chat4all_server::router::{self, RouterOptions};
use chat4all_server::secret::Secret;
use chat4all_server::shutdown::{self, Stopper};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) chat: Chat,
    pub(crate) accounts: Arc<AccountService>,
    router: JoinHandle<()>,
    stopper: Stopper,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let engines = Engines {
            log: Arc::new(EmbeddedLog::open(&data, log::Options::default()).unwrap()),
            store: Arc::new(EmbeddedStore::open(&data, store::Options::default()).unwrap()),
            accounts: Arc::new(EmbeddedAccounts::open(folder.path()).unwrap()),
            bus: Arc::new(EmbeddedBus::new()),
            blobs: Blobs::embedded(folder.path()).unwrap(),
            publisher: None,
        };
        let hub = Hub::start(engines.clone(), LiveSettings::default());
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
        let router = tokio::spawn(router::run(engines.clone(), options, shutdown));
        let settings = AccountSettings {
            limits: AuthLimits::OFF,
            password: PasswordCost { memory_kib: 64, passes: 1, at_once: 2, waiting: 64 },
            ..AccountSettings::default()
        };
        let secret = Secret::new(&"s".repeat(32)).unwrap();
        let (people, bus) = (Arc::clone(&engines.accounts), Arc::clone(&engines.bus));
        let accounts = AccountService::open(people, bus, &secret, Ambient::system(), settings).await.unwrap();
        let chat = Chat::new(&engines, hub, Ambient::system());
        Self { chat, accounts, router, stopper, _folder: folder }
    }

    pub(crate) async fn person(&self, name: &str) -> Caller {
        let request = RegisterRequest {
            username: name.into(),
            password: "correct horse".into(),
            display_name: Some(name.to_uppercase()),
            ..RegisterRequest::default()
        };
        let tokens = self.accounts.register(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap().value;
        self.accounts.authenticate(&tokens.access_token).await.unwrap()
    }

    pub(crate) async fn bot(&self, owner: &Caller, name: &str, scopes: &[Scope]) -> Caller {
        let request = BotRequest { username: name.into(), display_name: None, scopes: Some(scopes.to_vec()) };
        let bot = self.accounts.create_bot(owner, request).await.unwrap();
        self.accounts.authenticate(&bot.api_key.unwrap()).await.unwrap()
    }

    pub(crate) async fn group(&self, creator: &Caller, members: &[&Caller], history: History) -> String {
        let request = CreateConversation { history: Some(history), ..group(members) };
        match self.chat.create(creator, request, None).await.unwrap() {
            Created::New(conversation, Some(_)) => conversation.conversation_id,
            other => panic!("{other:?}"),
        }
    }

    /// Sends and waits for the stored message.
    pub(crate) async fn say(&self, caller: &Caller, conversation: &str, text: &str) -> Message {
        self.stored(caller, to(conversation, text)).await
    }

    pub(crate) async fn stored(&self, caller: &Caller, message: SendMessage) -> Message {
        match self.chat.send_and_wait(caller, message, None, PATIENCE).await.unwrap() {
            Waited::Stored(message, position) => {
                assert!(position.is_some());
                *message
            }
            Waited::Accepted(sent) => panic!("not stored in time: {sent:?}"),
        }
    }

    pub(crate) async fn send(&self, caller: &Caller, message: SendMessage) -> Result<Sent> {
        self.chat.send(caller, message, None).await
    }

    /// Texts from the newest on; deleted ones as `-`.
    pub(crate) async fn texts(&self, caller: &Caller, conversation: &str) -> Vec<String> {
        let m = self.chat.member(caller, conversation).await.unwrap();
        let page = self.chat.history(&m, Window::Before(None), Some(200)).await.unwrap();
        page.messages.into_iter().map(|message| message.content.unwrap_or_else(|| "-".into())).collect()
    }

    pub(crate) async fn stop(self) {
        self.stopper.stop();
        self.router.await.unwrap();
    }
}

pub(crate) fn group(members: &[&Caller]) -> CreateConversation {
    CreateConversation {
        kind: ConversationType::Group,
        participant_ids: members.iter().map(|member| member.user_id.to_string()).collect(),
        name: Some("friends".into()),
        conversation_id: None,
        history: None,
    }
}

pub(crate) fn direct(other: &Caller) -> CreateConversation {
    CreateConversation { kind: ConversationType::Direct, name: None, ..group(&[other]) }
}

pub(crate) fn to(conversation: &str, text: &str) -> SendMessage {
    SendMessage {
        conversation_id: Some(conversation.into()),
        content: Some(text.into()),
        ..SendMessage::default()
    }
}

pub(crate) fn to_person(person: &Caller, text: &str) -> SendMessage {
    SendMessage {
        recipient_id: Some(person.user_id.to_string()),
        content: Some(text.into()),
        ..SendMessage::default()
    }
}

pub(crate) fn done(changed: Result<Changed>) {
    let changed = changed.unwrap();
    assert!(changed.position().is_some(), "{changed:?}");
}

pub(crate) fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    failure(outcome).code
}

pub(crate) fn failure<T: std::fmt::Debug>(outcome: Result<T>) -> Failure {
    outcome.unwrap_err()
}
