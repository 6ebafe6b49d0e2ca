//! The binary as an operator runs it: commands to their end, or killed on the way.

use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn chat4all(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat4all"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run(arguments: &[&str]) -> Output {
    chat4all(arguments).output().unwrap()
}

/// The one JSON object that a command printed, and whether it ended well.
pub fn json(output: &Output) -> (Value, bool) {
    let value = serde_json::from_slice(&output.stdout);
    (value.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.success())
}

/// Runs a command until it comes to its end. It is killed after `patience`, and then each time after `growth` times as
/// long.
pub async fn persist(
    arguments: &[&str],
    mut patience: Duration,
    growth: f64,
    mut killed: impl FnMut(),
) -> Output {
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
        patience = patience.mul_f64(growth);
    }
}
