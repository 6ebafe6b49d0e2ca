//! What two stores say differently.

use super::digest::Part;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How many are told one by one.
const TOLD: usize = 100;

/// Something that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Of what: a conversation, a person, a kind of thing.
    pub of: String,
    /// What of it.
    pub what: String,
}

/// All that is not the same, the first of it one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// How many.
    pub count: u64,
    /// The first hundred.
    pub first: Vec<Difference>,
}

impl Differences {
    /// Whether all is the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn add(&mut self, of: impl fmt::Display, what: impl Into<String>) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(Difference { of: of.to_string(), what: what.into() });
        }
    }

    /// Notes the parts, if there are any.
    pub(super) fn add_parts(&mut self, of: impl fmt::Display, parts: &[Part]) {
        if let Some(words) = words(parts) {
            self.add(of, words);
        }
    }
}

/// Parts as a list in words; none of none.
pub(super) fn words(parts: &[Part]) -> Option<String> {
    let names: Vec<_> = parts.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
