//! The public topics.

use crate::publisher_double::Telling;
use crate::registry_double::{FIRST_ID, RegistryDouble};
use crate::talk::{ask, babble, channel, create, group, text, user};
use crate::truth;
use crate::world::{World, until};
use bytes::Bytes;
use chat4all_backend::log::{EventLog, PublicTopic, Publication, Topic};
use chat4all_backend::store::Store;
use chat4all_model::api::MessageKind;
use chat4all_model::command::{Action, Command, Content, Send};
use chat4all_model::id::ConversationId;
use chat4all_model::reader::{LastRead, Progress};
use chat4all_server::public_topics::{Gap, PublicTopicsSettings, READER, SchemaRegistry};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn command(conversation: &ConversationId, n: u64, action: Action) -> Command {
    Command::new(conversation.clone(), user(0), n, &n.to_string(), action)
}

fn messages(conversation: &ConversationId, from: u64, count: u64) -> Vec<Command> {
    (from..from + count).map(|n| command(conversation, n, text(&format!("message {n}")))).collect()
}

async fn chatter(world: &World, n: u64, count: u64) {
    ask(&*world.log, &[command(&group(n), 0, create([1, 2]))]).await;
    ask(&*world.log, &messages(&group(n), 1, count)).await;
}

fn read(publication: &Publication) -> Value {
    serde_json::from_slice(&publication.payload).unwrap()
}

#[tokio::test]
async fn what_is_told_is_what_happened() {
    let world = World::new(1);
    let _router = world.router(&[0]);
    let direct = ConversationId::direct(&user(0), &user(1)).unwrap();
    let content = Content {
        text: Some("hello".into()),
        data: Some(r#"{"a": [1]}"#.into()),
        files: vec!["f1".into(), "f2".into()],
        mentions: vec!["all".into()],
    };
    let first = command(&direct, 5, text("first"));
    let send = Send { kind: MessageKind::File, content, reply_to: first.id, seen: None };
    let sent = command(&direct, 10, Action::Send(send));
    let (id, target) = (sent.id.unwrap().to_string(), sent.id.unwrap());
    let edited = command(&direct, 20, Action::Edit { target, text: "better".into() });
    let deleted = command(&direct, 30, Action::Delete { target });
    let answered = first.id.unwrap().to_string();
    ask(&*world.log, &[first, sent, edited, deleted]).await;
    babble(&*world.log, 0).await;
    world.settle().await;
    let told = world.publisher.published().split_off(1);
    let records: Vec<(PublicTopic, Value)> = told.iter().map(|p| (p.topic, read(p))).collect();
    let (conversation_id, offset) = ("d:u0:u1", 4);
    let expected = [
        (
            PublicTopic::MessageCreated,
            json!({
                "version": 1, "message_id": id, "conversation_id": conversation_id, "seq": 3, "kind": "file",
                "sender_id": "u0", "recipient_id": "u1", "content": "hello", "data": {"a": [1]},
                "file_ids": ["f1", "f2"], "mentions": ["all"], "reply_to": answered, "timestamp": 10,
            }),
        ),
        (
            PublicTopic::MessageUpdated,
            json!({
                "version": 1, "message_id": id, "message_seq": 3, "conversation_id": conversation_id, "seq": 4,
                "sender_id": "u0", "actor_id": "u0", "content": "better", "timestamp": 20,
            }),
        ),
        (
            PublicTopic::MessageDeleted,
            json!({
                "version": 1, "message_id": id, "message_seq": 3, "conversation_id": conversation_id, "seq": 5,
                "sender_id": "u0", "actor_id": "u0", "timestamp": 30,
            }),
        ),
        (
            PublicTopic::DeadLetters,
            json!({
                "version": 1, "topic": "messages", "epoch": world.log.epoch(), "offset": offset,
                "reason": records[3].1["reason"], "payload": "Af//", "size": 3,
            }),
        ),
    ];
    assert_eq!(records, expected);
    assert!(!records[3].1["reason"].as_str().unwrap().is_empty());
    let keys: Vec<Option<Bytes>> = told.into_iter().map(|publication| publication.key).collect();
    assert_eq!(keys, [Some("d:u0:u1".into()), Some("d:u0:u1".into()), Some("d:u0:u1".into()), None]);
}

#[tokio::test]
async fn a_publisher_that_is_away_holds_back_nothing_but_what_others_are_told() {
    let mut world = World::new(1);
    world.retention = Some(Duration::ZERO);
    world.publisher.be_away(true);
    let router = world.router(&[0]);
    chatter(&world, 1, 30).await;
    until("all is decided and stored", async || truth::is_done(&world.log, &*world.store).await).await;
    router.stop().await;
    let router = world.router(&[0]);
    let start = async |topic| world.log.bounds(topic, 0).await.unwrap().start;
    until("commands go", async || start(Topic::Messages).await > 30).await;
    until("it tries again", async || world.publisher.refused.load(Ordering::SeqCst) > 2).await;
    assert!(router.health.complaints().is_empty(), "it is ready: nobody who writes or reads is concerned");
    // Two rounds of trimming.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(start(Topic::Events).await, 0, "what was not told is kept");
    assert!(world.publisher.published().is_empty());
    world.publisher.be_away(false);
    until("all is told", async || world.publisher.published().len() >= 30).await;
    until("events go", async || start(Topic::Events).await > 0).await;
    let told: Vec<u64> =
        world.publisher.published().iter().map(|p| read(p)["seq"].as_u64().unwrap()).collect();
    assert_eq!(told, (2..32).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_told_in_part_is_told_again_in_order() {
    let world = World::new(1);
    let _router = world.router(&[0]);
    chatter(&world, 1, 3).await;
    world.settle().await;
    world.publisher.next([Telling::Half, Telling::Lost, Telling::Unknown, Telling::Half]);
    ask(&*world.log, &messages(&group(1), 10, 200)).await;
    let found = world.settle().await;
    assert!(found.told_again > 0, "{found:?}");
}

#[tokio::test]
async fn an_heir_tells_nothing_twice_after_an_orderly_stop_and_leaves_nothing_out_after_a_crash() {
    let world = World::new(1);
    let router = world.router(&[0]);
    chatter(&world, 1, 20).await;
    until("all is told", async || world.publisher.published().len() == 20).await;
    router.stop().await;
    let heir = world.router(&[0]);
    ask(&*world.log, &messages(&group(1), 100, 20)).await;
    until("all is told", async || world.publisher.published().len() >= 40).await;
    assert_eq!(world.publisher.published().len(), 40, "nothing twice");
    drop(heir);
    let _heir = world.router(&[0]);
    ask(&*world.log, &messages(&group(1), 200, 20)).await;
    world.settle().await;
}

#[tokio::test]
async fn nobody_who_is_told_nothing_holds_back_the_log_and_what_is_gone_stops_the_telling() {
    let mut world = World::new(1);
    world.retention = Some(Duration::ZERO);
    world.public_topics = None;
    chatter(&world, 1, 5).await;
    let start = async || world.log.bounds(Topic::Events, 0).await.unwrap().start;
    let router = world.router(&[0]);
    until("all is decided", async || truth::is_done(&world.log, &*world.store).await).await;
    router.stop().await;
    let router = world.router(&[0]);
    until("events go up to the new term", async || start().await > 0).await;
    router.stop().await;
    // Told up to what is long gone.
    let last = Some(LastRead { offset: 0, hash: 0 });
    let place = Progress { epoch: world.log.epoch(), last, ..Progress::default() };
    world.store.save_reader(&READER, 0, place).await.unwrap();
    world.public_topics = Some(PublicTopicsSettings { registry: None, gap: Gap::Stop });
    let router = world.router(&[0]);
    ask(&*world.log, &messages(&group(1), 100, 5)).await;
    until("all is decided", async || truth::is_done(&world.log, &*world.store).await).await;
    assert!(world.publisher.published().is_empty(), "with a gap before them");
    assert_eq!(world.store.reader(&READER, 0).await.unwrap(), place);
    router.stop().await;
    world.public_topics = Some(PublicTopicsSettings { registry: None, gap: Gap::Skip });
    let _router = world.router(&[0]);
    until("it goes on", async || world.publisher.published().len() == 5).await;
}

#[tokio::test]
async fn nothing_is_told_without_the_schema_that_it_needs() {
    let registry = RegistryDouble::start().await;
    registry.be_away(true);
    let mut world = World::new(2);
    let at = SchemaRegistry::open(&registry.url).unwrap();
    world.public_topics = Some(PublicTopicsSettings { registry: Some(at), gap: Gap::Stop });
    let router = world.router(&[0, 1]);
    chatter(&world, 1, 5).await;
    ask(&*world.log, &messages(&channel("whatsapp", 0), 0, 1)).await;
    until("all is decided and stored", async || truth::is_done(&world.log, &*world.store).await).await;
    assert!(router.health.complaints().is_empty());
    until("it asks again", async || registry.seen(|seen| seen.requests) > 3).await;
    registry.be_away(false);
    registry.refuse(true);
    until("it is refused", async || registry.seen(|seen| seen.backward.len()) > 2).await;
    assert!(world.publisher.published().is_empty());
    registry.refuse(false);
    until("all is told", async || world.publisher.published().len() == 6).await;
    let requests = registry.seen(|seen| {
        let subjects: Vec<&str> = seen.schemas.keys().map(String::as_str).collect();
        let all =
            ["dead-letters-value", "message.created-value", "message.deleted-value", "message.updated-value"];
        assert_eq!(subjects, all);
        assert!(all.iter().all(|subject| seen.backward.iter().any(|one| one == subject)));
        assert_eq!(seen.authorization, "Basic b3BlcmF0b3I6cGFzcyB3b3Jk");
        seen.requests
    });
    for publication in world.publisher.published() {
        let (frame, json) = publication.payload.split_at(5);
        assert_eq!(frame, [0, 1, 2, 3, 4], "{FIRST_ID:#x}, of message.created");
        assert!(serde_json::from_slice::<Value>(json).unwrap()["content"].is_string());
    }
    registry.be_away(true);
    ask(&*world.log, &messages(&group(1), 100, 5)).await;
    until("it is not needed any more", async || world.publisher.published().len() == 11).await;
    assert_eq!(registry.seen(|seen| seen.requests), requests, "a schema is registered once in a process");
}

#[test]
fn wrong_urls_of_registries_are_refused_without_their_secrets() {
    for url in ["registry:8081", "ftp://a:secret@b", "http://a:secret@b/?x=1", "http://a:secret@:80", ""] {
        let error = SchemaRegistry::open(url).unwrap_err();
        assert_eq!(error.kind, chat4all_backend::ErrorKind::Invalid, "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let registry = SchemaRegistry::open("https://a:secret@registry/apis/ccompat/v7/").unwrap();
    assert_eq!(format!("{registry:?}"), r#"SchemaRegistry("https://registry/apis/ccompat/v7/")"#);
}
