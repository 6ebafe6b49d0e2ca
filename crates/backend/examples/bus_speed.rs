//! How fast a bus is: `cargo run --example bus_speed -- redis://127.0.0.1:7301`.
//!
//! Tells, for each kind of call, how long one takes (half of all, and all but one in a hundred) and how many pass in a
//! second, with one caller and with 64 at once; and how long a message is on its way to a subscriber.
#![expect(clippy::print_stdout, reason = "what it is for")]
#![expect(clippy::unwrap_used, reason = "a tool that ends when something fails")]

use bytes::Bytes;
use chat4all_backend::Result;
use chat4all_backend::address::EngineUrl;
use chat4all_backend::bus::{Bus, RedisBus};
use futures_util::future::{BoxFuture, join_all};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const CALLS: usize = 20_000;
const MESSAGES: usize = 5_000;
const TTL: Duration = Duration::from_secs(60);

type Call = fn(Arc<RedisBus>, String) -> BoxFuture<'static, Result<()>>;

const CALLS_BY_NAME: &[(&str, Call)] = &[
    ("set", |bus, key| Box::pin(async move { bus.set(&key, Bytes::from_static(&[7; 100]), TTL).await })),
    ("get", |bus, key| Box::pin(async move { bus.get(&key).await.map(drop) })),
    ("hit", |bus, key| Box::pin(async move { bus.hit(&key, 100, TTL).await.map(drop) })),
    ("publish", |bus, key| Box::pin(async move { bus.publish(&key, Bytes::from_static(&[7; 100])).await })),
];

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let bus = Arc::new(RedisBus::open(EngineUrl::parse(&url).unwrap()).await.unwrap());
    for (name, call) in CALLS_BY_NAME {
        for callers in [1, 64] {
            let begun = Instant::now();
            let times = join_all((0..callers).map(|caller| {
                let bus = Arc::clone(&bus);
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    for n in 0..CALLS / callers {
                        let begun = Instant::now();
                        call(Arc::clone(&bus), format!("{caller}:{}", n % 200)).await.unwrap();
                        times.push(begun.elapsed());
                    }
                    times
                })
            }));
            let times: Vec<Duration> = times.await.into_iter().flat_map(Result::unwrap).collect();
            let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
            tell(&format!("{name:7} × {callers:2}"), times);
            println!("{rate:31.0}/s");
        }
    }
    tell("heard", on_the_way(&bus, &url).await);
}

/// How long each message takes from one process to another.
async fn on_the_way(bus: &RedisBus, url: &str) -> Vec<Duration> {
    let other = RedisBus::open(EngineUrl::parse(url).unwrap()).await.unwrap();
    let mut heard = bus.subscribe("speed").await.unwrap();
    let mut times = Vec::new();
    for _ in 0..MESSAGES {
        let begun = Instant::now();
        let published = other.publish("speed", Bytes::from_static(&[7; 100]));
        let (published, message) = tokio::join!(published, heard.next());
        published.unwrap();
        message.unwrap();
        times.push(begun.elapsed());
    }
    times
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("{what:14} p50 {:7.0?} p99 {:7.0?}", at(0.5), at(0.99));
}
