//! Migrating and rebuilding with the real binary, killed again and again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod program;

use program::{json, persist, run};
use std::path::Path;
use std::time::Duration;

/// After this a command is killed the first time, before it has done much.
const SHORT: Duration = Duration::from_millis(20);
/// How much later it is killed each time.
const LATER: f64 = 1.25;

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
    let output = persist(&migrate, SHORT, LATER, || {
        kills += 1;
        // The store is made after the log. Before that the doctor would make a log, of as many partitions as it likes.
        let made = Path::new(to).join("store.db").is_file();
        if unfinished == 0 && made && is_unfinished(to) {
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
        let first = SHORT.mul_f64(1.0 + 0.025 * f64::from(round));
        let output = persist(&rebuild, first, LATER, || {
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
