//! What holds after any sequence of commands, and of any bytes.

use crate::talk::{self, Talk, direct, user};
use chat4all_model::api::{History, MessageKind, Role};
use chat4all_model::command::{Action, Command, Content, Count, Marker, Send, SettingsChange};
use chat4all_model::decide::{MAX_EDITS, MAX_REACTION_KINDS, decide};
use chat4all_model::fact::{Fact, Markers, What};
use chat4all_model::id::RecordId;
use chat4all_model::record::{
    Dead, EventRecord, Facts, Input, Source, Undecodable, VERSION, decode_command, decode_event,
    encode_command, encode_event,
};
use chat4all_model::state::{Key, Value};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "eve"];

fn places() -> [String; 4] {
    ["g:1".into(), "g:alice:all".into(), direct("alice", "bob"), "c:carol:whatsapp:+5511".into()]
}

/// A command before it meets a state: numbers that pick among what is there.
#[derive(Debug, Clone)]
struct Ask {
    who: usize,
    place: usize,
    what: u8,
    pick: usize,
    flag: bool,
    /// A key of few, so that commands are retried.
    key: u8,
}

fn asks(most: usize) -> impl Strategy<Value = Vec<Ask>> {
    let ask = (0..PEOPLE.len(), 0..4_usize, 0..20_u8, any::<usize>(), any::<bool>(), any::<u8>());
    let ask = ask.prop_map(|(who, place, what, pick, flag, key)| Ask { who, place, what, pick, flag, key });
    proptest::collection::vec(ask, 1..most)
}

/// What has been made so far, to aim at.
#[derive(Default)]
struct Aims {
    messages: Vec<RecordId>,
    counts: HashMap<String, Vec<Count>>,
}

impl Aims {
    fn action(&self, ask: &Ask) -> Action {
        let place = &places()[ask.place];
        let person = user(PEOPLE[ask.pick % PEOPLE.len()]);
        // Of few, so that much happens to each.
        let target = self.messages.get(ask.pick % self.messages.len().clamp(1, 5)).copied();
        let target = target.unwrap_or(RecordId::from_bytes([7; 16]));
        let counts = self.counts.get(place).map_or(&[][..], Vec::as_slice);
        let at = counts.get(ask.pick % counts.len().max(1)).copied().unwrap_or_default();
        let role = if ask.flag { Role::Admin } else { Role::Member };
        match ask.what {
            0 => talk::create(&PEOPLE[..ask.pick % 4], if ask.flag { History::All } else { History::Joined }),
            1 => Action::Rename { name: format!("n{}", ask.pick % 3).into() },
            2 | 3 => Action::Add { users: vec![person, user(PEOPLE[ask.who])], role },
            4 => Action::Remove { user: person },
            5 => Action::Leave { successor: ask.flag.then_some(person) },
            6 => Action::SetRole { user: person, role },
            7..=11 => {
                let mentions = if ask.flag { vec!["all".into(), person.as_str().into()] } else { Vec::new() };
                let text = Some(format!("t{}", ask.pick % 7).into());
                let seen = (!ask.pick.is_multiple_of(3)).then_some(at);
                let reply_to = ask.pick.is_multiple_of(5).then_some(target);
                let content = Content { text, mentions, ..Content::default() };
                Action::Send(Send { kind: MessageKind::Text, content, reply_to, seen })
            }
            12 | 13 => Action::Edit { target, text: format!("e{}", ask.key % 5).into() },
            14 => Action::Delete { target },
            15 | 16 => Action::React { target, emoji: format!("{}", ask.key % 3).into(), remove: ask.flag },
            17 | 18 => Action::Mark { marker: if ask.flag { Marker::Read } else { Marker::Delivered }, at },
            _ => Action::Settings(SettingsChange { archived: Some(ask.flag), ..SettingsChange::default() }),
        }
    }

    fn note(&mut self, facts: &[Fact]) {
        for fact in facts.iter().filter(|f| f.head.is_some()) {
            let count = Count { seq: fact.seq(), n: fact.n() };
            self.counts.entry(fact.conversation.as_str().to_owned()).or_default().push(count);
            if let What::Message { .. } = fact.what {
                self.messages.extend(fact.id);
            }
        }
    }
}

fn play(asks: &[Ask]) -> (Talk, Vec<Command>) {
    let (mut talk, mut aims, mut commands) = (Talk::default(), Aims::default(), Vec::new());
    for ask in asks {
        let key = format!("k{}", ask.key);
        let command = talk.command(PEOPLE[ask.who], &places()[ask.place], &key, aims.action(ask));
        let before = talk.markers(PEOPLE[ask.who], &places()[ask.place]);
        let facts = talk.take(&command);
        aims.note(&facts);
        right(&talk, &command, &facts, before);
        commands.push(command);
    }
    (talk, commands)
}

/// What holds of every single decision.
fn right(talk: &Talk, command: &Command, facts: &[Fact], before: Markers) {
    for fact in facts {
        assert_eq!(fact.conversation, command.conversation);
        assert_eq!((&fact.actor, fact.time), (&command.actor, command.time));
        if let What::Receipt { markers, .. } = &fact.what {
            assert!(markers.delivered >= before.delivered && markers.read >= before.read);
            assert!(*markers != before && markers.delivered >= markers.read);
        }
        if let What::Edited { state, .. } | What::Reacted { state, .. } = &fact.what {
            assert!(state.edits.len() <= MAX_EDITS && state.reactions.len() <= MAX_REACTION_KINDS);
            assert!(state.deleted_at.is_none());
        }
    }
    let refused = facts.iter().any(|f| matches!(f.what, What::Rejected { .. }));
    assert!(!refused || facts.len() == 1, "a refusal comes alone");
    // Asked again it does nothing, or is refused again.
    let again = decide(&|key: &Key| talk.state.get(key).cloned(), command).expect("not torn");
    assert!(again.is_empty() || (refused && again.len() == 1), "{command:?} again gave {again:?}");
    // `seen` is not part of the content.
    if let Action::Send(send) = &command.action {
        let other = Action::Send(Send { seen: Some(Count { seq: 77, n: 7 }), ..send.clone() });
        assert_eq!(other.content_hash(), command.hash);
    }
}

/// What holds of a conversation at the end.
fn consistent(talk: &Talk, place: &str) {
    let here = |f: &&Fact| f.conversation.as_str() == place && f.head.is_some();
    let events: Vec<&Fact> = talk.log.iter().filter(here).collect();
    let Some(head) = talk.head(place) else {
        assert!(events.is_empty());
        return;
    };
    let mut n = 0;
    for (index, event) in events.iter().enumerate() {
        assert!(matches!(event.what, What::Created { .. }) == (index == 0));
        n += u64::from(matches!(event.what, What::Message { .. }));
        assert_eq!((event.seq(), event.n()), (index as u64 + 1, n));
    }
    assert_eq!(Some(&head), events.last().and_then(|e| e.head.as_ref()));
    let message_seqs = |by: &dyn Fn(&Fact) -> bool| -> Vec<u64> {
        let all = events.iter().filter(|e| matches!(e.what, What::Message { .. }) && by(e));
        all.map(|e| e.seq()).collect()
    };
    let (mut participants, mut admins) = (0, 0);
    for name in PEOPLE {
        let me = user(name);
        let others = message_seqs(&|e| e.actor != me);
        assert_eq!(head.last_by_others(&me), others.last().copied().unwrap_or(0));
        let Some(interval) = talk.interval(name, place) else { continue };
        participants += u32::from(interval.to.is_none());
        admins += u32::from(interval.to.is_none() && interval.role == Role::Admin);
        let past = |e: &Fact| interval.contains(e.seq()) && e.seq() > talk.markers(name, place).read.seq;
        let by_others = !message_seqs(&|e| past(e) && e.actor != me).is_empty();
        let recount = if by_others { message_seqs(&past).len() as u64 } else { 0 };
        assert_eq!(talk.unread(name, place), recount, "{name} in {place}: {interval:?} {head:?}");
    }
    assert_eq!((head.participants, head.admins), (participants, admins));
    let group = place.starts_with("g:");
    assert!(!group || participants == 0 || admins > 0, "a group without an admin");
    let ids: Vec<_> = events.iter().filter_map(|e| e.id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "an id twice");
    recount_reactions(talk, &events);
}

/// Reactions counted one by one are those that the message's state says.
fn recount_reactions(talk: &Talk, events: &[&Fact]) {
    let mut counts: HashMap<(u64, &str), u32> = HashMap::new();
    for event in events {
        if let What::Reacted { target, emoji, removed, .. } = &event.what {
            let count = counts.entry((target.at.seq, emoji)).or_default();
            *count = if *removed { *count - 1 } else { *count + 1 };
        }
    }
    for message in events.iter().filter(|e| matches!(e.what, What::Message { .. })) {
        let key = Key::Message(message.conversation.clone(), message.seq());
        let state = match talk.state.get(&key) {
            Some(Value::Message(state)) => state,
            other => unreachable!("{message:?} has state {other:?}"),
        };
        let counted: HashMap<_, _> =
            state.reactions.iter().map(|(e, n)| ((message.seq(), &**e), *n)).collect();
        let mut wanted = counts.clone();
        wanted.retain(|(seq, _), n| *seq == message.seq() && *n > 0 && state.deleted_at.is_none());
        assert_eq!(counted, wanted);
    }
}

fn record(facts: Vec<Fact>) -> EventRecord {
    let source = Source { input: Input::StatusUpdates, epoch: 3, offset: u64::MAX };
    let dead = vec![Dead { source, reason: "é".into(), payload: vec![0, 255] }];
    EventRecord::Facts(Facts { term: 9, index: 1, source, facts, dead })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_talk_is_consistent(asks in asks(60)) {
        let (talk, _) = play(&asks);
        for place in places() {
            consistent(&talk, &place);
        }
    }

    #[test]
    fn what_is_written_is_read(asks in asks(12)) {
        let (talk, commands) = play(&asks);
        for command in commands {
            prop_assert_eq!(decode_command(&encode_command(&command)), Ok(command));
        }
        let record = record(talk.log);
        prop_assert_eq!(decode_event(&encode_event(&record)), Ok(record));
        let term = EventRecord::Term { router: "r".into(), nonce: u128::MAX };
        prop_assert_eq!(decode_event(&encode_event(&term)), Ok(term));
    }

    #[test]
    fn damaged_bytes_never_panic(asks in asks(8), cut in any::<prop::sample::Index>(), mask in 1..=255_u8) {
        let (talk, commands) = play(&asks);
        let command = encode_command(&commands[0]);
        let event = encode_event(&record(talk.log.clone()));
        for bytes in [&command, &event] {
            let at = cut.index(bytes.len());
            prop_assert!(decode_command(&bytes[..at]).is_err() && decode_event(&bytes[..at]).is_err());
            let mut damaged = bytes.to_vec();
            damaged[at] ^= mask;
            // It may still be a record: then deciding it, or in a state made of it, is no panic either.
            if let Ok(command) = decode_command(&damaged) {
                let _ = decide(&|key: &Key| talk.state.get(key).cloned(), &command);
            }
            if let Ok(EventRecord::Facts(facts)) = decode_event(&damaged) {
                let mut state = talk.state.clone();
                state.extend(facts.facts.iter().flat_map(chat4all_model::rows::values));
                for fact in &facts.facts {
                    let _ = chat4all_model::rows::rows(fact);
                }
                for command in &commands {
                    let _ = decide(&|key: &Key| state.get(key).cloned(), command);
                }
            }
            let mut longer = bytes.to_vec();
            longer.push(mask);
            prop_assert!(matches!(decode_command(&longer), Err(Undecodable::Malformed(_))));
            prop_assert!(matches!(decode_event(&longer), Err(Undecodable::Malformed(_))));
        }
    }

    #[test]
    fn rubbish_is_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let newer = bytes.first().is_some_and(|version| *version > VERSION);
        for error in [decode_command(&bytes).err(), decode_event(&bytes).err()] {
            if newer {
                prop_assert_eq!(error, Some(Undecodable::Newer(bytes[0])));
            } else if let Some(error) = error {
                prop_assert!(matches!(error, Undecodable::Malformed(_)));
            }
        }
    }
}
