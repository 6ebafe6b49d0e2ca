//! The storm's outcome as a table.

use super::Options;
use super::evidence::{Evidence, Promise, Step};
use super::faults::Toll;
use super::findings::{Findings, Kind};
use super::ground::Aftermath;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// What was done, and what came of it.
#[derive(Debug)]
pub struct Report {
    /// What is wrong; empty if all is well.
    pub findings: Findings,
    /// What was done to server and clients.
    pub toll: Toll,
    /// Messages acknowledged.
    pub acked: u64,
    /// Edits, deletions and reactions acknowledged.
    pub changes: u64,
    /// Rows of the table, in words.
    rows: Vec<(String, String)>,
}

/// What only whoever ran the storm knows.
pub(super) struct Circumstances {
    pub(super) toll: Toll,
    pub(super) aftermath: Aftermath,
    pub(super) missed_while_away: u64,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        evidence: &Evidence,
        findings: Findings,
        around: &Circumstances,
    ) -> Self {
        let promises = || evidence.journals.iter().flat_map(|journal| &journal.promises);
        let acked = promises().filter(|promise| matches!(promise, Promise::Sent { .. })).count() as u64;
        let changes = promises().count() as u64 - acked;
        let entries = evidence.logs.values().map(|log| log.len() as u64).sum::<u64>();
        let steps = evidence.journals.iter().flat_map(|journal| &journal.steps);
        let given = steps.filter(|step| matches!(step, Step::Entry { .. })).count();
        let sum = |of: fn(&super::Journal) -> u64| evidence.journals.iter().map(of).sum::<u64>();
        let mut closes: BTreeMap<u16, u64> = BTreeMap::new();
        for (code, count) in evidence.journals.iter().flat_map(|journal| &journal.closes) {
            *closes.entry(*code).or_default() += count;
        }
        let closes: Vec<String> = closes.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        let toll = around.toll;
        let mut rows =
            vec![("clients, conversations".into(), format!("{}, {}", options.clients, evidence.logs.len()))];
        match &around.aftermath {
            Aftermath::Starts(starts) => rows.extend([
                ("`kill -9` of the server".into(), toll.kills.to_string()),
                ("SIGSTOP and SIGCONT".into(), toll.freezes.to_string()),
                ("graceful restarts".into(), toll.stops.to_string()),
                ("start until ready, median and longest".into(), spread(starts)),
            ]),
            Aftermath::Blows(blows) => rows.extend(blows.iter().map(|blow| {
                (
                    format!("{}: until all was up again", blow.name),
                    format!("{:.1} s", blow.took.as_secs_f64()),
                )
            })),
        }
        rows.extend([
            ("clients cut off for 2 s; all at once".into(), format!("{}; {}", toll.cuts, toll.stampedes)),
            ("members removed".into(), toll.removals.to_string()),
            ("events missed by the client that was away".into(), around.missed_while_away.to_string()),
            ("messages acknowledged".into(), acked.to_string()),
            ("edits, deletions, reactions acknowledged".into(), changes.to_string()),
            ("refused at once; after acceptance".into(), {
                format!("{}; {}", sum(|j| j.refused.len() as u64), sum(|j| j.rejected.len() as u64))
            }),
            ("refusals over sockets, by code".into(), refusals(evidence)),
            ("events stored; given to clients".into(), format!("{entries}; {given}")),
            ("sockets closed by the server, by code".into(), closes.join(", ")),
            ("snapshots asked for by the server".into(), sum(|j| j.resyncs).to_string()),
        ]);
        Self { findings, toll, acked, changes, rows }
    }

    /// The table, in Markdown.
    #[must_use]
    pub fn markdown(&self, command: &str) -> String {
        let mut out = String::from("# Chaos\n\n");
        let _ =
            writeln!(out, "Real processes, real kills: `{command}`. Everything below the line must be 0.\n");
        let _ = writeln!(out, "| | |\n|---|---|");
        for (name, value) in &self.rows {
            let _ = writeln!(out, "| {name} | {value} |");
        }
        let _ = writeln!(out, "| **what went wrong** | |");
        for (kind, name) in Kind::ALL {
            let _ = writeln!(out, "| {name} | {} |", self.findings.count(kind));
        }
        if !self.findings.is_empty() {
            let _ = writeln!(out, "\nThe first of each kind:\n");
            for (kind, example) in self.findings.examples() {
                let _ = writeln!(out, "- {kind:?}: `{}`", example.replace(['`', '\n'], " "));
            }
        }
        out
    }
}

fn refusals(evidence: &Evidence) -> String {
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in evidence.journals.iter().flat_map(|journal| &journal.codes) {
        *codes.entry(code).or_default() += count;
    }
    let codes: Vec<String> = codes.iter().map(|(code, count)| format!("{code}: {count}")).collect();
    codes.join(", ")
}

fn spread(starts: &[Duration]) -> String {
    let mut sorted = starts.to_vec();
    sorted.sort_unstable();
    let ms = |at: usize| sorted.get(at).map_or(0, Duration::as_millis);
    format!("{} ms, {} ms", ms(sorted.len() / 2), ms(sorted.len().saturating_sub(1)))
}
