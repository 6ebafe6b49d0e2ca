//! What a user may see of a conversation.

use chat4all_model::fact::Interval;

/// A user's intervals of membership of one conversation, rising by when they began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight(Vec<Interval>);

impl Sight {
    /// Of intervals in any order.
    #[must_use]
    pub fn new(intervals: impl IntoIterator<Item = Interval>) -> Self {
        let mut sight = Self::default();
        for interval in intervals {
            sight.merge(interval);
        }
        sight
    }

    /// Takes one more interval, or a newer word on one it has. A closed end stays, in whatever order they come.
    pub fn merge(&mut self, interval: Interval) {
        match self.0.binary_search_by_key(&interval.since, |known| known.since) {
            Ok(at) if self.0[at].to.is_some() => {}
            Ok(at) => self.0[at] = interval,
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, interval);
            }
        }
    }

    /// Whether `seq` lies in any of them.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.0.iter().any(|interval| interval.contains(seq))
    }

    /// Whether the user is a member now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.last().is_some_and(|interval| interval.to.is_none())
    }

    /// The intervals, rising.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    /// Ranges of `seq` that neither meet nor overlap, rising: `(first, last)`.
    #[must_use]
    pub fn spans(&self) -> Vec<(u64, u64)> {
        let mut spans: Vec<(u64, u64)> =
            self.0.iter().map(|i| (i.from.seq, i.to.map_or(u64::MAX, |to| to.seq))).collect();
        spans.sort_unstable();
        spans.dedup_by(|next, last| {
            let meet = next.0 <= last.1.saturating_add(1);
            if meet {
                last.1 = last.1.max(next.1);
            }
            meet
        });
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_model::api::Role;
    use chat4all_model::command::Count;
    use chat4all_model::id::UserId;

    fn interval(since: u64, from: u64, to: Option<u64>) -> Interval {
        Interval {
            user: UserId::parse("u").unwrap(),
            role: Role::Member,
            from: Count { seq: from, n: 0 },
            since,
            to: to.map(|seq| Count { seq, n: 0 }),
            other_seq: 0,
            joined_at: 0,
        }
    }

    #[test]
    fn a_closed_end_wins_in_every_order() {
        let parts = [interval(2, 2, None), interval(2, 2, Some(5)), interval(8, 8, None)];
        let expected = Sight(vec![interval(2, 2, Some(5)), interval(8, 8, None)]);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(Sight::new(order.map(|at| parts[at].clone())), expected);
        }
        for (seq, seen) in [(1, false), (2, true), (5, true), (6, false), (7, false), (8, true), (99, true)] {
            assert_eq!(expected.contains(seq), seen, "{seq}");
        }
        assert!(expected.is_open());
        assert_eq!(expected.spans(), [(2, 5), (8, u64::MAX)]);
    }

    #[test]
    fn intervals_that_overlap_are_one_span() {
        let sight = Sight::new([interval(1, 1, Some(4)), interval(9, 1, Some(12)), interval(20, 13, None)]);
        assert_eq!(sight.spans(), [(1, u64::MAX)]);
    }
}
