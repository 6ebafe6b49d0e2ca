//! The program itself against its own bare servers, and against a server that is not there.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chat4all-bench")).args(arguments).output().expect("the program runs")
}

#[test]
fn the_limits_are_measured_and_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.md");
    let path = report.to_str().expect("a plain path");
    let output = bench(&[
        "run",
        "--limits-only",
        "--quick",
        "--rounds",
        "1",
        "--out",
        path,
        "--only",
        "accept",
        "throughput-1",
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read_to_string(&report).expect("a report");
    for label in ["| accepted |", "| deliveries |"] {
        let row = report.lines().find(|line| line.starts_with(label)).expect("the row is there");
        let limit = row.split(" | ").nth(2).expect("the limit's column");
        assert!(limit.ends_with(" /s"), "{row}");
    }
    assert!(!report.contains(path), "no paths of this machine in a report");
}

#[test]
fn a_server_that_cannot_run_is_named_and_fails_the_run() {
    let output =
        bench(&["run", "--quick", "--rounds", "1", "--server-bin", "/no/such/server", "--only", "start"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("start 1 ours: the server cannot be started"), "{said}");
}
