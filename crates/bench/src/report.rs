//! The table of medians, for people.

use crate::probe;
use crate::run::{Figures, Outcome, Sides};
use crate::scenario::{Aim, Row};
use std::fmt::Write;

fn head(sides: Sides) -> String {
    let beside = beside(sides);
    format!("| measured | ours (least–most) | {beside}, same run | ours / {beside} | aim | met | elsewhere |")
}

/// What stands beside ours.
fn beside(sides: Sides) -> &'static str {
    if sides == Sides::BesideEmbedded { "embedded" } else { "limit" }
}

/// The whole report in Markdown.
pub(crate) fn markdown(command: &str, rounds: usize, sides: Sides, outcomes: &[Outcome]) -> String {
    let mut out = format!(
        "# Benchmark\n\n`{command}`; medians of {rounds}, ours and {} in turns.\n{}.\n\n{}\n|---|---|---|---|---|---|---|\n",
        if sides == Sides::BesideEmbedded { "the same on embedded engines" } else { "the limit" },
        probe::machine(),
        head(sides)
    );
    for outcome in outcomes {
        out.push_str(&rows(outcome));
    }
    let mut faults = outcomes.iter().filter(|outcome| !outcome.faults.is_empty()).peekable();
    if faults.peek().is_some() {
        out.push_str("\n## Rounds without figures\n\n");
    }
    for outcome in faults {
        for fault in &outcome.faults {
            let first = fault.lines().next().unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(out, "- {}: {first}", outcome.scenario.name);
        }
    }
    out
}

fn rows(outcome: &Outcome) -> String {
    let mut out = format!("| **{}**: {} | | | | | | |\n", outcome.scenario.name, outcome.scenario.title);
    for row in &outcome.scenario.rows {
        let ours = Figures::of(&outcome.ours, &row.metric);
        let limit = Figures::of(&outcome.limit, &row.metric).median();
        let middle = ours.median();
        let ratio = middle.zip(limit).map(|(ours, limit)| ours / limit);
        let spread = ours.range().filter(|(least, most)| least != most);
        let spread =
            spread.map_or(String::new(), |(least, most)| format!(" ({}–{})", figure(least), figure(most)));
        let cells = [
            row.label.clone(),
            middle.map_or("none".to_owned(), |value| format!("{}{spread}", with_unit(value, row))),
            limit.map_or(String::new(), |value| with_unit(value, row)),
            ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
            row.aim.map_or(String::new(), |aim| aim_text(aim, row)),
            row.aim.map_or("", |aim| met(aim, middle, limit)).to_owned(),
            row.elsewhere.clone(),
        ];
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out
}

fn with_unit(value: f64, row: &Row) -> String {
    format!("{} {}", figure(value), row.unit).trim_end().to_owned()
}

/// Three significant digits, thousands in groups.
fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    if value.abs() < 100.0 {
        let decimals = if value.abs() < 1.0 {
            3
        } else if value.abs() < 10.0 {
            2
        } else {
            1
        };
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn aim_text(aim: Aim, row: &Row) -> String {
    match aim {
        Aim::AtLeast(least) => format!("≥ {}", with_unit(least, row)),
        Aim::AtMost(most) => format!("≤ {}", with_unit(most, row)),
        Aim::OfLimit(share) => format!("≥ {:.0} % of the limit", share * 100.0),
    }
}

fn met(aim: Aim, ours: Option<f64>, limit: Option<f64>) -> &'static str {
    let met = match (aim, ours, limit) {
        (Aim::AtLeast(least), Some(ours), _) => ours >= least,
        (Aim::AtMost(most), Some(ours), _) => ours <= most,
        (Aim::OfLimit(share), Some(ours), Some(limit)) => ours >= share * limit,
        _ => return "not measured",
    };
    if met { "yes" } else { "no" }
}

/// The same table for a terminal: columns in line, no markup.
pub(crate) fn terminal(sides: Sides, outcomes: &[Outcome]) -> String {
    let text: String = outcomes.iter().map(rows).collect();
    let head = head(sides);
    let table: Vec<Vec<String>> = std::iter::once(head.as_str()).chain(text.lines()).map(cells).collect();
    // A scenario's title runs over the columns: it sets no width.
    let is_title = |row: &[String]| row.iter().skip(1).all(String::is_empty);
    let width = |column: usize| {
        let rows = table.iter().filter(|row| !is_title(row));
        rows.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim_start_matches("| ").trim_end_matches(" |");
    inner.split(" | ").map(|cell| cell.trim_matches([' ', '|']).replace("**", "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Metrics;
    use crate::scenario;

    #[test]
    fn figures_have_about_three_digits() {
        let cases = [
            (0.1234, "0.123"),
            (2.345_67, "2.35"),
            (54.26, "54.3"),
            (999.6, "1,000"),
            (1234567.0, "1,234,567"),
        ];
        for (value, text) in cases {
            assert_eq!(figure(value), text);
        }
        assert_eq!(figure(-1234.0), "-1,234");
        assert_eq!(figure(f64::NAN), "none");
    }

    #[test]
    fn an_aim_is_met_or_not_or_unknown() {
        assert_eq!(met(Aim::AtLeast(10.0), Some(10.0), None), "yes");
        assert_eq!(met(Aim::AtMost(10.0), Some(10.1), None), "no");
        assert_eq!(met(Aim::OfLimit(0.8), Some(79.0), Some(100.0)), "no");
        assert_eq!(met(Aim::OfLimit(0.8), Some(80.0), Some(100.0)), "yes");
        assert_eq!(met(Aim::OfLimit(0.8), Some(80.0), None), "not measured");
        assert_eq!(met(Aim::AtLeast(1.0), None, None), "not measured");
    }

    #[test]
    fn medians_ratio_and_faults_are_in_the_report() {
        let scenario = scenario::load(None, &["fanout".to_owned()], true, &[]).unwrap().remove(0);
        let rounds =
            |values: [f64; 3]| values.map(|value| Metrics::from([("deliveries_per_s", value)])).to_vec();
        let outcome = Outcome {
            scenario,
            ours: rounds([300_000.0, 100_000.0, 200_000.0]),
            limit: rounds([400_000.0, 400_000.0, 400_000.0]),
            faults: vec!["round 4, ours: it fell\nover".to_owned()],
        };
        let report = markdown("bench", 3, Sides::Both, std::slice::from_ref(&outcome));
        assert!(
            report.contains("200,000 /s (100,000–300,000) | 400,000 /s | 0.50 | ≥ 80 % of the limit | no |"),
            "{report}"
        );
        assert!(report.contains("- fanout: round 4, ours: it fell\n"), "{report}");
        assert!(terminal(Sides::Both, &[outcome]).contains("0.50"));
    }
}
