//! A scenario is a small file: which kind of measurement, with which numbers, and what is expected of it.

use crate::Result;
use crate::kinds::Kind;
use serde::Deserialize;
use std::path::Path;

/// The scenarios that come with the program, in the order of the report.
const BUILT_IN: &[(&str, &str)] = &[
    ("accept", include_str!("../scenarios/accept.toml")),
    ("accept-paused", include_str!("../scenarios/accept-paused.toml")),
    ("throughput-1", include_str!("../scenarios/throughput-1.toml")),
    ("throughput-8", include_str!("../scenarios/throughput-8.toml")),
    ("latency", include_str!("../scenarios/latency.toml")),
    ("fanout", include_str!("../scenarios/fanout.toml")),
    ("idle", include_str!("../scenarios/idle.toml")),
    ("history-1m", include_str!("../scenarios/history-1m.toml")),
    ("history-10m", include_str!("../scenarios/history-10m.toml")),
    ("disk", include_str!("../scenarios/disk.toml")),
    ("start", include_str!("../scenarios/start.toml")),
    ("resume", include_str!("../scenarios/resume.toml")),
    ("drain", include_str!("../scenarios/drain.toml")),
    ("failover", include_str!("../scenarios/failover.toml")),
];

/// A scenario as its file says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// One line for the report.
    title: String,
    /// One of the kinds built in.
    kind: String,
    /// Flags of the server for the whole scenario.
    #[serde(default)]
    server_args: Vec<String>,
    #[serde(default)]
    params: toml::Table,
    /// What `--quick` puts in the place of `params`.
    #[serde(default)]
    quick: toml::Table,
    /// The rows of the report.
    rows: Vec<Row>,
}

/// One figure of the report.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Its name among what the kind measures.
    pub(crate) metric: String,
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) aim: Option<Aim>,
    /// Published figures of other servers.
    #[serde(default)]
    pub(crate) elsewhere: String,
}

/// What is expected of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// At least this share of the limit's figure in the same run.
    OfLimit(f64),
}

/// A scenario ready to run.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) server_args: Vec<String>,
    pub(crate) kind: Kind,
    pub(crate) rows: Vec<Row>,
}

impl Scenario {
    fn parse(name: &str, text: &str, quick: bool, set: &[String]) -> Result<Self> {
        let in_file = |error: &dyn std::fmt::Display| format!("scenario {name}: {error}");
        let manifest: Manifest = toml::from_str(text).map_err(|error| in_file(&error))?;
        let mut params = manifest.params;
        if quick {
            params.extend(manifest.quick);
        }
        for text in set {
            params.extend(text.parse::<toml::Table>().map_err(|error| format!("--set {text}: {error}"))?);
        }
        let kind = Kind::parse(&manifest.kind, params).map_err(|error| in_file(&error))?;
        Ok(Self {
            name: name.to_owned(),
            title: manifest.title,
            server_args: manifest.server_args,
            kind,
            rows: manifest.rows,
        })
    }
}

/// The scenarios of a folder, or the built-in ones; only those named, if any are. What is `set` counts before their files.
pub(crate) fn load(
    folder: Option<&Path>,
    only: &[String],
    quick: bool,
    set: &[String],
) -> Result<Vec<Scenario>> {
    let mut texts: Vec<(String, String)> = Vec::new();
    match folder {
        None => texts.extend(BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))),
        Some(folder) => {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "toml") {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    texts.push((name, std::fs::read_to_string(&path)?));
                }
            }
            texts.sort();
        }
    }
    if let Some(unknown) = only.iter().find(|name| texts.iter().all(|(known, _)| known != *name)) {
        let known: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        return Err(format!("no scenario {unknown}; there are: {}", known.join(", ")).into());
    }
    texts
        .iter()
        .filter(|(name, _)| only.is_empty() || only.contains(name))
        .map(|(name, text)| Scenario::parse(name, text, quick, set))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_parses_both_ways() {
        for quick in [false, true] {
            let scenarios = load(None, &[], quick, &[]).unwrap();
            assert_eq!(scenarios.len(), BUILT_IN.len());
            assert!(scenarios.iter().all(|scenario| !scenario.rows.is_empty()));
        }
    }

    #[test]
    fn every_file_of_the_folder_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut files: Vec<String> =
            load(Some(&folder), &[], false, &[]).unwrap().into_iter().map(|s| s.name).collect();
        let mut built_in: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        files.sort();
        built_in.sort();
        assert_eq!(files, built_in);
    }

    #[test]
    fn only_picks_by_name_and_refuses_unknown_ones() {
        let picked = load(None, &["idle".to_owned()], true, &[]).unwrap();
        assert_eq!(picked.len(), 1);
        assert!(load(None, &["idol".to_owned()], true, &[]).unwrap_err().to_string().contains("idol"));
    }

    #[test]
    fn mistakes_in_a_file_are_named() {
        let text = |body: &str| format!("title = 'x'\nkind = 'accept'\n{body}\nrows = []\n");
        let error = |body: &str| Scenario::parse("mine", body, false, &[]).unwrap_err().to_string();
        assert!(error(&text("speed = 1")).contains("speed"));
        let typo = "title = 'x'\nkind = 'accept'\nrows = []\n[params]\nconections = 1\n";
        assert!(error(typo).contains("conections"));
        assert!(error("title = 'x'\nkind = 'exept'\nrows = []\n").contains("exept"));
    }

    #[test]
    fn quick_replaces_single_parameters() {
        let text = "title = 'x'\nkind = 'accept'\nrows = []\n[params]\nconnections = 7\nseconds = 9\n\
                    groups = 1\nmembers = 4\n[quick]\nseconds = 1\n";
        let parse = |quick, set: &[String]| Scenario::parse("mine", text, quick, set).unwrap().kind;
        let Kind::Accept(full) = parse(false, &[]) else { panic!("kind") };
        let Kind::Accept(quick) = parse(true, &[]) else { panic!("kind") };
        let Kind::Accept(other) = parse(true, &["connections=3".to_owned()]) else { panic!("kind") };
        assert_eq!((other.connections, other.seconds), (3, 1.0));
        assert_eq!((full.connections, full.seconds), (7, 9.0));
        assert_eq!((quick.connections, quick.seconds), (7, 1.0));
    }
}
