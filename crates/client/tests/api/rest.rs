//! REST calls against a server that fails and whose tokens expire.

use crate::server;
use chat4all_client::{Client, ClientError, Session, SessionStore, model::SendMessage};
use std::sync::{Arc, Mutex};

fn session(token: &str, refresh: &str) -> Session {
    Session {
        user_id: "me".into(),
        username: "me".into(),
        access_token: token.into(),
        renew_at: u64::MAX,
        refresh_token: refresh.into(),
    }
}

#[tokio::test]
async fn callers_share_one_refresh() {
    let (world, url) = server::start().await;
    let client = Client::new(&url).unwrap();
    client.set_session(session("expired", "refresh-0"));
    let calls = (0..20).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.unread().await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(world.with(|state| state.refreshes), 1);
}

#[tokio::test]
async fn a_send_is_retried_under_one_key() {
    let (world, url) = server::start().await;
    world.with(|state| state.post_failures = 2);
    let client = Client::new(&url).unwrap();
    client.set_session(session("token-0", "refresh-0"));
    let message = SendMessage { content: Some("hi".into()), ..Default::default() };
    assert_eq!(client.send(&message).await.unwrap().message_id, "m");
    let keys = world.with(|state| state.posts.clone());
    assert_eq!(keys.len(), 3);
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[derive(Default)]
struct Shelf(Mutex<Option<Session>>);

impl SessionStore for Shelf {
    fn load(&self) -> Option<Session> {
        self.0.lock().unwrap().clone()
    }

    fn save(&self, session: &Session) -> std::io::Result<()> {
        *self.0.lock().unwrap() = Some(session.clone());
        Ok(())
    }
}

#[tokio::test]
async fn processes_that_share_a_store_spend_a_refresh_token_once() {
    let (world, url) = server::start().await;
    let shelf = Arc::new(Shelf(Mutex::new(Some(session("expired", "refresh-0")))));
    let one = Client::new(&url).unwrap().with_store(shelf.clone());
    let other = Client::new(&url).unwrap().with_store(shelf.clone());
    one.unread().await.unwrap();
    other.unread().await.unwrap();
    assert_eq!(world.with(|state| state.refreshes), 1);
    assert_eq!(shelf.load().unwrap().refresh_token, "refresh-1");
}

#[tokio::test]
async fn an_unreachable_server_and_a_missing_session_say_so() {
    let client = Client::new("http://127.0.0.1:1").unwrap();
    assert!(matches!(client.unread().await, Err(ClientError::NotSignedIn)));
    assert!(matches!(Client::new("ftp://there"), Err(ClientError::Address(_))));
    let refused = client.login("a", "b").await.unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
}
