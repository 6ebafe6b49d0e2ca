//! What the check finds, by kind, with examples to start from.

use std::collections::BTreeMap;

/// Examples kept of each kind.
const EXAMPLES: usize = 5;

/// A way in which the server broke its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Acknowledged, and neither there nor rejected.
    Lost,
    /// There more than once, or given twice.
    Duplicated,
    /// Given in an order that is not that of `seq`.
    Reordered,
    /// Under another `seq`, or with another content, than somebody saw before.
    Renumbered,
    /// A `seq` missing from a log.
    Gap,
    /// An edit that a member never was given.
    UnseenEdit,
    /// A deletion that a member never was given.
    UnseenDeletion,
    /// Anything else that a member never was given.
    Unseen,
    /// Given to somebody who was no member at that `seq`.
    Foreign,
    /// Something fetched at the end that is not what the events make it.
    Differing,
    /// An unread count that is not that of a recount.
    Unread,
    /// A marker lower than it had been.
    MarkerBack,
    /// One key that gave two messages, or took another content.
    Key,
    /// Refused, and there all the same.
    RefusedButThere,
    /// Events missing in a live stream that the client had to fetch from the log.
    Hole,
    /// Asked and never answered.
    Unanswered,
    /// A reader that stopped reading was not cut off with 4410.
    SlowReader,
    /// The server ended by itself, a part of it panicked, or it answered `internal`.
    Crash,
}

impl Kind {
    /// Every kind with its name in the report.
    pub const ALL: [(Self, &str); 18] = [
        (Self::Lost, "lost: acknowledged, and neither there nor rejected"),
        (Self::Duplicated, "duplicated"),
        (Self::Reordered, "reordered"),
        (Self::Renumbered, "renumbered, or with another content than before"),
        (Self::Gap, "gaps in `seq`"),
        (Self::UnseenEdit, "unseen edits"),
        (Self::UnseenDeletion, "unseen deletions"),
        (Self::Unseen, "other unseen events"),
        (Self::Foreign, "foreign: outside the membership"),
        (Self::Differing, "refetched state that is not snapshot + events"),
        (Self::Unread, "unread counts that are not a recount"),
        (Self::MarkerBack, "markers that went back"),
        (Self::Key, "idempotency keys that did not hold"),
        (Self::RefusedButThere, "refused, and there all the same"),
        (Self::Hole, "holes in a live stream"),
        (Self::Unanswered, "never answered"),
        (Self::SlowReader, "slow readers not cut off with 4410"),
        (Self::Crash, "ends, panics and faults of the server's own"),
    ];
}

/// Counts by kind.
#[derive(Debug, Default)]
pub struct Findings {
    counts: BTreeMap<Kind, u64>,
    examples: BTreeMap<Kind, Vec<String>>,
}

impl Findings {
    /// Notes one.
    pub fn add(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        let examples = self.examples.entry(kind).or_default();
        if examples.len() < EXAMPLES {
            examples.push(example());
        }
    }

    /// How many of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The first of each kind, in words.
    pub fn examples(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.examples.iter().flat_map(|(kind, all)| all.iter().map(|one| (*kind, one.as_str())))
    }
}
