//! The state folded from snapshots and events, and what of it is drawn.

use super::{
    compose::Compose,
    room::{Pending, Tick},
    state::{Chat, Link, Wish},
    view,
};
use chat4all_client::{
    Update,
    model::{Conversation, Event, Message, MessagePage, Snapshot},
};
use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, json};

fn conversation(id: &str, last_seq: u64, activity: u64, unread: u64) -> Conversation {
    let member = |id: &str| json!({"user_id": id, "username": id, "display_name": null, "role": "member", "joined_at": 0});
    serde_json::from_value(json!({
        "conversation_id": id, "type": "group", "name": format!("Room {id}"), "created_by": "me", "created_at": 0,
        "participant_count": 2, "participants": [member("me"), member("bob")], "first_seq": 1, "last_seq": last_seq,
        "last_message": null, "last_activity": activity, "unread_count": unread, "mention_count": 0, "read_seq": 0,
        "delivered_seq": 0, "muted_until": null, "archived": false, "pinned": false
    }))
    .unwrap()
}

fn event(kind: &str, id: &str, seq: u64, actor: &str, mut fields: Value) -> Update {
    fields["type"] = json!(kind);
    fields["conversation_id"] = json!(id);
    fields["seq"] = json!(seq);
    fields["timestamp"] = json!(seq * 1000);
    fields["actor_id"] = json!(actor);
    Update::Event(serde_json::from_value::<Event>(fields).unwrap())
}

fn said(id: &str, seq: u64, by: &str, content: &str, client_id: Option<&str>) -> Update {
    let mut fields = json!({"message_id": format!("m{seq}"), "sender_id": by, "recipient_id": null, "kind": "text",
        "content": content});
    if let Some(client_id) = client_id {
        fields["client_id"] = json!(client_id);
    }
    event("NEW_MESSAGE", id, seq, by, fields)
}

fn about(seq: u64, rest: Value) -> Value {
    let mut fields = json!({"message_id": format!("m{seq}"), "message_seq": seq});
    fields.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    fields
}

fn page(messages: Vec<Message>, head_seq: u64, has_before: bool) -> MessagePage {
    MessagePage { first_seq: None, last_seq: None, has_before, has_after: false, head_seq, messages }
}

/// Two rooms, the first open and loaded.
fn chat() -> Chat {
    let mut chat = Chat::new("me".into(), "me".into());
    let items = vec![conversation("g:old", 3, 10, 0), conversation("g:new", 1, 20, 0)];
    let conversations = chat4all_client::model::Page { items, next: None };
    let snapshot = Snapshot { cursor: "c".into(), conversations };
    let wishes = chat.update(Update::Snapshot(Box::new(snapshot)));
    assert_eq!(wishes, [Wish::Newest("g:new".into())]);
    chat.page("g:new", None, page(Vec::new(), 1, false));
    chat
}

fn message(chat: &Chat, seq: u64) -> Message {
    chat.room().unwrap().messages[&seq].clone()
}

fn screen(chat: &mut Chat) -> String {
    let mut terminal = Terminal::new(TestBackend::new(90, 16)).unwrap();
    let compose = Compose::default();
    terminal.draw(|frame| view::draw(frame, chat, &compose, 5000)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content.chunks(90).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn folds_edits_deletions_and_reactions_once() {
    let mut chat = chat();
    chat.update(said("g:new", 2, "bob", "one", None));
    chat.update(said("g:new", 3, "bob", "two", None));
    chat.update(event("MESSAGE_UPDATED", "g:new", 4, "bob", about(2, json!({"content": "one!"}))));
    for _ in 0..2 {
        chat.update(event("REACTION_ADDED", "g:new", 5, "me", about(2, json!({"emoji": "👍"}))));
    }
    chat.update(event("REACTION_ADDED", "g:new", 6, "bob", about(2, json!({"emoji": "👍"}))));
    chat.update(event("MESSAGE_DELETED", "g:new", 7, "bob", about(3, json!({}))));
    let edited = message(&chat, 2);
    assert_eq!((edited.content.as_deref(), edited.edited_at), (Some("one!"), Some(4000)));
    assert_eq!((edited.reactions[0].count, edited.reactions[0].mine), (2, true));
    assert_eq!((message(&chat, 3).content, message(&chat, 3).deleted_at), (None, Some(7000)));
    chat.update(event("REACTION_REMOVED", "g:new", 8, "me", about(2, json!({"emoji": "👍"}))));
    assert_eq!((message(&chat, 2).reactions[0].count, message(&chat, 2).reactions[0].mine), (1, false));
}

#[test]
fn counts_unread_and_sorts_by_activity() {
    let mut chat = chat();
    assert!(chat.update(said("g:old", 4, "bob", "psst", None)).is_empty());
    assert_eq!((chat.rooms[0].id.as_str(), chat.rooms[0].unread), ("g:old", 1), "4 s is newer than 20 ms");
    let wishes = chat.update(said("g:new", 2, "bob", "here", None));
    assert_eq!(wishes, [Wish::Read("g:new".into(), 2)], "what is open is read at once");
    assert_eq!(chat.room().unwrap().unread, 0);
    // Read on another device.
    let receipt = json!({"type": "RECEIPT", "conversation_id": "g:old", "user_id": "me", "delivered_seq": 4,
        "read_seq": 4, "timestamp": 9});
    chat.update(Update::Event(serde_json::from_value(receipt).unwrap()));
    assert_eq!(chat.find("g:old").unwrap().unread, 0);
}

#[test]
fn a_message_is_shown_before_its_ack_and_replaced_by_its_event() {
    let mut chat = chat();
    chat.sending("g:new", "k1".into(), "hello".into());
    assert!(screen(&mut chat).contains("hello …"));
    let acked = |id: &str| Update::Acked {
        client_id: id.into(),
        message_id: Some("m2".into()),
        conversation_id: Some("g:new".into()),
        pending: false,
    };
    chat.update(acked("k1"));
    let pending = Pending { client_id: "k1".into(), content: "hello".into(), acked: true, refused: None };
    assert_eq!(chat.room().unwrap().pending, [pending]);
    chat.update(said("g:new", 2, "me", "hello", Some("k1")));
    assert!(chat.room().unwrap().pending.is_empty());
    assert_eq!(screen(&mut chat).matches("hello").count(), 2, "once in the list, once in the conversation");
    // The other order.
    chat.sending("g:new", "k2".into(), "again".into());
    chat.update(said("g:new", 3, "me", "again", Some("k2")));
    chat.update(acked("k2"));
    assert!(chat.room().unwrap().pending.is_empty());
    // Refused.
    chat.sending("g:new", "k3".into(), "never".into());
    let detail = "you have left".to_owned();
    chat.update(Update::Refused { client_id: "k3".into(), code: "forbidden".into(), detail });
    assert!(screen(&mut chat).contains("not sent: you have left"));
}

#[test]
fn ticks_follow_the_slowest_reader() {
    let mut chat = chat();
    chat.update(said("g:new", 2, "me", "hello", None));
    let tick = |chat: &Chat| chat.room().unwrap().tick(&message(chat, 2), "me");
    let mut receipt = |delivered: u64, read: u64| {
        let value = json!({"type": "RECEIPT", "conversation_id": "g:new", "user_id": "bob",
            "delivered_seq": delivered, "read_seq": read, "timestamp": 9});
        chat.update(Update::Event(serde_json::from_value(value).unwrap()));
        tick(&chat)
    };
    assert_eq!(receipt(1, 1), Some(Tick::Sent));
    assert_eq!(receipt(2, 1), Some(Tick::Delivered));
    assert_eq!(receipt(2, 2), Some(Tick::Read));
    assert_eq!(receipt(1, 1), Some(Tick::Read), "never back");
}

#[test]
fn a_page_and_the_events_may_come_in_either_order() {
    let mut chat = chat();
    chat.update(said("g:new", 2, "bob", "one", None));
    let mut known = message(&chat, 2);
    assert_eq!(
        chat.page("g:new", None, page(Vec::new(), 1, false)),
        [Wish::Newest("g:new".into())],
        "too old"
    );
    // A page that is ahead: its reaction must not be counted again.
    known.reactions = serde_json::from_value(json!([{"emoji": "👍", "count": 1, "mine": false}])).unwrap();
    chat.page("g:new", None, page(vec![known], 3, false));
    chat.update(event("REACTION_ADDED", "g:new", 3, "bob", about(2, json!({"emoji": "👍"}))));
    assert_eq!(message(&chat, 2).reactions[0].count, 1);
    chat.update(event("REACTION_ADDED", "g:new", 4, "me", about(2, json!({"emoji": "👍"}))));
    assert_eq!(message(&chat, 2).reactions[0].count, 2);
}

#[test]
fn a_conversation_that_is_new_is_fetched() {
    let mut chat = chat();
    let wishes = chat.update(said("g:other", 5, "carol", "hi", None));
    assert_eq!(wishes, [Wish::Name("carol".into()), Wish::Conversation("g:other".into())]);
    chat.conversation(conversation("g:other", 5, 99_000, 1));
    assert_eq!(chat.rooms[0].id, "g:other");
    assert_eq!(chat.open.as_deref(), Some("g:new"), "what is open stays open");
    assert_eq!(chat.step(-1), [Wish::Newest("g:other".into())]);
}

#[test]
fn draws_what_a_person_needs_and_no_control_characters() {
    let mut chat = chat();
    chat.link = Link::Live;
    chat.update(said("g:new", 2, "bob", "look\u{1b}[2J 漢字", None));
    chat.update(said("g:new", 3, "me", "first", None));
    chat.update(event("MESSAGE_UPDATED", "g:new", 4, "me", about(3, json!({"content": "second"}))));
    chat.update(event("REACTION_ADDED", "g:new", 5, "bob", about(3, json!({"emoji": "x"}))));
    chat.update(said("g:new", 6, "bob", "gone soon", None));
    chat.update(event("MESSAGE_DELETED", "g:new", 7, "bob", about(6, json!({}))));
    chat.update(said("g:old", 4, "bob", "psst", None));
    let drawn = screen(&mut chat);
    for part in
        ["Room g:new", "Room g:old 1", "today", "second (edited) x 1 ✓", "(deleted)", "connected", "[2J"]
    {
        assert!(drawn.contains(part), "{part:?} is missing in\n{drawn}");
    }
    assert!(!drawn.contains("gone soon\n") && !drawn.contains('\u{1b}'), "{drawn}");
    chat.update(Update::Disconnected { code: None, reason: "refused".into() });
    assert!(screen(&mut chat).contains("reconnecting"));
}

#[test]
fn scrolls_by_selection_and_stops_at_the_top() {
    let mut chat = chat();
    for seq in 2..=60 {
        chat.update(said("g:new", seq, "bob", &format!("line {seq}."), None));
    }
    assert!(screen(&mut chat).contains("line 60."));
    for _ in 0..30 {
        chat.select(true);
    }
    let drawn = screen(&mut chat);
    assert!(drawn.contains("line 31.") && !drawn.contains("line 59."), "{drawn}");
    chat.selected = None;
    chat.scroll = 10_000;
    assert!(screen(&mut chat).contains("line 2."));
    assert!(chat.scroll < 60, "no further than the top");
    assert_eq!(chat.older(), None);
}
