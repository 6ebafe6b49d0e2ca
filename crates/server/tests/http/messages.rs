//! Sending, reading back, changing.

use crate::support::{Call, TestApp};
use serde_json::{Value, json};

fn texts(page: &Value) -> Vec<&str> {
    page["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap_or("-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_a_person_and_is_read_back() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let body = json!({"recipient_id": bob.id, "content": "hello"});
    let sent = app.call(Call::post("/v1/messages").by(&alice).json(&body)).await;
    assert_eq!(sent.status, 202);
    assert_eq!(sent.json()["status"], "SENT");
    let conversation = sent.text("conversation_id");
    let path = format!("/v1/conversations/{conversation}/messages");
    let page = app.until(&bob, &path, |page| texts(page) == ["hello"]).await;
    let message = &page["messages"][0];
    assert_eq!(message["message_id"], sent.text("message_id"));
    assert_eq!(
        (&message["sender_id"], &message["recipient_id"], &message["status"]),
        (&json!(alice.id), &json!(bob.id), &json!("SENT"))
    );
    let one = app.get(&bob, &format!("/v1/messages/{}", sent.text("message_id"))).await;
    assert_eq!(one.json(), *message);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gives_the_same_message_and_other_content_is_refused() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let send = |text: &str, key: &str| {
        let body = json!({"recipient_id": bob.id, "content": text});
        app.call(Call::post("/v1/messages").by(&alice).key(key).json(&body))
    };
    let (first, at_once) = tokio::join!(send("hello", "k1"), send("hello", "k1"));
    assert_eq!((first.status.as_u16(), at_once.status.as_u16()), (202, 202));
    assert_eq!(first.text("message_id"), at_once.text("message_id"));
    let path = format!("/v1/conversations/{}/messages", first.text("conversation_id"));
    app.until(&alice, &path, |page| texts(page) == ["hello"]).await;
    assert_eq!(send("hello", "k1").await.text("message_id"), first.text("message_id"));
    let other = send("goodbye", "k1").await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (422, "idempotency_key_reused"));
    // The key of the body is the same key; both and different are refused.
    let by_body = json!({"recipient_id": bob.id, "content": "hello", "client_id": "k1"});
    let again = app.call(Call::post("/v1/messages").by(&alice).json(&by_body)).await;
    assert_eq!(again.text("message_id"), first.text("message_id"));
    let both = app.call(Call::post("/v1/messages").by(&alice).key("k2").json(&by_body)).await;
    assert_eq!((both.status.as_u16(), both.fields()), (400, vec!["client_id".to_owned()]));
    assert_eq!(texts(&app.get(&bob, &path).await.json()), ["hello"], "one message, whatever was tried");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prefers_to_wait_gets_the_stored_message() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let body = json!({"recipient_id": bob.id, "content": "hello"});
    let call = Call::post("/v1/messages").by(&alice).header("prefer", "respond-async, wait=10").json(&body);
    let stored = app.call(call).await;
    assert_eq!((stored.status.as_u16(), stored.header("preference-applied")), (201, Some("wait=10")));
    assert_eq!((&stored.json()["content"], &stored.json()["seq"]), (&json!("hello"), &json!(2)));
    let position = stored.header("chat4all-position").unwrap().to_owned();
    let path = format!("/v1/messages/{}", stored.text("message_id"));
    let read = app.call(Call::get(&path).by(&bob).header("chat4all-position", &position)).await;
    assert_eq!(read.status, 200);
    let forged = app.call(Call::get(&path).by(&bob).header("chat4all-position", "1.99.5")).await;
    assert_eq!(forged.status, 400);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_paged_in_both_directions_and_around() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let group = app.group(&alice, &[&bob]).await;
    for n in 1..=9 {
        app.say(&alice, &group, &format!("m{n}")).await;
    }
    let page = async |query: &str| {
        app.get(&bob, &format!("/v1/conversations/{group}/messages?{query}")).await.json()
    };
    let newest = page("limit=3").await;
    assert_eq!(texts(&newest), ["m9", "m8", "m7"]);
    assert_eq!(
        (&newest["has_before"], &newest["has_after"], &newest["head_seq"]),
        (&json!(true), &json!(false), &json!(10))
    );
    let before = page(&format!("limit=3&before={}", newest["first_seq"])).await;
    assert_eq!(texts(&before), ["m6", "m5", "m4"]);
    let after = page(&format!("limit=2&after={}", before["last_seq"])).await;
    assert_eq!(texts(&after), ["m7", "m8"]);
    let around = page("limit=3&around=6").await;
    assert_eq!(texts(&around), ["m6", "m5", "m4"]);
    let both = app.get(&bob, &format!("/v1/conversations/{group}/messages?before=1&after=2")).await;
    assert_eq!(both.status, 400);
    let mut seqs = Vec::new();
    let mut path = format!("/v1/conversations/{group}/events?limit=4");
    loop {
        let events = app.get(&bob, &path).await.json();
        seqs.extend(events["items"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        let Some(next) = events["next"].as_str() else { break };
        path = format!("/v1/conversations/{group}/events?limit=4&after={next}");
    }
    assert_eq!(seqs, (1..=10).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_edited_deleted_reacted_to_and_read() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let group = app.group(&alice, &[&bob]).await;
    let message = app.say(&alice, &group, "helo").await;
    let id = message["message_id"].as_str().unwrap();
    let long = format!("/v1/conversations/{group}/messages/{id}");
    let short = format!("/v1/messages/{id}");

    let edited = app.call(Call::patch(&long).by(&alice).json(&json!({"content": "hello"}))).await;
    assert_eq!((edited.status.as_u16(), edited.text("content").as_str()), (200, "hello"));
    assert!(edited.header("chat4all-position").is_some());
    assert!(edited.json()["edited_at"].is_u64());
    let by_bob = app.call(Call::patch(&short).by(&bob).json(&json!({"content": "x"}))).await;
    assert_eq!(by_bob.status, 403);
    let edits = app.get(&bob, &format!("{short}/edits")).await.json();
    assert_eq!(edits["items"][0]["content"], "helo");

    let heart = "%E2%9D%A4%EF%B8%8F";
    for path in [&long, &short] {
        let reacted = app.call(Call::put(&format!("{path}/reactions/{heart}")).by(&bob)).await;
        assert_eq!(reacted.status, 204, "{reacted:?}");
    }
    let seen = app.get(&bob, &short).await.json();
    assert_eq!(seen["reactions"], json!([{"emoji": "❤️", "count": 1, "mine": true}]));
    let who = app.get(&alice, &format!("{long}/reactions")).await.json();
    assert_eq!((&who["items"][0]["user_id"], &who["next"]), (&json!(bob.id), &Value::Null));
    let back = app.call(Call::delete(&format!("{short}/reactions/{heart}")).by(&bob)).await;
    assert_eq!(back.status, 204);
    assert_eq!(app.get(&bob, &short).await.json()["reactions"], json!([]));

    assert_eq!(app.call(Call::post(&format!("{short}/delivered")).by(&bob)).await.status, 204);
    assert_eq!(app.get(&alice, &short).await.text("status"), "DELIVERED");
    assert_eq!(app.call(Call::post(&format!("{long}/read")).by(&bob)).await.status, 204);
    assert_eq!(app.get(&alice, &short).await.text("status"), "READ");
    let receipts = app.get(&alice, &format!("{short}/receipts")).await.json();
    assert_eq!(receipts["items"][0]["user_id"], bob.id);
    assert!(receipts["items"][0]["read_at"].is_u64());

    assert_eq!(app.call(Call::delete(&long).by(&bob)).await.status, 403);
    assert_eq!(app.call(Call::delete(&long).by(&alice)).await.status, 204);
    assert_eq!(app.call(Call::delete(&short).by(&alice)).await.status, 204, "it is deleted already");
    let gone = app.get(&bob, &short).await.json();
    assert_eq!((&gone["content"], gone["deleted_at"].is_u64()), (&Value::Null, true));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_comes_back_byte_for_byte() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let group = app.group(&alice, &[&bob]).await;
    for one in [
        "👩‍👩‍👧‍👦",
        "漢字かな",
        "שלום \u{202e}עולם",
        "e\u{301}\u{323}\u{308}",
        "\u{1F3F3}\u{FE0F}\u{200D}\u{1F308}",
        "a\r\n\t",
    ] {
        let points = one.chars().count();
        let text: String = one.repeat(16_384 / points) + &"x".repeat(16_384 % points);
        assert_eq!(text.chars().count(), 16_384);
        let message = app.say(&alice, &group, &text).await;
        assert_eq!(message["content"], text);
        let id = message["message_id"].as_str().unwrap();
        assert_eq!(app.get(&bob, &format!("/v1/messages/{id}")).await.json()["content"], text);
    }
    let escaped =
        format!(r#"{{"conversation_id": "{group}", "content": "{}"}}"#, r"\ud83d\ude00".repeat(16_384));
    let call = Call::post("/v1/messages").by(&alice).header("content-type", "application/json").body(escaped);
    assert_eq!(app.call(call).await.status, 202, "the longest text fits however it is written");
    app.stop().await;
}
