//! The numbers that stand for ids in the file, remembered for the most recent ones.

use crate::Result;
use crate::sqlite::failed;
use chat4all_model::id::{ConversationId, IdError, UserId};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;
use std::hash::Hash;

/// Ids remembered in each direction: this many for sure, at most twice as many.
const REMEMBERED: usize = 32_768;

/// An id that has a number.
pub(super) trait Named: Clone + Eq + Hash {
    /// Gives the number of an id.
    const NUMBER: &'static str;
    /// Gives the id of a number.
    const ID: &'static str;
    /// Gives an id the next number.
    const INSERT: &'static str;

    fn as_str(&self) -> &str;
    fn parse(s: &str) -> Result<Self, IdError>;
    fn remembered(names: &Names) -> &Mutex<Remembered<Self>>;
}

impl Named for UserId {
    const NUMBER: &'static str = "SELECT no FROM users WHERE id = ?";
    const ID: &'static str = "SELECT id FROM users WHERE no = ?";
    const INSERT: &'static str = "INSERT INTO users (id) VALUES (?)";

    fn as_str(&self) -> &str {
        self.as_str()
    }

    fn parse(s: &str) -> Result<Self, IdError> {
        Self::parse(s)
    }

    fn remembered(names: &Names) -> &Mutex<Remembered<Self>> {
        &names.users
    }
}

impl Named for ConversationId {
    const NUMBER: &'static str = "SELECT no FROM conversations WHERE id = ?";
    const ID: &'static str = "SELECT id FROM conversations WHERE no = ?";
    const INSERT: &'static str = "INSERT INTO conversations (id) VALUES (?)";

    fn as_str(&self) -> &str {
        self.as_str()
    }

    fn parse(s: &str) -> Result<Self, IdError> {
        Self::parse(s)
    }

    fn remembered(names: &Names) -> &Mutex<Remembered<Self>> {
        &names.conversations
    }
}

/// What writer and readers know of committed numbers. A number never changes its id.
#[derive(Default)]
pub(super) struct Names {
    users: Mutex<Remembered<UserId>>,
    conversations: Mutex<Remembered<ConversationId>>,
}

impl Names {
    /// The number of an id; none if the store has not met it.
    pub(super) fn number<T: Named>(&self, connection: &Connection, id: &T) -> Result<Option<i64>> {
        if let Some(number) = T::remembered(self).lock().numbers.get(id) {
            return Ok(Some(number));
        }
        let mut query = connection.prepare_cached(T::NUMBER).map_err(failed)?;
        let number = query.query_row([id.as_str()], |row| row.get(0)).optional().map_err(failed)?;
        if let Some(number) = number {
            self.remember(id, number);
        }
        Ok(number)
    }

    /// The id of a number that a row has.
    pub(super) fn id<T: Named>(&self, connection: &Connection, number: i64) -> Result<T> {
        if let Some(id) = T::remembered(self).lock().ids.get(&number) {
            return Ok(id);
        }
        let mut query = connection.prepare_cached(T::ID).map_err(failed)?;
        let id: String = query.query_row([number], |row| row.get(0)).map_err(failed)?;
        let id = T::parse(&id).map_err(|e| crate::Error::new(crate::ErrorKind::Corrupt, e))?;
        self.remember(&id, number);
        Ok(id)
    }

    /// Takes note of a committed number.
    pub(super) fn remember<T: Named>(&self, id: &T, number: i64) {
        let mut remembered = T::remembered(self).lock();
        remembered.numbers.insert(id.clone(), number);
        remembered.ids.insert(number, id.clone());
    }
}

pub(super) struct Remembered<T> {
    numbers: Recent<T, i64>,
    ids: Recent<i64, T>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { numbers: Recent::default(), ids: Recent::default() }
    }
}

/// Two generations: when the young one is full it becomes the old one, and what is used again moves over.
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let mut recent = Recent::default();
        for i in 0..5 * REMEMBERED {
            recent.insert(i, i);
            assert_eq!(recent.get(&0), Some(0), "used all the time");
            assert!(recent.young.len() + recent.old.len() <= 2 * REMEMBERED);
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&(5 * REMEMBERED - 1)), Some(5 * REMEMBERED - 1));
    }
}
