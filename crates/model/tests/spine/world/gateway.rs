//! The gateway, which follows `events` and keeps a ring, and the one client that is cut and resumes.

use super::log::EventReader;
use super::rules::Rule;
use super::store::{RowKey, blank};
use super::{EPOCH, Shared, World, kind, step};
use chat4all_model::command::Content;
use chat4all_model::cursor::{Cursor, CursorKey, Page, Stage};
use chat4all_model::fact::{Fact, Interval, What};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::reader::Read;
use std::collections::{BTreeMap, VecDeque};

/// Records that a ring holds, events that a page holds.
const RING: usize = 5;
const PAGE: usize = 3;

/// A process that follows `events`.
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) readers: Vec<EventReader>,
    ring: Vec<VecDeque<(u64, Vec<Fact>)>>,
    /// Per partition, the first offset of which nothing is missing.
    ring_from: Vec<u64>,
    /// Whether what concerns the user's membership is noted, and whether its memberships are read too.
    registered: bool,
    pub(crate) loaded: bool,
    index: BTreeMap<ConversationId, BTreeMap<u64, Interval>>,
}

/// An event as it was given.
pub(crate) struct Given {
    pub(crate) shown: String,
    /// The partition was known up to here by whoever gave it.
    pub(crate) known: u64,
}

/// A history page as it was given.
pub(crate) struct HistoryRead {
    pub(crate) conversation: ConversationId,
    pub(crate) heard: u64,
    /// Texts by the messages' `seq`.
    pub(crate) texts: BTreeMap<u64, Option<String>>,
}

/// Whether any interval contains `seq`.
pub(crate) fn inside(intervals: &[Interval], seq: u64) -> bool {
    intervals.iter().any(|i| i.contains(seq))
}

fn present(intervals: &[Interval]) -> bool {
    intervals.iter().any(|i| i.to.is_none())
}

/// Intervals that a fact opens or closes.
pub(crate) fn changed_intervals(fact: &Fact) -> &[Interval] {
    match &fact.what {
        What::Created { members, .. } | What::Added { members } | What::Removed { members, .. } => members,
        _ => &[],
    }
}

/// An event's content as somebody with these intervals may see it.
pub(crate) fn shown(fact: &Fact, intervals: &[Interval], mask: bool) -> String {
    let content = match &fact.what {
        What::Message { content, .. } => (*content != Content::default()).then(|| format!("{content:?}")),
        What::Edited { text, .. } => text.as_ref().map(ToString::to_string),
        What::Reacted { emoji, removed, .. } => Some(format!("{emoji}{removed}")),
        What::Deleted { .. } | What::Receipt { .. } | What::Settings { .. } | What::Rejected { .. } => None,
        What::Renamed { about } => Some(format!("{:?}", about.name)),
        What::RoleSet { member } => Some(format!("{:?}", member.user)),
        What::Created { members, .. } | What::Added { members } | What::Removed { members, .. } => {
            Some(format!("{:?}", members.iter().map(|m| &m.user).collect::<Vec<_>>()))
        }
    };
    let hidden = mask && target(fact).is_some_and(|seq| !inside(intervals, seq));
    match content {
        Some(content) if !hidden => format!("{} {content}", kind(fact)),
        _ => kind(fact).to_owned(),
    }
}

/// The message that an event is about.
pub(crate) fn target(fact: &Fact) -> Option<u64> {
    match &fact.what {
        What::Edited { target, .. } | What::Deleted { target, .. } | What::Reacted { target, .. } => {
            Some(target.at.seq)
        }
        _ => None,
    }
}

impl World {
    pub(crate) fn start_gateway(&mut self) {
        let readers: Vec<EventReader> = (0..self.partitions()).map(|p| self.reader(p)).collect();
        self.gateway = Gateway {
            ring: readers.iter().map(|_| VecDeque::new()).collect(),
            ring_from: readers.iter().map(|r| r.progress().next()).collect(),
            readers,
            ..Gateway::default()
        };
        self.say(|w| format!("gateway starts at {:?}", w.gateway.ring_from));
    }

    /// Forgets a user's index, as a minute after the last socket.
    pub(crate) fn unregister(&mut self) {
        (self.gateway.registered, self.gateway.loaded) = (false, false);
        self.gateway.index.clear();
    }

    pub(crate) fn heard(&self, partition: usize) -> u64 {
        self.gateway.readers[partition].progress().next()
    }

    fn note(&mut self, conversation: &ConversationId, interval: Interval) {
        let rejoins = self.on(Rule::Rejoins);
        let entries = self.gateway.index.entry(conversation.clone()).or_default();
        let newer = match entries.get(&interval.from.seq) {
            None => true,
            Some(known) if rejoins => interval.supersedes(known),
            Some(known) => known.to.is_none(),
        };
        if newer {
            entries.insert(interval.from.seq, interval);
        }
    }

    /// Reads the next record of `events`, keeps it in the ring and gives it to the live session.
    pub(crate) fn follow(&mut self, partition: usize) {
        let log = &self.events[partition];
        let Some((offset, read)) = self.gateway.readers[partition].next(log) else { return };
        if let Read::Facts(facts) = read {
            self.keep(partition, offset, &facts.facts);
            for (index, fact) in facts.facts.iter().enumerate() {
                let user = self.user.clone();
                for interval in changed_intervals(fact).iter().filter(|i| i.user == user) {
                    if self.gateway.registered {
                        self.note(&fact.conversation, interval.clone());
                    }
                }
                if self.live {
                    self.deliver(partition, offset, (index, fact), "live");
                }
            }
        }
        if self.live {
            let next = &mut self.cursor.next[partition];
            *next = (*next).max(offset + 1);
        }
    }

    fn keep(&mut self, partition: usize, offset: u64, facts: &[Fact]) {
        let blanks = self.on(Rule::Blank);
        let gateway = &mut self.gateway;
        let ring = &mut gateway.ring[partition];
        ring.push_back((offset, facts.to_vec()));
        if ring.len() > RING
            && let Some((gone, _)) = ring.pop_front()
        {
            gateway.ring_from[partition] = gone + 1;
        }
        for fact in facts {
            if let What::Deleted { target, state } = &fact.what
                && blanks
            {
                let texts = |seq| seq == target.at.seq || state.edits.contains(&seq);
                let kept = ring.iter_mut().flat_map(|(_, facts)| facts);
                kept.filter(|f| f.conversation == fact.conversation && texts(f.seq())).for_each(blank);
            }
        }
    }

    fn deliver(&mut self, partition: usize, offset: u64, (index, fact): (usize, &Fact), how: &str) {
        if offset < self.cursor.next[partition] {
            return;
        }
        let entries = self.gateway.index.get(&fact.conversation);
        let intervals: Vec<Interval> = entries.into_iter().flat_map(|e| e.values().cloned()).collect();
        if let What::Rejected { .. } = fact.what {
            if fact.actor == self.user && (self.on(Rule::RejectionsByActor) || present(&intervals)) {
                self.told.insert((partition, offset, index));
            }
        } else if fact.seq() > 0 && self.sees(&intervals, fact.seq()) {
            // What one record says and takes back may be given live: both arrive together.
            let known = if self.live { offset } else { self.heard(partition) };
            self.give(fact, &intervals, known, how);
        }
    }

    fn sees(&self, intervals: &[Interval], seq: u64) -> bool {
        if self.on(Rule::Clip) { inside(intervals, seq) } else { present(intervals) }
    }

    fn give(&mut self, fact: &Fact, intervals: &[Interval], known: u64, how: &str) {
        let key = (fact.conversation.clone(), fact.seq());
        self.say(|w| format!("{} is given {}:{} {} by {how}", w.user, key.0, key.1, kind(fact)));
        if !self.given.contains_key(&key) {
            self.order.push(key.clone());
        }
        let shown = shown(fact, intervals, self.on(Rule::Mask));
        self.given.entry(key).or_default().push(Given { shown, known });
    }
}

/// A connection up to going live: index, catch-up from the store if the ring is too short, the ring.
pub(crate) async fn session(world: Shared) {
    let (key, sealed, user) = {
        let mut w = world.borrow_mut();
        let key = CursorKey::new([7; 32]);
        w.online = true;
        w.say(|w| format!("{} connects with {:?}", w.user, w.cursor));
        let sealed = key.seal(&w.cursor, &w.user);
        (key, sealed, w.user.clone())
    };
    step().await;
    register(&world, &user).await;
    world.borrow_mut().cursor = key.open(&sealed, &user).expect("the cursor that was given");
    loop {
        let behind = {
            let w = world.borrow();
            w.cursor.page.is_some() || (0..w.partitions()).any(|p| w.gateway.ring_from[p] > w.cursor.next[p])
        };
        if !behind {
            break;
        }
        page(&world, &user).await;
        step().await;
    }
    let mut w = world.borrow_mut();
    for partition in 0..w.partitions() {
        let ring = w.gateway.ring[partition].clone();
        for (offset, facts) in &ring {
            for at in facts.iter().enumerate() {
                w.deliver(partition, *offset, at, "ring");
            }
        }
        w.cursor.next[partition] = w.cursor.next[partition].max(w.heard(partition));
    }
    w.live = true;
    w.say(|w| format!("{} is live at {:?}", w.user, w.cursor.next));
}

async fn register(world: &Shared, user: &UserId) {
    if world.borrow().gateway.loaded {
        return;
    }
    let heard: Vec<u64> = {
        let mut w = world.borrow_mut();
        w.gateway.registered = true;
        (0..w.partitions()).map(|p| w.heard(p)).collect()
    };
    let stored = |w: &World| (0..w.partitions()).all(|p| w.progress(p).next() >= heard[p]);
    while world.borrow().on(Rule::WaitIndex) && !stored(&world.borrow()) {
        step().await;
    }
    let conversations = world.borrow().conversations.clone();
    for conversation in &conversations {
        {
            let mut w = world.borrow_mut();
            for interval in w.store.intervals(conversation, user) {
                w.note(conversation, interval);
            }
        }
        step().await;
    }
    world.borrow_mut().gateway.loaded = true;
}

/// One page of a catch-up from the store.
async fn page(world: &Shared, user: &UserId) {
    let (from, to, start) = {
        let w = world.borrow();
        let end = |p| if w.on(Rule::EndAtProgress) { w.progress(p).next() } else { w.heard(p) };
        match w.cursor.page.clone() {
            Some(Page { to, stage: Stage::Events { conversation: Some(conversation), seq } }) => {
                (w.cursor.next.clone(), to, Some((conversation, seq)))
            }
            Some(page) => unreachable!("a stage that no page here has: {page:?}"),
            None => (w.cursor.next.clone(), (0..w.partitions()).map(end).collect(), None),
        }
    };
    step().await;
    let conversations = world.borrow().conversations.clone();
    let first = start.as_ref().map_or(0, |(c, _)| conversations.iter().position(|k| k == c).expect("known"));
    let mut left = PAGE;
    for conversation in &conversations[first..] {
        let partition = world.borrow().partition(conversation);
        let intervals = world.borrow().store.intervals(conversation, user);
        step().await;
        let mut seq = start.as_ref().filter(|(c, _)| c == conversation).map_or(0, |(_, seq)| *seq);
        loop {
            {
                let mut w = world.borrow_mut();
                let Some((position, event)) = w.store.event(conversation, seq + 1) else { break };
                if left == 0 {
                    let stage = Stage::Events { conversation: Some(conversation.clone()), seq };
                    let page = Page { to, stage };
                    w.cursor = Cursor { epoch: EPOCH, next: from, page: Some(page) };
                    return;
                }
                seq += 1;
                let offset = chat4all_model::rows::Position(position).offset();
                if (from[partition]..to[partition]).contains(&offset) && w.sees(&intervals, seq) {
                    w.give(&event, &intervals, to[partition], "store");
                    left -= 1;
                }
                if w.choose(4) > 0 {
                    continue;
                }
            }
            step().await;
        }
    }
    let mut w = world.borrow_mut();
    if w.on(Rule::RejectionsByActor) {
        let mine = w.store.rows.keys().filter_map(|key| match key {
            RowKey::Rejected(actor, p, at, index) if actor == user => {
                let offset = chat4all_model::rows::Position(*at).offset();
                (from[*p]..to[*p]).contains(&offset).then_some((*p, offset, *index))
            }
            _ => None,
        });
        let mine: Vec<_> = mine.collect();
        w.told.extend(mine);
    }
    let next = from.iter().zip(&to).map(|(a, b)| *a.max(b)).collect();
    w.cursor = Cursor { epoch: EPOCH, next, page: None };
    w.say(|w| format!("caught up to {:?}", w.cursor.next));
}

/// One message of a page as its rows were read.
struct Row {
    seq: u64,
    first: Option<String>,
    /// The edits, none if deleted.
    edits: Option<Vec<u64>>,
    text: Option<String>,
}

/// A page of history, all of a conversation.
pub(crate) async fn history(world: Shared, conversation: ConversationId) {
    let (partition, heard, user) = {
        let w = world.borrow();
        let partition = w.partition(&conversation);
        (partition, w.heard(partition), w.user.clone())
    };
    while world.borrow().on(Rule::WaitHistory) && world.borrow().progress(partition).next() < heard {
        step().await;
    }
    let mut intervals = world.borrow().store.intervals(&conversation, &user);
    step().await;
    let (rows, top) = read_rows(&world, &conversation).await;
    if world.borrow().on(Rule::MembershipLast) {
        while world.borrow().progress(partition).next() < top {
            step().await;
        }
        intervals = world.borrow().store.intervals(&conversation, &user);
    }
    let mut w = world.borrow_mut();
    let mut texts = BTreeMap::new();
    for row in rows {
        let clip = w.on(Rule::Clip);
        if intervals.is_empty() || (clip && !inside(&intervals, row.seq)) {
            continue;
        }
        let text = match &row.edits {
            None => None,
            Some(edits) if edits.last().is_some_and(|seq| inside(&intervals, *seq)) => row.text,
            // Edited outside my intervals: as it was inside them.
            Some(edits) => match edits.iter().rev().find(|seq| inside(&intervals, **seq)) {
                Some(seq) => w.store.event(&conversation, *seq).and_then(|(_, event)| text_of(&event)),
                None => row.first,
            },
        };
        texts.insert(row.seq, text);
    }
    w.say(|w| format!("{} reads {conversation}: {texts:?}, having heard {heard}", w.user));
    w.reads.push(HistoryRead { conversation, heard, texts });
}

fn text_of(event: &Fact) -> Option<String> {
    match &event.what {
        What::Message { content, .. } => content.text.as_ref().map(ToString::to_string),
        What::Edited { text, .. } => text.as_ref().map(ToString::to_string),
        _ => None,
    }
}

/// The rows of all messages and the offset past the newest of them.
async fn read_rows(world: &Shared, conversation: &ConversationId) -> (Vec<Row>, u64) {
    let (mut rows, mut top) = (Vec::new(), 0);
    let mut seq = 1;
    loop {
        let Some((at, event)) = world.borrow().store.event(conversation, seq) else { break };
        if !matches!(event.what, What::Message { .. }) {
            seq += 1;
            continue;
        }
        pause(world).await;
        let state = world.borrow().store.state(conversation, seq);
        pause(world).await;
        let text = world.borrow().store.text(conversation, seq);
        pause(world).await;
        // A text of another edit than the state's, whose place is not known: read again.
        let known = state.as_ref().filter(|(_, s)| s.deleted_at.is_none() && !s.edits.is_empty());
        if let Some((_, state)) = known
            && world.borrow().on(Rule::TextOfState)
        {
            let hash = text.as_ref().map(|(_, text)| chat4all_model::command::text_hash(text));
            if hash != Some(state.text_hash) {
                step().await;
                continue;
            }
        }
        let positions = [Some(at), state.as_ref().map(|s| s.0), text.as_ref().map(|t| t.0)];
        let newest = positions.into_iter().flatten().max().unwrap_or(0);
        top = top.max(chat4all_model::rows::Position(newest).offset() + 1);
        rows.push(Row {
            seq,
            first: text_of(&event),
            edits: match state {
                None => Some(Vec::new()),
                Some((_, state)) => state.deleted_at.is_none().then_some(state.edits),
            },
            text: text.map(|(_, text)| text.to_string()),
        });
        seq += 1;
    }
    (rows, top)
}

async fn pause(world: &Shared) {
    let wait = world.borrow_mut().choose(3) == 0;
    if wait {
        step().await;
    }
}
