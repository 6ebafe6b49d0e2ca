//! What each command does, rule by rule.

use crate::talk::{self, Talk, code, create, direct, group, send, user};
use chat4all_model::api::{Code, History, MessageKind, Role};
use chat4all_model::command::{Action, Content, Count, Marker, Send, SettingsChange};
use chat4all_model::decide::{MAX_ADMINS, MAX_EDITS, MAX_REACTION_KINDS};
use chat4all_model::fact::{Fact, Markers, What};
use chat4all_model::rows::{Row, rows};
use chat4all_model::state::{Key, Value};

/// Alice's group with Bob and Carol.
fn founded(history: History) -> Talk {
    let mut talk = Talk::default();
    talk.one("alice", "g:1", create(&["bob", "carol"], history));
    talk
}

fn seqs(facts: &[Fact]) -> Vec<u64> {
    facts.iter().map(Fact::seq).collect()
}

#[test]
fn a_repeated_command_does_nothing_and_a_changed_one_is_refused() {
    let mut talk = founded(History::Joined);
    assert_eq!(seqs(&talk.keyed("alice", "g:1", "k", send("hello", None))), [2]);
    assert_eq!(talk.keyed("alice", "g:1", "k", send("hello", None)), []);
    let seen = Some(Count { seq: 1, n: 0 });
    assert_eq!(talk.keyed("alice", "g:1", "k", send("hello", seen)), [], "seen is no content");
    let refused = talk.keyed("alice", "g:1", "k", send("other", None));
    assert_eq!(code(&refused), Some(Code::IdempotencyKeyReused));
    assert_eq!(seqs(&refused), [0]);
    // The key belongs to its user.
    assert_eq!(seqs(&talk.keyed("bob", "g:1", "k", send("other", None))), [3]);
    // A refused id is not kept: the retry is judged afresh.
    assert_eq!(code(&talk.keyed("dave", "g:1", "d", send("me", None))), Some(Code::NotFound));
    talk.one("alice", "g:1", talk::add(&["dave"], Role::Member));
    assert_eq!(seqs(&talk.keyed("dave", "g:1", "d", send("me", None))), [5]);
}

#[test]
fn to_strangers_a_group_is_not_there() {
    let mut talk = founded(History::Joined);
    let id = talk.one("alice", "g:1", send("hello", None)).id.unwrap();
    for action in [
        send("hi", None),
        Action::Edit { target: id, text: "x".into() },
        Action::Delete { target: id },
        Action::React { target: id, emoji: "+".into(), remove: false },
        Action::Rename { name: "x".into() },
        talk::add(&["mallory"], Role::Admin),
        Action::Remove { user: user("bob") },
        Action::Leave { successor: None },
        Action::SetRole { user: user("bob"), role: Role::Admin },
        Action::Settings(SettingsChange { archived: Some(true), ..SettingsChange::default() }),
    ] {
        for place in ["g:1", "g:none", "d:alice:bob"] {
            let facts = talk.ask("mallory", place, action.clone());
            assert_eq!(code(&facts), Some(Code::NotFound), "{place} {action:?}");
            let rejected = &facts[0];
            assert_eq!((rejected.seq(), facts.len()), (0, 1));
        }
    }
    let mark = Action::Mark { marker: Marker::Read, at: Count { seq: 1, n: 0 } };
    assert_eq!(talk.ask("mallory", "g:1", mark), [], "a register of nobody");
}

#[test]
fn a_direct_conversation_is_born_by_its_first_send_from_either_side() {
    for first in ["alice", "bob"] {
        let mut talk = Talk::default();
        let place = direct("alice", "bob");
        let facts = talk.keyed(first, &place, "k", send("hello", None));
        assert_eq!(seqs(&facts), [1, 2]);
        let What::Created { members, .. } = &facts[0].what else { panic!("{facts:?}") };
        assert_eq!(members.len(), 2);
        assert!(members.iter().all(|m| m.role == Role::Member && m.from == Count { seq: 1, n: 0 }));
        assert_eq!((facts[0].id, facts[0].n(), facts[1].n()), (None, 0, 1));
        assert_eq!(facts[1].head.as_ref().map(|h| (h.participants, h.admins)), Some((2, 0)));
        assert_eq!(talk.keyed(first, &place, "k", send("hello", None)), []);
        for other in ["alice", "bob"] {
            assert_eq!(talk.ask(other, &place, send("again", None)).len(), 1);
        }
        // It cannot be left, renamed or joined.
        assert_eq!(code(&talk.ask("bob", &place, Action::Leave { successor: None })), Some(Code::Conflict));
        for action in [Action::Rename { name: "x".into() }, talk::add(&["carol"], Role::Member)] {
            assert_eq!(code(&talk.ask("alice", &place, action)), Some(Code::Conflict));
        }
        assert_eq!(code(&talk.ask("carol", &place, send("hi", None))), Some(Code::NotFound));
    }
}

#[test]
fn creating_a_direct_conversation_twice_makes_one() {
    let (mut talk, place) = (Talk::default(), direct("alice", "bob"));
    assert_eq!(seqs(&talk.ask("bob", &place, create(&["alice"], History::All))), [1]);
    assert_eq!(talk.ask("alice", &place, create(&["bob"], History::All)), []);
    assert_eq!(code(&talk.ask("carol", &place, create(&[], History::All))), Some(Code::NotFound));
}

#[test]
fn a_channel_is_its_accounts() {
    let (mut talk, place) = (Talk::default(), "c:alice:whatsapp:+55119");
    assert_eq!(code(&talk.ask("bob", place, send("hi", None))), Some(Code::NotFound));
    assert_eq!(seqs(&talk.ask("alice", place, send("hi", None))), [1, 2]);
    assert_eq!(code(&talk.ask("bob", place, send("hi", None))), Some(Code::NotFound));
}

#[test]
fn a_group_is_created_once_with_its_first_members() {
    let mut talk = Talk::default();
    let place = "g:alice:team";
    let action = create(&["bob", "alice", "bob"], History::Joined);
    let facts = talk.keyed("alice", place, "k", action.clone());
    let What::Created { members, about } = &facts[0].what else { panic!("{facts:?}") };
    let roles: Vec<_> = members.iter().map(|m| (m.user.as_str(), m.role)).collect();
    assert_eq!(roles, [("alice", Role::Admin), ("bob", Role::Member)]);
    assert_eq!(about.created_by, user("alice"));
    assert_eq!(facts[0].head.as_ref().map(|h| (h.seq, h.participants, h.admins)), Some((1, 2, 1)));
    assert_eq!(talk.keyed("alice", place, "k", action.clone()), []);
    assert_eq!(code(&talk.keyed("alice", place, "k2", action)), Some(Code::Conflict));
}

#[test]
fn somebody_elses_chosen_name_cannot_be_taken() {
    let mut talk = Talk::default();
    assert_eq!(code(&talk.ask("mallory", "g:alice:team", create(&[], History::All))), Some(Code::NotFound));
    assert_eq!(seqs(&talk.ask("alice", "g:alice:team", create(&[], History::All))), [1]);
    // Nor probed once it is there.
    assert_eq!(code(&talk.ask("mallory", "g:alice:team", create(&[], History::All))), Some(Code::NotFound));
}

#[test]
fn only_admins_change_a_group() {
    let mut talk = founded(History::Joined);
    for action in [
        Action::Rename { name: "x".into() },
        talk::add(&["dave"], Role::Member),
        Action::Remove { user: user("carol") },
        Action::SetRole { user: user("bob"), role: Role::Admin },
    ] {
        assert_eq!(code(&talk.ask("bob", "g:1", action)), Some(Code::Forbidden));
    }
    talk.one("alice", "g:1", Action::SetRole { user: user("bob"), role: Role::Admin });
    talk.one("bob", "g:1", Action::Rename { name: "x".into() });
    assert_eq!(talk.ask("alice", "g:1", Action::Rename { name: "x".into() }), [], "it has that name");
    talk.one("bob", "g:1", Action::Remove { user: user("alice") });
    assert_eq!(code(&talk.ask("alice", "g:1", send("hi", None))), Some(Code::NotFound));
}

#[test]
fn people_join_with_what_they_may_see() {
    for (history, from) in [(History::Joined, Count { seq: 3, n: 1 }), (History::All, Count { seq: 1, n: 0 })]
    {
        let mut talk = founded(history);
        talk.one("alice", "g:1", send("before", None));
        let fact = talk.one("alice", "g:1", talk::add(&["dave", "bob", "dave"], Role::Member));
        let What::Added { members } = &fact.what else { panic!("{fact:?}") };
        assert_eq!(members.len(), 1, "who is there is not added again");
        assert_eq!((members[0].from, members[0].since, members[0].to), (from, 3, None));
        assert_eq!(fact.head.map(|h| h.participants), Some(4));
        assert_eq!(talk.ask("alice", "g:1", talk::add(&["dave", "bob"], Role::Admin)), []);
        let unread = talk.unread("dave", "g:1");
        assert_eq!(unread, if history == History::All { 1 } else { 0 });
    }
}

#[test]
fn a_re_join_begins_a_new_interval() {
    for (history, from) in [(History::Joined, 7), (History::All, 1)] {
        let mut talk = founded(history);
        talk.one("alice", "g:1", send("two", None));
        talk.one("bob", "g:1", send("three", None));
        talk.one("alice", "g:1", Action::Remove { user: user("bob") });
        let closed = talk.member("bob", "g:1");
        assert_eq!((closed.to, closed.other_seq), (Some(Count { seq: 4, n: 2 }), 2));
        assert!(closed.contains(4) && !closed.contains(5));
        talk.one("alice", "g:1", send("five", None));
        talk.one("alice", "g:1", send("six", None));
        assert_eq!(talk.unread("bob", "g:1"), 2, "not what was said since");
        talk.one("alice", "g:1", talk::add(&["bob"], Role::Member));
        let open = talk.member("bob", "g:1");
        assert_eq!((open.from.seq, open.since, open.to, open.other_seq), (from, 7, None, 0));
        assert!(open.supersedes(&closed) && !closed.supersedes(&open));
    }
}

#[test]
fn what_others_write_after_my_leaving_does_not_show_in_my_count() {
    let mut talk = founded(History::Joined);
    talk.one("bob", "g:1", send("mine", None));
    talk.one("bob", "g:1", Action::Leave { successor: None });
    assert_eq!(talk.unread("bob", "g:1"), 0);
    talk.one("alice", "g:1", send("behind the back", None));
    assert_eq!(talk.unread("bob", "g:1"), 0);
}

#[test]
fn the_last_admin_names_a_successor() {
    let mut talk = founded(History::Joined);
    let leave = |s: &str| Action::Leave { successor: Some(user(s)) };
    let nobody = Action::Leave { successor: None };
    for bad in [nobody.clone(), leave("dave"), leave("alice"), Action::Remove { user: user("alice") }] {
        assert_eq!(code(&talk.ask("alice", "g:1", bad)), Some(Code::Conflict));
    }
    let demote = Action::SetRole { user: user("alice"), role: Role::Member };
    assert_eq!(code(&talk.ask("alice", "g:1", demote)), Some(Code::Conflict));
    // Whoever is named next time, it is the same leaving.
    assert_eq!(leave("bob").content_hash(), nobody.content_hash());
    let fact = talk.one("alice", "g:1", leave("bob"));
    let What::Removed { members, promoted } = &fact.what else { panic!("{fact:?}") };
    assert_eq!(members[0].to.map(|to| to.seq), Some(2));
    assert_eq!(promoted.as_ref().map(|p| (p.user.as_str(), p.role)), Some(("bob", Role::Admin)));
    assert_eq!(fact.head.as_ref().map(|h| (h.participants, h.admins)), Some((2, 1)));
    assert_eq!(talk.member("bob", "g:1").role, Role::Admin);
    // A member needs none; the last one of all neither, and then nobody can join.
    talk.one("carol", "g:1", nobody.clone());
    let last = talk.one("bob", "g:1", nobody);
    assert_eq!(last.head.map(|h| (h.participants, h.admins)), Some((0, 0)));
    assert_eq!(code(&talk.ask("bob", "g:1", talk::add(&["bob"], Role::Admin))), Some(Code::NotFound));
}

#[test]
fn an_admin_among_others_leaves_without_an_heir() {
    for successor in [None, Some(user("carol"))] {
        let mut talk = founded(History::Joined);
        talk.one("alice", "g:1", Action::SetRole { user: user("bob"), role: Role::Admin });
        let fact = talk.one("alice", "g:1", Action::Leave { successor });
        assert!(matches!(&fact.what, What::Removed { promoted: None, .. }), "{fact:?}");
        assert_eq!(fact.head.map(|h| (h.participants, h.admins)), Some((2, 1)));
        assert_eq!(talk.member("carol", "g:1").role, Role::Member);
    }
}

#[test]
fn admins_are_limited() {
    let mut talk = founded(History::Joined);
    let names: Vec<String> = (1..MAX_ADMINS).map(|n| format!("u{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    talk.one("alice", "g:1", talk::add(&names, Role::Admin));
    assert_eq!(code(&talk.ask("alice", "g:1", talk::add(&["more"], Role::Admin))), Some(Code::LimitReached));
    let promote = |u: &str| Action::SetRole { user: user(u), role: Role::Admin };
    assert_eq!(code(&talk.ask("alice", "g:1", promote("bob"))), Some(Code::LimitReached));
    assert_eq!(talk.ask("alice", "g:1", promote("u1")), [], "is one");
    talk.one("alice", "g:1", Action::SetRole { user: user("u1"), role: Role::Member });
    talk.one("alice", "g:1", promote("bob"));
}

#[test]
fn a_message_is_edited_by_its_sender_alone() {
    let mut talk = founded(History::Joined);
    let id = talk.one("bob", "g:1", send("one", None)).id.unwrap();
    let edit = |text: &str| Action::Edit { target: id, text: text.into() };
    assert_eq!(code(&talk.ask("alice", "g:1", edit("x"))), Some(Code::Forbidden));
    assert_eq!(talk.ask("bob", "g:1", edit("one")), [], "the present text");
    let fact = talk.one("bob", "g:1", edit("two"));
    let What::Edited { target, state, .. } = &fact.what else { panic!("{fact:?}") };
    assert_eq!((target.at.seq, state.edits.as_slice()), (2, [3].as_slice()));
    assert_eq!(fact.n(), 1, "an edit is no message");
    talk.one("bob", "g:1", Action::Delete { target: id });
    assert_eq!(code(&talk.ask("bob", "g:1", edit("three"))), Some(Code::NotFound));
    // What is no message of this conversation is not there.
    let renamed = talk.one("alice", "g:1", Action::Rename { name: "x".into() }).id.unwrap();
    talk.one("bob", "g:2", create(&[], History::All));
    let elsewhere = talk.one("bob", "g:2", send("there", None)).id.unwrap();
    for target in [renamed, elsewhere] {
        let edit = Action::Edit { target, text: "x".into() };
        assert_eq!(code(&talk.ask("bob", "g:1", edit)), Some(Code::NotFound));
    }
}

#[test]
fn edits_of_a_message_are_limited() {
    let mut talk = founded(History::Joined);
    let id = talk.one("bob", "g:1", send("0", None)).id.unwrap();
    for n in 1..=MAX_EDITS {
        talk.one("bob", "g:1", Action::Edit { target: id, text: n.to_string().into() });
    }
    let more = Action::Edit { target: id, text: "more".into() };
    assert_eq!(code(&talk.ask("bob", "g:1", more)), Some(Code::LimitReached));
    let fact = talk.one("bob", "g:1", Action::Delete { target: id });
    let What::Deleted { state, .. } = fact.what else { panic!("no deletion") };
    assert_eq!(state.edits.len(), MAX_EDITS, "a deletion blanks them all");
}

#[test]
fn a_deletion_blanks_the_message_and_its_edits() {
    let mut talk = founded(History::Joined);
    let id = talk.one("bob", "g:1", send("one", None)).id.unwrap();
    talk.one("bob", "g:1", Action::Edit { target: id, text: "two".into() });
    talk.one("alice", "g:1", send("kept", None));
    talk.one("bob", "g:1", Action::Edit { target: id, text: "three".into() });
    let texts = |talk: &Talk| -> Vec<Option<String>> {
        let text = |seq| match talk.store.event(&group("g:1"), seq).expect("an event").1.what {
            What::Message { content, .. } => content.text.map(|t| t.to_string()),
            What::Edited { text, .. } => text.map(|t| t.to_string()),
            what => unreachable!("{what:?}"),
        };
        (2..=5).map(text).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(texts(&talk), [some("one"), some("two"), some("kept"), some("three")]);
    talk.one("alice", "g:1", Action::Delete { target: id });
    assert_eq!(texts(&talk), [None, None, some("kept"), None]);
}

#[test]
fn mentions_are_rows_of_users_and_of_all() {
    let mut talk = founded(History::Joined);
    let mentions = ["all", "bob", "whatsapp:+5511"].map(Into::into).to_vec();
    let content = Content { text: Some("hey".into()), mentions, ..Content::default() };
    let action = Action::Send(Send { kind: MessageKind::Text, content, reply_to: None, seen: None });
    let fact = talk.one("alice", "g:1", action);
    let mentioned: Vec<_> = rows(&fact)
        .into_iter()
        .filter_map(|row| match row {
            Row::Mention(_, user, at) => Some((user.map(|u| u.to_string()), at)),
            _ => None,
        })
        .collect();
    // An address of another platform is nobody here, and surely not all.
    let at = Count { seq: 2, n: 1 };
    assert_eq!(mentioned, [(None, at), (Some("bob".to_owned()), at)]);
}

#[test]
fn a_message_is_deleted_by_its_sender_or_an_admin_once() {
    let mut talk = founded(History::Joined);
    for by in ["bob", "alice"] {
        let id = talk.one("bob", "g:1", send("one", None)).id.unwrap();
        talk.one("carol", "g:1", Action::React { target: id, emoji: "+".into(), remove: false });
        assert_eq!(code(&talk.ask("carol", "g:1", Action::Delete { target: id })), Some(Code::Forbidden));
        let fact = talk.one(by, "g:1", Action::Delete { target: id });
        let What::Deleted { state, .. } = &fact.what else { panic!("{fact:?}") };
        assert!(state.deleted_at.is_some() && state.reactions.is_empty());
        assert_eq!(talk.ask("bob", "g:1", Action::Delete { target: id }), []);
        let react = Action::React { target: id, emoji: "+".into(), remove: false };
        assert_eq!(code(&talk.ask("carol", "g:1", react)), Some(Code::NotFound));
    }
}

#[test]
fn reactions_are_counted_and_limited() {
    let mut talk = founded(History::Joined);
    let id = talk.one("bob", "g:1", send("one", None)).id.unwrap();
    let react = |emoji: &str, remove| Action::React { target: id, emoji: emoji.into(), remove };
    let counts = |fact: &Fact| match &fact.what {
        What::Reacted { state, .. } => {
            state.reactions.iter().map(|(e, n)| format!("{e}{n}")).collect::<String>()
        }
        _ => panic!("{fact:?}"),
    };
    assert_eq!(counts(&talk.one("alice", "g:1", react("a", false))), "a1");
    assert_eq!(counts(&talk.one("bob", "g:1", react("a", false))), "a2");
    assert_eq!(talk.ask("bob", "g:1", react("a", false)), []);
    assert_eq!(talk.ask("carol", "g:1", react("a", true)), []);
    assert_eq!(counts(&talk.one("alice", "g:1", react("a", true))), "a1");
    assert_eq!(counts(&talk.one("bob", "g:1", react("a", true))), "");
    assert_eq!(counts(&talk.one("bob", "g:1", react("a", false))), "a1");
    assert_eq!(counts(&talk.one("bob", "g:1", react("a", true))), "");
    for n in 0..MAX_REACTION_KINDS {
        talk.one("alice", "g:1", react(&n.to_string(), false));
    }
    assert_eq!(code(&talk.ask("bob", "g:1", react("more", false))), Some(Code::LimitReached));
    talk.one("bob", "g:1", react("0", false));
}

#[test]
fn a_newcomer_cannot_touch_or_answer_what_was_before() {
    let mut talk = founded(History::Joined);
    let before = talk.one("bob", "g:1", send("before", None)).id.unwrap();
    talk.one("alice", "g:1", talk::add(&["dave"], Role::Admin));
    let answer = talk::answer("to it", before);
    for action in [
        Action::React { target: before, emoji: "+".into(), remove: false },
        Action::Delete { target: before },
        answer.clone(),
    ] {
        assert_eq!(code(&talk.ask("dave", "g:1", action)), Some(Code::NotFound));
    }
    talk.one("carol", "g:1", answer);
}

#[test]
fn seen_moves_the_marker_over_nothing_unseen() {
    let read = |facts: &[Fact]| match facts.last().map(|f| &f.what) {
        Some(What::Receipt { markers, .. }) => Some(markers.read),
        _ => None,
    };
    let mut talk = founded(History::Joined);
    talk.one("bob", "g:1", send("two", None));
    talk.one("bob", "g:1", send("three", None));
    talk.one("alice", "g:1", send("four", None));
    let facts = talk.ask("alice", "g:1", send("five", Some(Count { seq: 2, n: 1 })));
    assert_eq!(read(&facts), Some(Count { seq: 2, n: 1 }), "three was not seen");
    assert_eq!(talk.unread("alice", "g:1"), 3);
    let facts = talk.ask("alice", "g:1", send("six", Some(Count { seq: 3, n: 2 })));
    assert_eq!(read(&facts), Some(Count { seq: 6, n: 5 }), "nobody else wrote since");
    assert_eq!(talk.unread("alice", "g:1"), 0);
    // Edits and reactions are nothing to see; an old `seen` moves nothing back.
    let id = talk.one("bob", "g:1", send("seven", None)).id.unwrap();
    talk.one("bob", "g:1", Action::Edit { target: id, text: "x".into() });
    let facts = talk.ask("alice", "g:1", send("nine", Some(Count { seq: 7, n: 6 })));
    assert_eq!(read(&facts), Some(Count { seq: 9, n: 7 }));
    assert_eq!(read(&talk.ask("alice", "g:1", send("ten", None))), None);
    talk.one("bob", "g:1", send("eleven", None));
    let facts = talk.ask("alice", "g:1", send("twelve", Some(Count { seq: 2, n: 1 })));
    assert_eq!((facts.len(), read(&facts)), (1, None));
    // Beyond the head nothing can have been seen.
    let facts = talk.ask("alice", "g:1", send("thirteen", Some(Count { seq: 99, n: 99 })));
    assert_eq!(facts.len(), 1);
}

#[test]
fn markers_only_rise_and_read_is_delivered() {
    let mut talk = founded(History::Joined);
    for n in 0..4 {
        talk.one("bob", "g:1", send(&n.to_string(), None));
    }
    let mut mark = |marker, seq| {
        let facts = talk.ask("alice", "g:1", Action::Mark { marker, at: Count { seq, n: seq - 1 } });
        assert!(facts.iter().all(|f| f.seq() == 0 && f.id.is_none()));
        facts.first().map(|f| match &f.what {
            What::Receipt { markers: Markers { delivered, read }, rises } => {
                (delivered.seq, read.seq, rises.delivered, rises.read)
            }
            _ => panic!("{f:?}"),
        })
    };
    assert_eq!(mark(Marker::Delivered, 3), Some((3, 0, true, false)));
    assert_eq!(mark(Marker::Delivered, 3), None);
    assert_eq!(mark(Marker::Read, 2), Some((3, 2, false, true)));
    assert_eq!(mark(Marker::Read, 4), Some((4, 4, true, true)));
    assert_eq!(mark(Marker::Read, 1), None);
    assert_eq!(mark(Marker::Delivered, 4), None);
    assert_eq!(mark(Marker::Read, 6), None, "beyond the head");
    talk.one("alice", "g:1", talk::add(&["dave"], Role::Member));
    let before = Action::Mark { marker: Marker::Read, at: Count { seq: 3, n: 2 } };
    assert_eq!(talk.ask("dave", "g:1", before), [], "before the joining");
    talk.one("alice", "g:1", Action::Remove { user: user("carol") });
    let gone = Action::Mark { marker: Marker::Read, at: Count { seq: 5, n: 4 } };
    assert_eq!(talk.ask("carol", "g:1", gone), []);
}

#[test]
fn large_conversations_keep_no_times() {
    let mut talk = Talk::default();
    let names: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
    talk.one("alice", "g:1", create(&names.iter().map(String::as_str).collect::<Vec<_>>(), History::All));
    let mark = Action::Mark { marker: Marker::Read, at: Count { seq: 1, n: 0 } };
    let rises = |facts: &[Fact]| match &facts[0].what {
        What::Receipt { rises, .. } => (rises.delivered, rises.read),
        what => panic!("{what:?}"),
    };
    assert_eq!(rises(&talk.ask("u1", "g:1", mark.clone())), (false, false));
    talk.one("alice", "g:1", Action::Remove { user: user("u2") });
    assert_eq!(rises(&talk.ask("u3", "g:1", mark)), (true, true));
}

#[test]
fn settings_change_what_they_name() {
    let mut talk = founded(History::Joined);
    let change =
        |archived, pinned, muted_until| Action::Settings(SettingsChange { archived, pinned, muted_until });
    let settings = |facts: &[Fact]| match facts.first().map(|f| &f.what) {
        Some(What::Settings { settings }) => Some((settings.archived, settings.pinned, settings.muted_until)),
        _ => None,
    };
    let mut ask = |action| settings(&talk.ask("bob", "g:1", action));
    assert_eq!(ask(change(Some(true), None, Some(Some(9)))), Some((true, false, Some(9))));
    assert_eq!(ask(change(Some(true), None, None)), None);
    assert_eq!(ask(change(None, Some(true), Some(None))), Some((true, true, None)));
    talk.one("bob", "g:1", Action::Leave { successor: None });
    let facts = talk.ask("bob", "g:1", change(Some(false), None, None));
    assert_eq!(settings(&facts), Some((false, true, None)), "who left still archives");
}

#[test]
fn a_torn_state_is_an_error() {
    let talk = founded(History::Joined);
    let command = talk.command("bob", "g:1", "k", Action::Leave { successor: None });
    let torn = |change: &dyn Fn(&Key, Value) -> Option<Value>| {
        let state = |key: &Key| talk.state.get(key).cloned().and_then(|value| change(key, value));
        chat4all_model::decide::decide(&state, &command).is_err()
    };
    assert!(!torn(&|_, value| Some(value)));
    assert!(torn(&|key, value| if matches!(key, Key::Head(_)) { None } else { Some(value) }));
    assert!(torn(&|_, value| match value {
        Value::Head(mut head) => {
            head.participants = 0;
            Some(Value::Head(head))
        }
        value => Some(value),
    }));
    assert!(torn(&|_, _| Some(Value::Reaction(true))));
    assert_eq!(group("g:1").as_str(), "g:1");
}
