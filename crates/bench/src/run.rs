//! Rounds: ours and the limit take turns, so that both meet the same machine.

use crate::Result;
use crate::kinds::Metrics;
use crate::scenario::Scenario;
use crate::server::Program;
use crate::site::Site;
use crate::stats::median;
use std::io::Write;
use std::path::Path;

/// What the rounds of one scenario gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) ours: Vec<Metrics>,
    pub(crate) limit: Vec<Metrics>,
    /// Why a round has no figures.
    pub(crate) faults: Vec<String>,
}

/// Which sides are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sides {
    Both,
    LimitOnly,
    /// The same server on embedded engines takes the place of the limit.
    BesideEmbedded,
}

/// Says something to whoever is watching.
pub(crate) fn say(line: &str) {
    // Without a terminal there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

pub(crate) async fn run(
    scenario: Scenario,
    (server, site): (&Path, &Site),
    rounds: usize,
    sides: Sides,
) -> Outcome {
    let at = |site: &Site| Program {
        path: server.to_owned(),
        args: scenario.server_args.clone(),
        site: site.clone(),
    };
    let (program, embedded) = (at(site), at(&Site::default()));
    let mut outcome = Outcome { scenario, ours: Vec::new(), limit: Vec::new(), faults: Vec::new() };
    for round in 1..=rounds {
        // Who goes first changes from round to round.
        for ours in [round % 2 == 1, round % 2 == 0] {
            if ours && sides == Sides::LimitOnly {
                continue;
            }
            let kind = &outcome.scenario.kind;
            let measured = match (ours, sides) {
                (true, _) => kind.ours(&program).await.map(Some),
                (false, Sides::BesideEmbedded) => match kind.needs_processes() {
                    true => Ok(None),
                    false => kind.ours(&embedded).await.map(Some),
                },
                (false, _) => kind.limit().await,
            };
            outcome.take(round, ours, measured);
        }
    }
    outcome
}

impl Outcome {
    fn take(&mut self, round: usize, ours: bool, measured: Result<Option<Metrics>>) {
        let side = if ours { "ours" } else { "limit" };
        let name = &self.scenario.name;
        match measured {
            Ok(None) => {}
            Ok(Some(metrics)) => {
                let figures: Vec<String> =
                    metrics.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
                say(&format!("{name} {round} {side}: {}", figures.join(", ")));
                if ours { &mut self.ours } else { &mut self.limit }.push(metrics);
            }
            Err(error) => {
                say(&format!("{name} {round} {side}: {error}"));
                self.faults.push(format!("round {round}, {side}: {error}"));
            }
        }
    }
}

/// The figures of one metric over the rounds.
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn of(rounds: &[Metrics], metric: &str) -> Self {
        Self(rounds.iter().filter_map(|metrics| metrics.get(metric).copied()).collect())
    }

    pub(crate) fn median(&self) -> Option<f64> {
        median(&self.0)
    }

    /// The least and the most.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let least = self.0.iter().copied().min_by(f64::total_cmp)?;
        let most = self.0.iter().copied().max_by(f64::total_cmp)?;
        Some((least, most))
    }
}
