//! One fault at a time.

use crate::log_double::Fate;
use crate::talk::{ask, babble, channel, create, group, text, user};
use crate::truth;
use crate::world::{World, until};
use bytes::Bytes;
use chat4all_backend::log::{EventLog, MAX_RECORD_BYTES, Topic};
use chat4all_backend::store::{Projection, Store};
use chat4all_model::command::{Action, Command};
use chat4all_model::id::ConversationId;
use chat4all_model::reader::{LastRead, Progress};
use chat4all_model::record::{Input, Source};
use std::time::Duration;

fn command(conversation: &ConversationId, n: u64, action: Action) -> Command {
    Command::new(conversation.clone(), user(0), n, &n.to_string(), action)
}

/// A new group and this many messages in it.
fn chatter(n: u64, messages: u64) -> Vec<Command> {
    let made = command(&group(n), 0, create([1, 2]));
    std::iter::once(made).chain((1..=messages).map(|m| command(&group(n), m, text("hello")))).collect()
}

async fn end(world: &World, topic: Topic, partition: u32) -> u64 {
    world.log.bounds(topic, partition).await.unwrap().end
}

#[tokio::test]
async fn a_zombie_that_wakes_after_its_heir_decided_changes_nothing() {
    let world = World::new(1);
    let zombie = world.router(&[0]);
    ask(&*world.log, &chatter(1, 3)).await;
    world.settle().await;
    zombie.log.stand_still();
    ask(&*world.log, &[command(&group(1), 10, text("late"))]).await;
    until("the zombie holds a record", async || zombie.log.holds() > 0).await;
    let heir = world.router(&[0]);
    ask(&*world.log, &[command(&group(1), 11, text("more"))]).await;
    world.settle().await;
    zombie.log.assign(&[]);
    zombie.log.wake().await;
    ask(&*world.log, &[command(&group(1), 12, text("still more"))]).await;
    let found = world.settle().await;
    assert!(found.ignored > 0, "{found:?}");
    heir.stop().await;
    zombie.stop().await;
}

#[tokio::test]
async fn a_partition_goes_there_and_back() {
    let world = World::new(1);
    let (a, b) = (world.router(&[0]), world.router(&[]));
    ask(&*world.log, &chatter(1, 5)).await;
    for round in 0..6 {
        let (from, to) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        from.log.assign(&[]);
        to.log.assign(&[0]);
        let more: Vec<_> = (0..5).map(|m| command(&group(1), 100 + round * 10 + m, text("x"))).collect();
        ask(&*world.log, &more).await;
    }
    world.settle().await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn an_assignee_whose_term_was_taken_by_somebody_else_takes_it_back() {
    let world = World::new(1);
    let slow = world.router(&[]);
    slow.log.stand_still();
    slow.log.assign(&[0]);
    ask(&*world.log, &chatter(1, 1)).await;
    until("it asks for a term", async || slow.log.holds() > 0).await;
    let owner = world.router(&[0]);
    ask(&*world.log, &[command(&group(1), 5, text("a"))]).await;
    world.settle().await;
    slow.log.assign(&[]);
    slow.log.wake().await;
    ask(&*world.log, &[command(&group(1), 6, text("b"))]).await;
    world.settle().await;
    drop(owner);
}

#[tokio::test]
async fn a_store_that_is_away_pauses_the_partition_and_people_are_told() {
    let world = World::new(1);
    let router = world.router(&[0]);
    ask(&*world.log, &chatter(1, 3)).await;
    world.settle().await;
    world.store.be_away(true);
    ask(&*world.log, &chatter(2, 3)).await;
    let told = async || router.health.complaints().contains_key("projection 0");
    world.store.be_away(false);
    world.store.be_full(true);
    ask(&*world.log, &chatter(3, 3)).await;
    until("people are told", told).await;
    let events = end(&world, Topic::Events, 0).await;
    let refused = || world.store.refused.load(std::sync::atomic::Ordering::SeqCst);
    let before = refused();
    until("it tries again", async || refused() > before + 3).await;
    assert!(end(&world, Topic::Events, 0).await <= events + 3, "the log fills while the store is full");
    world.store.be_full(false);
    let found = world.settle().await;
    assert_eq!(found.terms, 1, "the term was never in doubt");
    until("people are told of the end", async || router.health.complaints().is_empty()).await;
}

#[tokio::test]
async fn a_full_queue_costs_no_term() {
    let world = World::new(1);
    let router = world.router(&[0]);
    ask(&*world.log, &chatter(1, 3)).await;
    world.settle().await;
    router.log.fates(vec![Fate::Refused; 20]);
    ask(&*world.log, &chatter(2, 20)).await;
    let found = world.settle().await;
    assert!(!router.log.is_fated());
    assert_eq!((found.terms, found.ignored), (1, 0));
}

#[tokio::test]
async fn what_follows_a_lost_append_is_decided_again() {
    let world = World::new(1);
    let router = world.router(&[0]);
    ask(&*world.log, &chatter(1, 3)).await;
    world.settle().await;
    router.log.fates([Fate::Lost, Fate::Lands, Fate::Unknown, Fate::Twice]);
    for n in 0..10 {
        ask(&*world.log, &[command(&group(1), 100 + n, text("x"))]).await;
    }
    until("all fates are met", async || !router.log.is_fated()).await;
    let found = world.settle().await;
    assert!(found.terms > 1, "{found:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_whatever_its_size() {
    let world = World::new(1);
    let _router = world.router(&[0]);
    babble(&*world.log, 0).await;
    ask(&*world.log, &chatter(1, 3)).await;
    let large = Bytes::from(vec![1; MAX_RECORD_BYTES]);
    world.log.append(Topic::Messages, vec![(0, large)]).await.unwrap();
    ask(&*world.log, &[command(&group(1), 10, text("behind it"))]).await;
    until("all is decided", async || truth::is_done(&world.log, &*world.store).await).await;
    let letters = world.store.dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0].dead.payload, b"\x01\xff\xff");
    assert_eq!(world.store.events(&group(1), 0, 100, 100).await.unwrap().len(), 5);
}

#[tokio::test]
async fn facts_larger_than_their_commands_fit_into_records() {
    let world = World::new(1);
    let _router = world.router(&[0]);
    let mut commands = chatter(1, 1);
    let target = commands[1].id.unwrap();
    // Each of these facts carries all reactions of the message.
    for n in 0..600 {
        let emoji = format!("{}-{}", n % 50, "e".repeat(60)).into();
        commands.push(command(
            &group(1),
            10 + n,
            Action::React { target, emoji, remove: n >= 50 && n % 3 == 0 },
        ));
    }
    ask(&*world.log, &commands).await;
    let found = world.settle().await;
    assert_eq!(found.commands, 602);
}

#[tokio::test]
async fn a_command_of_a_newer_version_stops_its_partition_only() {
    let world = World::new(2);
    let router = world.router(&[0, 1]);
    let stopped = group(1).partition(2);
    let other = (2..).find(|n| group(*n).partition(2) != stopped).unwrap();
    ask(&*world.log, &chatter(1, 3)).await;
    world
        .log
        .append(Topic::Messages, vec![(stopped, Bytes::from_static(b"\xf0 from the future"))])
        .await
        .unwrap();
    ask(&*world.log, &chatter(1, 6)).await;
    ask(&*world.log, &chatter(other, 50)).await;
    let name = format!("partition {stopped}");
    until("people are told", async || router.health.complaints().contains_key(&name)).await;
    let of = async |n| world.store.events(&group(n), 0, 100, 100).await.unwrap().len();
    until("the other one goes on", async || of(other).await == 51).await;
    until("what stands before it is decided", async || of(1).await == 4).await;
    let events = end(&world, Topic::Events, stopped).await;
    ask(&*world.log, &chatter(other, 90)).await;
    until("the other one still goes on", async || of(other).await == 91).await;
    assert_eq!(end(&world, Topic::Events, stopped).await, events, "it does nothing more");
    assert!(router.health.complaints().contains_key(&name));
    router.stop().await;
}

#[tokio::test]
async fn messages_for_other_platforms_are_published_once_though_the_store_fails() {
    let world = World::new(1);
    let router = world.router(&[0]);
    world.store.be_full(true);
    let place = channel("whatsapp", 0);
    ask(&*world.log, &[command(&place, 1, text("a"))]).await;
    let published = async || end(&world, Topic::WhatsappOutbound, 0).await;
    // Not even a term can be projected.
    until("people are told", async || router.health.complaints().contains_key("projection 0")).await;
    world.store.be_full(false);
    world.settle().await;
    let before = published().await;
    world.store.be_full(true);
    ask(&*world.log, &[command(&place, 2, text("b"))]).await;
    let refused = || world.store.refused.load(std::sync::atomic::Ordering::SeqCst);
    let tried = refused();
    until("it tries again", async || refused() > tried + 3).await;
    world.store.be_full(false);
    world.settle().await;
    assert_eq!(published().await, before + 1);
}

#[tokio::test]
async fn without_retention_only_what_is_decided_and_stored_goes() {
    let mut world = World::new(1);
    world.retention = Some(Duration::ZERO);
    let router = world.router(&[0]);
    ask(&*world.log, &chatter(1, 50)).await;
    let start = async |topic| world.log.bounds(topic, 0).await.unwrap().start;
    until("commands go", async || start(Topic::Messages).await == end(&world, Topic::Messages, 0).await)
        .await;
    router.stop().await;
    // Nobody decides these, and nobody may trim them.
    ask(&*world.log, &chatter(2, 20)).await;
    let router = world.router(&[0]);
    until("events go up to the new term", async || start(Topic::Events).await > 0).await;
    let terms = world.store.terms(0).await.unwrap();
    assert!(terms.contains(&start(Topic::Events).await));
    until("all is decided", async || truth::is_done(&world.log, &*world.store).await).await;
    assert_eq!(world.store.events(&group(1), 0, 100, 100).await.unwrap().len(), 51);
    assert_eq!(world.store.events(&group(2), 0, 100, 100).await.unwrap().len(), 21);
    router.stop().await;
}

#[tokio::test]
async fn a_log_that_is_not_the_stores_is_refused_and_left_alone() {
    for (epoch, last) in
        [(9, None), (1, Some(LastRead { offset: 500, hash: 1 })), (1, Some(LastRead { offset: 1, hash: 1 }))]
    {
        let mut world = World::new(1);
        world.retention = Some(Duration::ZERO);
        world.log.append(Topic::Events, vec![(0, Bytes::from_static(b"\x01")); 5]).await.unwrap();
        ask(&*world.log, &chatter(1, 20)).await;
        let messages = Some(Source { input: Input::Messages, epoch, offset: 1_000 });
        let progress = Progress { epoch, last, term: Some(0), index: 7, messages, status_updates: None };
        let projection = Projection { progress, ..Projection::default() };
        world.store.project(0, projection).await.unwrap();
        let router = world.router(&[0]);
        until("people are told", async || router.health.complaints().contains_key("projection 0")).await;
        router.stop().await;
        assert_eq!(end(&world, Topic::Events, 0).await, 5, "no term is taken in it");
        assert_eq!(world.log.bounds(Topic::Messages, 0).await.unwrap().start, 0, "nothing is trimmed");
    }
}
