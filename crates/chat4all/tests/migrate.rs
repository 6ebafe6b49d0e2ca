//! Migrating and rebuilding with the real binary, killed again and again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// After this a command is killed the first time, before it has done much.
const SHORT: Duration = Duration::from_millis(20);

fn chat4all(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat4all"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    chat4all(arguments).output().unwrap()
}

/// The one JSON object that a command printed, and whether it ended well.
fn json(output: &Output) -> (Value, bool) {
    let value = serde_json::from_slice(&output.stdout);
    (value.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.success())
}

/// Runs a command until it comes to its end, killed after ever longer times, the first of them `patience`.
async fn persist(arguments: &[&str], mut patience: Duration, mut killed: impl FnMut()) -> Output {
    loop {
        let mut child = chat4all(arguments).spawn().unwrap();
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if child.try_wait().unwrap().is_some() {
                return child.wait_with_output().unwrap();
            }
            sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed();
        patience = patience * 5 / 4;
    }
}

/// Whether a work on the store of a folder was begun and is not finished.
fn is_unfinished(data: &str) -> bool {
    let (report, _) = json(&run(&["doctor", "--json", "--data", data]));
    let checks = report["checks"].as_array().unwrap();
    checks.iter().any(|check| check["name"] == "store" && check["detail"] == "is not complete")
}

/// No server starts on a store where that is so.
fn is_refused(data: &str, command: &str) {
    let free = "127.0.0.1:0";
    let refused = run(&["serve", "--data", data, "--listen", free, "--ops-listen", free]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains(command), "{refused:?}");
}

fn seeded(data: &Path) -> &str {
    let data = data.to_str().unwrap();
    let output = run(&["admin", "seed-messages", "--count", "6000", "--conversations", "40", "--data", data]);
    assert!(output.status.success(), "{output:?}");
    data
}

#[tokio::test]
async fn a_migration_that_is_killed_again_and_again_comes_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let (from, to) = (seeded(&from), to.to_str().unwrap());
    let (mut kills, mut unfinished) = (0, 0);
    let migrate = ["migrate", "--from", from, "--to", to, "--partitions", "6", "--json"];
    let output = persist(&migrate, SHORT, || {
        kills += 1;
        if unfinished == 0 && is_unfinished(to) {
            unfinished += 1;
            is_refused(to, "chat4all migrate");
        }
    })
    .await;
    let (report, complete) = json(&output);
    assert!(complete && report["differences"]["count"] == 0, "{report}");
    assert!(kills >= 3 && unfinished == 1, "{kills} kills, {unfinished} in the middle");
    // The last run may have found that the one before was complete.
    let events = &report["counts"]["store"]["events"];
    assert!(report["counts"].is_null() || *events == 6_040, "{report}");
    let (report, sound) = json(&run(&["rebuild", "--json", "--data", to]));
    assert!(sound && report["counts"]["messages"] == 6_000, "{report}");
}

#[tokio::test]
async fn a_rebuild_that_is_killed_again_and_again_comes_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = seeded(&data);
    let mut unfinished = 0;
    // Most of its time it compares. One of these rounds has a kill while it writes: their times lie between each other's.
    for round in 0..10 {
        let rebuild = ["rebuild", "--write", "--json", "--data", data];
        let output = persist(&rebuild, SHORT.mul_f64(1.0 + 0.025 * f64::from(round)), || {
            if unfinished == 0 && is_unfinished(data) {
                unfinished += 1;
                is_refused(data, "chat4all rebuild --write");
            }
        })
        .await;
        let (report, sound) = json(&output);
        assert!(sound && report["after"]["differences"]["count"] == 0, "{report}");
        assert_eq!(report["after"]["counts"]["messages"], 6_000);
        assert!(!is_unfinished(data));
        if unfinished == 1 {
            return;
        }
    }
    panic!("no kill hit the middle of a rebuild");
}
