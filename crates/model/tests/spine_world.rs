//! The spine under every fault the model knows. `CHAT4ALL_SEEDS` says how many seeds, `CHAT4ALL_SEED` which first.

mod world;

use std::time::{Duration, Instant};
use world::rules::{Rule, Rules};
use world::sim::{run, shrink, sort};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Runs seeds until one breaks; gives how many ran.
fn first_broken(rules: Rules, first: u64, seeds: u64) -> Option<(u64, world::sim::Ending)> {
    (first..first + seeds).map(|seed| (seed, run(rules, seed))).find(|(_, ending)| ending.bad.is_some())
}

fn tell(rules: Rules, seed: u64, ending: &world::sim::Ending) -> String {
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

/// Each rule, what breaks without it, and how many seeds may pass before it shows. Those that need more than a
/// quick test has time for are in `spine_schedules.rs` by their minimal schedule.
const EACH: &[(&[Rule], u64)] = &[
    (&[Rule::Term], 100),
    (&[Rule::Index, Rule::Source], 100),
    (&[Rule::Index], 300),
    (&[Rule::Index, Rule::SourceOfEachInput], 100),
    (&[Rule::WholeProgress], 100),
    (&[Rule::ProgressFirst], 100),
    (&[Rule::ProjectUpToTerm], 300),
    (&[Rule::Retake], 100),
    (&[Rule::DropCaches], 100),
    (&[Rule::Overlay], 100),
    (&[Rule::EvictBetween], 100),
    (&[Rule::CacheMerged], 100),
    (&[Rule::EmptyRecords], 100),
    (&[Rule::Stages], 100),
    (&[Rule::LastOfRecord], 100),
    (&[Rule::Clip], 100),
    (&[Rule::EndAtProgress], 3000),
    (&[Rule::WaitIndex], 3000),
    (&[Rule::Rejoins], 1000),
    (&[Rule::WaitHistory], 1000),
    (&[Rule::MembershipLast], 3000),
    (&[Rule::TextOfState], 3000),
    (&[Rule::Mask], 1000),
    (&[Rule::Blank], 300),
    (&[Rule::RejectionsByActor], 100),
    (&[Rule::CountFromJoining], 100),
    (&[Rule::OthersInHead], 300),
];

#[test]
#[ignore = "the table for the record: minutes"]
fn count_what_each_rule_prevents() {
    let (first, seeds) = (number("CHAT4ALL_SEED", 0), number("CHAT4ALL_SEEDS", 1_000));
    std::panic::set_hook(Box::new(|_| {}));
    for (off, _) in EACH {
        let rules = Rules::without(off);
        let mut sorts = std::collections::BTreeMap::new();
        let mut first_seed = None;
        for seed in first..first + seeds {
            if let Some(bad) = run(rules, seed).bad {
                first_seed.get_or_insert(seed);
                *sorts.entry(sort(&bad)).or_insert(0) += 1;
            }
        }
        println!("{off:?}: {} of {seeds}, first {first_seed:?}: {sorts:?}", sorts.values().sum::<u64>());
    }
}
