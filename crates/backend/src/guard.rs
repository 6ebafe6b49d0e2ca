//! Between the use-cases and an engine across a network: a limit on every call, further tries of reads, a circuit
//! breaker, and metrics. One [`Guard`] a port; [`ports`] wraps the ports in it.
//!
//! Embedded engines need none of it: they do not go away while the process lives.

mod breaker;
mod ports;

pub use ports::{GuardedAccounts, GuardedBus, GuardedLog, GuardedStore};

use crate::{Error, ErrorKind, Result};
use breaker::{Admission, Breaker};
use metrics::{Gauge, counter, gauge, histogram};
use std::time::{Duration, Instant};

/// How long one try of a read may take. Above what a quorum read was measured to take near the loss of a node.
const READ: Duration = Duration::from_secs(5);
/// How long a write may take.
const WRITE: Duration = Duration::from_secs(15);
/// When a read that failed is not tried again.
const NO_MORE: Duration = Duration::from_secs(3);
/// Pauses before a read's further tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(150)];

/// Watches over the calls to one engine.
#[derive(Debug)]
pub struct Guard {
    port: &'static str,
    engine: &'static str,
    breaker: Breaker,
    open: Gauge,
}

impl Guard {
    /// Of the engine of a port, by the names that metrics give them.
    #[must_use]
    pub fn new(port: &'static str, engine: &'static str) -> Self {
        let open = gauge!("engine_breaker_open", "port" => port, "engine" => engine);
        open.set(0.0);
        Self { port, engine, breaker: Breaker::default(), open }
    }

    /// A call that may be repeated at will.
    async fn read<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &'static str,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let began = Instant::now();
        for pause in PAUSES {
            match self.call(operation, READ, ErrorKind::Unavailable, attempt()).await {
                Err(error) if passes(error.kind) && began.elapsed() < NO_MORE => {
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
                }
                outcome => return outcome,
            }
        }
        self.call(operation, READ, ErrorKind::Unavailable, attempt()).await
    }

    /// A call that changes something. Its caller knows whether it may be repeated.
    async fn write<T>(&self, operation: &'static str, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        self.call(operation, WRITE, ErrorKind::OutcomeUnknown, attempt).await
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        limit: Duration,
        late: ErrorKind,
        attempt: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let admission = self.admit()?;
        let began = Instant::now();
        let outcome = tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
            Err(Error::new(late, format!("{} did not answer within {limit:?}", self.engine)))
        });
        self.judge(operation, began, admission, &outcome);
        outcome
    }

    fn admit(&self) -> Result<Admission> {
        self.breaker.admit().map_err(|wait| {
            let why = format!("{} has failed again and again and is asked again in {wait:?}", self.engine);
            Error::new(ErrorKind::Unavailable, why)
        })
    }

    /// Takes note of what came of a call.
    fn judge<T>(&self, operation: &'static str, began: Instant, admission: Admission, outcome: &Result<T>) {
        let labels = [("port", self.port), ("engine", self.engine), ("operation", operation)];
        histogram!("engine_call_duration_seconds", &labels).record(began.elapsed());
        let away = match outcome {
            Ok(_) => false,
            Err(error) => {
                let kind = format!("{:?}", error.kind);
                counter!("engine_errors_total", "port" => self.port, "engine" => self.engine, "kind" => kind)
                    .increment(1);
                matches!(error.kind, ErrorKind::Unavailable | ErrorKind::OutcomeUnknown)
            }
        };
        if let Some(open) = if away { admission.failed() } else { admission.succeeded() } {
            self.open.set(if open { 1.0 } else { 0.0 });
            match (open, outcome) {
                (true, Err(error)) => {
                    tracing::warn!(port = self.port, engine = self.engine, %error, "the breaker opens");
                }
                _ => tracing::info!(port = self.port, engine = self.engine, "the breaker closes"),
            }
        }
    }
}

/// Whether it may be otherwise when tried again.
fn passes(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Overloaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn failing(kind: ErrorKind) -> Result<()> {
        Err(Error::new(kind, "as asked"))
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_tried_again_and_writes_are_not() {
        let guard = Guard::new("store", "test");
        let tries = Cell::new(0);
        let read = guard.read("read", || {
            tries.set(tries.get() + 1);
            let outcome = if tries.get() < 3 { failing(ErrorKind::Unavailable) } else { Ok(()) };
            async move { outcome }
        });
        read.await.unwrap();
        assert_eq!(tries.get(), 3);
        tries.set(0);
        let refused = guard.read("read", || {
            tries.set(tries.get() + 1);
            async { failing(ErrorKind::Invalid) }
        });
        assert_eq!(refused.await.unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(tries.get(), 1, "what is wrong stays wrong");
        assert!(guard.write("write", async { failing(ErrorKind::Unavailable) }).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn every_call_has_an_end() {
        let guard = Guard::new("store", "test");
        let read = guard.read("read", std::future::pending::<Result<()>>).await.unwrap_err();
        assert_eq!(read.kind, ErrorKind::Unavailable);
        let write = guard.write("write", std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(write.kind, ErrorKind::OutcomeUnknown);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_away_is_left_alone_and_found_again() {
        let guard = Guard::new("store", "test");
        let tries = Cell::new(0);
        let mut call = async |outcome: Result<()>| {
            guard
                .write("write", async {
                    tries.set(tries.get() + 1);
                    outcome
                })
                .await
        };
        for _ in 0..20 {
            let _ = call(failing(ErrorKind::Unavailable)).await;
        }
        assert_eq!(tries.get(), 5, "the breaker opened");
        tokio::time::sleep(Duration::from_secs(2)).await;
        call(Ok(())).await.unwrap();
        call(Ok(())).await.unwrap();
        assert_eq!(tries.get(), 7);
        for _ in 0..20 {
            let _ = call(failing(ErrorKind::Conflict)).await;
        }
        assert_eq!(tries.get(), 27, "an answer is an answer");
    }
}
