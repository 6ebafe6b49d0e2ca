//! A short storm over the real binary; `make chaos` blows the long one.

use chat4all_bench::chaos::{self, Options};

#[test]
fn a_server_that_is_killed_under_load_keeps_its_word() {
    let options = Options {
        server_bin: Some(env!("CARGO_BIN_EXE_chat4all").into()),
        clients: 8,
        conversations: 4,
        seconds: 15.0,
        kill_every: 1.2,
        cut_every: 2.0,
        remove_every: 1.0,
        rate: 6.0,
        burst: 300,
        seed: 11,
        report: None,
        over: chaos::ClusterOptions::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(chaos::run(&options)).unwrap();
    let text = report.markdown(&options.command());
    println!("{text}");
    assert!(report.findings.is_empty(), "{text}");
    // A storm in which nothing happened proves nothing.
    assert!(report.toll.kills >= 3 && report.toll.cuts >= 3 && report.acked >= 100, "{text}");
}
