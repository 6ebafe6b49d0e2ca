//! Conversations, their events and messages.

use super::world::{EPOCH, PARTITION, World, conversation, say, user};
use super::*;
use crate::store::{Projection, Slice};
use chat4all_model::api::{History, MessageKind};
use chat4all_model::command::{Action, Content, Send};
use chat4all_model::fact::What;
use chat4all_model::id::RecordId;
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Value};

pub(super) const CASES: &[Case] = &[
    case!(an_empty_store_has_nothing),
    case!(an_overview_is_the_latest),
    case!(events_are_read_between_two_seqs),
    case!(messages_are_read_up_and_down),
    case!(a_position_finds_the_first_event_after_it),
    case!(a_message_shows_its_edits_and_reactions),
    case!(a_command_is_found_by_its_id),
    case!(texts_come_back_byte_for_byte),
];

const PAIR: &str = "d:ann:bob";

async fn an_empty_store_has_nothing(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let (c, ann, id) = (conversation(PAIR), user("ann"), RecordId::from_bytes([1; 16]));
    let everything = (Position(0), Position::new(99, 99));
    same!("progress", store.progress(0).await?, Progress::default());
    same!("synced", store.synced_progress(0).await?, Progress::default());
    same!("terms", store.terms(0).await?, [0_u64; 0]);
    let keys = vec![
        Key::About(c.clone()),
        Key::Head(c.clone()),
        Key::Member(c.clone(), ann.clone()),
        Key::Id(id),
        Key::Message(c.clone(), 1),
        Key::Markers(c.clone(), ann.clone()),
        Key::Reaction(c.clone(), 1, ann.clone(), "x".into()),
        Key::Settings(c.clone(), ann.clone()),
    ];
    same!("values", store.values(keys).await?, vec![None; 8]);
    same!("known", store.known(vec![id, id]).await?, [None, None]);
    same!("overviews", store.overviews(vec![c.clone()]).await?, [None]);
    same!("memberships", store.memberships(&ann).await?, []);
    same!("intervals", store.intervals(&c, &ann).await?, []);
    same!("members", store.members(&c, None, 9).await?, []);
    same!("members between", store.members_between(&c, 0, 9, 9).await?, []);
    same!("events", store.events(&c, 0, 9, 9).await?, []);
    same!("first after", store.first_after(&c, Position(0)).await?, None);
    same!("down", store.messages(&c, Slice::Down(9), 9).await?, []);
    same!("up", store.messages(&c, Slice::Up(0), 9).await?, []);
    same!(
        "own",
        store.own(&ann, vec![c.clone(), c.clone()]).await?,
        [Default::default(), Default::default()]
    );
    same!("changes", store.own_changes(&ann, 0, everything.0, everything.1, 9).await?, []);
    same!("rejections", store.rejections(&ann, 0, everything.0, everything.1, 9).await?, []);
    same!("markers", store.markers(&c, 9).await?, []);
    same!("rises", store.rises(&c, 0, 9).await?, []);
    same!("reactions", store.reactions(&c, vec![1], Some(&ann), 9).await?, []);
    same!("letters", store.dead_letters(None, 9).await?, []);
    store.project(0, Projection::default()).await?;
    same!("after nothing", store.progress(0).await?, Progress::default());
    Ok(())
}

async fn an_overview_is_the_latest(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    let create =
        |name: &str| Action::Create { name: Some(name.into()), members: Vec::new(), history: History::All };
    world.act("ann", "g:ann:a", create("first"));
    world.act("ann", "g:ann:b", create("other"));
    world.act("ann", "g:ann:a", Action::Rename { name: "second".into() });
    world.act("ann", "g:ann:a", say("hello"));
    world.project(&*store).await?;
    let (a, b) = (conversation("g:ann:a"), conversation("g:ann:b"));
    let found = store.overviews(vec![b.clone(), conversation(PAIR), a.clone()]).await?;
    let names: Vec<_> = found.iter().map(|o| o.as_ref().and_then(|o| o.about.name.as_deref())).collect();
    same!("names in the order asked", names, [Some("other"), None, Some("second")]);
    let Some(overview) = &found[2] else { return Err("no overview".into()) };
    same!("head", Some(&Value::Head(overview.head.clone())), world.state.get(&Key::Head(a)));
    same!("position", overview.position, Position::new(EPOCH, 9));
    Ok(())
}

/// Ten messages, after each a reaction to it; `seq` 1 is the beginning.
fn chat() -> World {
    let mut world = World::default();
    for n in 0..10 {
        let target = world.act(["ann", "bob"][n % 2], PAIR, say(&format!("message {n}")));
        world.act("ann", PAIR, Action::React { target, emoji: "❤️".into(), remove: false });
    }
    world
}

async fn events_are_read_between_two_seqs(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = chat();
    world.project(&*store).await?;
    let c = conversation(PAIR);
    for (after, upto, limit, first, count) in [
        (0, 21, 100, 1, 21),
        (0, 99, 100, 1, 21),
        (3, 7, 100, 4, 4),
        (3, 7, 2, 4, 2),
        (20, 21, 100, 21, 1),
        (21, 99, 100, 22, 0),
        (7, 7, 100, 8, 0),
        (0, 21, 0, 1, 0),
    ] {
        let found = store.events(&c, after, upto, limit).await?;
        let seqs: Vec<u64> = found.iter().map(|event| event.fact.seq()).collect();
        same!(format!("after {after} up to {upto}"), seqs, (first..).take(count).collect::<Vec<u64>>());
    }
    Ok(())
}

async fn messages_are_read_up_and_down(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = chat();
    world.project(&*store).await?;
    let c = conversation(PAIR);
    for (slice, limit, expected) in [
        (Slice::Down(99), 3, vec![20, 18, 16]),
        (Slice::Down(18), 2, vec![18, 16]),
        (Slice::Down(17), 2, vec![16, 14]),
        (Slice::Down(3), 9, vec![2]),
        (Slice::Down(1), 9, vec![]),
        (Slice::Up(0), 3, vec![2, 4, 6]),
        (Slice::Up(4), 2, vec![4, 6]),
        (Slice::Up(5), 2, vec![6, 8]),
        (Slice::Up(19), 9, vec![20]),
        (Slice::Up(21), 9, vec![]),
    ] {
        let found = store.messages(&c, slice, limit).await?;
        let seqs: Vec<u64> = found.iter().map(|message| message.event.fact.seq()).collect();
        same!(format!("{slice:?}, {limit}"), seqs, expected);
    }
    Ok(())
}

async fn a_position_finds_the_first_event_after_it(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = chat();
    world.act("cyd", "g:cyd:else", Action::Create { name: None, members: Vec::new(), history: History::All });
    world.act("bob", PAIR, say("last"));
    world.project(&*store).await?;
    let c = conversation(PAIR);
    // The first record holds the beginning and the first message.
    for (position, expected) in [
        (Position(0), Some(1)),
        (Position::new(EPOCH, 0), Some(3)),
        (Position::new(EPOCH, 1), Some(3)),
        (Position::new(EPOCH, 2), Some(3)),
        (Position::new(EPOCH, 3), Some(4)),
        (Position::new(EPOCH, 57), Some(22)),
        (Position::new(EPOCH, 60), Some(22)),
        (Position::new(EPOCH, 63), None),
        (Position::new(EPOCH + 1, 0), None),
    ] {
        same!(format!("after {position:?}"), store.first_after(&c, position).await?, expected);
    }
    Ok(())
}

async fn a_message_shows_its_edits_and_reactions(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    let c = conversation(PAIR);
    let target = world.act("ann", PAIR, say("one"));
    let react = |emoji: &str, remove| Action::React { target, emoji: emoji.into(), remove };
    world.act("ann", PAIR, Action::Edit { target, text: "two".into() });
    world.act("bob", PAIR, react("👍", false));
    world.act("ann", PAIR, react("👍", false));
    world.act("ann", PAIR, react("🎉", false));
    world.act("ann", PAIR, react("👍", true));
    world.project(&*store).await?;
    let found = store.messages(&c, Slice::Down(9), 9).await?;
    same!("one message", found.len(), 1);
    same!("the text now", found[0].text.as_deref(), Some("two"));
    let counts = found[0].state.as_ref().map(|state| state.reactions.clone());
    same!("reactions", counts, Some(vec![("👍".into(), 1), ("🎉".into(), 1)]));
    same!("the newest change", found[0].position, Position::new(EPOCH, 15));
    let first = match &found[0].event.fact.what {
        What::Message { content, .. } => content.text.clone(),
        other => return Err(format!("no message: {other:?}").into()),
    };
    same!("the text then", first.as_deref(), Some("one"));

    let who = |found: Vec<crate::store::Reaction>| {
        let mut who: Vec<_> = found.into_iter().map(|(seq, user, emoji, _)| (seq, user, emoji)).collect();
        who.sort();
        who
    };
    let (by_ann, by_bob) = ((2, user("ann"), "🎉".into()), (2, user("bob"), "👍".into()));
    let all = store.reactions(&c, vec![1, 2, 3], None, 9).await?;
    same!("who reacts", who(all), [by_ann.clone(), by_bob]);
    same!("only ann", who(store.reactions(&c, vec![2], Some(&user("ann")), 9).await?), [by_ann]);
    same!("a limit", store.reactions(&c, vec![2], None, 1).await?.len(), 1);
    same!("another message", store.reactions(&c, vec![3], None, 9).await?, []);
    let key = Key::Reaction(c.clone(), 2, user("ann"), "👍".into());
    same!("taken back", store.values(vec![key]).await?, [Some(Value::Reaction(false))]);
    Ok(())
}

async fn a_command_is_found_by_its_id(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    let message = world.act("ann", PAIR, say("one"));
    let edit = world.act("ann", PAIR, Action::Edit { target: message, text: "two".into() });
    let refused = world.act("bob", PAIR, Action::Edit { target: message, text: "three".into() });
    world.project(&*store).await?;
    let found = store.known(vec![edit, refused, message]).await?;
    let short: Vec<_> = found.iter().map(|k| k.as_ref().map(|k| (k.seq, k.message))).collect();
    same!("known", short, [Some((3, false)), None, Some((2, true))]);
    let mut near = *message.as_bytes();
    near[15] ^= 1;
    same!("an id that is nearly it", store.known(vec![RecordId::from_bytes(near)]).await?, [None]);
    Ok(())
}

async fn texts_come_back_byte_for_byte(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    let long = |c: &str| c.repeat(16_384);
    let texts = [
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇧🇷".to_owned(),
        "漢字かな交じり文、한국어".into(),
        "\u{202b}مرحبا بالعالم\u{202c} שלום".into(),
        "e\u{301} é Z\u{351}\u{342}\u{343}a\u{30a}".into(),
        "a\0b\0".into(),
        "\u{feff}\r\n\t \u{10ffff}\u{fffd}".into(),
        "'; DROP TABLE events; --".into(),
        String::new(),
        long("a"),
        long("字"),
        long("👍"),
        long("\0"),
    ];
    for text in &texts {
        let content = Content {
            text: Some(text.as_str().into()),
            data: Some(text.as_str().into()),
            files: vec![text.as_str().into()],
            mentions: Vec::new(),
        };
        let send = Send { kind: MessageKind::File, content, reply_to: None, seen: None };
        let target = world.act("ann", PAIR, Action::Send(send));
        world.act("ann", PAIR, Action::Edit { target, text: format!("{text}!").into() });
        let reaction: String = text.chars().take(8).collect();
        world.act("bob", PAIR, Action::React { target, emoji: reaction.into(), remove: false });
    }
    store.project(PARTITION, world.projection(0..world.records.len())).await?;
    let c = conversation(PAIR);
    let found = store.messages(&c, Slice::Up(0), 100).await?;
    let expected: Vec<_> = world.messages().into_values().collect();
    ensure!(found == expected, "messages differ");
    ensure!(
        store.events(&c, 0, 999, 999).await? == world.events().into_values().collect::<Vec<_>>(),
        "events differ"
    );
    for (message, text) in found.iter().zip(&texts) {
        ensure!(
            message.text.as_deref() == Some(&*format!("{text}!")),
            "edited text of {} bytes differs",
            text.len()
        );
        let reactions = store.reactions(&c, vec![message.event.fact.seq()], None, 9).await?;
        let emoji: String = text.chars().take(8).collect();
        ensure!(
            reactions.len() == 1 && *reactions[0].2 == *emoji,
            "reaction {emoji:?} came back as {reactions:?}"
        );
    }
    Ok(())
}
