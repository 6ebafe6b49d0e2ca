//! The spine under every fault the model knows. `CHAT4ALL_SEEDS` says how many seeds, `CHAT4ALL_SEED` which first.

use crate::world::rules::{Rule, Rules};
use crate::world::sim::{Ending, run, shrink, sort};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Runs seeds on all cores until one breaks.
fn first_broken(rules: Rules, first: u64, seeds: u64) -> Option<(u64, Ending)> {
    let next = AtomicU64::new(first);
    let end = first + seeds;
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                return None;
            }
            let ending = run(rules, seed);
            if ending.bad.is_some() {
                next.store(end, Relaxed);
                return Some((seed, ending));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().filter_map(|worker| worker.join().expect("a run catches panics"));
        ended.min_by_key(|(seed, _)| *seed)
    })
}

fn tell(rules: Rules, seed: u64, ending: &Ending) -> String {
    let short = shrink(rules, ending, Duration::from_secs(20));
    let bad = ending.bad.clone().unwrap_or_default();
    let trace = short.trace.join("\n  ");
    format!("seed {seed}: {bad}\nshrunk to {} choices: {:?}\n  {trace}", short.choices.len(), short.bad)
}

#[test]
fn nothing_breaks() {
    let (first, seeds) = (number("CHAT4ALL_SEED", 0), number("CHAT4ALL_SEEDS", 3_000));
    let begin = Instant::now();
    if let Some((seed, ending)) = first_broken(Rules::ALL, first, seeds) {
        panic!("{}", tell(Rules::ALL, seed, &ending));
    }
    println!("{seeds} seeds in {:.1} s", begin.elapsed().as_secs_f64());
}

/// What breaks without each rule, within so many seeds at the latest. The rules that need more than a quick test
/// has time for are shown by their minimal schedules alone.
const EACH: &[(&[Rule], u64)] = &[
    (&[Rule::Term], 300),
    (&[Rule::Index, Rule::Source], 100),
    (&[Rule::Index], 200),
    (&[Rule::Index, Rule::SourceOfEachInput], 100),
    (&[Rule::WholeProgress], 100),
    (&[Rule::ProgressFirst], 100),
    (&[Rule::ProjectUpToTerm], 200),
    (&[Rule::Retake], 300),
    (&[Rule::DropCaches], 200),
    (&[Rule::Overlay], 100),
    (&[Rule::EvictBetween], 100),
    (&[Rule::CacheMerged], 300),
    (&[Rule::EmptyRecords], 100),
    (&[Rule::Stages], 100),
    (&[Rule::LastOfRecord], 100),
    (&[Rule::Clip], 200),
    (&[Rule::WaitIndex], 1_000),
    (&[Rule::WaitHistory], 1_000),
    (&[Rule::Mask], 1_000),
    (&[Rule::RejectionsByActor], 100),
    (&[Rule::CountFromJoining], 1_000),
    (&[Rule::OthersInHead], 200),
];

/// Rules whose absence a few thousand seeds may not show.
const RARE: &[&[Rule]] = &[
    &[Rule::EndAtProgress],
    &[Rule::Rejoins],
    &[Rule::MembershipLast],
    &[Rule::TextOfState],
    &[Rule::Blank],
];

#[test]
fn without_any_rule_something_breaks() {
    for (off, seeds) in EACH {
        assert!(first_broken(Rules::without(off), 0, *seeds).is_some(), "nothing breaks without {off:?}");
    }
}

/// The table for the record: `CHAT4ALL_SEEDS=1000 cargo test -p chat4all-model --test spine each_rule -- --nocapture`.
#[test]
fn each_rule_prevents_something_of_its_own() {
    let (first, seeds) = (number("CHAT4ALL_SEED", 0), number("CHAT4ALL_SEEDS", 40));
    let mut broken = 0;
    for off in EACH.iter().map(|(off, _)| off).chain(RARE) {
        let rules = Rules::without(off);
        let mut sorts = BTreeMap::new();
        for bad in (first..first + seeds).filter_map(|seed| run(rules, seed).bad) {
            *sorts.entry(sort(&bad)).or_insert(0) += 1;
        }
        println!("{off:?}: {} of {seeds}: {sorts:?}", sorts.values().sum::<u64>());
        broken += usize::from(!sorts.is_empty());
    }
    assert!(broken >= EACH.len() / 2, "only {broken} rule sets break anything in {seeds} seeds");
}
