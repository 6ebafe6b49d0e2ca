//! What is not well at the moment, by name. `/ready` shows it.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A register of what is not well. Cheap to clone; who runs something writes its own entries.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, String>>>);

impl Health {
    /// `what` is not well, because of `why`.
    pub fn bad(&self, what: impl Into<String>, why: impl Into<String>) {
        self.0.lock().insert(what.into(), why.into());
    }

    /// `what` is well (again).
    pub fn good(&self, what: &str) {
        self.0.lock().remove(what);
    }

    /// What is not well, and why.
    #[must_use]
    pub fn complaints(&self) -> BTreeMap<String, String> {
        self.0.lock().clone()
    }
}
