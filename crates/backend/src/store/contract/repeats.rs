//! Projecting once, again, late, from two sides; what lasts.

use super::world::{EPOCH, PARTITION, World, difference, say};
use super::*;
use crate::store::{Counted, Projection, ReaderName, Slice};
use chat4all_model::command::Action;
use chat4all_model::reader::{LastRead, Progress};
use chat4all_model::record::{Dead, Input, Source};
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(rows_equal_the_fold_of_the_facts),
    case!(records_that_come_again_change_nothing),
    case!(two_projectors_leave_what_one_does),
    case!(the_events_give_all_other_tables),
    case!(what_was_deleted_is_nowhere),
    case!(progress_never_goes_back),
    case!(the_last_terms_are_kept),
    case!(dead_letters_are_listed_and_marked),
    case!(what_was_answered_survives, Reopen),
    case!(synced_progress_follows),
];

/// A script by a fixed rule: the same on every machine.
fn script(seed: u64, length: usize) -> Vec<[u8; 4]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        [(state >> 8) as u8, (state >> 24) as u8, (state >> 40) as u8, (state >> 56) as u8]
    };
    (0..length).map(|_| next()).collect()
}

/// Compares all that can be told without a store with what the store says.
async fn equals_the_fold(world: &World, store: &dyn Store) -> Outcome {
    let keys: Vec<Key> = world.state.keys().cloned().collect();
    for (key, value) in keys.iter().zip(store.values(keys.clone()).await?) {
        same!(format!("{key:?}"), value.as_ref(), world.state.get(key));
        if let (Key::Id(id), Some(Value::Id(known))) = (key, value) {
            same!("known", store.known(vec![*id]).await?, [Some(known)]);
        }
    }
    for c in &world.conversations {
        let expected: Vec<_> =
            world.events().into_iter().filter(|((at, _), _)| at == c).map(|(_, e)| e).collect();
        same!(format!("events of {c}"), store.events(c, 0, u64::MAX >> 2, 10_000).await?, expected);
        let mut expected: Vec<_> =
            world.messages().into_iter().filter(|((at, _), _)| at == c).map(|(_, m)| m).collect();
        same!(format!("messages of {c}"), store.messages(c, Slice::Up(0), 10_000).await?, expected);
        expected.reverse();
        same!(format!("messages of {c}"), store.messages(c, Slice::Down(10_000), 10_000).await?, expected);
    }
    Ok(())
}

async fn rows_equal_the_fold_of_the_facts(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = World::play(&script(1, 400));
    let total = world.records.len();
    let (mut from, mut step) = (0, 1);
    while from < total {
        let to = (from + step % 7 + 1).min(total);
        store.project(PARTITION, world.projection(from..to)).await?;
        // Now and then some of it again.
        if step % 3 == 0 {
            store.project(PARTITION, world.projection(to.saturating_sub(step % 11)..to)).await?;
        }
        (from, step) = (to, step + 1);
    }
    equals_the_fold(&world, &*store).await?;
    same!("progress", store.progress(PARTITION).await?, world.progress(total));
    Ok(())
}

async fn records_that_come_again_change_nothing(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = World::play(&script(2, 300));
    world.project(&*store).await?;
    let before = world.dump(&*store).await?;
    // The oldest last.
    for first in (0..world.records.len()).rev() {
        store.project(PARTITION, world.projection(first..first + 1)).await?;
    }
    same!("one by one", difference(&world.dump(&*store).await?, &before), None);
    world.project(&*store).await?;
    same!("all at once", difference(&world.dump(&*store).await?, &before), None);
    equals_the_fold(&world, &*store).await
}

async fn two_projectors_leave_what_one_does(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = World::play(&script(3, 300));
    let run = |size: usize| {
        let (store, world) = (&store, &world);
        async move {
            for first in (0..world.records.len()).step_by(size) {
                let last = (first + size).min(world.records.len());
                store.project(PARTITION, world.projection(first..last)).await?;
            }
            Outcome::Ok(())
        }
    };
    let (a, b) = futures_util::future::join(run(5), run(3)).await;
    a.and(b)?;
    same!("progress", store.progress(PARTITION).await?, world.progress(world.records.len()));
    equals_the_fold(&world, &*store).await
}

async fn the_events_give_all_other_tables(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = World::play(&script(5, 300));
    world.project(&*store).await?;
    let before = world.dump(&*store).await?;
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let (mut page, next) = store.conversations(after, 2).await?;
        ensure!(page.len() <= 2, "{} conversations instead of 2", page.len());
        listed.append(&mut page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    listed.sort();
    let all: BTreeSet<_> = world.events().into_iter().map(|((at, _), _)| at).collect();
    same!("conversations with events", listed, all.into_iter().collect::<Vec<_>>());
    let mut counted = Vec::new();
    for conversation in &listed {
        for event in store.events(conversation, 0, u64::MAX >> 2, 10_000).await? {
            counted.push(Counted {
                position: event.position,
                facts: [event.fact].into(),
                dead: Arc::default(),
            });
        }
    }
    store.clear_derived().await?;
    same!("overviews", store.overviews(listed.clone()).await?, vec![None; listed.len()]);
    let progress = store.progress(PARTITION).await?;
    store.project(PARTITION, Projection { counted, terms: Vec::new(), progress }).await?;
    match difference(&before, &world.dump(&*store).await?) {
        Some(difference) => Err(difference.into()),
        None => Ok(()),
    }
}

async fn what_was_deleted_is_nowhere(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    let message = world.act("ann", "d:ann:bob", say("a secret, first"));
    for text in ["a secret, second", "a secret, third"] {
        world.act("ann", "d:ann:bob", Action::Edit { target: message, text: text.into() });
    }
    world.act("bob", "d:ann:bob", say("no matter"));
    let early = world.records.len();
    store.project(PARTITION, world.projection(0..early)).await?;
    ensure!(world.dump(&*store).await?.contains("a secret, third"), "the last text is not there");
    world.act("ann", "d:ann:bob", Action::Delete { target: message });
    store.project(PARTITION, world.projection(early..early + 1)).await?;
    let dump = world.dump(&*store).await?;
    ensure!(!dump.contains("secret"), "still there: {dump}");
    ensure!(dump.contains("no matter"), "the other message went too: {dump}");
    store.project(PARTITION, world.projection(0..early)).await?;
    same!("after late records", difference(&world.dump(&*store).await?, &dump), None);
    equals_the_fold(&world, &*store).await
}

fn read_up_to(epoch: u32, offset: u64) -> Progress {
    Progress { epoch, last: Some(LastRead { offset, hash: offset }), ..Progress::default() }
}

async fn progress_never_goes_back(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    same!("nothing yet", store.progress(0).await?, Progress::default());
    let (name, other) = (ReaderName("publisher"), ReaderName("notifier"));
    for (progress, expected) in [
        (read_up_to(1, 9), read_up_to(1, 9)),
        (read_up_to(1, 4), read_up_to(1, 9)),
        (read_up_to(1, 10), read_up_to(1, 10)),
        (read_up_to(2, 0), read_up_to(2, 0)),
        (read_up_to(1, 99), read_up_to(2, 0)),
    ] {
        store.project(0, Projection { progress, ..Projection::default() }).await?;
        same!("progress", store.progress(0).await?, expected);
        store.save_reader(&name, 0, progress).await?;
        same!("reader", store.reader(&name, 0).await?, expected);
    }
    same!("another partition", store.progress(1).await?, Progress::default());
    same!("another partition", store.reader(&name, 1).await?, Progress::default());
    same!("another reader", store.reader(&other, 0).await?, Progress::default());
    Ok(())
}

async fn the_last_terms_are_kept(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    for first in [0, 60, 30, 120] {
        let terms = (first..first + 60).map(|term| term * 2).collect();
        let progress = read_up_to(1, 2 * (first + 60));
        store.project(0, Projection { terms, progress, ..Projection::default() }).await?;
    }
    let expected: Vec<u64> = (80..180).map(|term| term * 2).collect();
    same!("terms", store.terms(0).await?, expected);
    same!("another partition", store.terms(1).await?, [0_u64; 0]);
    let again = Projection { terms: vec![5], progress: read_up_to(2, 5), ..Projection::default() };
    store.project(0, again).await?;
    same!("those of the newest log", store.terms(0).await?, [5]);
    Ok(())
}

async fn dead_letters_are_listed_and_marked(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let dead = |n: u64| Dead {
        source: Source { input: Input::Messages, epoch: 1, offset: n },
        reason: format!("reason {n}").into(),
        payload: vec![0, 255, u8::try_from(n).unwrap_or(0)],
    };
    for record in 0..3_u64 {
        let counted = super::super::Counted {
            position: Position::new(EPOCH, record),
            facts: Arc::default(),
            dead: [dead(2 * record), dead(2 * record + 1)].into(),
        };
        let progress = read_up_to(EPOCH, record);
        let projection = Projection { counted: vec![counted], progress, ..Projection::default() };
        store.project(1, projection.clone()).await?;
        store.project(1, projection).await?;
    }
    let all = store.dead_letters(None, 100).await?;
    same!(
        "letters",
        all.iter().map(|l| &l.dead).collect::<Vec<_>>(),
        (0..6).map(dead).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    same!("a page", store.dead_letters(Some(all[1].id.clone()), 2).await?, all[2..4]);
    same!("the end", store.dead_letters(Some(all[5].id.clone()), 2).await?, []);
    ensure!(store.mark_replayed(&all[3].id, 77).await?, "a letter that is there");
    ensure!(!store.mark_replayed("1-1-99", 77).await?, "a letter that is not there");
    ensure!(!store.mark_replayed("nonsense", 77).await?, "no letter's id");
    let replayed: Vec<_> = store.dead_letters(None, 100).await?.iter().map(|l| l.replayed_at).collect();
    same!("marks", replayed, [None, None, None, Some(77), None, None]);
    Ok(())
}

async fn what_was_answered_survives(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = World::play(&script(4, 120));
    let half = world.records.len() / 2;
    store.project(PARTITION, world.projection(0..half)).await?;
    drop(store);
    let store = fixture.reopen().await?;
    same!("progress", store.progress(PARTITION).await?, world.progress(half));
    store.project(PARTITION, world.projection(half..world.records.len())).await?;
    let before = world.dump(&*store).await?;
    drop(store);
    let store = fixture.reopen().await?;
    same!("rows", difference(&world.dump(&*store).await?, &before), None);
    equals_the_fold(&world, &*store).await
}

async fn synced_progress_follows(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let world = World::play(&script(5, 20));
    world.project(&*store).await?;
    let reached = async {
        while store.synced_progress(PARTITION).await? != store.progress(PARTITION).await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Outcome::Ok(())
    };
    match tokio::time::timeout(Duration::from_secs(30), reached).await {
        Ok(outcome) => outcome,
        Err(_) => Err("what was projected was not synced within 30 s".into()),
    }
}
