//! The contract of the store as a table of cases that every engine passes.

mod conversations;
mod people;
mod repeats;
pub mod world;

use super::Store;
use crate::Result;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// One sentence of the contract, tried.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What should hold, as a name of a test.
    pub name: &'static str,
    /// What the fixture must be able to do; without it the case does not concern the engine.
    pub needs: &'static [Capability],
    /// Tries it on a fresh store. Needs a tokio runtime with timers.
    pub run: for<'a> fn(&'a dyn Fixture) -> BoxFuture<'a, Outcome>,
}

/// What a case found.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What not every fixture can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// [`Fixture::reopen`].
    Reopen,
}

/// Makes the store that a case is tried on: its own, empty; if it has a clock, that stands at
/// [`BEGINNING`](world::BEGINNING).
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Whether the methods below that not every fixture has work.
    fn can(&self, capability: Capability) -> bool;

    /// Makes the store. Called first, and once.
    async fn open(&self) -> Result<Arc<dyn Store>>;

    /// Ends the engine and starts it on what it kept. Earlier stores do not work any more.
    async fn reopen(&self) -> Result<Arc<dyn Store>>;
}

/// Every case.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    conversations::CASES.iter().chain(people::CASES).chain(repeats::CASES)
}

/// Fails a case with a sentence unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+).into());
        }
    };
}
use ensure;

/// Fails a case unless what was found is what was expected.
macro_rules! same {
    ($what:expr, $found:expr, $expected:expr) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    return Err(format!("{}: found {found:#?}, expected {expected:#?}", $what).into());
                }
            }
        }
    };
}
use same;

/// A row of the table: the function's name is the case's.
macro_rules! case {
    ($name:ident) => { case!($name,) };
    ($name:ident, $($needs:ident),*) => {
        Case { name: stringify!($name), needs: &[$(Capability::$needs),*], run: |fixture| Box::pin($name(fixture)) }
    };
}
use case;
