//! What a decider knows of the state: what it read, and what it appended and the store may not hold yet.
//!
//! While a term holds nobody else changes the state, so whatever was read or decided stays right until the term
//! ends. Entries are forgotten only between two batches and only when the store has them, so that a read that
//! begins afterwards finds at least what was forgotten.

use chat4all_model::fact::Fact;
use chat4all_model::rows::values;
use chat4all_model::state::{Key, Value};
use std::collections::HashMap;

/// Entries of the younger generation before it becomes the older one. With about 300 bytes an entry, two
/// generations of a partition stay below 40 MB.
const GENERATION: usize = 65_536;

struct Entry {
    /// None: the store has nothing under this key.
    value: Option<Value>,
    /// The number, within the term, of the record that must be projected before this may be forgotten.
    until: Option<u64>,
}

/// See the module. Belongs to one decider and one term.
#[derive(Default)]
pub(super) struct Memory {
    young: HashMap<Key, Entry>,
    old: HashMap<Key, Entry>,
}

impl Memory {
    /// Whether a key need not be read.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    /// The value of a key; the outer none if it is not known at all.
    pub(super) fn get(&self, key: &Key) -> Option<Option<&Value>> {
        self.young.get(key).or_else(|| self.old.get(key)).map(|entry| entry.value.as_ref())
    }

    /// Keeps what the store gave. What was decided meanwhile is newer.
    pub(super) fn read(&mut self, key: Key, value: Option<Value>) {
        if !self.knows(&key) {
            self.young.insert(key, Entry { value, until: None });
        }
    }

    /// Keeps what record number `index` of the term says.
    pub(super) fn decided(&mut self, fact: &Fact, index: u64) {
        for (key, value) in values(fact) {
            // Only one entry a key, or an older one would come back when the younger is forgotten.
            self.old.remove(&key);
            self.young.insert(key, Entry { value: Some(value), until: Some(index) });
        }
    }

    /// Forgets the older generation when the younger is full, but for what the store may not hold: records
    /// before `projected` are there.
    pub(super) fn age(&mut self, projected: u64) {
        if self.young.len() < GENERATION {
            return;
        }
        let mut kept = std::mem::take(&mut self.old);
        kept.retain(|_, entry| entry.until.is_some_and(|until| until >= projected));
        self.old = std::mem::replace(&mut self.young, kept);
    }
}
