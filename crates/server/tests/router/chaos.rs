//! Several routers at once, everything failing at random.

use crate::log_double::Fate;
use crate::publisher_double::Telling;
use crate::talk::{Talk, ask, babble, one};
use crate::truth::Findings;
use crate::world::{Router, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const PARTITIONS: u32 = 2;
const STEPS: usize = 60;
const SEEDS: u64 = 24;

#[test]
fn every_command_is_decided_once_and_told_whatever_happens() {
    let found: Vec<Findings> = std::thread::scope(|scope| {
        let start = |seed| {
            let thread = std::thread::Builder::new().name(format!("seed {seed}"));
            thread.spawn_scoped(scope, move || alone(seed)).unwrap()
        };
        let seeds: Vec<_> = (0..SEEDS).map(start).collect();
        seeds.into_iter().map(|seed| seed.join().unwrap()).collect()
    });
    let ignored: usize = found.iter().map(|found| found.ignored).sum();
    let terms: usize = found.iter().map(|found| found.terms).sum();
    let told_again: usize = found.iter().map(|found| found.told_again).sum();
    assert!(ignored > 0 && terms as u64 > SEEDS * u64::from(PARTITIONS), "nothing was tried");
    assert!(told_again > 0, "no telling failed");
}

fn alone(seed: u64) -> Findings {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(run(seed))
}

async fn run(seed: u64) -> Findings {
    let mut rng = StdRng::seed_from_u64(seed);
    let world = World::new(PARTITIONS);
    let mut talk = Talk::default();
    let mut routers: Vec<Router> = (0..3).map(|_| world.router(&[])).collect();
    routers[0].log.assign(&[0, 1]);
    for _ in 0..STEPS {
        let router = rng.random_range(0..routers.len());
        match rng.random_range(0..16) {
            0..=5 => {
                let commands: Vec<_> = (0..rng.random_range(1..30)).map(|_| talk.next(&mut rng)).collect();
                ask(&*world.log, &commands).await;
            }
            6 => babble(&*world.log, rng.random_range(0..PARTITIONS)).await,
            7 => {
                let fates = [Fate::Lands, Fate::Lost, Fate::Unknown, Fate::Twice, Fate::Refused, Fate::Late];
                let some: Vec<Fate> = (0..rng.random_range(1..6)).map(|_| one(&mut rng, &fates)).collect();
                routers[router].log.fates(some);
            }
            8 | 9 => {
                // Anybody may own anything, two at once and nobody too.
                for router in &routers {
                    let owned: Vec<u32> = (0..PARTITIONS).filter(|_| rng.random_bool(0.5)).collect();
                    router.log.assign(&owned);
                }
            }
            10 => routers[router].log.stand_still(),
            11 => routers[router].log.wake().await,
            12 => {
                let log = std::sync::Arc::clone(&routers[router].log);
                routers[router] = world.router(&[0, 1]);
                // What the dead one had on its way may land all the same.
                log.wake().await;
            }
            13 => world.publisher.be_away(rng.random_bool(0.5)),
            14 => {
                let tellings = [Telling::Lost, Telling::Half, Telling::Unknown];
                world.publisher.next((0..rng.random_range(1..4)).map(|_| one(&mut rng, &tellings)));
            }
            _ => {
                let away = rng.random_bool(0.5);
                world.store.be_away(away);
                world.store.be_full(!away && rng.random_bool(0.5));
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..20))).await;
    }
    world.store.be_away(false);
    world.store.be_full(false);
    world.publisher.be_away(false);
    let (heir, others) = routers.split_first().unwrap();
    others.iter().for_each(|router| router.log.assign(&[]));
    heir.log.assign(&[0, 1]);
    for router in &routers {
        router.log.wake().await;
    }
    world.settle().await
}
