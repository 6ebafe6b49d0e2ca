//! The live path over embedded engines: who is given what, from the ring, from the store and live.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use chat4all_model::api::{Code, Event};
use chat4all_model::command::Action;
use chat4all_server::live::{After, Cut, LiveSettings, Outcome, QueueLimits};
use std::collections::BTreeMap;
use std::time::Duration;
use world::*;

/// `seq`s by conversation.
fn seqs(events: &[Event]) -> BTreeMap<String, Vec<u64>> {
    let mut seqs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for at in events.iter().filter_map(Event::at) {
        seqs.entry(at.conversation_id.clone()).or_default().push(at.seq);
    }
    seqs
}

/// Two answers that differ only in how conversations mix, and in how often a current value is told.
fn same(ring: &[Event], store: &[Event]) {
    let logs = |events: &[Event]| {
        let mut logs: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        let mut current: BTreeMap<(String, String), Event> = BTreeMap::new();
        for event in events {
            let conversation = event.conversation_id().to_owned();
            match event {
                Event::Rejected { message_id, .. } => {
                    current.insert((conversation, message_id.clone()), event.clone());
                }
                Event::Receipt { .. } => {
                    current.insert((conversation, "receipt".into()), event.clone());
                }
                Event::ConversationSettings { .. } => {
                    current.insert((conversation, "settings".into()), event.clone());
                }
                _ => logs.entry(conversation).or_default().push(event.clone()),
            }
        }
        (logs, current)
    };
    assert_eq!(logs(ring), logs(store));
}

/// A script with everything in it: joins, re-joins, edits, deletions, reactions, markers, settings, refusals.
async fn script(world: &mut World) {
    let (a, b) = (group("a"), group("b"));
    world.act("ann", &a, create(&["bob"])).await;
    world.act("bob", &b, create(&["ann", "cat"])).await;
    let first = world.send("ann", &a, "one").await;
    let second = world.send("bob", &a, "two").await;
    world.act("ann", &a, add(&["cat"])).await;
    world.act("ann", &a, Action::Edit { target: first, text: "one, edited".into() }).await;
    world
        .act(
            "cat",
            &a,
            Action::Send(match send("cat is here") {
                Action::Send(send) => send,
                _ => unreachable!("a send"),
            }),
        )
        .await;
    world.act("bob", &a, Action::React { target: second, emoji: "👍".into(), remove: false }).await;
    world.act("bob", &a, Action::Delete { target: second }).await;
    world.act("ann", &a, Action::Remove { user: user("cat") }).await;
    world.send("ann", &a, "without cat").await;
    world.act("cat", &a, send("refused")).await;
    world.act("ann", &a, add(&["cat"])).await;
    world.send("bob", &a, "cat again").await;
    world.act("cat", &a, read_to(13, 5)).await;
    world.act("ann", &a, read_to(13, 5)).await;
    for n in 0..20 {
        world.send(if n % 2 == 0 { "cat" } else { "bob" }, &b, &format!("b{n}")).await;
    }
    world.act("cat", &b, Action::Rename { name: "no".into() }).await;
    world.act("bob", &b, Action::Rename { name: "yes".into() }).await;
    world.act("ann", &b, Action::Leave { successor: None }).await;
    world.send("bob", &b, "after ann").await;
}

#[tokio::test]
async fn ring_and_store_answer_alike_from_every_position_and_to_everybody() {
    let mut world = World::new(LiveSettings::default()).await;
    script(&mut world).await;
    world.caught_up(&world.hub).await;
    let ends: Vec<u64> = world.hub.positions();
    for name in ["ann", "bob", "cat", "eve"] {
        let attachment = world.hub.attach(&user(name)).await.unwrap();
        for step in 0..ends.iter().max().copied().unwrap_or(0) {
            let from: Vec<u64> = ends.iter().map(|end| step.min(*end)).collect();
            let ring = from_ring(&attachment, from.clone()).expect("all is in the ring");
            for limit in [1, 3, 200] {
                let store = from_store(&attachment, world.cursor(from.clone()), limit).await;
                same(&ring, &store);
            }
            if name == "eve" {
                assert!(ring.is_empty(), "a stranger is given {ring:?}");
            }
        }
    }
}

#[tokio::test]
async fn everybody_sees_exactly_their_intervals() {
    let mut world = World::new(LiveSettings::default()).await;
    script(&mut world).await;
    world.caught_up(&world.hub).await;
    let cat = world.hub.attach(&user("cat")).await.unwrap();
    let events = from_ring(&cat, vec![0; PARTITIONS as usize]).unwrap();
    // Joined at 4, removed at 9, back from 11 on.
    let mine = &seqs(&events)["g:a"];
    assert_eq!(*mine, vec![4, 5, 6, 7, 8, 9, 11, 12]);
    let text = |seq: u64| {
        events.iter().find(|e| e.at().is_some_and(|at| at.seq == seq && at.conversation_id == "g:a")).unwrap()
    };
    // The edit of a message from before: that it happened, not what it says.
    assert!(matches!(text(5), Event::MessageUpdated { content: None, message_seq: 2, .. }), "{:?}", text(5));
    assert!(matches!(text(7), Event::ReactionAdded { emoji: None, .. }), "{:?}", text(7));
    assert!(matches!(text(4), Event::ParticipantAdded { first_seq: Some(4), .. }), "{:?}", text(4));
    let refused = events.iter().filter(|e| matches!(e, Event::Rejected { .. })).count();
    assert_eq!(refused, 2, "one while not a member, one as no admin");
    let ann = world.hub.attach(&user("ann")).await.unwrap();
    let events = from_ring(&ann, vec![0; PARTITIONS as usize]).unwrap();
    assert!(!events.iter().any(|e| matches!(e, Event::Rejected { .. })), "another's refusal");
    let deleted = events.iter().find(|e| e.at().is_some_and(|at| at.seq == 3 && at.conversation_id == "g:a"));
    assert!(matches!(deleted, Some(Event::NewMessage { content: None, .. })), "{deleted:?}");
    assert_eq!(seqs(&events)["g:b"].last(), Some(&23), "her leaving is the last she sees");
}

#[tokio::test]
async fn live_is_what_a_resume_would_give() {
    let mut world = World::new(LiveSettings::default()).await;
    world.project().await;
    let mut live = Vec::new();
    for name in ["ann", "bob", "cat", "eve"] {
        let attachment = world.hub.attach(&user(name)).await.unwrap();
        let _positions = attachment.go_live();
        live.push((name, attachment));
    }
    script(&mut world).await;
    world.caught_up(&world.hub).await;
    for (name, attachment) in &live {
        let mut heard = drained(attachment);
        // Of receipts, others' are live only.
        heard.retain(|e| !matches!(e, Event::Receipt { user_id, .. } if user_id != name));
        let again = world.hub.attach(&user(name)).await.unwrap();
        let mut resumed = from_ring(&again, vec![0; PARTITIONS as usize]).unwrap();
        // What was deleted later was heard live and is not given again.
        let blank = |events: &mut Vec<Event>| {
            for event in events {
                if let Event::NewMessage { at, content, .. } = event
                    && (at.conversation_id.as_str(), at.seq) == ("g:a", 3)
                {
                    *content = None;
                }
            }
        };
        blank(&mut heard);
        blank(&mut resumed);
        same(&resumed, &heard);
    }
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_resumes_without_loss() {
    let queue = QueueLimits { bytes: 64 * 1024, frames: 50 };
    let mut world = World::new(LiveSettings { queue, ..LiveSettings::default() }).await;
    let c = group("busy");
    world.act("ann", &c, create(&["bob"])).await;
    world.caught_up(&world.hub).await;
    let bob = world.hub.attach(&user("bob")).await.unwrap();
    let mut next = bob.go_live();
    let mut seen = Vec::new();
    for n in 0..200 {
        world.send("ann", &c, &format!("m{n}")).await;
        if n == 20 {
            world.caught_up(&world.hub).await;
            next = world.hub.positions();
            seen.extend(drained(&bob));
            assert_eq!(bob.session().cut_reason(), None);
        }
    }
    world.caught_up(&world.hub).await;
    assert!(bob.session().drain().is_empty(), "nothing after the hole");
    assert_eq!(bob.session().cut_reason(), Some(Cut::TooSlow));
    drop(bob);
    let again = world.hub.attach(&user("bob")).await.unwrap();
    seen.extend(from_ring(&again, next).unwrap());
    assert_eq!(seqs(&seen)["g:busy"], (2..=201).collect::<Vec<u64>>());
}

#[tokio::test]
async fn behind_a_small_ring_the_store_goes_on() {
    let mut world = World::new(LiveSettings { ring_bytes: 8 * 1024, ..LiveSettings::default() }).await;
    let c = group("long");
    world.act("ann", &c, create(&["bob"])).await;
    for n in 0..60 {
        world.send("ann", &c, &format!("m{n}")).await;
    }
    world.caught_up(&world.hub).await;
    let bob = world.hub.attach(&user("bob")).await.unwrap();
    let from = vec![0; PARTITIONS as usize];
    assert!(from_ring(&bob, from.clone()).is_none(), "the ring is too small");
    let mut cursor = world.cursor(from);
    let mut events = Vec::new();
    loop {
        if cursor.page.is_none()
            && let Some(rest) = from_ring(&bob, cursor.next.clone())
        {
            events.extend(rest);
            break;
        }
        let given = bob.store_page(cursor, 7).await.unwrap();
        events.extend(given.events);
        cursor = given.cursor;
    }
    assert_eq!(seqs(&events)["g:long"], (1..=61).collect::<Vec<u64>>());
}

#[tokio::test]
async fn nobody_goes_live_with_an_older_index() {
    let mut world = World::new(LiveSettings::default()).await;
    let c = group("late");
    world.act("ann", &c, create(&["bob"])).await;
    let command = world.command("ann", &c, "x", Action::Remove { user: user("bob") });
    world.decide(&command).await;
    world.caught_up(&world.hub).await;
    // The removal was heard and is not in the store yet.
    let (hub, bob) = (world.hub.clone(), user("bob"));
    let attaching = tokio::spawn(async move { hub.attach(&bob).await });
    let refused = attaching.await.unwrap().err().expect("the store never comes so far");
    assert_eq!(refused.code, Code::Unavailable);
    world.project().await;
    let bob = world.hub.attach(&user("bob")).await.unwrap();
    let _positions = bob.go_live();
    world.send("ann", &c, "secret").await;
    world.caught_up(&world.hub).await;
    assert_eq!(drained(&bob), []);
}

#[tokio::test]
async fn a_waiter_is_told_what_became_of_its_command() {
    let mut world = World::new(LiveSettings::default()).await;
    let c = group("w");
    world.act("ann", &c, create(&["bob"])).await;
    let long = Duration::from_secs(20);

    let done = world.command("ann", &c, "1", send("one"));
    let waiter = world.hub.expect(&done).unwrap();
    let (_, offset) = world.decide(&done).await;
    assert!(matches!(waiter.outcome(offset, long).await, Outcome::Done(_)));

    let again = world.hub.expect(&done).unwrap();
    let (facts, offset) = world.decide(&done).await;
    assert!(facts.is_empty());
    assert_eq!(again.outcome(offset, long).await, Outcome::Unchanged);

    let other = world.command("ann", &c, "1", send("other content"));
    let waiter = world.hub.expect(&other).unwrap();
    let (_, offset) = world.decide(&other).await;
    world.caught_up(&world.hub).await;
    assert_eq!(waiter.outcome(offset, long).await, Outcome::Rejected(Code::IdempotencyKeyReused));

    let never = world.command("eve", &c, "2", send("never"));
    let waiter = world.hub.expect(&never).unwrap();
    assert_eq!(waiter.outcome(offset + 9, Duration::from_millis(10)).await, Outcome::Pending);
}

#[tokio::test]
async fn a_read_waits_for_what_was_heard_and_no_longer() {
    let mut world = World::new(LiveSettings::default()).await;
    let (c, quiet) = (group("r"), group("q"));
    world.act("ann", &c, create(&["bob"])).await;
    world.act("ann", &quiet, create(&["bob"])).await;
    world.caught_up(&world.hub).await;
    world.hub.readable(&c).await.unwrap();
    let command = world.command("ann", &c, "x", send("heard"));
    world.decide(&command).await;
    world.caught_up(&world.hub).await;
    world.hub.readable(&quiet).await.unwrap();
    assert_eq!(world.hub.readable(&c).await.unwrap_err().code, Code::Unavailable);
    let (hub, conversation) = (world.hub.clone(), c.clone());
    let waiting = tokio::spawn(async move { hub.readable(&conversation).await });
    world.project().await;
    waiting.await.unwrap().unwrap();
    for header in ["", "1.0", "1.0.x", "9.0.1", "1.99.1", "1.0.1.1"] {
        assert_eq!(
            world.hub.readable_at(header, After::Everything).await.unwrap_err().code,
            Code::InvalidRequest,
            "{header}"
        );
    }
    // Of an older log: all of that is stored.
    world.hub.readable_at("0.0.99", After::Everything).await.unwrap();
}

#[tokio::test]
async fn another_process_sees_the_same_and_knows_members_without_asking() {
    let mut world = World::new(LiveSettings::default()).await;
    script(&mut world).await;
    let second = world.another(LiveSettings::default());
    let ann = second.attach(&user("ann")).await.unwrap();
    world.caught_up(&second).await;
    let here = world.hub.attach(&user("ann")).await.unwrap();
    let from = vec![0; PARTITIONS as usize];
    same(&from_ring(&here, from.clone()).unwrap(), &from_ring(&ann, from).unwrap());
    let intervals = second.intervals(&user("ann"), &group("a")).expect("she is connected");
    assert!(intervals.iter().all(|interval| interval.to.is_none()));
    assert!(second.intervals(&user("bob"), &group("a")).is_none(), "he is not");
}
