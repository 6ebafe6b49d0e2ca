//! The contract of the bus as a table of cases that every engine passes.

use super::{Bus, Hit, Subscription};
use crate::{ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One sentence of the contract, tried.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What should hold, as a name of a test.
    pub name: &'static str,
    /// Tries it on an empty bus. Needs a tokio runtime with timers.
    pub run: for<'a> fn(&'a dyn Fixture) -> BoxFuture<'a, Outcome>,
}

/// What a case found.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Makes the bus that a case is tried on: its own, and empty.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The bus, each time as another process would see it.
    async fn bus(&self) -> Result<Arc<dyn Bus>>;

    /// Lets time pass for the bus.
    async fn pass(&self, time: Duration);
}

/// Every case.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter()
}

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+).into());
        }
    };
}

/// A row of the table: the function's name is the case's.
macro_rules! case {
    ($name:ident) => {
        Case { name: stringify!($name), run: |fixture| Box::pin($name(fixture)) }
    };
}

/// The same, of a case that lets this much time pass.
macro_rules! timed {
    ($name:ident, $passes:expr) => {
        Case {
            name: stringify!($name),
            run: |fixture| Box::pin(punctually(fixture, $passes, |bus, key| Box::pin($name(bus, key)))),
        }
    };
}

const CASES: &[Case] = &[
    case!(every_subscriber_hears_in_order),
    case!(channels_are_apart),
    case!(who_subscribes_later_hears_nothing_of_before),
    case!(a_dropped_subscription_hurts_nobody),
    case!(a_dropped_wait_loses_nothing),
    case!(a_slow_subscriber_loses_the_oldest),
    case!(keys_are_set_overwritten_and_removed),
    timed!(keys_expire, WINDOW * 3 / 2),
    timed!(setting_again_renews, WINDOW * 2),
    case!(limits_of_keys_and_values),
    case!(a_window_takes_its_limit),
    timed!(a_window_slides, WINDOW * 3),
    timed!(refused_hits_are_not_counted, WINDOW * 5 / 4),
    case!(a_limit_of_zero_takes_nothing),
    case!(counters_are_apart),
    case!(concurrent_hits_never_exceed_the_limit),
];

const PATIENCE: Duration = Duration::from_secs(20);
const WINDOW: Duration = Duration::from_secs(2);

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn hear(subscription: &mut dyn Subscription) -> Result<Bytes, String> {
    match tokio::time::timeout(PATIENCE, subscription.next()).await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err("the bus is gone".to_owned()),
        Err(_) => Err(format!("nothing heard for {PATIENCE:?}")),
    }
}

/// A case that lets time pass, tried with a key of its own.
type Timed = for<'a> fn(&'a dyn Fixture, &'a str) -> BoxFuture<'a, Outcome>;

/// Where time is real, a busy machine may hold a case up for longer than a window lasts. What it finds then says
/// nothing, and it is tried again with another key.
async fn punctually(fixture: &dyn Fixture, passes: Duration, case: Timed) -> Outcome {
    for attempt in 0..5 {
        let begun = Instant::now();
        let outcome = case(fixture, &format!("attempt {attempt}")).await;
        if outcome.is_ok() || begun.elapsed() < passes + WINDOW / 4 {
            return outcome;
        }
    }
    Err("the machine is too slow to tell".into())
}

async fn every_subscriber_hears_in_order(fixture: &dyn Fixture) -> Outcome {
    let (here, there) = (fixture.bus().await?, fixture.bus().await?);
    let mut subscriptions = [here.subscribe("c").await?, there.subscribe("c").await?];
    for n in 0..500 {
        here.publish("c", text(&n.to_string())).await?;
    }
    for subscription in &mut subscriptions {
        for n in 0..500 {
            let heard = hear(subscription.as_mut()).await?;
            ensure!(heard == n.to_string(), "{heard:?} heard instead of {n}");
        }
    }
    Ok(())
}

async fn channels_are_apart(fixture: &dyn Fixture) -> Outcome {
    let bus = fixture.bus().await?;
    let mut subscription = bus.subscribe("c").await?;
    for (channel, message) in [("b", "other"), ("cc", "other"), ("", "other"), ("c", "own")] {
        bus.publish(channel, text(message)).await?;
    }
    let heard = hear(subscription.as_mut()).await?;
    ensure!(heard == "own", "heard {heard:?}");
    Ok(())
}

async fn who_subscribes_later_hears_nothing_of_before(fixture: &dyn Fixture) -> Outcome {
    let bus = fixture.bus().await?;
    bus.publish("c", text("before")).await?;
    let mut subscription = bus.subscribe("c").await?;
    bus.publish("c", text("after")).await?;
    let heard = hear(subscription.as_mut()).await?;
    ensure!(heard == "after", "heard {heard:?}");
    Ok(())
}

async fn a_dropped_subscription_hurts_nobody(fixture: &dyn Fixture) -> Outcome {
    let bus = fixture.bus().await?;
    let dropped = bus.subscribe("c").await?;
    let mut subscription = bus.subscribe("c").await?;
    drop(dropped);
    bus.publish("c", text("message")).await?;
    let heard = hear(subscription.as_mut()).await?;
    ensure!(heard == "message", "heard {heard:?}");
    Ok(())
}

async fn a_dropped_wait_loses_nothing(fixture: &dyn Fixture) -> Outcome {
    let bus = fixture.bus().await?;
    let mut subscription = bus.subscribe("c").await?;
    let early = tokio::time::timeout(Duration::from_millis(20), subscription.next()).await;
    ensure!(early.is_err(), "heard {early:?} before anything was said");
    for message in ["a", "b"] {
        bus.publish("c", text(message)).await?;
        let heard = hear(subscription.as_mut()).await?;
        ensure!(heard == message, "heard {heard:?} instead of {message}");
    }
    Ok(())
}

async fn a_slow_subscriber_loses_the_oldest(fixture: &dyn Fixture) -> Outcome {
    const SAID: usize = 5_000;
    let bus = fixture.bus().await?;
    let mut slow = bus.subscribe("c").await?;
    // An engine may take a message off the wire before it finds that there is no room: this one marks the end.
    for n in 0..SAID {
        bus.publish("c", text(&n.to_string())).await?;
    }
    fixture.pass(Duration::from_millis(100)).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&(SAID - 1)) {
        let message = hear(slow.as_mut()).await?;
        heard.push(String::from_utf8_lossy(&message).parse::<usize>()?);
    }
    ensure!(heard.len() <= 1_024, "{} messages waited", heard.len());
    ensure!(heard.is_sorted_by(|a, b| a < b), "out of order");
    Ok(())
}

async fn keys_are_set_overwritten_and_removed(fixture: &dyn Fixture) -> Outcome {
    let (here, there) = (fixture.bus().await?, fixture.bus().await?);
    ensure!(here.get("k").await?.is_none(), "a key nobody set has a value");
    for value in ["1", "2", ""] {
        here.set("k", text(value), PATIENCE).await?;
        let got = there.get("k").await?;
        ensure!(got == Some(text(value)), "set to {value:?}, got {got:?}");
    }
    there.remove("k").await?;
    there.remove("k").await?;
    ensure!(here.get("k").await?.is_none(), "a removed key has a value");
    Ok(())
}

async fn keys_expire(fixture: &dyn Fixture, key: &str) -> Outcome {
    let bus = fixture.bus().await?;
    let longer = format!("{key}, longer");
    bus.set(key, text("x"), WINDOW).await?;
    bus.set(&longer, text("x"), 60 * WINDOW).await?;
    fixture.pass(WINDOW / 2).await;
    ensure!(bus.get(key).await?.is_some(), "expired after half its time");
    fixture.pass(WINDOW).await;
    ensure!(bus.get(key).await?.is_none(), "did not expire");
    ensure!(bus.get(&longer).await?.is_some(), "expired with another");
    Ok(())
}

async fn setting_again_renews(fixture: &dyn Fixture, key: &str) -> Outcome {
    let bus = fixture.bus().await?;
    for _ in 0..3 {
        bus.set(key, text("x"), WINDOW).await?;
        fixture.pass(WINDOW * 2 / 3).await;
        ensure!(bus.get(key).await?.is_some(), "expired though it was set again");
    }
    Ok(())
}

async fn limits_of_keys_and_values(fixture: &dyn Fixture) -> Outcome {
    let bus = fixture.bus().await?;
    let (key, value) = ("k".repeat(256), Bytes::from(vec![7; 64 * 1024]));
    bus.set(&key, value.clone(), PATIENCE).await?;
    ensure!(bus.get(&key).await? == Some(value.clone()), "the largest value came back otherwise");
    bus.publish(&key, value.clone()).await?;
    let (long, large) = ("k".repeat(257), Bytes::from(vec![7; 64 * 1024 + 1]));
    let refused = [
        bus.set(&long, value.clone(), PATIENCE).await.err(),
        bus.set(&key, large.clone(), PATIENCE).await.err(),
        bus.publish(&long, value).await.err(),
        bus.publish(&key, large).await.err(),
        bus.get(&long).await.err(),
        bus.remove(&long).await.err(),
        bus.hit(&long, 1, WINDOW).await.err(),
        bus.subscribe(&long).await.err(),
    ];
    let kinds = refused.map(|error| error.map(|error| error.kind));
    ensure!(kinds.iter().all(|kind| *kind == Some(ErrorKind::Invalid)), "set, set, publish, …: {kinds:?}");
    Ok(())
}

async fn a_window_takes_its_limit(fixture: &dyn Fixture) -> Outcome {
    let (here, there) = (fixture.bus().await?, fixture.bus().await?);
    for (bus, left) in [(&here, 2), (&there, 1), (&here, 0)] {
        let hit = bus.hit("k", 3, WINDOW).await?;
        ensure!(hit.allowed && hit.remaining == left, "{left} should be left: {hit:?}");
        ensure!((left == 0) == (hit.retry_after > Duration::ZERO), "{left} left: {hit:?}");
    }
    let Hit { allowed, remaining, retry_after } = there.hit("k", 3, WINDOW).await?;
    ensure!(!allowed && remaining == 0, "a fourth hit: {allowed}, {remaining} left");
    ensure!(retry_after > WINDOW / 2 && retry_after <= WINDOW, "retry after {retry_after:?}");
    Ok(())
}

async fn a_window_slides(fixture: &dyn Fixture, key: &str) -> Outcome {
    let bus = fixture.bus().await?;
    bus.hit(key, 2, WINDOW).await?;
    fixture.pass(WINDOW / 2).await;
    bus.hit(key, 2, WINDOW).await?;
    let refused = bus.hit(key, 2, WINDOW).await?;
    ensure!(!refused.allowed && refused.retry_after <= WINDOW / 2, "{refused:?}");
    fixture.pass(refused.retry_after + Duration::from_millis(50)).await;
    let second = bus.hit(key, 2, WINDOW).await?;
    ensure!(second.allowed, "the first hit has left the window: {second:?}");
    let third = bus.hit(key, 2, WINDOW).await?;
    ensure!(!third.allowed, "the second hit has not left the window: {third:?}");
    fixture.pass(2 * WINDOW).await;
    let fresh = bus.hit(key, 2, WINDOW).await?;
    ensure!(fresh.allowed && fresh.remaining == 1, "an old window counts: {fresh:?}");
    Ok(())
}

async fn refused_hits_are_not_counted(fixture: &dyn Fixture, key: &str) -> Outcome {
    let bus = fixture.bus().await?;
    bus.hit(key, 1, WINDOW).await?;
    for _ in 0..4 {
        fixture.pass(WINDOW / 8).await;
        ensure!(!bus.hit(key, 1, WINDOW).await?.allowed, "over the limit and allowed");
    }
    fixture.pass(WINDOW * 3 / 4).await;
    ensure!(bus.hit(key, 1, WINDOW).await?.allowed, "refused hits were counted");
    Ok(())
}

async fn a_limit_of_zero_takes_nothing(fixture: &dyn Fixture) -> Outcome {
    let hit = fixture.bus().await?.hit("k", 0, WINDOW).await?;
    ensure!(!hit.allowed && hit.remaining == 0 && hit.retry_after > Duration::ZERO, "{hit:?}");
    Ok(())
}

async fn counters_are_apart(fixture: &dyn Fixture) -> Outcome {
    let bus = fixture.bus().await?;
    bus.hit("a", 1, WINDOW).await?;
    bus.set("b", text("x"), WINDOW).await?;
    ensure!(bus.hit("b", 1, WINDOW).await?.allowed, "a counter counts another's hits");
    ensure!(bus.get("b").await? == Some(text("x")), "a counter overwrote a key of its name");
    Ok(())
}

async fn concurrent_hits_never_exceed_the_limit(fixture: &dyn Fixture) -> Outcome {
    let mut hits = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let bus = fixture.bus().await?;
        hits.spawn(async move { bus.hit("k", 10, 10 * WINDOW).await });
    }
    let mut allowed = 0;
    while let Some(hit) = hits.join_next().await {
        allowed += usize::from(hit??.allowed);
    }
    ensure!(allowed == 10, "{allowed} of 100 hits allowed, the limit is 10");
    Ok(())
}
