//! Every use-case against those who may not.

use crate::world::{World, done, to};
use chat4all_model::api::{
    AddParticipants, Code, ConversationPatch, History, Role, RolePatch, Scope, SettingsPatch,
};
use chat4all_model::command::Marker;
use chat4all_server::account::Caller;
use chat4all_server::chat::{Chat, Filter, Paging, Window};
use chat4all_server::error::Failure;
use futures_util::future::{BoxFuture, FutureExt};

/// What is tried on.
struct Scene {
    chat: Chat,
    conversation: String,
    message: String,
    other: String,
}

type Try = for<'a> fn(&'a Scene, &'a Caller) -> BoxFuture<'a, Result<(), Failure>>;

/// A use-case, whether it writes, and what it answers somebody who has left.
struct Case {
    name: &'static str,
    writes: bool,
    former: Option<Code>,
    attempt: Try,
}

macro_rules! case {
    ($name:literal, $writes:expr, $former:expr, |$s:ident, $c:ident| $body:expr) => {
        Case {
            name: $name,
            writes: $writes,
            former: $former,
            attempt: |$s, $c| async move { $body.await.map(drop) }.boxed(),
        }
    };
}

fn cases() -> Vec<Case> {
    let gone = Some(Code::Forbidden);
    vec![
        case!("member", false, None, |s, c| s.chat.member(c, &s.conversation)),
        case!("history", false, None, |s, c| async {
            let m = s.chat.member(c, &s.conversation).await?;
            s.chat.history(&m, Window::Before(None), None).await
        }),
        case!("message", false, None, |s, c| s.chat.message(c, None, &s.message)),
        case!("message within", false, None, |s, c| s.chat.message(c, Some(&s.conversation), &s.message)),
        case!("edits", false, None, |s, c| s.chat.edits(c, None, &s.message)),
        case!("reactions", false, None, |s, c| s.chat.reactions(c, None, &s.message, &Paging::default())),
        case!("receipts", false, None, |s, c| s.chat.receipts(c, None, &s.message, &Paging::default())),
        case!("send", true, gone, |s, c| s.chat.send(c, to(&s.conversation, "x"), None)),
        case!("edit", true, gone, |s, c| s.chat.edit(c, None, &s.message, "x", None)),
        case!("edit within", true, gone, |s, c| {
            s.chat.edit(c, Some(&s.conversation), &s.message, "x", None)
        }),
        case!("delete", true, gone, |s, c| s.chat.delete(c, None, &s.message, None)),
        case!("react", true, gone, |s, c| s.chat.react(c, None, &s.message, "x", None)),
        case!("unreact", true, gone, |s, c| s.chat.unreact(c, None, &s.message, "x", None)),
        case!("rename", true, gone, |s, c| {
            s.chat.rename(c, &s.conversation, ConversationPatch { name: "x".into() }, None)
        }),
        case!("settings", true, None, |s, c| {
            s.chat.settings(
                c,
                &s.conversation,
                SettingsPatch { pinned: Some(true), ..Default::default() },
                None,
            )
        }),
        case!("add", true, gone, |s, c| {
            s.chat.add(
                c,
                &s.conversation,
                AddParticipants { user_ids: vec![s.other.clone()], role: None },
                None,
            )
        }),
        case!("role", true, gone, |s, c| {
            s.chat.set_role(c, &s.conversation, &s.other, RolePatch { role: Role::Admin }, None)
        }),
        case!("remove", true, gone, |s, c| s.chat.remove(c, &s.conversation, &s.other, None)),
        case!("leave", true, None, |s, c| s.chat.remove(c, &s.conversation, c.user_id.as_str(), None)),
        case!("mark", true, gone, |s, c| s.chat.mark(c, &s.conversation, Marker::Read, 1)),
        case!("mark message", true, gone, |s, c| s.chat.mark_message(c, None, &s.message, Marker::Delivered)),
    ]
}

#[tokio::test]
async fn nobody_gets_further_than_they_may() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let (former, stranger) = (world.person("former").await, world.person("stranger").await);
    let conversation = world.group(&alice, &[&former], History::Joined).await;
    let message = world.say(&former, &conversation, "mine").await.message_id;
    done(world.chat.remove(&alice, &conversation, former.user_id.as_str(), None).await);
    let scene = Scene {
        chat: world.chat.clone(),
        conversation: conversation.clone(),
        message: message.clone(),
        other: alice.user_id.to_string(),
    };
    let reads = world.bot(&alice, "reader.bot", &[Scope::Read]).await;
    let writes = world.bot(&alice, "writer.bot", &[Scope::Write]).await;
    let bots = vec![reads.user_id.to_string(), writes.user_id.to_string()];
    let add = AddParticipants { user_ids: bots, role: None };
    done(world.chat.add(&alice, &conversation, add, None).await);
    for case in cases() {
        let outcome = async |caller| (case.attempt)(&scene, caller).await.err().map(|failure| failure.code);
        assert_eq!(outcome(&stranger).await, Some(Code::NotFound), "{}: stranger", case.name);
        assert_eq!(outcome(&former).await, case.former, "{}: former member", case.name);
        let wrong_key = if case.writes { &reads } else { &writes };
        assert_eq!(outcome(wrong_key).await, Some(Code::Forbidden), "{}: key without the scope", case.name);
    }
    let denied = world.chat.inbox(&writes, Filter::default(), &Paging::default()).await.unwrap_err();
    assert_eq!(denied.code, Code::Forbidden);
    assert_eq!(world.chat.unread(&writes).await.unwrap_err().code, Code::Forbidden);
    assert!(
        world.chat.inbox(&stranger, Filter::default(), &Paging::default()).await.unwrap().items.is_empty()
    );
    // None of it left a trace.
    assert_eq!(world.texts(&alice, &conversation).await, ["mine"]);
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_id_names_nothing() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let chat = &world.chat;
    for id in ["x", "d:b:a", "g:", "c:a:fax:1"] {
        assert_eq!(chat.member(&alice, id).await.unwrap_err().code, Code::NotFound, "{id}");
    }
    for id in ["", "é", "g:\0", &"g".repeat(129)] {
        assert_eq!(chat.member(&alice, id).await.unwrap_err().code, Code::InvalidRequest, "{id:?}");
    }
    for id in ["", "x", "é", &"A".repeat(22), &"A".repeat(9_999)] {
        assert_eq!(chat.message(&alice, None, id).await.unwrap_err().code, Code::NotFound, "{id:?}");
        assert_eq!(chat.delete(&alice, None, id, None).await.unwrap_err().code, Code::NotFound, "{id:?}");
    }
    world.stop().await;
}
