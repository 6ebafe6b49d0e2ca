//! How far a long work has come, on standard error, for whoever waits for it.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the same is told.
const EVERY: Duration = Duration::from_secs(1);

/// Tells what is being done when it begins, and then how much is done, once a second.
pub fn teller() -> impl Fn(&'static str, u64) + Sync {
    let last: Mutex<Option<(&'static str, Instant)>> = Mutex::new(None);
    move |what, done| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|(before, at)| before != what || at.elapsed() >= EVERY);
        if due {
            *last = Some((what, Instant::now()));
            // Nobody to tell that nobody can be told.
            let _ = writeln!(std::io::stderr().lock(), "{what}: {done}");
        }
    }
}
