//! Every operation of the document, called by those who may not: whoever adds one cannot forget it here.

use crate::document::operations;
use crate::support::{Call, Person, Reply, TestApp};
use axum::http::Method;
use serde_json::{Value, json};

/// What there is to be peeped at.
struct Secrets {
    group: String,
    message: String,
    bot: String,
    alice: Person,
    text: &'static str,
}

/// The body of an operation, such that only the caller is wrong.
fn body(method: &Method, path: &str, secrets: &Secrets) -> Option<Value> {
    let group = &secrets.group;
    Some(match (method.as_str(), path) {
        ("POST", "/v1/messages") => json!({"conversation_id": group, "content": "x"}),
        ("POST", "/v1/conversations") => json!({"type": "group", "participant_ids": []}),
        ("POST", "/v1/bots") => json!({"username": "robot-2"}),
        ("POST", "/auth/password") => {
            json!({"current_password": "wrong horse", "new_password": "x".repeat(8)})
        }
        ("PATCH", "/auth/me") => json!({"time_zone": "UTC"}),
        ("PATCH", path) if path.ends_with("/me") => json!({"pinned": true}),
        ("PATCH", path) if path.contains("/participants/") => json!({"role": "member"}),
        ("PATCH", path) if path.contains("/messages/") => json!({"content": "mine"}),
        ("PATCH", _) => json!({"name": "mine"}),
        ("POST", path) if path.ends_with("/participants") => json!({"user_ids": [secrets.alice.id]}),
        ("POST", path) if path.contains("/messages/") => return None,
        ("POST", path) if path.ends_with("/read") || path.ends_with("/delivered") => json!({"seq": 1}),
        _ => return None,
    })
}

fn call(method: &Method, template: &str, secrets: &Secrets) -> Call {
    let path = template
        .replace("{conversation_id}", &secrets.group)
        .replace("{message_id}", &secrets.message)
        .replace("{user_id}", &secrets.alice.id)
        .replace("{bot_id}", &secrets.bot)
        .replace("{dead_letter_id}", "1-1-1")
        .replace("{emoji}", "x");
    let path = if template == "/v1/users" { path + "?query=al" } else { path };
    let call = Call::new(method.clone(), &path);
    match body(method, template, secrets) {
        Some(body) => call.json(&body),
        None => call,
    }
}

async fn secrets(app: &TestApp, others: &[&Person]) -> Secrets {
    let alice = app.person("alice").await;
    let group = app.group(&alice, others).await;
    for other in others {
        let leave = format!("/v1/conversations/{group}/participants/{}", other.id);
        assert_eq!(app.call(Call::delete(&leave).by(other)).await.status, 204);
    }
    let text = "between us";
    let message = app.say(&alice, &group, text).await["message_id"].as_str().unwrap().to_owned();
    let bot =
        app.call(Call::post("/v1/bots").by(&alice).json(&json!({"username": "robot"}))).await.text("bot_id");
    Secrets { group, message, bot, alice, text }
}

fn tells_nothing(reply: &Reply, secrets: &Secrets, what: &str) {
    let text = String::from_utf8_lossy(&reply.bytes);
    assert!(!text.contains(secrets.text), "{what}: {text}");
}

/// Operations of the caller's own things, which take no id of anybody else's.
fn is_own(path: &str) -> bool {
    let shared =
        ["/v1/users", "/v1/users/{user_id}", "/v1/conversations", "/v1/unread", "/v1/sync", "/v1/bots"];
    path.starts_with("/auth/") || shared.contains(&path)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_nothing_is_told() {
    let app = TestApp::start().await;
    let secrets = secrets(&app, &[]).await;
    let mut checked = 0;
    for (method, path, operation) in operations() {
        if operation["security"].is_array() {
            continue;
        }
        for token in [None, Some("garbage"), Some("eyJhbGciOiJub25lIn0.e30.")] {
            let mut call = call(&method, &path, &secrets);
            if let Some(token) = token {
                call = call.bearer(token);
            }
            let reply = app.call(call).await;
            assert_eq!(
                (reply.status.as_u16(), reply.code().as_str()),
                (401, "unauthenticated"),
                "{method} {path}"
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
    let open: Vec<String> = operations()
        .into_iter()
        .filter(|(.., o)| o["security"].is_array())
        .map(|(_, path, _)| path)
        .collect();
    assert_eq!(open, ["/auth/login", "/auth/refresh", "/auth/register", "/auth/token", "/health", "/ready"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_learn_nothing_from_any_operation() {
    let app = TestApp::start().await;
    let mallory = app.person("mallory").await;
    let secrets = secrets(&app, &[]).await;
    let mut checked = 0;
    for (method, path, operation) in operations() {
        if operation["security"].is_array() || path == "/auth/logout" {
            continue;
        }
        let reply = app.call(call(&method, &path, &secrets).by(&mallory)).await;
        let what = format!("{method} {path}: {reply:?}");
        tells_nothing(&reply, &secrets, &what);
        if path.starts_with("/v1/admin") {
            assert_eq!(reply.status, 403, "{what}");
        } else if !is_own(&path) {
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "not_found"), "{what}");
            checked += 1;
        } else {
            assert!(reply.status.as_u16() < 404, "{what}");
        }
    }
    assert!(checked > 30, "{checked}");
    // What is not there looks the same.
    let (there, not) = (format!("/v1/conversations/{}", secrets.group), "/v1/conversations/g:0");
    let (there, not) = (app.get(&mallory, &there).await.json(), app.get(&mallory, not).await.json());
    assert_eq!((&there["detail"], &there["title"]), (&not["detail"], &not["title"]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_keeps_what_was_and_gets_no_more() {
    let app = TestApp::start().await;
    let carol = app.person("carol").await;
    let secrets = secrets(&app, &[&carol]).await;
    for (method, path, operation) in operations() {
        if operation["security"].is_array()
            || path == "/auth/logout"
            || is_own(&path)
            || path.starts_with("/v1/admin")
        {
            continue;
        }
        let reply = app.call(call(&method, &path, &secrets).by(&carol)).await;
        let what = format!("{method} {path}: {reply:?}");
        tells_nothing(&reply, &secrets, &what);
        let reads = method == Method::GET && !path.contains("{message_id}");
        let own = path.ends_with("/me") || (path.contains("/participants/") && method == Method::DELETE);
        let expected: &[u16] = match () {
            () if path.contains("{bot_id}") => &[404],
            () if path.contains("{message_id}") => &[403, 404],
            () if reads || path.ends_with("/me") => &[200],
            () if own => &[204, 403],
            () => &[403],
        };
        assert!(expected.contains(&reply.status.as_u16()), "{what}");
    }
    let inbox = app.get(&carol, "/v1/conversations").await;
    tells_nothing(&inbox, &secrets, "the inbox");
    tells_nothing(&app.get(&carol, "/v1/sync").await, &secrets, "a snapshot");
    assert_eq!(inbox.json()["items"][0]["last_message"], Value::Null);
    app.stop().await;
}
