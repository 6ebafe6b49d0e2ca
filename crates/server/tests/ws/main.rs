//! `/ws` over a real port, a real router and embedded engines.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod world;

use chat4all_model::api::LogoutRequest;
use chat4all_server::live::{LiveSettings, QueueLimits};
use chat4all_server::ws::GatewaySettings;
use serde_json::json;
use tokio_tungstenite::tungstenite::{self, Message};
use world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_talk_and_a_cut_loses_nothing() {
    let world = World::new(LiveSettings::default(), GatewaySettings::default()).await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, _, _) = world.live(&ann, None).await;
    let (mut b, _, cursor) = world.live(&bob, None).await;

    a.say(json!({"type": "send", "id": "1", "client_id": "c1", "recipient_id": bob.id, "content": "hé 👩‍👩‍👧"}))
        .await;
    let ack = a.next_of("ack").await;
    assert_eq!((&ack["id"], &ack["client_id"], &ack["status"]), (&json!("1"), &json!("c1"), &json!("SENT")));
    let heard = b.next_of("NEW_MESSAGE").await;
    assert_eq!((&heard["content"], &heard["message_id"]), (&json!("hé 👩‍👩‍👧"), &ack["message_id"]));
    assert!(heard.get("client_id").is_none(), "the sender's alone");
    assert_eq!(a.next_of("NEW_MESSAGE").await["client_id"], "c1");

    drop(b);
    let (conversation, message) = (ack["conversation_id"].clone(), ack["message_id"].clone());
    // Pipelined: numbered in the order of the connection.
    for n in 0..100 {
        a.say(json!({"type": "send", "client_id": format!("p{n}"), "conversation_id": conversation, "content": format!("m{n}")})).await;
    }
    a.say(json!({"type": "edit", "id": "e", "message_id": message, "content": "edited"})).await;
    loop {
        if a.next_of("ack").await["id"] == "e" {
            break;
        }
    }
    let (mut b, missed, _) = world.live(&bob, Some(&cursor)).await;
    let texts: Vec<_> = missed
        .iter()
        .filter(|e| e["type"] == "NEW_MESSAGE")
        .map(|e| e["content"].as_str().unwrap())
        .collect();
    let expected: Vec<_> =
        std::iter::once("hé 👩‍👩‍👧".to_owned()).chain((0..100).map(|n| format!("m{n}"))).collect();
    assert_eq!(texts, expected);
    let seqs: Vec<_> = missed.iter().filter_map(|e| e["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=103).collect::<Vec<_>>());
    assert_eq!(missed.iter().filter(|e| e["type"] == "MESSAGE_UPDATED").count(), 1);

    b.say(json!({"type": "ping", "id": "p"})).await;
    let pong = b.next_of("pong").await;
    b.say(json!({"type": "ack", "cursor": pong["cursor"]})).await;
    let receipt = a.next_of("RECEIPT").await;
    assert_eq!((&receipt["user_id"], &receipt["read_seq"]), (&json!(bob.id), &json!(0)));
    // The edit at the end is no message: the last one is what has arrived.
    assert_eq!(receipt["delivered_seq"], 102);
    b.say(json!({"type": "read", "id": "r", "conversation_id": conversation, "seq": 103})).await;
    b.next_of("ack").await;
    assert_eq!(a.next_of("RECEIPT").await["read_seq"], 103);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_the_connection_stays() {
    let world = World::new(LiveSettings::default(), GatewaySettings::default()).await;
    let ann = world.person("ann").await;
    let (mut a, missed, _) = world.live(&ann, Some("bogus")).await;
    assert_eq!(missed[0]["type"], "resync");
    for (frame, code) in [
        ("{", "invalid_request"),
        (r#"{"type":"typing"}"#, "not_found"),
        (r#"{"type":"send","recipient_id":"nobody","content":"x"}"#, "not_found"),
        (r#"{"type":"edit","message_id":"AAAAAAAAAAAAAAAAAAAAAA","content":"x"}"#, "not_found"),
        (r#"{"type":"send","content":"to nobody"}"#, "invalid_request"),
        (r#"{"type":"ack","cursor":"AAAA"}"#, "cursor_expired"),
        (r#"{"type":"token","token":"x.y.z"}"#, "unauthenticated"),
    ] {
        a.raw(Message::text(frame)).await;
        let error = a.next().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{frame}: {error}");
    }
    a.say(json!({"type": "ping", "id": "still here"})).await;
    assert_eq!(a.next_of("pong").await["id"], "still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_has_its_code() {
    let settings =
        GatewaySettings { per_user: 1, frame_burst: 5, frames_per_second: 1, ..Default::default() };
    let world = World::new(LiveSettings::default(), settings).await;
    let ann = world.person("ann").await;
    let status = |refused: Result<Client, tungstenite::Error>| match refused.err() {
        Some(tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(world.connect("").await), 401);
    assert_eq!(status(world.connect("?token=x").await), 401);

    let (mut a, _, _) = world.live(&ann, None).await;
    assert_eq!(status(world.connect(&format!("?token={}", ann.token)).await), 429);
    for _ in 0..6 {
        a.say(json!({"type": "ping"})).await;
    }
    assert_eq!(a.closed().await, 4429);

    let bob = world.person("bob").await;
    let (mut b, _, _) = world.live(&bob, None).await;
    b.raw(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(b.closed().await, 4400);

    let cat = world.person("cat").await;
    let (mut c, _, _) = world.live(&cat, None).await;
    c.raw(Message::text("x".repeat(300 * 1024))).await;
    assert_eq!(c.closed().await, 1009);

    let dan = world.person("dan").await;
    let (mut d, _, _) = world.live(&dan, None).await;
    let caller = world.accounts.authenticate(&dan.token).await.unwrap();
    world.accounts.logout(&caller, &LogoutRequest::default()).await.unwrap();
    assert_eq!(d.closed().await, 4401);

    let eve = world.person("eve").await;
    let (mut e, _, _) = world.live(&eve, None).await;
    world.stopper.stop();
    assert_eq!(e.closed().await, 1012);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_is_cut_and_resumes() {
    let queue = QueueLimits { bytes: 256 * 1024, frames: 64 };
    let world = World::new(LiveSettings { queue, ..Default::default() }, GatewaySettings::default()).await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, _, _) = world.live(&ann, None).await;
    let (mut b, _, cursor) = world.live(&bob, None).await;
    // More than the kernel's buffers and the queue hold while nobody reads.
    let text = "🧑".repeat(16_000);
    let many = 250;
    for n in 0..many {
        a.say(json!({"type": "send", "id": n.to_string(), "recipient_id": bob.id, "content": text})).await;
        // Its own copy, so that the sender never has more than one in its queue.
        a.next_of("NEW_MESSAGE").await;
    }
    assert_eq!(b.closed().await, 4410);
    let (_b, missed, _) = world.live(&bob, Some(&cursor)).await;
    assert_eq!(missed.iter().filter(|e| e["type"] == "NEW_MESSAGE").count(), many);
}
