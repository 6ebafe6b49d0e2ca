//! What a store says, as sums by which two stores can be compared, whatever order their lists come in.

use chat4all_backend::store::{Slice, Store, StoredEvent};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::fact::What;
use chat4all_model::id::{ConversationId, UserId, short_hash};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Events read at once.
pub(super) const PAGE: usize = 500;
/// Of how many events the times of reading are asked for at once.
const RISES: u64 = 2_000;
/// Behind every `seq`.
pub(super) const END: u64 = u64::MAX >> 2;
/// Members of a conversation, former ones included; more are taken for damage.
pub(super) const MEMBERS: usize = 1_000_000;
/// Reactions of a page of messages; the same.
const REACTIONS: usize = 1_000_000;
/// Conversations of a person asked for at once.
const CONVERSATIONS: usize = 100;

/// How many there are of something, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The same for the same things in any order.
    pub sum: u64,
}

impl Tally {
    pub(super) fn add(&mut self, thing: &(impl Serialize + ?Sized)) -> Result<()> {
        let bytes = postcard::to_allocvec(thing).map_err(|e| Error::new(ErrorKind::Corrupt, e))?;
        self.add_bytes(&bytes);
        Ok(())
    }

    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(short_hash(bytes));
    }
}

/// A kind of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Names and counters of conversations.
    Conversations,
    /// Events.
    Events,
    /// Messages with their states and texts.
    Messages,
    /// Ids of commands and where they stand.
    Ids,
    /// Who reacts with what.
    Reactions,
    /// Memberships, former ones included, by conversation.
    Members,
    /// How far members have come.
    Markers,
    /// When they came so far.
    Rises,
    /// Memberships by person.
    Memberships,
    /// What persons have of their own in conversations: markers, settings, mentions.
    Own,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conversations => "name and counters",
            Self::Events => "events",
            Self::Messages => "messages",
            Self::Ids => "ids of commands",
            Self::Reactions => "reactions",
            Self::Members => "members",
            Self::Markers => "markers",
            Self::Rises => "times of reading",
            Self::Memberships => "memberships",
            Self::Own => "own markers, settings and mentions",
        })
    }
}

/// What a store says of something, part by part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(pub BTreeMap<Part, Tally>);

impl Digest {
    fn part(&mut self, part: Part) -> &mut Tally {
        self.0.entry(part).or_default()
    }

    /// Puts what another says to it.
    pub(super) fn plus(&mut self, other: &Self) {
        for (part, tally) in &other.0 {
            let sum = self.part(*part);
            sum.count += tally.count;
            sum.sum = sum.sum.wrapping_add(tally.sum);
        }
    }

    /// The parts in which two differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<Part> {
        let parts = self.0.keys().chain(other.0.keys().filter(|part| !self.0.contains_key(part)));
        let tally = |digest: &Self, part| digest.0.get(part).copied().unwrap_or_default();
        parts.filter(|part| tally(self, part) != tally(other, part)).copied().collect()
    }
}

/// What follows from a conversation's events, as a store tells it.
pub(super) async fn derived(store: &dyn Store, conversation: &ConversationId) -> Result<Digest> {
    let mut digest = Digest::default();
    for found in store.overviews(vec![conversation.clone()]).await?.into_iter().flatten() {
        digest.part(Part::Conversations).add(&(found.about, found.head, found.position.0))?;
    }
    let mut after = 0;
    loop {
        let page = store.events(conversation, after, END, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.fact.seq();
        events(store, conversation, &page, &mut digest).await?;
    }
    let members = store.members_between(conversation, 0, END, MEMBERS).await?;
    require_less(members.len(), MEMBERS, conversation)?;
    for interval in members {
        digest.part(Part::Members).add(&interval)?;
    }
    Ok(digest)
}

/// The same, and what its members have of their own.
pub(super) async fn whole(store: &dyn Store, conversation: &ConversationId) -> Result<Digest> {
    let mut digest = derived(store, conversation).await?;
    let markers = store.markers(conversation, MEMBERS).await?;
    require_less(markers.len(), MEMBERS, conversation)?;
    for marker in markers {
        digest.part(Part::Markers).add(&marker)?;
    }
    let events = digest.part(Part::Events).count;
    let mut first = 1;
    while first <= events {
        let last = first + RISES - 1;
        let rises = store.rises(conversation, first, last).await?;
        for rise in rises.into_iter().filter(|(_, _, seq, _)| *seq <= last) {
            digest.part(Part::Rises).add(&rise)?;
        }
        first = last + 1;
    }
    Ok(digest)
}

/// What a store says of a person.
pub(super) async fn person(store: &dyn Store, user: &UserId) -> Result<Digest> {
    let mut digest = Digest::default();
    let memberships = store.memberships(user).await?;
    for membership in &memberships {
        digest.part(Part::Memberships).add(membership)?;
    }
    let mut conversations: Vec<_> = memberships.into_iter().map(|(conversation, _)| conversation).collect();
    conversations.sort_unstable();
    conversations.dedup();
    for some in conversations.chunks(CONVERSATIONS) {
        for (conversation, own) in some.iter().zip(store.own(user, some.to_vec()).await?) {
            digest.part(Part::Own).add(&(conversation, own.markers, own.settings, own.mentions))?;
        }
    }
    Ok(digest)
}

/// A page of events, and what became of them.
async fn events(
    store: &dyn Store,
    conversation: &ConversationId,
    page: &[StoredEvent],
    digest: &mut Digest,
) -> Result<()> {
    let mut ids = Vec::new();
    let mut messages = page.iter().filter(|e| matches!(e.fact.what, What::Message { .. }));
    let first_message = messages.next().map(|event| event.fact.seq());
    let count = first_message.map_or(0, |_| 1 + messages.count());
    for event in page {
        digest.part(Part::Events).add(&(event.position.0, &event.fact))?;
        ids.extend(event.fact.id);
    }
    for (id, known) in ids.iter().zip(store.known(ids.clone()).await?) {
        let known = known.map(|known| (known.conversation, known.seq, known.hash, known.message));
        digest.part(Part::Ids).add(&(id, known))?;
    }
    let Some(first) = first_message else { return Ok(()) };
    let mut changed = Vec::new();
    for message in store.messages(conversation, Slice::Up(first), count).await? {
        let seq = message.event.fact.seq();
        changed.extend(message.state.as_ref().map(|_| seq));
        digest.part(Part::Messages).add(&(seq, message.state, message.text, message.position.0))?;
    }
    let reactions = store.reactions(conversation, changed, None, REACTIONS).await?;
    require_less(reactions.len(), REACTIONS, conversation)?;
    for reaction in reactions {
        digest.part(Part::Reactions).add(&reaction)?;
    }
    Ok(())
}

fn require_less(found: usize, limit: usize, conversation: &ConversationId) -> Result<()> {
    if found < limit {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, format!("{conversation} has {limit} rows of one kind or more")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_tell_things_apart_and_not_their_order() {
        let tally = |things: &[&str]| {
            let mut tally = Tally::default();
            things.iter().try_for_each(|thing| tally.add(thing)).unwrap();
            tally
        };
        assert_eq!(tally(&["a", "b"]), tally(&["b", "a"]));
        assert_ne!(tally(&["a", "b"]), tally(&["a", "a"]));
        assert_ne!(tally(&["a"]), tally(&["a", "a"]));
    }

    #[test]
    fn parts_that_one_of_two_lacks_differ() {
        let (mut one, mut other) = (Digest::default(), Digest::default());
        one.part(Part::Events).add("a").unwrap();
        other.part(Part::Events).add("a").unwrap();
        other.part(Part::Rises);
        assert_eq!(one.differences(&other), []);
        other.part(Part::Rises).add("b").unwrap();
        one.part(Part::Events).add("c").unwrap();
        assert_eq!(one.differences(&other), [Part::Events, Part::Rises]);
        assert_eq!(other.differences(&one), [Part::Events, Part::Rises]);
    }
}
