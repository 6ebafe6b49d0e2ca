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
/// generations of a partition stay below 10 MB, and what the store does not hold yet is bounded by the decider.
const GENERATION: usize = 16_384;

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

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_model::fact::{Settings, What};
    use chat4all_model::id::{ConversationId, UserId};

    fn fact(user: u32) -> Fact {
        let actor = UserId::parse(&user.to_string()).unwrap();
        let settings = Settings { pinned: true, ..Settings::default() };
        Fact {
            conversation: ConversationId::parse("g:1").unwrap(),
            actor,
            time: 1,
            id: None,
            hash: 0,
            head: None,
            what: What::Settings { settings },
        }
    }

    fn key(user: u32) -> Key {
        values(&fact(user)).remove(0).0
    }

    fn fill(memory: &mut Memory, from: u32) {
        (0..GENERATION as u32).for_each(|n| memory.read(key(from + n), None));
    }

    #[test]
    fn what_the_store_may_not_hold_is_never_forgotten() {
        let mut memory = Memory::default();
        memory.decided(&fact(1), 7);
        memory.decided(&fact(2), 8);
        for round in 1..=4 {
            fill(&mut memory, round * 1_000_000);
            memory.age(8);
        }
        assert!(!memory.knows(&key(1)), "record 7 is projected");
        assert!(matches!(memory.get(&key(2)), Some(Some(_))), "record 8 is not");
        for round in 5..=8 {
            fill(&mut memory, round * 1_000_000);
            memory.age(9);
        }
        assert!(!memory.knows(&key(2)));
        assert!(memory.young.len() + memory.old.len() <= 2 * GENERATION + 2);
    }

    #[test]
    fn what_was_decided_is_newer_than_what_is_read() {
        let mut memory = Memory::default();
        fill(&mut memory, 1);
        memory.age(0);
        memory.decided(&fact(1), 0);
        memory.read(key(1), None);
        assert!(matches!(memory.get(&key(1)), Some(Some(_))));
        assert!(!memory.old.contains_key(&key(1)));
    }
}
