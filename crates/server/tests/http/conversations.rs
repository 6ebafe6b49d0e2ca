//! Groups, direct conversations, the inbox, catching up.

use crate::support::{Call, Person, TestApp};
use serde_json::{Value, json};

async fn create(app: &TestApp, person: &Person, body: Value) -> crate::support::Reply {
    app.call(Call::post("/v1/conversations").by(person).json(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_conversation_of_two_exists_once() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let first = create(&app, &alice, json!({"type": "direct", "participant_ids": [bob.id]})).await;
    let second = create(&app, &bob, json!({"type": "direct", "participant_ids": [alice.id]})).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 200));
    assert_eq!(first.text("conversation_id"), second.text("conversation_id"));
    let path = format!("/v1/conversations/{}/participants/{}", first.text("conversation_id"), alice.id);
    assert_eq!(app.call(Call::delete(&path).by(&alice)).await.status, 409, "it cannot be left");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_id_makes_making_repeatable() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let body =
        json!({"type": "group", "name": "team", "conversation_id": "team-1", "participant_ids": [bob.id]});
    let made = create(&app, &alice, body.clone()).await;
    assert_eq!((made.status.as_u16(), made.text("conversation_id")), (201, format!("g:{}:team-1", alice.id)));
    assert!(made.header("chat4all-position").is_some());
    assert_eq!(create(&app, &alice, body).await.status, 200);
    let other = json!({"type": "group", "name": "other", "conversation_id": "team-1", "participant_ids": []});
    assert_eq!(create(&app, &alice, other.clone()).await.code(), "conflict");
    assert_eq!(create(&app, &bob, other).await.status, 201, "it is no name of bob's");
    let keyed = |name: &str| {
        let body = json!({"type": "group", "name": name, "participant_ids": []});
        app.call(Call::post("/v1/conversations").by(&alice).key("k").json(&body))
    };
    let first = keyed("a").await;
    assert_eq!(first.text("conversation_id"), keyed("a").await.text("conversation_id"));
    assert_eq!(keyed("b").await.status, 422);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_admins_and_members_who_come_and_go() {
    let app = TestApp::start().await;
    let (alice, bob, carol) = (app.person("alice").await, app.person("bob").await, app.person("carol").await);
    let group = app.group(&alice, &[&bob]).await;
    let path = format!("/v1/conversations/{group}");
    let people = format!("{path}/participants");
    let add = |by: &Person| Call::post(&people).by(by).json(&json!({"user_ids": [carol.id]}));
    assert_eq!(app.call(add(&bob)).await.status, 403, "only admins add");
    assert_eq!(app.call(add(&alice)).await.status, 204);
    let renamed = app.call(Call::patch(&path).by(&alice).json(&json!({"name": "crew"}))).await;
    assert_eq!((renamed.status.as_u16(), renamed.text("name").as_str()), (200, "crew"));
    let seen = app.get(&carol, &path).await.json();
    assert_eq!((&seen["participant_count"], &seen["first_seq"]), (&json!(3), &json!(2)));
    let role = Call::patch(&format!("{people}/{}", bob.id)).by(&alice).json(&json!({"role": "admin"}));
    assert_eq!(app.call(role).await.status, 204);
    let page = app.get(&carol, &format!("{people}?limit=2")).await.json();
    let next = page["next"].as_str().unwrap();
    let rest = app.get(&carol, &format!("{people}?limit=2&cursor={next}")).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (2, 1));
    assert_eq!(app.call(Call::delete(&format!("{people}/{}", carol.id)).by(&carol)).await.status, 204);
    let left = app.get(&carol, &path).await.json();
    assert!(left["left_seq"].is_u64(), "{left}");
    app.say(&alice, &group, "after").await;
    assert_eq!(app.get(&carol, &format!("{path}/messages")).await.json()["messages"], json!([]));
    let body = json!({"conversation_id": group, "content": "still here?"});
    assert_eq!(app.call(Call::post("/v1/messages").by(&carol).json(&body)).await.status, 403);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_counts_what_is_unread() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let (one, two) = (app.group(&alice, &[&bob]).await, app.group(&alice, &[&bob]).await);
    app.say(&alice, &two, "first").await;
    app.say(&alice, &one, "second").await;
    let call = json!({"conversation_id": one, "content": "@bob", "mentions": [bob.id]});
    let call = Call::post("/v1/messages").by(&alice).header("prefer", "wait=10").json(&call);
    let last = app.call(call).await.json();
    let inbox = app.get(&bob, "/v1/conversations").await.json();
    let item = |n: usize| inbox["items"][n].clone();
    assert_eq!((&item(0)["conversation_id"], &item(1)["conversation_id"]), (&json!(one), &json!(two)));
    assert_eq!((&item(0)["unread_count"], &item(0)["mention_count"]), (&json!(2), &json!(1)));
    assert_eq!(item(0)["last_message"]["content"], "@bob");
    assert_eq!(
        app.get(&bob, "/v1/unread").await.json(),
        json!({"conversations": 2, "messages": 3, "mentions": 1})
    );
    let read =
        Call::post(&format!("/v1/conversations/{one}/read")).by(&bob).json(&json!({"seq": last["seq"]}));
    let read = app.call(read).await;
    assert_eq!(read.status, 204);
    let markers = app.get(&alice, &format!("/v1/conversations/{one}/markers")).await.json();
    assert!(
        markers["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|m| m["user_id"] == bob.id && m["read_seq"] == last["seq"])
    );
    let unread = app.get(&bob, "/v1/conversations?unread=true").await.json();
    assert_eq!(
        (unread["items"].as_array().unwrap().len(), &unread["items"][0]["conversation_id"]),
        (1, &json!(two))
    );
    let beyond = Call::post(&format!("/v1/conversations/{one}/read")).by(&bob).json(&json!({"seq": 999}));
    assert_eq!(app.call(beyond).await.status, 400);
    let settings = json!({"archived": true, "muted_until": 4_000_000_000_000_u64, "pinned": true});
    let changed =
        app.call(Call::patch(&format!("/v1/conversations/{two}/me")).by(&bob).json(&settings)).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["archived"]), (200, &json!(true)));
    let archived = app.get(&bob, "/v1/conversations?archived=true").await.json();
    assert_eq!(archived["items"][0]["muted_until"], 4_000_000_000_000_u64);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_the_events_after_it_are_everything() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let group = app.group(&alice, &[&bob]).await;
    app.say(&alice, &group, "before").await;
    let snapshot = app.get(&bob, "/v1/sync").await.json();
    assert_eq!(snapshot["conversations"]["items"][0]["last_message"]["content"], "before");
    let cursor = snapshot["cursor"].as_str().unwrap();
    let since = format!("/v1/sync?since={cursor}");
    let nothing = app.get(&bob, &since).await.json();
    assert_eq!((&nothing["events"], &nothing["more"]), (&json!([]), &json!(false)));
    let path = format!("{since}&wait=10");
    let (woken, _) = tokio::join!(app.get(&bob, &path), app.say(&alice, &group, "after"));
    let events = woken.json()["events"].clone();
    assert_eq!((&events[0]["type"], &events[0]["content"]), (&json!("NEW_MESSAGE"), &json!("after")));
    let foreign = app.get(&alice, &since).await;
    assert_eq!((foreign.status.as_u16(), foreign.code().as_str()), (410, "cursor_expired"));
    let tampered = app.get(&bob, &format!("/v1/sync?since={}A", &cursor[..cursor.len() - 1])).await;
    assert!(tampered.status == 410 || cursor.ends_with('A'));
    app.stop().await;
}
