//! All that the API tells somebody.

use crate::support::{Person, TestApp};
use serde_json::Value;

/// Every answer to what these people may ask, by path, in order.
pub(crate) async fn everything(
    app: &TestApp,
    people: &[Person],
    conversations: &[String],
) -> Vec<(String, Value)> {
    app.until(&people[0], "/ready", |report| report["ready"] == true).await;
    let mut told = Vec::new();
    for person in people {
        let mut ask = async |path: String| {
            let reply = app.get(person, &path).await;
            // What is refused is refused for the same reason.
            let answer = match reply.status.as_u16() {
                200 => reply.json(),
                status => {
                    serde_json::json!({"status": status, "code": reply.code(), "why": reply.json()["detail"]})
                }
            };
            told.push((format!("{} {path}", person.id), answer.clone()));
            answer
        };
        for path in [
            "/auth/me",
            "/v1/bots",
            "/v1/users?query=an",
            "/v1/conversations?limit=100",
            "/v1/conversations?limit=100&archived=true",
            "/v1/conversations?limit=100&unread=true",
            "/v1/unread",
        ] {
            ask(path.to_owned()).await;
        }
        for conversation in conversations {
            let base = format!("/v1/conversations/{conversation}");
            for what in [
                "",
                "/participants?limit=100",
                "/markers",
                "/events?limit=200",
                "/events?limit=200&after=500",
            ] {
                ask(format!("{base}{what}")).await;
            }
            let page = ask(format!("{base}/messages?limit=50")).await;
            let messages = page["messages"].as_array().cloned().unwrap_or_default();
            for message in messages.iter().take(12) {
                let message = format!("{base}/messages/{}", message["message_id"].as_str().unwrap());
                for what in ["", "/edits", "/reactions", "/receipts"] {
                    ask(format!("{message}{what}")).await;
                }
            }
        }
    }
    told
}

/// Fails at the first answer that is not the same.
pub(crate) fn same(before: &[(String, Value)], after: &[(String, Value)]) {
    for ((path, before), (other, after)) in before.iter().zip(after) {
        assert_eq!((path, before), (other, after), "{path}");
    }
    assert_eq!(before.len(), after.len());
}
