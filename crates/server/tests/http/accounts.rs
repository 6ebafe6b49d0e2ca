//! Signing up, in and out over HTTP, people and bots.

use crate::support::{Call, Options, PASSWORD, TestApp};
use chat4all_server::account::{AuthLimits, Rule};
use chat4all_server::http::HttpSettings;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_up_in_and_out() {
    let app = TestApp::start().await;
    let made = app.register("Alice").await;
    assert_eq!(made.status, 201);
    let tokens = made.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(app.register("alice").await.code(), "username_taken");
    for path in ["/auth/token", "/auth/login"] {
        let login = Call::post(path).json(&json!({"username": "ALICE", "password": PASSWORD}));
        assert_eq!(app.call(login).await.status, 200, "{path}");
    }
    let wrong = json!({"username": "alice", "password": "wrong horse"});
    let wrong = app.call(Call::post("/auth/token").json(&wrong)).await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (401, "invalid_credentials"));

    let refresh = || Call::post("/auth/refresh").json(&json!({"refresh_token": tokens["refresh_token"]}));
    let (first, again) = (app.call(refresh()).await, app.call(refresh()).await);
    assert_eq!(first.text("refresh_token"), again.text("refresh_token"), "a lost answer can be had again");

    let bearer = first.text("access_token");
    let valid = app.call(Call::post("/auth/validate").bearer(&bearer)).await;
    assert_eq!((&valid.json()["valid"], &valid.json()["username"]), (&json!(true), &json!("alice")));
    let patch = json!({"display_name": "Alice 👩‍🚀", "quiet_hours": {"from_minute": 1320, "to_minute": 420}});
    let changed = app.call(Call::patch("/auth/me").bearer(&bearer).json(&patch)).await;
    assert_eq!(changed.status, 200);
    let me = app.call(Call::get("/auth/me").bearer(&bearer)).await;
    assert_eq!((me.json(), me.text("display_name").as_str()), (changed.json(), "Alice 👩‍🚀"));

    assert_eq!(app.call(Call::post("/auth/logout").bearer(&bearer)).await.status, 204);
    let gone = app.call(Call::get("/auth/me").bearer(&bearer)).await;
    assert_eq!((gone.status.as_u16(), gone.code().as_str()), (401, "unauthenticated"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_other_sessions() {
    let app = TestApp::start().await;
    let here = app.person("alice").await;
    let login = Call::post("/auth/token").json(&json!({"username": "alice", "password": PASSWORD}));
    let there = app.call(login).await.text("access_token");
    let body = json!({"current_password": PASSWORD, "new_password": "another horse"});
    assert_eq!(app.call(Call::post("/auth/password").by(&here).json(&body)).await.status, 204);
    assert_eq!(app.get(&here, "/auth/me").await.status, 200);
    assert_eq!(app.call(Call::get("/auth/me").bearer(&there)).await.status, 401);
    let all = Call::post("/auth/logout").by(&here).json(&json!({"all": true}));
    assert_eq!(app.call(all).await.status, 204);
    assert_eq!(app.get(&here, "/auth/me").await.status, 401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_and_shown_without_their_addresses() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    app.person("bobby").await;
    let mut names: Vec<String> = Vec::new();
    let mut path = "/v1/users?query=bo&limit=1".to_owned();
    loop {
        let page = app.get(&alice, &path).await.json();
        names.extend(
            page["items"].as_array().unwrap().iter().map(|u| u["username"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/users?query=bo&limit=1&cursor={next}");
    }
    assert_eq!(names, ["bob", "bobby"]);
    let one = app.get(&alice, &format!("/v1/users/{}", bob.id)).await.json();
    assert_eq!(
        one,
        json!({"user_id": bob.id, "username": "bob", "display_name": "BOB", "avatar_file_id": Value::Null})
    );
    assert_eq!(app.get(&alice, "/v1/users/nobody").await.status, 404);
    assert_eq!(app.get(&alice, "/v1/users?query=b").await.fields(), ["query"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_speak_with_their_key_until_it_is_revoked() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let made = app
        .call(Call::post("/v1/bots").by(&alice).json(&json!({"username": "robot", "scopes": ["write"]})))
        .await;
    assert_eq!(made.status, 201);
    let (key, id) = (made.text("api_key"), made.text("bot_id"));
    let body = json!({"recipient_id": bob.id, "content": "beep"});
    assert_eq!(app.call(Call::post("/v1/messages").bearer(&key).json(&body)).await.status, 202);
    assert_eq!(app.call(Call::get("/v1/conversations").bearer(&key)).await.status, 403, "it may only write");
    assert_eq!(app.call(Call::get("/v1/bots").bearer(&key)).await.status, 403);
    // The answer would show the newest message of a conversation that is there.
    let direct = json!({"type": "direct", "participant_ids": [bob.id]});
    assert_eq!(app.call(Call::post("/v1/conversations").bearer(&key).json(&direct)).await.status, 403);
    let listed = app.get(&alice, "/v1/bots").await.json();
    assert_eq!((&listed["items"][0]["bot_id"], listed["items"][0].get("api_key")), (&json!(id), None));
    let path = format!("/v1/bots/{id}");
    assert_eq!(app.call(Call::delete(&path).by(&bob)).await.status, 404);
    assert_eq!(app.call(Call::delete(&path).by(&alice)).await.status, 204);
    assert_eq!(app.call(Call::post("/v1/messages").bearer(&key).json(&body)).await.status, 401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_does_not_outlive_its_session() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let cursor = app.get(&alice, "/v1/sync").await.text("cursor");
    let poll = app.call(Call::get(&format!("/v1/sync?since={cursor}&wait=20")).by(&alice));
    let meanwhile = async {
        assert_eq!(app.call(Call::post("/auth/logout").by(&alice)).await.status, 204);
        let body = json!({"recipient_id": alice.id, "content": "for Alice alone"});
        assert_eq!(app.call(Call::post("/v1/messages").by(&bob).json(&body)).await.status, 202);
    };
    let (polled, ()) = tokio::join!(poll, meanwhile);
    assert_eq!(polled.status, 401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_told_and_kept_by_address_behind_trusted_proxies() {
    let limits =
        AuthLimits { login_pair: Rule { hits: 2, window: Duration::from_secs(60) }, ..AuthLimits::OFF };
    let http =
        HttpSettings { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..HttpSettings::default() };
    let app = TestApp::start_with(Options { limits, http }).await;
    let login = |from: &str| {
        let body = json!({"username": "alice", "password": "wrong horse"});
        app.call(Call::post("/auth/token").header("x-forwarded-for", from).json(&body))
    };
    let first = login("192.0.2.1").await;
    assert_eq!((first.status.as_u16(), first.header("ratelimit-policy")), (401, Some("\"login\";q=2;w=60")));
    assert!(first.header("ratelimit").is_some_and(|state| state.starts_with("\"login\";r=1")));
    assert_eq!(login("192.0.2.1").await.status, 401);
    let refused = login("192.0.2.1").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"));
    assert_eq!(login("192.0.2.2").await.status, 401, "somebody else");
    app.stop().await;
}
