//! What operators do: to a folder that nobody has open, and to one whose server runs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::{EventLog, Topic};
use chat4all_backend::store::{Slice, Store};
use chat4all_model::api::{Me, MessageKind, Page};
use chat4all_model::command::{Action, Command, Content, Send};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::record::encode_command;
use chat4all_server::account::{AccountService, AccountSettings, Ambient};
use chat4all_server::clock::system_clock;
use chat4all_server::dead_letters::DeadLetterView;
use chat4all_server::engines::Embedded;
use chat4all_server::health::Health;
use chat4all_server::installation::EngineUrls;
use chat4all_server::operator::{
    Invite, InviteRequest, Level, Link, LinkError, Named, NewPassword, Operator, Report, SeededMessages,
    mend_folder, router, seed_messages, seed_users, serve,
};
use chat4all_server::router::RouterOptions;
use chat4all_server::secret::Secret;
use chat4all_server::shutdown::{self, Stopper};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A server without its transports: it decides, projects and answers operators.
struct Server {
    embedded: Embedded,
    health: Health,
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    async fn start(path: &Path) -> Self {
        let embedded = Embedded::open(DataFolder::open(path).unwrap(), None, &system_clock()).unwrap();
        let engines = embedded.engines();
        let (stopper, shutdown) = shutdown::channel();
        let health = Health::default();
        let options = RouterOptions {
            name: "test".into(),
            retention: None,
            paused: false,
            clock: system_clock(),
            health: health.clone(),
            on_progress: Arc::new(|_, _| {}),
            public_topics: None,
        };
        let secret = Secret::of_folder(path).unwrap();
        let accounts = AccountService::open(
            Arc::clone(&engines.accounts),
            Arc::clone(&engines.bus),
            &secret,
            Ambient::system(),
            AccountSettings::default(),
        );
        let operator = Operator {
            accounts: accounts.await.unwrap(),
            engines: engines.clone(),
            health: health.clone(),
            ambient: Ambient::system(),
            folder: Some(path.to_owned()),
            running: true,
        };
        let (folder, served) = (path.to_owned(), shutdown.clone());
        let tasks = vec![
            tokio::spawn(chat4all_server::router::run(engines, options, shutdown)),
            tokio::spawn(async move { serve(&folder, router(operator), served).await.unwrap() }),
        ];
        Self { embedded, health, stopper, tasks }
    }

    async fn stop(self) {
        self.stopper.stop();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.embedded.close().await;
    }

    async fn append(&self, command: &Command) {
        let partition = command.conversation.partition(self.embedded.log.partitions());
        let records = vec![(partition, encode_command(command))];
        self.embedded.log.append(Topic::Messages, records).await.unwrap();
    }

    /// The numbers in the texts of the conversation, oldest first, once it has `count` messages.
    async fn texts(&self, conversation: &ConversationId, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.embedded.store.messages(conversation, Slice::Up(1), 200).await.unwrap();
            assert!(found.iter().map(|m| m.event.fact.seq()).eq(2..2 + found.len() as u64), "seq is dense");
            if found.len() >= count {
                let text = |what: &chat4all_model::fact::What| match what {
                    chat4all_model::fact::What::Message { content, .. } => {
                        content.text.as_deref().unwrap().to_owned()
                    }
                    other => panic!("{other:?}"),
                };
                return found.iter().map(|m| text(&m.event.fact.what)).collect();
            }
            assert!(Instant::now() < deadline, "{} of {count} messages: {:?}", found.len(), self.health);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn running(path: &Path) -> Link {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(link) = Link::to_running(path).await {
            return link;
        }
        assert!(Instant::now() < deadline, "the operator's socket does not answer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn report(link: &Link) -> Report {
    link.get("/doctor").await.unwrap()
}

fn talk() -> (ConversationId, UserId, UserId) {
    let (alice, bob) = (UserId::parse("alice").unwrap(), UserId::parse("bob").unwrap());
    (ConversationId::direct(&alice, &bob).unwrap(), alice, bob)
}

fn message(number: u64) -> Command {
    let (conversation, alice, _) = talk();
    let content = Content { text: Some(number.to_string().into()), ..Content::default() };
    let send = Send { kind: MessageKind::Text, content, reply_to: None, seen: None };
    Command::new(conversation, alice, number, &format!("key-{number}"), Action::Send(send))
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Everything an operator does to accounts.
async fn administrate(link: &Link, username: &str) {
    let named = Named { username: username.to_owned() };
    let me: Me = link.post("/admins", &named).await.unwrap();
    assert_eq!(me.permissions, ["admin"]);
    let me: Me = link.delete(&format!("/admins/{username}")).await.unwrap();
    assert_eq!(me.permissions, Vec::<String>::new());
    let new: NewPassword = link.post("/password", &named).await.unwrap();
    assert!(new.password.len() >= 20);
    let ttl = InviteRequest { ttl_seconds: 60 };
    let invite: Invite = link.post("/invites", &ttl).await.unwrap();
    assert!(invite.invite.len() >= 20);
    let first: Page<Me> = link.get("/users?limit=1").await.unwrap();
    let rest: Page<Me> = link.get(&format!("/users?cursor={}", first.next.unwrap())).await.unwrap();
    let mut names: Vec<String> = first.items.into_iter().chain(rest.items).map(|me| me.username).collect();
    names.sort();
    assert_eq!(names, ["u0", "u1", "u2"]);
    let audit: Page<serde_json::Value> = link.get("/audit").await.unwrap();
    assert_eq!(audit.items[0]["action"], "invite.create");
    assert_eq!(audit.items[1]["actor"], "operator");
    let nobody = Named { username: "nobody".to_owned() };
    let refused = link.post::<Me>("/admins", &nobody).await.unwrap_err();
    assert!(matches!(&refused, LinkError::Refused(problem) if problem.code == "not_found"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_is_done_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let link = Link::open(&EngineUrls::embedded(dir.path().to_owned()), None).await.unwrap();
    let Link::Opened(opened) = &link else { panic!("no server runs") };
    let users = seed_users(&opened.accounts, 3, "u").await.unwrap();
    assert_eq!(users.iter().map(|u| u.username.as_str()).collect::<Vec<_>>(), ["u0", "u1", "u2"]);
    let caller = opened.accounts.authenticate(&users[1].access_token).await.unwrap();
    assert_eq!(caller.user_id.as_str(), users[1].user_id);
    administrate(&link, "u0").await;
    assert!(!report(&link).await.running);
    link.close().await;

    let server = Server::start(dir.path()).await;
    let link = running(dir.path()).await;
    administrate(&link, "u1").await;
    assert!(report(&link).await.running);
    let refused = Link::open(&EngineUrls::embedded(dir.path().join("file\0")), None).await.err().unwrap();
    assert!(matches!(refused, LinkError::Folder(_)), "{refused}");
    server.stop().await;
    assert!(Link::to_running(dir.path()).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_a_long_path_has_a_socket_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x".repeat(120));
    let server = Server::start(&path).await;
    let link = running(&path).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &path.join("operator.sock").metadata().unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(report(&link).await.running);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_and_replayed_once_readable() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let link = running(dir.path()).await;
    let (conversation, ..) = talk();
    let partition = conversation.partition(4);
    for number in 0..60_u8 {
        let record = vec![(partition, vec![1, 255, number].into())];
        server.embedded.log.append(Topic::Messages, record).await.unwrap();
    }
    server.append(&message(0)).await;
    server.texts(&conversation, 1).await;
    let first: Page<DeadLetterView> = link.get("/dead-letters").await.unwrap();
    assert_eq!(first.items.len(), 50);
    assert_eq!((first.items[7].topic.as_str(), first.items[7].offset), ("messages", 7));
    let rest = format!("/dead-letters?cursor={}", first.next.unwrap());
    let rest: Page<DeadLetterView> = link.get(&rest).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (10, None));
    let replay = |id: &str| format!("/dead-letters/{id}/replay");
    let refused = link.post::<DeadLetterView>(&replay(&rest.items[0].id), &()).await.unwrap_err();
    assert!(refused.to_string().contains("cannot read it either"), "{refused}");
    let refused = link.post::<DeadLetterView>(&replay("0-0-0"), &()).await.unwrap_err();
    assert!(refused.to_string().contains("no such dead letter"), "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_of_another_day_is_decided_once() {
    use chat4all_backend::store::{Counted, Projection};
    use chat4all_model::record::{Dead, Input, Source};
    use chat4all_model::rows::Position;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let link = running(dir.path()).await;
    // As if an older program had not been able to read it.
    let source = Source { input: Input::Messages, epoch: 1, offset: 0 };
    let payload = encode_command(&message(0)).to_vec();
    let dead = Dead { source, reason: "of another day".into(), payload };
    let counted = Counted { position: Position::new(1, 0), facts: [].into(), dead: [dead].into() };
    let projection = Projection { counted: vec![counted], ..Projection::default() };
    server.embedded.store.project(3, projection).await.unwrap();
    let letters: Page<DeadLetterView> = link.get("/dead-letters").await.unwrap();
    let replay = format!("/dead-letters/{}/replay", letters.items[0].id);
    let replayed: DeadLetterView = link.post(&replay, &()).await.unwrap();
    assert!(replayed.replayed_at.is_some());
    let (conversation, ..) = talk();
    assert_eq!(server.texts(&conversation, 1).await, ["0"]);
    let refused = link.post::<DeadLetterView>(&replay, &()).await.unwrap_err();
    assert!(refused.to_string().contains("replayed before"), "{refused}");
    server.stop().await;
}

/// Runs a server that is sent the messages of `range`, and stops it when all of them are stored.
async fn converse(path: &Path, range: std::ops::Range<u64>) {
    let server = Server::start(path).await;
    for number in range.clone() {
        server.append(&message(number)).await;
    }
    let (conversation, ..) = talk();
    let texts = server.texts(&conversation, usize::try_from(range.end).unwrap()).await;
    assert_eq!(texts, numbers(0..range.end));
    server.stop().await;
}

fn remove_log(path: &Path) {
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        let _missing = std::fs::remove_file(path.join(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_reported_mended_and_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let (conversation, ..) = talk();
    converse(dir.path(), 0..5).await;
    let link = Link::open(&EngineUrls::embedded(dir.path().to_owned()), None).await.unwrap();
    assert_eq!(report(&link).await.level(), Level::Ok, "{:?}", report(&link).await);
    link.close().await;
    remove_log(dir.path());

    // A server on the new log accepts, and decides nothing: 3 came again, 5 and 6 are new.
    let server = Server::start(dir.path()).await;
    let link = running(dir.path()).await;
    for number in [3, 5, 6] {
        server.append(&message(number)).await;
    }
    let sick = report(&link).await;
    assert!(sick.level() == Level::Bad && sick.can_be_mended(), "{sick:?}");
    server.stop().await;

    let mended = mend_folder(DataFolder::open(dir.path()).unwrap(), &system_clock()).await.unwrap();
    assert_eq!((mended.epoch, mended.commands), (Some(2), 3));
    assert!(mended.old_log.unwrap().is_file());
    let server = Server::start(dir.path()).await;
    assert_eq!(server.texts(&conversation, 7).await, numbers(0..7));
    server.append(&message(7)).await;
    // A retry of what the lost log held is known by its id.
    server.append(&message(1)).await;
    server.append(&message(8)).await;
    assert_eq!(server.texts(&conversation, 9).await, numbers(0..9));
    server.stop().await;
    let again = mend_folder(DataFolder::open(dir.path()).unwrap(), &system_clock()).await.unwrap();
    assert_eq!(again.epoch, None, "nothing is left to mend");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_restored_from_an_earlier_moment_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let (conversation, ..) = talk();
    converse(dir.path(), 0..3).await;
    std::fs::copy(dir.path().join("log.db"), dir.path().join("backup")).unwrap();
    converse(dir.path(), 3..6).await;
    remove_log(dir.path());
    std::fs::rename(dir.path().join("backup"), dir.path().join("log.db")).unwrap();

    let server = Server::start(dir.path()).await;
    server.append(&message(6)).await;
    let link = running(dir.path()).await;
    assert!(report(&link).await.can_be_mended());
    server.stop().await;
    mend_folder(DataFolder::open(dir.path()).unwrap(), &system_clock()).await.unwrap();
    let server = Server::start(dir.path()).await;
    server.append(&message(7)).await;
    assert_eq!(server.texts(&conversation, 8).await, numbers(0..8));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_goes_on_from_seeded_messages() {
    let dir = tempfile::tempdir().unwrap();
    let link = Link::open(&EngineUrls::embedded(dir.path().to_owned()), None).await.unwrap();
    let Link::Opened(opened) = &link else { panic!("no server runs") };
    let what = SeededMessages { count: 3_000, conversations: 7, members: 4 };
    let seeded = seed_messages(opened, what).await.unwrap();
    assert_eq!(seeded.len(), 7);
    assert_eq!(seeded.iter().map(|s| s.last_seq - 1).sum::<u64>(), 3_000);
    let caller = opened.accounts.authenticate(&seeded[6].access_token).await.unwrap();
    assert_eq!(caller.user_id.as_str(), seeded[6].members[0].user_id);
    assert_eq!(report(&link).await.level(), Level::Ok);
    link.close().await;

    let server = Server::start(dir.path()).await;
    let conversation = ConversationId::parse(&seeded[0].conversation_id).unwrap();
    let sender = UserId::parse(&seeded[0].members[1].user_id).unwrap();
    let content = Content { text: Some("new".into()), ..Content::default() };
    let send = Send { kind: MessageKind::Text, content, reply_to: None, seen: None };
    server.append(&Command::new(conversation.clone(), sender, 1, "new", Action::Send(send))).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let head = server.embedded.store.overviews(vec![conversation.clone()]).await.unwrap();
        if head[0].as_ref().unwrap().head.seq == seeded[0].last_seq + 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", server.health);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mending_that_was_killed_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, kept) = (dir.path().join("store.db"), dir.path().join("kept"));
    let (conversation, ..) = talk();
    converse(dir.path(), 0..3).await;
    remove_log(dir.path());
    let server = Server::start(dir.path()).await;
    server.append(&message(3)).await;
    server.stop().await;

    // Killed when the new log was in its place and the store did not know of it yet; and another time before that.
    std::fs::copy(&store, &kept).unwrap();
    mend_folder(DataFolder::open(dir.path()).unwrap(), &system_clock()).await.unwrap();
    std::fs::copy(&kept, &store).unwrap();
    std::fs::create_dir(dir.path().join("mend")).unwrap();
    std::fs::write(dir.path().join("mend/log.db"), "half a log").unwrap();

    let mended = mend_folder(DataFolder::open(dir.path()).unwrap(), &system_clock()).await.unwrap();
    assert_eq!((mended.epoch, mended.commands), (Some(3), 1));
    let server = Server::start(dir.path()).await;
    assert_eq!(server.texts(&conversation, 4).await, numbers(0..4));
    server.stop().await;
}
