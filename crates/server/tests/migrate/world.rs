//! An installation in which everything has happened that can happen.

use crate::support::{self, Call, Options, Person, TestApp};
use crate::told::everything;
use bytes::Bytes;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::{self, EmbeddedLog, EventLog, Topic};
use chat4all_model::api::MessageKind;
use chat4all_model::command::{Action, Command, Content, Count, Marker, Send};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::record::{VERSION, encode_command};
use chat4all_server::account::Actor;
use chat4all_server::clock::system_clock;
use chat4all_server::engines::Embedded;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The source of a migration, at rest.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) people: Vec<Person>,
    pub(crate) conversations: Vec<String>,
    /// All that the API told these people of it.
    pub(crate) told: Vec<(String, Value)>,
    /// Of a bot of the first person.
    pub(crate) api_key: String,
    /// Of the first person, from before.
    pub(crate) cursor: String,
    /// Ended before.
    pub(crate) gone: Person,
}

/// The key and text of a message that was sent with a key.
pub(crate) const KEYED: (&str, &str) = ("key-of-a-message", "sent with a key");
/// A message that was accepted and not decided when the server was killed.
pub(crate) const UNDECIDED: &str = "accepted by a server that was killed";

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = TestApp::over(support::embedded(folder.path()), Options::default()).await;
        let root = app.administrator("root").await;
        let (ann, bob, cyd) = (app.person("ann").await, app.person("bob").await, app.person("cyd").await);
        let gone = app.person("gone").await;
        let logout = Call::post("/auth/logout").by(&gone).json(&json!({"all": true}));
        assert_eq!(app.call(logout).await.status, 204);
        let profile =
            json!({"display_name": "Ann Other", "email": "ann@example.org", "time_zone": "Europe/Lisbon"});
        assert_eq!(app.call(Call::patch("/auth/me").by(&ann).json(&profile)).await.status, 200);
        let api_key = bots(&app, &ann).await;
        app.accounts.create_invite(Actor::Operator, Duration::from_secs(3600)).await.unwrap();

        let group = app.group(&ann, &[&bob, &cyd, &root]).await;
        talk(&app, &group, [&ann, &bob, &cyd]).await;
        let open = json!({"type": "group", "name": "open", "history": "all", "participant_ids": [bob.id]});
        let open =
            app.call(Call::post("/v1/conversations").by(&ann).json(&open)).await.text("conversation_id");
        memberships(&app, &open, &ann, [&bob, &cyd]).await;
        let direct = json!({"recipient_id": bob.id, "content": KEYED.1});
        let sent = app.call(Call::post("/v1/messages").by(&ann).key(KEYED.0).json(&direct)).await;
        assert_eq!(sent.status, 202);
        let direct = sent.text("conversation_id");
        app.say(&bob, &direct, "an answer").await;
        let long = app.group(&cyd, &[&bob]).await;
        fill(&app, &long, &cyd).await;
        own(&app, [&ann, &bob, &cyd], [&group, &open, &direct, &long]).await;
        refused(&app, &bob).await;
        letters(&app, &root).await;

        let (people, conversations) = (vec![ann, bob, cyd, root], vec![group, open, direct, long]);
        let told = everything(&app, &people, &conversations).await;
        let cursor = app.get(&people[0], "/v1/sync").await.text("cursor");
        app.close().await;
        Self { folder, people, conversations, told, api_key, cursor, gone }
    }

    /// Its engines.
    pub(crate) fn open(&self) -> Embedded {
        support::embedded(self.folder.path())
    }

    /// Leaves in its log what a server that is killed may: a message and a marker that are not decided, and something
    /// on its way to another platform.
    pub(crate) async fn leave_undecided(&self) {
        let embedded = self.open();
        let (group, me) = (&self.conversations[0], UserId::parse(&self.people[0].id).unwrap());
        append(&*embedded.log, message(group, &me, UNDECIDED)).await;
        let at = Count { seq: 7, n: 4 };
        let conversation = ConversationId::parse(group).unwrap();
        let mark = Command::new(conversation, me, 0, "", Action::Mark { marker: Marker::Read, at });
        let place = mark.conversation.partition(embedded.log.partitions());
        embedded.log.append(Topic::StatusUpdates, vec![(place, encode_command(&mark))]).await.unwrap();
        let outbound = json!({"conversation_id": group, "seq": 3}).to_string();
        embedded.log.append(Topic::WhatsappOutbound, vec![(1, outbound.into())]).await.unwrap();
        embedded.close().await;
    }
}

/// Empty engines of another shape, whose log is the second incarnation.
pub(crate) fn target(folder: &Path, partitions: u32) -> Embedded {
    let data = DataFolder::open(folder).unwrap();
    let options = log::Options { partitions: Some(partitions), epoch: 2, ..log::Options::default() };
    // Made before it is opened with all else: only a new file takes an epoch.
    drop(EmbeddedLog::open(&data, options).unwrap());
    Embedded::open(data, None, &system_clock()).unwrap()
}

/// Asks for a change and wants it done.
async fn change(app: &TestApp, call: Call) {
    let reply = app.call(call.header("prefer", "wait=10")).await;
    assert!(matches!(reply.status.as_u16(), 200 | 201 | 204), "{reply:?}");
}

/// One that lives and one that is revoked. Gives the key of the first.
async fn bots(app: &TestApp, owner: &Person) -> String {
    let make = |name: &str| app.call(Call::post("/v1/bots").by(owner).json(&json!({"username": name})));
    let (living, revoked) = (make("robot").await, make("robot-2").await.text("bot_id"));
    assert_eq!(app.call(Call::delete(&format!("/v1/bots/{revoked}")).by(owner)).await.status, 204);
    living.text("api_key")
}

/// Edits, deletions, reactions, replies, mentions.
async fn talk(app: &TestApp, group: &str, [ann, bob, cyd]: [&Person; 3]) {
    let send = async |who: &Person, mut body: Value| {
        body["conversation_id"] = json!(group);
        let reply =
            app.call(Call::post("/v1/messages").by(who).header("prefer", "wait=10").json(&body)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        format!("/v1/messages/{}", reply.text("message_id"))
    };
    let edited = send(ann, json!({"content": "helo"})).await;
    for text in ["hello", "hello!"] {
        change(app, Call::patch(&edited).by(ann).json(&json!({"content": text}))).await;
    }
    let deleted = send(bob, json!({"content": "a secret", "mentions": [cyd.id, ann.id]})).await;
    change(app, Call::patch(&deleted).by(bob).json(&json!({"content": "a secret, still"}))).await;
    change(app, Call::delete(&deleted).by(bob)).await;
    let all = send(bob, json!({"content": "hear", "mentions": ["all"]})).await;
    change(app, Call::delete(&all).by(bob)).await;
    send(ann, json!({"content": "you", "mentions": [cyd.id], "data": {"colour": "red"}})).await;
    for (who, emoji) in [(ann, "x"), (bob, "x"), (cyd, "%F0%9F%91%8D%F0%9F%8F%BD")] {
        change(app, Call::put(&format!("{edited}/reactions/{emoji}")).by(who)).await;
    }
    change(app, Call::delete(&format!("{edited}/reactions/x")).by(bob)).await;
    change(app, Call::patch(&format!("/v1/conversations/{group}")).by(ann).json(&json!({"name": "better"})))
        .await;
}

/// Who joins, leaves, comes back, is made an admin.
async fn memberships(app: &TestApp, open: &str, ann: &Person, [bob, cyd]: [&Person; 2]) {
    let participants = format!("/v1/conversations/{open}/participants");
    let of = |who: &Person| format!("{participants}/{}", who.id);
    app.say(ann, open, "before cyd").await;
    change(app, Call::post(&participants).by(ann).json(&json!({"user_ids": [cyd.id]}))).await;
    app.say(cyd, open, "here I am").await;
    change(app, Call::delete(&of(cyd)).by(cyd)).await;
    app.say(ann, open, "without cyd").await;
    change(app, Call::post(&participants).by(ann).json(&json!({"user_ids": [cyd.id]}))).await;
    change(app, Call::patch(&of(bob)).by(ann).json(&json!({"role": "admin"}))).await;
    change(app, Call::delete(&of(cyd)).by(bob)).await;
    app.say(ann, open, "gone again").await;
}

/// More events than one run holds, some of them in one record.
async fn fill(app: &TestApp, long: &str, who: &Person) {
    let sends = (0..620).map(|n| {
        let body = json!({"conversation_id": long, "content": format!("number {n}")});
        app.call(Call::post("/v1/messages").by(who).json(&body))
    });
    for reply in futures_util::future::join_all(sends).await {
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    let path = format!("/v1/conversations/{long}");
    app.until(who, &path, |it| it["last_seq"] == 621).await;
}

/// Markers and settings.
async fn own(app: &TestApp, [ann, bob, cyd]: [&Person; 3], [group, open, direct, long]: [&str; 4]) {
    let at = |conversation: &str, what: &str| format!("/v1/conversations/{conversation}/{what}");
    for (who, conversation, what, seq) in [
        (bob, group, "delivered", 3),
        (bob, group, "read", 2),
        (bob, group, "read", 4),
        (ann, group, "read", 5),
        (cyd, group, "delivered", 6),
        (bob, open, "read", 2),
        (ann, direct, "read", 3),
        (bob, long, "read", 300),
        (bob, long, "delivered", 610),
    ] {
        change(app, Call::post(&at(conversation, what)).by(who).json(&json!({"seq": seq}))).await;
    }
    for (who, conversation, settings) in [
        (ann, group, json!({"pinned": true})),
        (ann, direct, json!({"archived": true})),
        (bob, group, json!({"muted_until": 1_900_000_000_000_u64})),
        (bob, group, json!({"muted_until": null, "pinned": true})),
        (cyd, long, json!({"muted_until": 1_900_000_000_000_u64})),
    ] {
        change(app, Call::patch(&at(conversation, "me")).by(who).json(&settings)).await;
    }
}

/// A command that breaks a rule by the time it is decided.
async fn refused(app: &TestApp, who: &Person) {
    let me = UserId::parse(&who.id).unwrap();
    append(&*app.engines.log, message(&format!("g:{me}:nowhere"), &me, "to nobody")).await;
}

/// What could not be read: one letter that was replayed, one that was not.
async fn letters(app: &TestApp, root: &Person) {
    let records = [0xff, 0xfe].map(|byte| (u32::from(byte & 1), Bytes::from(vec![VERSION, byte])));
    app.engines.log.append(Topic::Messages, records.to_vec()).await.unwrap();
    let path = "/v1/admin/dead-letters";
    let both = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 2);
    let found = app.until(root, path, both).await;
    let first = found["items"][0]["id"].as_str().unwrap();
    assert!(app.engines.store.mark_replayed(first, 1_790_000_000_000).await.unwrap());
}

fn message(conversation: &str, from: &UserId, text: &str) -> Command {
    let content = Content { text: Some(text.into()), ..Content::default() };
    let send = Action::Send(Send { kind: MessageKind::Text, content, reply_to: None, seen: None });
    let conversation = ConversationId::parse(conversation).unwrap();
    Command::new(conversation, from.clone(), 1_790_000_000_000, text, send)
}

async fn append(log: &dyn EventLog, command: Command) {
    let place = command.conversation.partition(log.partitions());
    log.append(Topic::Messages, vec![(place, encode_command(&command))]).await.unwrap();
}
