//! The live connection against a server that cuts, repeats, forgets and loses.

use crate::server::{self, World};
use chat4all_client::{
    Backoff, Client, Live, LiveOptions, Session, Start, Update,
    model::{Event, SendMessage},
};
use std::time::Duration;

fn session(token: &str) -> Session {
    Session {
        user_id: "me".into(),
        username: "me".into(),
        access_token: token.into(),
        renew_at: u64::MAX,
        refresh_token: "refresh-0".into(),
    }
}

fn client(url: &str) -> Client {
    let client = Client::new(url).unwrap();
    client.set_session(session("token-0"));
    client
}

fn options(start: Start) -> LiveOptions {
    LiveOptions {
        start,
        ack_every: Some(Duration::from_millis(20)),
        backoff: Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(50) },
        ..Default::default()
    }
}

async fn next(live: &mut Live) -> Update {
    let update = tokio::time::timeout(Duration::from_secs(10), live.next()).await;
    update.expect("an update in time").expect("the stream goes on")
}

/// Updates until one satisfies, with it.
async fn until(live: &mut Live, mut done: impl FnMut(&Update) -> bool) -> Vec<Update> {
    let mut updates = Vec::new();
    loop {
        updates.push(next(live).await);
        if done(updates.last().unwrap()) {
            return updates;
        }
    }
}

fn seqs(updates: &[Update]) -> Vec<u64> {
    let events = updates.iter().filter_map(|update| match update {
        Update::Event(event) => event.at().map(|at| at.seq),
        _ => None,
    });
    events.collect()
}

fn is_seq(update: &Update, seq: u64) -> bool {
    matches!(update, Update::Event(event) if event.at().is_some_and(|at| at.seq == seq))
}

fn text(content: &str) -> SendMessage {
    SendMessage { conversation_id: Some("c".into()), content: Some(content.into()), ..Default::default() }
}

fn write(world: &World, seqs: std::ops::RangeInclusive<u64>) {
    seqs.for_each(|seq| world.event("g:1", seq));
}

#[tokio::test]
async fn a_cut_connection_resumes_without_repeats() {
    let (world, url) = server::start().await;
    let mut live = client(&url).live(options(Start::Now));
    until(&mut live, |update| matches!(update, Update::Live)).await;
    let mut all = Vec::new();
    for round in 0..5 {
        write(&world, round * 10 + 1..=round * 10 + 5);
        all.extend(seqs(&until(&mut live, |update| is_seq(update, round * 10 + 5)).await));
        live.cut_for(Duration::from_millis(20));
        write(&world, round * 10 + 6..=round * 10 + 10);
        all.extend(seqs(&until(&mut live, |update| is_seq(update, round * 10 + 10)).await));
    }
    assert_eq!(all, (1..=50).collect::<Vec<_>>());
    assert!(world.with(|state| state.connects.len()) >= 5, "it was cut");
}

#[tokio::test]
async fn a_kept_cursor_covers_only_what_was_taken() {
    let (world, url) = server::start().await;
    write(&world, 1..=9);
    let mut live = client(&url).live(options(Start::Cursor("0".into())));
    let taken = seqs(&until(&mut live, |update| is_seq(update, 4)).await);
    let cursor = live.cursor().unwrap();
    assert_eq!((taken.len(), cursor.as_str()), (4, "3"), "the rest waits and must not count");
    drop(live);
    let mut live = client(&url).live(options(Start::Cursor(cursor)));
    let rest = seqs(&until(&mut live, |update| is_seq(update, 9)).await);
    assert_eq!(rest, (4..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_expired_cursor_becomes_a_snapshot() {
    let (world, url) = server::start().await;
    write(&world, 1..=6);
    world.with(|state| state.oldest = 5);
    let mut live = client(&url).live(options(Start::Cursor("2".into())));
    let updates = until(&mut live, |update| matches!(update, Update::Live)).await;
    assert!(seqs(&updates).is_empty());
    let snapshot = updates.iter().find_map(|update| match update {
        Update::Snapshot(snapshot) => Some(snapshot),
        _ => None,
    });
    assert_eq!(snapshot.unwrap().conversations.items[0].last_seq, 6);
    write(&world, 7..=7);
    assert_eq!(seqs(&until(&mut live, |update| is_seq(update, 7)).await), [7]);
}

#[tokio::test]
async fn a_hole_is_reported_and_filled_from_the_log() {
    let (world, url) = server::start().await;
    world.with(|state| state.lost = (3..8).collect());
    let mut live = client(&url).live(options(Start::Cursor("0".into())));
    write(&world, 1..=10);
    let updates = until(&mut live, |update| is_seq(update, 10)).await;
    assert_eq!(seqs(&updates), (1..=10).collect::<Vec<_>>());
    let holes: Vec<_> = updates.iter().filter(|update| matches!(update, Update::Hole { .. })).collect();
    assert!(matches!(holes.as_slice(), [Update::Hole { after: 3, got: 9, .. }]), "{holes:?}");
}

#[tokio::test]
async fn a_send_whose_answer_is_lost_is_stored_once_and_acked() {
    let (world, url) = server::start().await;
    world.with(|state| state.swallow_acks = 3);
    let mut live = client(&url).live(options(Start::Now));
    let mut sent = Vec::new();
    for number in 0..20 {
        sent.push(live.send(text(&number.to_string())).await.unwrap());
    }
    let mut acked = Vec::new();
    while acked.len() < sent.len() {
        if let Update::Acked { client_id, message_id, .. } = next(&mut live).await {
            assert_eq!(message_id, Some(format!("m-{client_id}")));
            acked.push(client_id);
        }
    }
    assert_eq!(acked, sent, "each once, in order");
    let stored: Vec<String> = world.with(|state| state.stored.iter().map(|(key, _)| key.clone()).collect());
    assert_eq!(stored, sent);
}

#[tokio::test]
async fn overload_is_waited_out_and_a_refusal_is_told() {
    let (world, url) = server::start().await;
    world.with(|state| state.overload = 2);
    let mut live = client(&url).live(options(Start::Now));
    let good = live.send(text("later")).await.unwrap();
    let updates = until(&mut live, |update| matches!(update, Update::Acked { .. })).await;
    assert!(matches!(updates.last(), Some(Update::Acked { client_id, .. }) if *client_id == good));
    let bad = live.send(text("forbidden")).await.unwrap();
    let updates = until(&mut live, |update| matches!(update, Update::Refused { .. })).await;
    let Some(Update::Refused { client_id, code, .. }) = updates.last() else { panic!() };
    assert_eq!((client_id, code.as_str()), (&bad, "forbidden"));
}

#[tokio::test]
async fn what_was_taken_is_acknowledged_and_a_quiet_connection_stays() {
    let (world, url) = server::start().await;
    let mut live = client(&url).live(options(Start::Cursor("0".into())));
    write(&world, 1..=6);
    until(&mut live, |update| is_seq(update, 6)).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while world.with(|state| state.acked_cursors.last().is_none_or(|cursor| cursor != "6")) {
        assert!(tokio::time::Instant::now() < deadline, "no ack of the last cursor");
        // A pong's cursor reaches the caller only while it takes updates.
        let _ = tokio::time::timeout(Duration::from_millis(20), live.next()).await;
    }
    assert_eq!(world.with(|state| state.connects.len()), 1);
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_an_ended_session_ends_it() {
    let (world, url) = server::start().await;
    world.with(|state| state.good_token = "token-1".into());
    let client = client(&url);
    let mut live = client.live(options(Start::Now));
    until(&mut live, |update| matches!(update, Update::Live)).await;
    assert_eq!(client.session().unwrap().access_token, "token-1");
    world.with(|state| {
        state.good_token = "somebody else's".into();
        state.refreshes = 7;
    });
    live.cut();
    let updates = until(&mut live, |update| matches!(update, Update::Closed(_))).await;
    let Some(Update::Closed(error)) = updates.last() else { panic!() };
    assert_eq!(error.code(), Some("refresh_reused"));
    assert!(live.next().await.is_none());
}

#[tokio::test]
async fn many_clients_in_one_process_all_see_everything() {
    let (world, url) = server::start().await;
    let shared = client(&url);
    let mut readers = Vec::new();
    for number in 0..30u64 {
        let client = shared.another();
        client.set_session(session("token-0"));
        let mut live = client.live(LiveOptions { queue: 4, ..options(Start::Cursor("0".into())) });
        readers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.last() != Some(&200) {
                let update = next(&mut live).await;
                if let Update::Event(Event::NewMessage { at, .. }) = &update {
                    seen.push(at.seq);
                    if at.seq % 40 == number {
                        live.cut();
                    }
                }
            }
            seen
        }));
    }
    for seq in 1..=200 {
        world.event("g:1", seq);
        tokio::task::yield_now().await;
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), (1..=200).collect::<Vec<_>>());
    }
}
