//! What the hub keeps under its one lock: the rings and the index, and how facts go from one to the other.

use super::encode::{self, Form};
use super::index::{Index, Posting};
use super::ring::{Entry, Ring};
use super::session::{Cut, Session};
use bytes::Bytes;
use chat4all_model::api::Event;
use chat4all_model::command::Count;
use chat4all_model::fact::{Fact, What};
use chat4all_model::id::{ConversationId, UserId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many facts one page of the ring looks at.
pub(super) const PAGE_FACTS: usize = 256;
/// About how many bytes it gives.
const PAGE_BYTES: usize = 256 * 1024;
/// How many facts of a conversation are looked at for the last one that was delivered.
const MAX_LOOK_BACK: usize = 4096;

/// The rings of all partitions and the index.
#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Index,
    pub(super) rings: Vec<Ring>,
    max_bytes: usize,
    /// Refused commands by actor, who need not be a member: `(partition, serial)`.
    rejected: HashMap<UserId, VecDeque<(u32, u64)>>,
}

/// Whom to wake after the lock is let go, and how many frames were queued.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) wake: Vec<Arc<Session>>,
    pub(super) deliveries: u64,
}

/// A page of the ring for one user.
#[derive(Debug, Default)]
pub(super) struct Picked {
    /// What to give: `(partition, serial, form)`.
    pub(super) given: Vec<(u32, u64, Form)>,
    /// Where the next page starts.
    pub(super) next: Vec<u64>,
    /// There is none.
    pub(super) done: bool,
}

impl State {
    pub(super) fn new(partitions: u32, max_bytes: usize) -> Self {
        let rings = (0..partitions).map(|_| Ring::new(0)).collect();
        Self { index: Index::default(), rings, max_bytes, rejected: HashMap::new() }
    }

    pub(super) fn ring_bytes(&self) -> usize {
        self.rings.iter().map(|ring| ring.bytes).sum()
    }

    /// Forgets a partition, whose next record will be read at `start`, and ends all sessions: they would
    /// miss what lies between.
    pub(super) fn restart(&mut self, partition: u32, start: u64) {
        while self.evict(partition) {}
        if let Some(ring) = self.rings.get_mut(partition as usize) {
            (ring.start, ring.next) = (start, start);
        }
        for user in self.index.users() {
            for attached in &user.sessions {
                attached.session.cut(Cut::Restart);
            }
        }
    }

    /// Takes a record that counts.
    pub(super) fn hear(&mut self, partition: u32, offset: u64, record: &Arc<[Fact]>, applied: &mut Applied) {
        for (at, fact) in record.iter().enumerate() {
            let conversation = self.index.intern(&fact.conversation, partition);
            self.index.hear(conversation, fact);
            if let What::Deleted { target, state } = &fact.what {
                self.blank(partition, conversation, std::iter::once(&target.at.seq).chain(&state.edits));
            }
            let Some(ring) = self.rings.get_mut(partition as usize) else { return };
            let serial = ring.push(Entry::new(offset, record, at, conversation));
            if let Some(entry) = self.index.conversation_mut(conversation) {
                entry.heard = offset;
                let before = entry.recent.back().map_or(0, |posting| posting.seq);
                entry.recent.push_back(Posting { seq: before.max(fact.seq()), serial });
            }
            if let What::Rejected { .. } = fact.what {
                self.rejected.entry(fact.actor.clone()).or_default().push_back((partition, serial));
            }
            if let Some(entry) = ring.get_mut(serial) {
                deliver(&self.index, entry, applied);
            }
        }
        while self.ring_bytes() > self.max_bytes {
            let fullest = (0..).zip(&self.rings).max_by_key(|(_, ring)| ring.bytes).map_or(0, |(p, _)| p);
            if !self.evict(fullest) {
                break;
            }
        }
    }

    /// Everything before `next` has been heard of a partition.
    pub(super) fn heard(&mut self, partition: u32, next: u64) {
        if let Some(ring) = self.rings.get_mut(partition as usize) {
            ring.next = ring.next.max(next);
        }
    }

    fn blank<'a>(&mut self, partition: u32, conversation: u32, seqs: impl Iterator<Item = &'a u64>) {
        let Some(entry) = self.index.conversation(conversation) else { return };
        let Some(ring) = self.rings.get_mut(partition as usize) else { return };
        for seq in seqs {
            let at = entry.recent.partition_point(|posting| posting.seq < *seq);
            let event = entry.recent.get(at).and_then(|posting| ring.get_mut(posting.serial));
            if let Some(event) = event.filter(|event| event.fact().seq() == *seq) {
                event.blank();
            }
        }
    }

    fn evict(&mut self, partition: u32) -> bool {
        let Some((serial, entry)) = self.rings.get_mut(partition as usize).and_then(Ring::pop) else {
            return false;
        };
        if let Some(conversation) = self.index.conversation_mut(entry.conversation) {
            while conversation.recent.front().is_some_and(|posting| posting.serial <= serial) {
                conversation.recent.pop_front();
            }
        }
        self.index.release(entry.conversation);
        let fact = entry.fact();
        if matches!(fact.what, What::Rejected { .. })
            && let Some(postings) = self.rejected.get_mut(&fact.actor)
        {
            postings.retain(|posting| *posting != (partition, serial));
            if postings.is_empty() {
                self.rejected.remove(&fact.actor);
            }
        }
        true
    }

    /// What the ring has for a user after `from`; none if it does not reach back so far.
    pub(super) fn pick(&self, user: u32, from: &[u64], limit: usize) -> Option<Picked> {
        if self.rings.len() != from.len()
            || self.rings.iter().zip(from).any(|(ring, from)| *from < ring.start)
        {
            return None;
        }
        let entry = self.index.user(user)?;
        let starts: Vec<u64> =
            self.rings.iter().zip(from).map(|(ring, from)| ring.serial_at(*from)).collect();
        let all: u64 = self.rings.iter().zip(&starts).map(|(ring, start)| ring.end_serial() - start).sum();
        let few = all <= 2 * entry.conversations.len() as u64;
        let mut candidates: Vec<Vec<u64>> = vec![Vec::new(); from.len()];
        if few {
            for ((list, ring), start) in candidates.iter_mut().zip(&self.rings).zip(&starts) {
                prefix(ring, *start..ring.end_serial(), list);
            }
        } else {
            let postings = |number: &u32| self.index.conversation(*number);
            for conversation in entry.conversations.iter().filter_map(postings) {
                let p = conversation.partition as usize;
                let at = conversation.recent.partition_point(|posting| posting.serial < starts[p]);
                let newer = conversation.recent.range(at..).map(|posting| posting.serial);
                prefix(&self.rings[p], newer, &mut candidates[p]);
            }
            for (p, serial) in self.rejected.get(&entry.id).into_iter().flatten() {
                if *serial >= starts[*p as usize] {
                    candidates[*p as usize].push(*serial);
                }
            }
        }
        Some(self.page(user, &entry.id, from, candidates, limit))
    }

    /// The first of these candidates, whole records at a time.
    fn page(&self, user: u32, id: &UserId, from: &[u64], candidates: Vec<Vec<u64>>, limit: usize) -> Picked {
        let mut picked = Picked { given: Vec::new(), next: from.to_vec(), done: true };
        let (mut facts, mut bytes) = (0, 0);
        for ((p, ring), mut list) in (0_u32..).zip(&self.rings).zip(candidates) {
            list.sort_unstable();
            list.dedup();
            let next = &mut picked.next[p as usize];
            let mut last: Option<u64> = None;
            for serial in list {
                let Some(entry) = ring.get(serial) else { continue };
                let full = facts >= PAGE_FACTS || bytes >= PAGE_BYTES || picked.given.len() >= limit;
                if full && last != Some(entry.offset) {
                    // What lies before is either given or not for this user.
                    *next = (*next).max(entry.offset);
                    picked.done = false;
                    break;
                }
                (facts, last) = (facts + 1, Some(entry.offset));
                if let Some(form) = self.form(user, id, entry) {
                    bytes += entry.size();
                    picked.given.push((p, serial, form));
                }
            }
            if picked.done {
                *next = (*next).max(ring.next);
            }
        }
        picked
    }

    /// In which form a user who catches up gets an entry. Of receipts, one's own alone are caught up.
    fn form(&self, user: u32, id: &UserId, entry: &Entry) -> Option<Form> {
        let fact = entry.fact();
        let current =
            matches!(fact.what, What::Receipt { .. } | What::Settings { .. } | What::Rejected { .. });
        if current {
            return (fact.actor == *id).then_some(Form::Plain);
        }
        let sight = self.index.conversation(entry.conversation)?.members.get(&user)?;
        encode::form(fact, id, sight)
    }

    /// The frames of a page.
    pub(super) fn frames(&mut self, picked: &Picked) -> Vec<Bytes> {
        let mut frames = Vec::with_capacity(picked.given.len());
        for (p, serial, form) in &picked.given {
            let entry = self.rings.get_mut(*p as usize).and_then(|ring| ring.get_mut(*serial));
            frames.extend(entry.map(|entry| entry.frame(*form)));
        }
        frames
    }

    /// The events of a page.
    pub(super) fn events(&self, picked: &Picked) -> Vec<Event> {
        let entry = |p: u32, serial| self.rings.get(p as usize)?.get(serial);
        let given = picked.given.iter();
        given
            .filter_map(|(p, serial, form)| {
                let entry = entry(*p, *serial)?;
                Some(encode::event_in(entry.fact(), *form, entry.is_blank()))
            })
            .collect()
    }
}

impl State {
    /// The last message by somebody else that a user was given of each conversation, among the records between
    /// two positions; none if the rings do not reach back so far.
    pub(super) fn received(
        &self,
        user: u32,
        id: &UserId,
        from: &[u64],
        to: &[u64],
    ) -> Option<Vec<(ConversationId, Count)>> {
        let short = from.len() != self.rings.len() || to.len() != self.rings.len();
        if short || self.rings.iter().zip(from).any(|(ring, from)| *from < ring.start) {
            return None;
        }
        let bounds = |p: usize| (self.rings[p].serial_at(from[p]), self.rings[p].serial_at(to[p]));
        let bounds: Vec<(u64, u64)> = (0..self.rings.len()).map(bounds).collect();
        let mut received = Vec::new();
        for number in &self.index.user(user)?.conversations {
            let Some(conversation) = self.index.conversation(*number) else { continue };
            let Some(sight) = conversation.members.get(&user) else { continue };
            let (first, end) = bounds[conversation.partition as usize];
            let upto = conversation.recent.partition_point(|posting| posting.serial < end);
            let ring = &self.rings[conversation.partition as usize];
            let newest_first = conversation.recent.range(..upto).rev().take(MAX_LOOK_BACK);
            let mut given = newest_first
                .take_while(|posting| posting.serial >= first)
                .filter_map(|posting| Some(ring.get(posting.serial)?.fact()))
                .filter(|fact| matches!(fact.what, What::Message { .. }) && fact.actor != *id);
            if let Some(fact) = given.find(|fact| sight.contains(fact.seq())) {
                received.push((fact.conversation.clone(), Count { seq: fact.seq(), n: fact.n() }));
            }
        }
        Some(received)
    }
}

/// The first serials: a page of them to the end of their last record, and one more to show that there are more.
fn prefix(ring: &Ring, serials: impl Iterator<Item = u64>, list: &mut Vec<u64>) {
    let (mut taken, mut last) = (0, None);
    for serial in serials {
        let offset = ring.get(serial).map(|entry| entry.offset);
        list.push(serial);
        if taken > PAGE_FACTS && last != offset {
            break;
        }
        (taken, last) = (taken + 1, offset);
    }
}

/// Queues a fact for every connected user who may see it.
fn deliver(index: &Index, entry: &mut Entry, applied: &mut Applied) {
    let Some(conversation) = index.conversation(entry.conversation) else { return };
    let fact = entry.fact();
    let actor_only = match &fact.what {
        What::Receipt { rises, .. } => !(rises.delivered || rises.read),
        What::Settings { .. } | What::Rejected { .. } => true,
        _ => false,
    };
    if actor_only {
        if let Some(user) = index.user_number(&fact.actor) {
            queue(index, user, entry, Form::Plain, applied, &mut None);
        }
        return;
    }
    let mut last = None;
    for (number, sight) in &conversation.members {
        let Some(user) = index.user(*number) else { continue };
        if user.sessions.is_empty() {
            continue;
        }
        if let Some(form) = encode::form(entry.fact(), &user.id, sight) {
            queue(index, *number, entry, form, applied, &mut last);
        }
    }
}

/// Queues it for a user's live sessions. `last` is the frame made last, for the next user of the same form.
fn queue(
    index: &Index,
    user: u32,
    entry: &mut Entry,
    form: Form,
    applied: &mut Applied,
    last: &mut Option<(Form, Bytes)>,
) {
    let sessions = index.user(user).map_or(&[][..], |user| user.sessions.as_slice());
    for attached in sessions.iter().filter(|attached| attached.live) {
        if last.as_ref().is_none_or(|(made, _)| *made != form) {
            *last = Some((form, entry.frame(form)));
        }
        if let Some((_, frame)) = last {
            applied.deliveries += 1;
            if attached.session.push(frame) {
                applied.wake.push(Arc::clone(&attached.session));
            }
        }
    }
}
