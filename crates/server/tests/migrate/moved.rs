//! After a migration nobody sees a difference.

use crate::support::{Call, Options, PASSWORD, TestApp};
use crate::told::{everything, same};
use crate::world::{KEYED, UNDECIDED, World, target};
use chat4all_backend::ErrorKind;
use chat4all_backend::log::{EventLog, Topic};
use chat4all_backend::store::Store;
use chat4all_server::operator::{Part, Work, migrate, unfinished};
use serde_json::json;

fn quiet(_: &'static str, _: u64) {}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_on_as_if_nothing_had_happened() {
    let world = World::new().await;
    let (source, folder) = (world.open(), tempfile::tempdir().unwrap());
    let other = target(folder.path(), 6);
    let done = migrate(&source.engines(), &other.engines(), &quiet).await.unwrap();
    assert!(done.differences.is_empty(), "{:?}", done.differences);
    let counts = done.counts.unwrap();
    assert_eq!((done.epoch, counts.store[&Part::Conversations], counts.dead_letters), (2, 4, 2));
    assert_eq!((counts.accounts["accounts"], counts.accounts["keys of bots"]), (7, 2));
    source.close().await;

    let app = TestApp::over(other, Options::default()).await;
    same(&world.told, &everything(&app, &world.people, &world.conversations).await);
    let [ann, bob, _, root] = world.people.as_slice() else { panic!("four people") };

    let expired = app.get(ann, &format!("/v1/sync?since={}", world.cursor)).await;
    assert_eq!((expired.status.as_u16(), expired.code().as_str()), (410, "cursor_expired"));
    let cursor = app.get(ann, "/v1/sync").await.text("cursor");
    let again = json!({"recipient_id": bob.id, "content": KEYED.1});
    let sent = app.call(Call::post("/v1/messages").by(ann).key(KEYED.0).json(&again)).await;
    let found = app.get(ann, &format!("/v1/messages/{}", sent.text("message_id"))).await;
    assert_eq!((found.text("content").as_str(), found.json()["seq"].as_u64()), (KEYED.1, Some(2)));
    let other = json!({"recipient_id": bob.id, "content": "something else"});
    let reused = app.call(Call::post("/v1/messages").by(ann).key(KEYED.0).json(&other)).await;
    assert_eq!((reused.status.as_u16(), reused.code().as_str()), (422, "idempotency_key_reused"));

    for conversation in &world.conversations {
        let path = format!("/v1/conversations/{conversation}");
        let before = app.get(bob, &path).await.json()["last_seq"].as_u64().unwrap();
        let said = app.say(bob, conversation, "after the move").await;
        assert_eq!(said["seq"].as_u64(), Some(before + 1), "each conversation counts on");
    }
    let news = app.get(ann, &format!("/v1/sync?since={cursor}")).await.json();
    assert_eq!(news["events"].as_array().map(Vec::len), Some(3), "of those that she is in: {news}");

    for person in &world.people {
        let refresh = json!({"refresh_token": person.refresh_token});
        assert_eq!(app.call(Call::post("/auth/refresh").json(&refresh)).await.status, 200);
    }
    let login = json!({"username": "ann@example.org", "password": PASSWORD});
    assert_eq!(app.call(Call::post("/auth/token").json(&login)).await.status, 200);
    assert_eq!(app.call(Call::get("/v1/unread").bearer(&world.api_key)).await.status, 200);
    assert_eq!(app.get(&world.gone, "/auth/me").await.status, 401, "a session that ended stays so");
    assert_eq!(app.register("ANN").await.code(), "username_taken");
    let letters = app.get(root, "/v1/admin/dead-letters").await.json();
    let replayed = letters["items"].as_array().unwrap().iter().filter(|l| !l["replayed_at"].is_null());
    assert_eq!(replayed.count(), 1, "{letters}");
    app.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_decided_there() {
    let world = World::new().await;
    world.leave_undecided().await;
    let (source, folder) = (world.open(), tempfile::tempdir().unwrap());
    let other = target(folder.path(), 3);
    let done = migrate(&source.engines(), &other.engines(), &quiet).await.unwrap();
    assert!(done.differences.is_empty(), "{:?}", done.differences);
    let log = done.counts.unwrap().log;
    assert!(log["messages"] >= 1 && log["status-updates"] == 1 && log["whatsapp-outbound"] == 1, "{log:?}");
    source.close().await;

    let mut outbound = 0;
    for partition in 0..other.log.partitions() {
        let bounds = other.log.bounds(Topic::WhatsappOutbound, partition).await.unwrap();
        outbound += bounds.end - bounds.start;
    }
    assert_eq!(outbound, 1);
    let app = TestApp::over(other, Options::default()).await;
    let ann = &world.people[0];
    let path = format!("/v1/conversations/{}/messages?limit=5", world.conversations[0]);
    let page = app.until(ann, &path, |page| page["messages"][0]["content"] == UNDECIDED).await;
    assert_ne!(page["messages"][1]["content"], UNDECIDED, "once");
    let markers = format!("/v1/conversations/{}/markers", world.conversations[0]);
    let mine = |page: &serde_json::Value| {
        let all = page["items"].as_array().cloned().unwrap_or_default();
        all.iter()
            .any(|marker| marker["user_id"] == ann.id.as_str() && marker["read_seq"].as_u64() >= Some(7))
    };
    app.until(ann, &markers, mine).await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_go_wrong_is_refused() {
    let world = World::new().await;
    let source = world.open();
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();

    let same_epoch = crate::support::embedded(folders[0].path());
    let error = migrate(&source.engines(), &same_epoch.engines(), &quiet).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("epoch 1"), "{error}");

    let used = TestApp::over(target(folders[1].path(), 4), Options::default()).await;
    used.person("somebody").await;
    used.close().await;
    let used = crate::support::embedded(folders[1].path());
    let error = migrate(&source.engines(), &used.engines(), &quiet).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.to_string().contains("not empty"), "{error}");

    let other = target(folders[2].path(), 4);
    let done = migrate(&source.engines(), &other.engines(), &quiet).await.unwrap();
    assert!(done.counts.is_some() && done.differences.is_empty());
    assert_eq!(unfinished(&*other.store).await.unwrap(), None::<Work>);
    let again = migrate(&source.engines(), &other.engines(), &quiet).await.unwrap();
    assert!(again.counts.is_none(), "it is complete already");
    source.close().await;

    world.leave_undecided().await;
    let changed = world.open();
    let error = migrate(&changed.engines(), &other.engines(), &quiet).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.to_string().contains("already"), "{error}");
}
