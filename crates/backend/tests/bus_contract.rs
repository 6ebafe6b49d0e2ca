//! The contract of the bus × every engine, one named test each.

use async_trait::async_trait;
use chat4all_backend::bus::contract::{Case, Fixture, cases};
use chat4all_backend::bus::{Bus, EmbeddedBus};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = cases().map(|case| Trial::test(format!("embedded::{}", case.name), || embedded(case)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn embedded(case: &Case) -> Result<(), Failed> {
    // Paused time passes as soon as nothing else is to be done.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on((case.run)(&Embedded(Arc::new(EmbeddedBus::new())))).map_err(Failed::from)
}

struct Embedded(Arc<EmbeddedBus>);

#[async_trait]
impl Fixture for Embedded {
    async fn bus(&self) -> chat4all_backend::Result<Arc<dyn Bus>> {
        Ok(Arc::clone(&self.0) as Arc<dyn Bus>)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
