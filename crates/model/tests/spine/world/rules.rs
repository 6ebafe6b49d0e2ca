//! The rules of the spine that the world can do without, to show that it then breaks.

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A record counts only in the newest term.
    Term,
    /// A record counts only if its index is the number of those that counted in its term.
    Index,
    /// Without the index: a record counts only if its source is past the last one.
    Source,
    /// Without the index: sources are compared for each input topic.
    SourceOfEachInput,
    /// Progress holds the next index and the sources too.
    WholeProgress,
    /// Progress is read before `TERM` is appended.
    ProgressFirst,
    /// Everything up to the term is projected before the first decision.
    ProjectUpToTerm,
    /// A fenced router that is still assigned takes a new term.
    Retake,
    /// Taking a term drops overlay and cache.
    DropCaches,
    /// What is decided and not yet stored is part of the state.
    Overlay,
    /// Only the decider drops overlay entries, between commands.
    EvictBetween,
    /// What is cached is the merged state, not what the store said.
    CacheMerged,
    /// A command that changes nothing leaves an empty record.
    EmptyRecords,
    /// Rows before heads before progress.
    Stages,
    /// Of the rows of one record with the same key only the last is written.
    LastOfRecord,
    /// What is given lies in the intervals of membership.
    Clip,
    /// A catch-up from the store ends at its progress.
    EndAtProgress,
    /// The index is read at the position heard.
    WaitIndex,
    /// Re-joins are told apart by where they began.
    Rejoins,
    /// History waits for what was heard.
    WaitHistory,
    /// Membership is read after what changes.
    MembershipLast,
    /// A text is given only with the state that names its edit.
    TextOfState,
    /// The content of events with a hidden target is withheld.
    Mask,
    /// Deleted texts are blanked in the ring and in the rows.
    Blank,
    /// Rejections come by actor, through catch-ups too.
    RejectionsByActor,
    /// Counting starts at the interval's beginning.
    CountFromJoining,
    /// The head knows the last message by somebody else than its sender.
    OthersInHead,
}

/// Which rules are in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules(u64);

impl Rules {
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(crate) fn without(off: &[Rule]) -> Self {
        Self(off.iter().fold(u64::MAX, |rules, rule| rules & !(1 << *rule as u64)))
    }

    pub(crate) fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u64) != 0
    }
}
