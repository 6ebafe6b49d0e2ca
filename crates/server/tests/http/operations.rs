//! What operators and administrators see.

use crate::support::{Call, TestApp};
use bytes::Bytes;
use chat4all_backend::log::Topic;
use chat4all_model::record::VERSION;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_says_how_it_is() {
    let app = TestApp::start().await;
    let health = app.call(Call::get("/health")).await;
    assert_eq!((health.status.as_u16(), health.json()), (200, json!({"status": "ok"})));
    let alice = app.person("alice").await;
    let ready = app.until(&alice, "/ready", |report| report["ready"] == true).await;
    assert_eq!(
        ready["engines"],
        json!({"accounts": "ok", "blobs": "ok", "bus": "ok", "log": "ok", "store": "ok"})
    );
    std::fs::remove_dir_all(app.embedded.folder.path().join("blobs")).unwrap();
    let without_files = app.get(&alice, "/ready").await;
    assert_eq!((without_files.status.as_u16(), &without_files.json()["ready"]), (200, &json!(true)));
    assert_eq!(without_files.json()["engines"]["blobs"], "Unavailable");
    app.health.bad("partition 1", "no term for 10 s");
    let reply = app.call(Call::get("/ready")).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["complaints"]["partition 1"]),
        (503, &json!("no term for 10 s"))
    );
    app.health.good("partition 1");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_for_administrators() {
    let app = TestApp::start().await;
    let (root, alice) = (app.administrator("root").await, app.person("alice").await);
    app.engines.log.append(Topic::Messages, vec![(2, Bytes::from(vec![VERSION, 0xff]))]).await.unwrap();
    let path = "/v1/admin/dead-letters";
    let found =
        app.until(&root, path, |page| page["items"].as_array().is_some_and(|items| !items.is_empty())).await;
    let letter = &found["items"][0];
    assert_eq!((&letter["topic"], &letter["payload"]), (&json!("messages"), &json!("Af8=")));
    let replay = format!("{path}/{}/replay", letter["id"].as_str().unwrap());
    assert_eq!(app.get(&alice, path).await.status, 403);
    assert_eq!(app.call(Call::post(&replay).by(&alice)).await.status, 403);
    let hopeless = app.call(Call::post(&replay).by(&root)).await;
    assert_eq!((hopeless.status.as_u16(), hopeless.code().as_str()), (409, "conflict"));
    assert_eq!(app.call(Call::post(&format!("{path}/9-9-9/replay")).by(&root)).await.status, 404);
    assert_eq!(app.get(&root, &format!("{path}?cursor=nonsense")).await.status, 400);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_later_times_are_not_there_yet() {
    let app = TestApp::start().await;
    for path in [
        "/v1/devices",
        "/v1/sessions",
        "/v1/contacts",
        "/v1/blocks",
        "/v1/pins",
        "/v1/threads",
        "/v1/search",
        "/v1/webhooks",
        "/v1/reports",
        "/v1/export",
        "/v1/keys",
        "/v1/calls",
        "/v1/channels",
        "/v1/analytics",
        "/v1/admin/users",
        "/hooks/whatsapp",
        "/hooks/instagram",
        "/_matrix",
        "/",
        "/v1",
        "/v1//messages",
        "/%ff",
    ] {
        let reply = app.call(Call::get(path)).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "not_found"), "{path}");
    }
    app.stop().await;
}
