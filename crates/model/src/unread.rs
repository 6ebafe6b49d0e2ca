//! How many messages a member has not read.

use crate::fact::{Head, Interval, Markers};

/// Unread messages of a member: those past the read marker inside the newest interval, one's own included, but
/// none if nobody else wrote one of them. Deleted messages count until they are read.
///
/// `head` is the conversation's, `interval` the member's newest; whoever has left counts up to the leaving, and
/// nothing that happened since can change it.
#[must_use]
pub fn unread(head: &Head, interval: &Interval, markers: &Markers) -> u64 {
    let (end, by_others) = match interval.to {
        Some(to) => (to.n, interval.other_seq),
        None => (head.n, head.last_by_others(&interval.user)),
    };
    if by_others <= markers.read.seq.max(interval.from.seq.saturating_sub(1)) {
        return 0;
    }
    end.saturating_sub(markers.read.n.max(interval.from.n))
}
