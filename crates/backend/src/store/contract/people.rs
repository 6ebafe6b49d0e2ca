//! Members, and what each has of its own.

use super::world::{BEGINNING, EPOCH, PARTITION, World, conversation, say, say_to, user};
use super::*;
use crate::store::OwnChanged;
use chat4all_model::api::{History, Role};
use chat4all_model::command::{Action, Count, Marker, SettingsChange};
use chat4all_model::fact::{Markers, What};
use chat4all_model::id::UserId;
use chat4all_model::rows::Position;

pub(super) const CASES: &[Case] = &[
    case!(who_leaves_and_joins_again_has_two_intervals),
    case!(members_are_listed_in_pages),
    case!(members_of_a_stretch_are_found),
    case!(markers_only_rise),
    case!(rises_are_given_up_to_the_first_one_past),
    case!(mentions_past_the_read_marker_are_given),
    case!(changes_of_ones_own_are_given_between_two_positions),
    case!(rejections_are_their_actors_alone),
];

const PAIR: &str = "d:ann:bob";
const GROUP: &str = "g:ann:group";

fn group(history: History) -> World {
    let mut world = World::default();
    let members = ["bob", "cyd"].map(user).to_vec();
    world.act("ann", GROUP, Action::Create { name: Some("group".into()), members, history });
    world
}

fn mark(marker: Marker, seq: u64) -> Action {
    Action::Mark { marker, at: Count { seq, n: seq.saturating_sub(1) } }
}

async fn who_leaves_and_joins_again_has_two_intervals(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    for (at, history) in [History::Joined, History::All].into_iter().enumerate() {
        let mut world = group(history);
        world.act("ann", GROUP, say("two"));
        world.act("bob", GROUP, Action::Leave { successor: None });
        world.act("ann", GROUP, say("four"));
        world.act("ann", GROUP, Action::Add { users: vec![user("bob")], role: Role::Admin });
        if at == 0 {
            // The second history is another conversation's.
            world.project(&*store).await?;
            let found = store.intervals(&conversation(GROUP), &user("bob")).await?;
            let ends: Vec<_> = found.iter().map(|i| (i.from.seq, i.to.map(|to| to.seq), i.role)).collect();
            same!("intervals", ends, [(1, Some(3), Role::Member), (5, None, Role::Admin)]);
            same!("memberships", store.memberships(&user("bob")).await?.len(), 2);
            let known =
                world.state.get(&chat4all_model::state::Key::Member(conversation(GROUP), user("bob")));
            let key = chat4all_model::state::Key::Member(conversation(GROUP), user("bob"));
            same!("the newest", store.values(vec![key]).await?[0].as_ref(), known);
        }
    }
    let mut world = World::default();
    let create = Action::Create { name: None, members: vec![user("dan")], history: History::All };
    world.act("ann", "g:ann:all", create);
    world.act("dan", "g:ann:all", Action::Leave { successor: None });
    world.act("ann", "g:ann:all", Action::Add { users: vec![user("dan")], role: Role::Member });
    store.project(PARTITION + 1, world.projection(0..3)).await?;
    let found = store.intervals(&conversation("g:ann:all"), &user("dan")).await?;
    let ends: Vec<_> = found.iter().map(|i| (i.since, i.from.seq, i.to.map(|to| to.seq))).collect();
    same!("both see all", ends, [(1, 1, Some(2)), (3, 1, None)]);
    Ok(())
}

async fn members_are_listed_in_pages(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = group(History::All);
    let names: Vec<String> = (0..20).map(|n| format!("u{:02}", (n * 7) % 20)).collect();
    for some in names.chunks(5) {
        let users: Vec<UserId> = some.iter().map(|name| user(name)).collect();
        world.act("ann", GROUP, Action::Add { users, role: Role::Member });
    }
    world.act("ann", GROUP, Action::Remove { user: user("u07") });
    world.project(&*store).await?;
    let c = conversation(GROUP);
    let mut all = Vec::new();
    loop {
        let after =
            all.last().map(|last: &chat4all_model::fact::Interval| (last.joined_at, last.user.clone()));
        let page = store.members(&c, after, 4).await?;
        if page.is_empty() {
            break;
        }
        ensure!(page.len() <= 4, "a page of {}", page.len());
        all.extend(page);
    }
    same!("how many", all.len(), 22);
    ensure!(all.is_sorted_by_key(|m| (m.joined_at, m.user.clone())), "not in order: {all:?}");
    ensure!(all.iter().all(|m| m.user.as_str() != "u07" && m.to.is_none()), "one who left: {all:?}");
    Ok(())
}

async fn members_of_a_stretch_are_found(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = group(History::Joined);
    world.act("bob", GROUP, Action::Leave { successor: None });
    world.act("ann", GROUP, say("three"));
    world.act("ann", GROUP, Action::Add { users: vec![user("dan")], role: Role::Member });
    world.project(&*store).await?;
    for (from, to, expected) in [
        (1, 1, vec!["ann", "bob", "cyd"]),
        (2, 3, vec!["ann", "bob", "cyd"]),
        (3, 3, vec!["ann", "cyd"]),
        (2, 4, vec!["ann", "bob", "cyd", "dan"]),
        (4, 99, vec!["ann", "cyd", "dan"]),
    ] {
        let found = store.members_between(&conversation(GROUP), from, to, 99).await?;
        let mut who: Vec<_> = found.iter().map(|m| m.user.as_str()).collect();
        who.sort_unstable();
        same!(format!("{from} to {to}"), who, expected);
    }
    same!("a limit", store.members_between(&conversation(GROUP), 1, 9, 2).await?.len(), 2);
    Ok(())
}

async fn markers_only_rise(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    for n in 0..5 {
        world.act("ann", PAIR, say(&n.to_string()));
    }
    let said = world.records.len();
    for (marker, seq) in [(Marker::Delivered, 2), (Marker::Read, 3), (Marker::Delivered, 6)] {
        world.act("bob", PAIR, mark(marker, seq));
    }
    world.project(&*store).await?;
    let (c, bob) = (conversation(PAIR), user("bob"));
    let count = |seq: u64| Count { seq, n: seq - 1 };
    let expected = Markers { delivered: count(6), read: count(3) };
    same!("markers", store.markers(&c, 9).await?, [(bob.clone(), expected)]);
    for late in (said..world.records.len()).rev() {
        store.project(PARTITION, world.projection(late..late + 1)).await?;
        same!("after a late one", store.markers(&c, 9).await?, [(bob.clone(), expected)]);
    }
    same!("own", store.own(&bob, vec![c.clone()]).await?[0].markers, expected);
    same!("a limit", store.markers(&c, 0).await?, []);
    Ok(())
}

async fn rises_are_given_up_to_the_first_one_past(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    for n in 0..9 {
        world.act("ann", PAIR, say(&n.to_string()));
    }
    for seq in [2, 4, 6, 8] {
        world.act("bob", PAIR, mark(Marker::Delivered, seq));
    }
    world.act("bob", PAIR, mark(Marker::Read, 3));
    world.act("ann", PAIR, mark(Marker::Read, 9));
    world.project(&*store).await?;
    let mut found = store.rises(&conversation(PAIR), 3, 5).await?;
    ensure!(found.iter().all(|(_, _, _, time)| *time > BEGINNING), "times: {found:?}");
    found.sort();
    let found: Vec<_> =
        found.into_iter().map(|(user, marker, seq, _)| (user.to_string(), marker, seq)).collect();
    let expected = [
        ("ann".to_owned(), Marker::Delivered, 9),
        ("ann".to_owned(), Marker::Read, 9),
        ("bob".to_owned(), Marker::Delivered, 4),
        ("bob".to_owned(), Marker::Delivered, 6),
        ("bob".to_owned(), Marker::Read, 3),
    ];
    same!("rises", found, expected);
    Ok(())
}

async fn mentions_past_the_read_marker_are_given(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = group(History::All);
    for mentions in [&["bob"][..], &["cyd"], &["all"], &["bob", "all"], &["cyd", "bob"], &[]] {
        world.act("ann", GROUP, say_to("you", mentions));
    }
    world.project(&*store).await?;
    let (c, bob) = (conversation(GROUP), user("bob"));
    same!("unread", store.own(&bob, vec![c.clone()]).await?[0].mentions, [2, 4, 5, 6]);
    world.act("bob", GROUP, mark(Marker::Read, 4));
    world.project(&*store).await?;
    let own = store.own(&bob, vec![conversation(PAIR), c.clone()]).await?;
    same!("in the order asked", own[0], Default::default());
    same!("past the marker", own[1].mentions, [5, 6]);
    same!("of all, for a stranger", store.own(&user("eve"), vec![c]).await?[0].mentions, [4, 5]);
    Ok(())
}

async fn changes_of_ones_own_are_given_between_two_positions(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    let places = ["d:ann:bob", "d:ann:cyd", "d:ann:dan"];
    let pin = Action::Settings(SettingsChange { pinned: Some(true), ..SettingsChange::default() });
    for place in places {
        world.act("ann", place, say("hello"));
    }
    for place in places {
        world.act("ann", place, mark(Marker::Read, 2));
    }
    world.act("ann", places[0], pin);
    // Records 3 and 4 become one; then 5 is the pin.
    let pinned = world.records.pop();
    let last = world.records.pop();
    world.join_last(2);
    for record in [last, pinned].into_iter().flatten() {
        world.record(record.facts.to_vec());
    }
    world.project(&*store).await?;
    let ann = user("ann");
    let at = |record: u64| Position::new(EPOCH, 3 * record);
    for (from, to, limit, expected) in [
        (Position(0), at(99), 9, vec![3, 3, 4, 5]),
        (at(3), at(99), 9, vec![4, 5]),
        (at(2), at(4), 9, vec![3, 3, 4]),
        (at(2), at(99), 3, vec![3, 3, 4]),
        (at(2), at(99), 1, vec![3, 3]),
        (at(3), at(99), 1, vec![4]),
        (at(5), at(99), 9, vec![]),
    ] {
        let found = store.own_changes(&ann, PARTITION, from, to, limit).await?;
        let positions: Vec<_> = found.iter().map(|change| change.position.offset() / 3).collect();
        same!(format!("after {from:?} up to {to:?}, {limit}"), positions, expected);
    }
    let last = store.own_changes(&ann, PARTITION, at(4), at(5), 9).await?;
    ensure!(matches!(&last[0].what, OwnChanged::Settings(settings) if settings.pinned), "the pin: {last:?}");
    same!("where", last[0].conversation, conversation(places[0]));
    same!("another's", store.own_changes(&user("bob"), PARTITION, Position(0), at(99), 9).await?, []);
    same!("elsewhere", store.own_changes(&ann, PARTITION + 1, Position(0), at(99), 9).await?, []);
    Ok(())
}

async fn rejections_are_their_actors_alone(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.open().await?;
    let mut world = World::default();
    world.act("ann", PAIR, say("hello"));
    for actor in ["eve", "eve", "bob", "eve"] {
        world.act(actor, GROUP, say("let me in"));
    }
    // Two of one record.
    world.act("eve", GROUP, say("again"));
    world.join_last(2);
    world.project(&*store).await?;
    let eve = user("eve");
    let at = |record: u64| Position::new(EPOCH, 3 * record);
    for (from, to, limit, expected) in [
        (Position(0), at(99), 9, vec![1, 2, 4, 4]),
        (at(1), at(2), 9, vec![2]),
        (at(1), at(4), 2, vec![2]),
        (at(2), at(4), 1, vec![4, 4]),
        (at(4), at(9), 9, vec![]),
    ] {
        let found = store.rejections(&eve, PARTITION, from, to, limit).await?;
        let positions: Vec<_> = found.iter().map(|event| event.position.offset() / 3).collect();
        same!(format!("after {from:?} up to {to:?}, {limit}"), positions, expected);
        let own = found.iter().all(|e| e.fact.actor == eve && matches!(e.fact.what, What::Rejected { .. }));
        ensure!(own, "not hers: {found:?}");
    }
    same!("bob's", store.rejections(&user("bob"), PARTITION, Position(0), at(99), 9).await?.len(), 1);
    same!("elsewhere", store.rejections(&eve, PARTITION + 1, Position(0), at(99), 9).await?, []);
    Ok(())
}
