//! Rubbish is answered with a problem that says what is wrong, and never with a fault of ours.

use crate::document::operations;
use crate::support::{Call, Person, Reply, SECRET, TestApp};
use axum::body::Body;
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat4all_server::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Paths of all operations with parameters filled in.
fn filled(path: &str, conversation: &str) -> String {
    path.replace("{conversation_id}", conversation)
        .replace("{message_id}", ID)
        .replace("{emoji}", "x")
        .replace("{user_id}", "u")
        .replace("{bot_id}", "b")
        .replace("{dead_letter_id}", "1-1-1")
}

fn is_plain(reply: &Reply, what: &str) {
    assert!(reply.status.is_client_error(), "{what}: {reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_bodies() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let group = app.group(&alice, &[]).await;
    let deep = format!("{}1{}", r#"{"data":"#.repeat(5_000), "}".repeat(5_000));
    let bodies: [(&str, Vec<u8>, u16); 9] = [
        ("not JSON", b"hello".to_vec(), 400),
        ("cut off", b"{\"content\": \"x".to_vec(), 400),
        ("a list", b"[]".to_vec(), 400),
        ("null", b"null".to_vec(), 400),
        ("nothing", Vec::new(), 400),
        ("two", b"{} {}".to_vec(), 400),
        ("too deep", deep.into_bytes(), 400),
        ("no UTF-8", b"{\"content\": \"\xff\xfe\"}".to_vec(), 400),
        ("too large", vec![b' '; 256 * 1024 + 1], 413),
    ];
    for (method, path, operation) in operations() {
        if operation["requestBody"].is_null() {
            continue;
        }
        let path = filled(&path, &group);
        let call = || Call::new(method.clone(), &path).by(&alice);
        for (name, body, status) in &bodies {
            if path == "/auth/logout" && body.is_empty() {
                continue;
            }
            let reply = app.call(call().header("content-type", "application/json").body(body.clone())).await;
            assert_eq!(reply.status, *status, "{method} {path}: {name}: {reply:?}");
        }
        let plain = app.call(call().header("content-type", "text/plain").body("{}x")).await;
        assert_eq!((plain.status.as_u16(), plain.code().as_str()), (415, "unsupported_media_type"), "{path}");
        let unknown = app.call(call().json(&json!({"no_such_field": 1, "nor_this": 2}))).await;
        let fields = unknown.fields();
        assert!(
            fields.contains(&"no_such_field".into()) && fields.contains(&"nor_this".into()),
            "{path}: {fields:?}"
        );
        let endless =
            futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 16 * 1024])));
        let endless = call().header("content-type", "application/json").body(Body::from_stream(endless));
        assert_eq!(app.call(endless).await.status, 413, "{path}: of unknown length");
    }
    assert_eq!(app.get(&alice, "/auth/me").await.status, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_wrong_sort() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let group = app.group(&alice, &[&bob]).await;
    let to = |more: Value| {
        let mut body = json!({"conversation_id": group, "content": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let long = "x".repeat(129);
    for (field, body) in [
        ("content", to(json!({"content": 1}))),
        ("content", to(json!({"content": "a\u{0}b"}))),
        ("content", to(json!({"content": " \u{2003}\n"}))),
        ("content", to(json!({"content": "x".repeat(16_385)}))),
        ("conversation_id", to(json!({"conversation_id": long}))),
        ("conversation_id", to(json!({"conversation_id": "a b"}))),
        ("recipient_id", to(json!({"recipient_id": "fax:1"}))),
        ("sender_id", to(json!({"sender_id": bob.id}))),
        ("client_id", to(json!({"client_id": "x".repeat(256)}))),
        ("mentions", to(json!({"mentions": vec!["u"; 101]}))),
        ("mentions", to(json!({"mentions": ["u"]}))),
        ("reply_to", to(json!({"reply_to": "x"}))),
        ("seen", to(json!({"seen": -1}))),
        ("seen", to(json!({"seen": 1.5}))),
        ("seen", to(json!({"seen": 999}))),
        ("kind", to(json!({"kind": "system"}))),
        ("kind", to(json!({"kind": "poem"}))),
        ("data", to(json!({"data": "x"}))),
        ("file_ids", to(json!({"file_ids": ["/etc/passwd"]}))),
    ] {
        let reply = app.call(Call::post("/v1/messages").by(&alice).json(&body)).await;
        assert_eq!((reply.status.as_u16(), reply.fields()), (400, vec![field.to_owned()]), "{body}");
    }
    let nothing = app.call(Call::post("/auth/register").json(&json!({}))).await;
    assert_eq!(nothing.fields(), ["password", "username"], "all that is missing is told at once");
    let bad = json!({"username": "a b", "password": "short", "email": "nowhere", "display_name": "\u{0}"});
    let bad = app.call(Call::post("/auth/register").json(&bad)).await;
    assert_eq!(bad.fields(), ["display_name", "email", "password", "username"]);
    for key in ["", &"k".repeat(256)] {
        let call = Call::post("/v1/messages").by(&alice).key(key).json(&to(json!({})));
        assert_eq!(app.call(call).await.fields(), ["Idempotency-Key"]);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_queries_and_cursors_that_are_none() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let group = app.group(&alice, &[]).await;
    let long = "x".repeat(129);
    let ids = [
        "x",
        "%00",
        "%ff%fe",
        "%F0%9F%98%80",
        "a%20b",
        "..%2f..%2fetc",
        "%2e%2e",
        "d:b:a",
        "g:",
        "'--",
        &long,
    ];
    for (method, path, operation) in operations() {
        if path == "/auth/logout" || !path.contains('{') {
            continue;
        }
        for id in ids {
            for hole in path.split('/').filter(|part| part.starts_with('{') && *part != "{emoji}") {
                let path = filled(&path.replace(hole, id), &group);
                let mut call = Call::new(method.clone(), &path).by(&alice);
                if !operation["requestBody"].is_null() {
                    call = call.json(&sample(&path, &alice));
                }
                is_plain(&app.call(call).await, &format!("{method} {path}"));
            }
        }
    }
    let (max, over) = (u64::MAX.to_string(), "18446744073709551616");
    for path in [
        "/v1/conversations",
        "/v1/users?query=ab",
        "/v1/sync",
        "/v1/conversations/G/participants",
        "/v1/conversations/G/messages",
        "/v1/conversations/G/events",
    ] {
        let path = path.replace('G', &group);
        let and = if path.contains('?') { '&' } else { '?' };
        for query in [
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=x",
            "limit=",
            "limit=1&limit=2",
            "nope=1",
            &format!("limit={over}"),
            "cursor=%00",
            "cursor=%21%21",
            "since=nonsense",
            "since=%ff",
            "after=-1",
            "before=x",
            &format!("after={over}"),
            "archived=maybe",
            "wait=9999",
            "since=x&wait=61",
        ] {
            let reply = app.get(&alice, &format!("{path}{and}{query}")).await;
            is_plain(&reply, &format!("{path}{and}{query}"));
        }
    }
    for seq in [max.as_str(), "9223372036854775807", "9223372036854775808", "0"] {
        for window in ["before", "after", "around"] {
            let reply = app.get(&alice, &format!("/v1/conversations/{group}/messages?{window}={seq}")).await;
            assert!(reply.status.as_u16() <= 400, "{window}={seq}: {reply:?}");
        }
        let reply = app.get(&alice, &format!("/v1/conversations/{group}/events?after={seq}")).await;
        assert!(reply.status.as_u16() <= 400, "after={seq}: {reply:?}");
        let seq: u64 = seq.parse().unwrap();
        for marker in ["read", "delivered"] {
            let call = Call::post(&format!("/v1/conversations/{group}/{marker}"))
                .by(&alice)
                .json(&json!({"seq": seq}));
            assert!(app.call(call).await.status.as_u16() <= 400, "{marker} {seq}");
        }
        let call = json!({"conversation_id": group, "content": "x", "seen": seq});
        assert!(
            app.call(Call::post("/v1/messages").by(&alice).json(&call)).await.status.as_u16() <= 400,
            "seen {seq}"
        );
        let call = Call::patch(&format!("/v1/conversations/{group}/me"))
            .by(&alice)
            .json(&json!({"muted_until": seq}));
        assert!(app.call(call).await.status.as_u16() <= 400, "muted {seq}");
    }
    for position in ["", "x", "1.2", "1.0.99999999999999999999", "9.0.0", "1.999.1", "-1.0.0"] {
        let call = Call::get("/v1/unread").by(&alice).header("chat4all-position", position);
        is_plain(&app.call(call).await, position);
    }
    app.stop().await;
}

/// A body that its operation takes.
fn sample(path: &str, person: &Person) -> Value {
    match path.rsplit('/').next().unwrap() {
        "participants" => json!({"user_ids": [person.id]}),
        "read" | "delivered" => json!({"seq": 1}),
        "me" => json!({"pinned": true}),
        _ if path.contains("/participants/") => json!({"role": "admin"}),
        _ if path.contains("/messages/") => json!({"content": "x"}),
        _ => json!({"name": "x"}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_forged_expired_or_none() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let key = Secret::new(SECRET).unwrap().derive("access-token");
    let claims = |exp: u64| json!({"sub": alice.id, "username": "alice", "permissions": ["admin"], "sid": "s", "iat": 1_700_000_000, "exp": exp});
    let far = 4_000_000_000;
    let signed = |header: Value, claims: &Value, key: &[u8]| {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let body = format!("{}.{}", encode(&header), encode(claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let hs256 = || json!({"alg": "HS256", "typ": "JWT"});
    let mut unsigned = signed(json!({"alg": "none"}), &claims(far), &key);
    unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
    let mut parts: Vec<&str> = alice.token.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(claims(far).to_string());
    parts[1] = &other;
    let tampered = parts.join(".");
    let table = [
        ("nothing", String::new(), "unauthenticated"),
        ("rubbish", "x".into(), "unauthenticated"),
        ("dots", "..".into(), "unauthenticated"),
        ("long", "x".repeat(8_000), "unauthenticated"),
        ("another key", signed(hs256(), &claims(far), b"another key"), "unauthenticated"),
        ("alg none", unsigned, "unauthenticated"),
        ("alg HS512", signed(json!({"alg": "HS512"}), &claims(far), &key), "unauthenticated"),
        ("tampered", tampered, "unauthenticated"),
        ("expired", signed(hs256(), &claims(1_700_003_600), &key), "token_expired"),
        ("no claims", signed(hs256(), &json!({}), &key), "unauthenticated"),
        ("an API key that is none", "c4a_x".into(), "unauthenticated"),
        ("a refresh token", alice.refresh_token.clone(), "unauthenticated"),
    ];
    for (name, token, code) in &table {
        let reply = app.call(Call::get("/auth/me").bearer(token)).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (401, *code), "{name}");
    }
    for header in ["Basic YTpi", "Bearer", "bearer", "Token x"] {
        let reply = app.call(Call::new(Method::GET, "/auth/me").header("authorization", header)).await;
        assert_eq!(reply.status, 401, "{header}");
    }
    app.stop().await;
}
