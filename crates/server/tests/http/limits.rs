//! Limits on what is under way, who may call from where, and headers of every answer.

use crate::support::{Call, Options, TestApp};
use axum::http::Method;
use chat4all_server::account::AuthLimits;
use chat4all_server::http::HttpSettings;

fn with(http: HttpSettings) -> Options {
    Options { limits: AuthLimits::OFF, http }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_refused_while_health_is_told() {
    let app = TestApp::start_with(with(HttpSettings { requests: 0, ..HttpSettings::default() })).await;
    let refused = app.call(Call::get("/v1/unread")).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "overloaded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(app.call(Call::get("/health")).await.status, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_allowed_origins_may_call() {
    let home = "https://chat.example.org";
    let app = TestApp::start_with(with(HttpSettings {
        allowed_origins: vec![home.into()],
        ..HttpSettings::default()
    }))
    .await;
    for (origin, allowed) in [(home, Some(home)), ("https://evil.example", None)] {
        let asked = Call::new(Method::OPTIONS, "/v1/messages")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, idempotency-key, chat4all-position");
        let reply = app.call(asked).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("access-control-allow-origin"), allowed, "{origin}");
        let plain = app.call(Call::get("/health").header("origin", origin)).await;
        assert_eq!(plain.header("access-control-allow-origin"), allowed, "{origin}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_kept_from_caches_and_guessing() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for path in ["/health", "/v1/unread", "/nowhere"] {
        let reply = app.call(Call::get(path)).await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert!(reply.header("content-security-policy").is_some(), "{path}");
        ids.push(reply.header("x-request-id").unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each request has an id of its own");
    app.stop().await;
}
