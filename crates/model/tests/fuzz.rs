//! The bodies of the fuzz targets, bounded: valid records and cursors, and mutations of them.

#![expect(clippy::unwrap_used, reason = "a test may fail by it, in its helpers too")]

#[path = "../../../fuzz/bodies/cursors.rs"]
mod cursors;
#[path = "../../../fuzz/bodies/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/bodies/records.rs"]
mod records;

use chat4all_model::api::{History, MessageKind, Role};
use chat4all_model::command::{Action, Command, Content, Count, Marker, Send};
use chat4all_model::cursor::{Cursor, CursorKey, Page, Stage};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::record::{
    Dead, EventRecord, Facts, Input, Source, decode_command, encode_command, encode_event,
};

const RUNS: u64 = 100_000;

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn commands() -> Vec<Vec<u8>> {
    let target = RecordId::from_bytes([9; 16]);
    let content = Content {
        text: Some("👩‍👩‍👧‍👦 שלום".into()),
        data: Some(r#"{"a":[1]}"#.into()),
        files: vec!["f1".into()],
        mentions: vec!["all".into(), "bob".into()],
    };
    let seen = Some(Count { seq: 300, n: 200 });
    let actions = [
        Action::Create { name: Some("n".into()), members: vec![user("bob"); 3], history: History::All },
        Action::Add { users: vec![user("carol")], role: Role::Admin },
        Action::Leave { successor: Some(user("bob")) },
        Action::Send(Send { kind: MessageKind::Text, content, reply_to: Some(target), seen }),
        Action::Edit { target, text: "better".into() },
        Action::React { target, emoji: "👍".into(), remove: true },
        Action::Mark { marker: Marker::Read, at: Count { seq: u64::MAX, n: 1 } },
    ];
    let command = |action| Command::new(ConversationId::parse("g:1").unwrap(), user("alice"), 1, "k", action);
    actions.map(|action| encode_command(&command(action)).to_vec()).into()
}

#[test]
fn spoiled_records_are_read_or_refused() {
    let commands = commands();
    assert!(commands.iter().all(|seed| decode_command(seed).is_ok()));
    let source = Source { input: Input::Messages, epoch: 1, offset: 77 };
    let dead = Dead { source, reason: "malformed".into(), payload: vec![1, 2, 3] };
    let facts = Facts { term: 5, index: 0, source, facts: Vec::new(), dead: vec![dead] };
    let events = [EventRecord::Term { router: "r".into(), nonce: u128::MAX }, EventRecord::Facts(facts)];
    let events = events.iter().map(|record| encode_event(record).to_vec());
    let seeds: Vec<Vec<u8>> = commands.into_iter().chain(events).collect();
    mutate::run(&seeds, RUNS, records::body);
}

#[test]
fn spoiled_cursors_do_not_open() {
    let (key, alice) = (CursorKey::new([7; 32]), user("alice"));
    let conversation = Some(ConversationId::parse("g:1").unwrap());
    let page = Page { to: vec![9; 4], stage: Stage::Events { conversation, seq: 4 } };
    let cursors = [
        Cursor { epoch: 1, next: vec![3, u64::MAX, 0, 128], page: None },
        Cursor { epoch: u32::MAX, next: vec![1; 32], page: Some(page) },
    ];
    let seeds: Vec<Vec<u8>> = cursors.iter().map(|cursor| key.seal(cursor, &alice).into_bytes()).collect();
    assert!(seeds.iter().all(|seed| key.open(std::str::from_utf8(seed).unwrap(), &alice).is_ok()));
    mutate::run(&seeds, RUNS, cursors::body);
}
