//! Judges the evidence. Pure, so that its own tests can spoil a good history in every way it must notice.

use super::evidence::{Entry, Evidence, Journal, Promise, Step, View, What};
use super::findings::{Findings, Kind};
use super::fold::Fold;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is wrong with it.
#[must_use]
pub fn check(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for (conversation, log) in &evidence.logs {
        whole_log(conversation, log, &mut findings);
    }
    let index = Index::new(evidence);
    for journal in &evidence.journals {
        promises(journal, evidence, &index, &mut findings);
        stream(journal, evidence, &mut findings);
        for _ in 0..journal.holes {
            findings.add(Kind::Hole, || format!("{}: {} in all", journal.user, journal.holes));
        }
        for what in &journal.unanswered {
            findings.add(Kind::Unanswered, || format!("{}: {what}", journal.user));
        }
        for what in &journal.key_faults {
            findings.add(Kind::Key, || format!("{}: {what}", journal.user));
        }
        for _ in 0..journal.codes.get("internal").copied().unwrap_or(0) {
            findings.add(Kind::Crash, || format!("{} was answered `internal`", journal.user));
        }
        for what in &journal.markers_back {
            findings.add(Kind::MarkerBack, || format!("{}: {what}", journal.user));
        }
    }
    texts_agree(evidence, &mut findings);
    for view in &evidence.views {
        shown(view, evidence, &mut findings);
    }
    findings
}

/// What the logs hold, by message.
#[derive(Default)]
struct Index<'a> {
    messages: HashMap<&'a str, (&'a str, &'a Entry)>,
    texts: HashSet<&'a str>,
    edits: HashMap<&'a str, Vec<&'a Entry>>,
    deleted: HashSet<&'a str>,
    reactions: HashSet<(&'a str, &'a str, &'a str)>,
}

impl<'a> Index<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let mut index = Self::default();
        for (conversation, log) in &evidence.logs {
            for entry in log {
                index.take(conversation, entry);
            }
        }
        index
    }

    fn take(&mut self, conversation: &'a str, entry: &'a Entry) {
        match &entry.what {
            What::Message { id, text } => {
                self.messages.insert(id, (conversation, entry));
                self.texts.extend(text.as_deref());
            }
            What::Edited { target, .. } => self.edits.entry(target).or_default().push(entry),
            What::Deleted { target } => {
                self.deleted.insert(target);
            }
            What::Reacted { target, emoji: Some(emoji), removed: false } => {
                self.reactions.insert((target, &entry.actor, emoji));
            }
            _ => {}
        }
    }
}

/// Dense, and each message and text once.
fn whole_log(conversation: &str, log: &[Entry], findings: &mut Findings) {
    let (mut ids, mut texts) = (HashSet::new(), HashSet::new());
    let mut last = 0;
    for entry in log {
        if entry.seq > last + 1 {
            findings.add(Kind::Gap, || format!("{conversation}: {} after {last}", entry.seq));
        } else if entry.seq <= last {
            findings.add(Kind::Duplicated, || format!("{conversation}: {} after {last}", entry.seq));
        }
        last = entry.seq;
        if let What::Message { id, text } = &entry.what {
            let twice = !ids.insert(id) | text.as_ref().is_some_and(|text| !texts.insert(text));
            if twice {
                findings.add(Kind::Duplicated, || format!("{conversation}: {} is {id} again", entry.seq));
            }
        }
        if let What::Edited { text: Some(text), .. } = &entry.what
            && !texts.insert(text)
        {
            findings.add(Kind::Duplicated, || format!("{conversation}: {} edits to {text} again", entry.seq));
        }
    }
}

fn promises(journal: &Journal, evidence: &Evidence, index: &Index<'_>, findings: &mut Findings) {
    let rejected: HashSet<&str> = journal.rejected.iter().map(String::as_str).collect();
    for promise in &journal.promises {
        let lost = match promise {
            Promise::Sent { key, id, conversation, text } => match index.messages.get(id.as_str()) {
                None => !rejected.contains(key.as_str()),
                Some((there, entry)) => {
                    let sent = entry.actor == journal.user && there == conversation;
                    if !sent || entry.text().is_some_and(|shown| shown != text) {
                        findings.add(Kind::Renumbered, || format!("{id} is not what was sent: {entry:?}"));
                    }
                    false
                }
            },
            Promise::Edited { key, id, text } => {
                let edits = index.edits.get(id.as_str()).map(Vec::as_slice).unwrap_or_default();
                // The texts of a deleted message are gone; that there were edits still shows.
                let there = edits
                    .iter()
                    .any(|entry| entry.text().map_or(index.deleted.contains(id.as_str()), |t| t == text));
                !there && !rejected.contains(key.as_str())
            }
            Promise::Deleted { key, id } => {
                !index.deleted.contains(id.as_str()) && !rejected.contains(key.as_str())
            }
            Promise::Reacted { key, id, emoji } => {
                let there = index.reactions.contains(&(id.as_str(), journal.user.as_str(), emoji.as_str()));
                !there && !rejected.contains(key.as_str())
            }
        };
        if lost {
            findings.add(Kind::Lost, || format!("{}: {promise:?}", journal.user));
        }
    }
    for (conversation, text) in &journal.refused {
        let always_there = evidence
            .logs
            .get(conversation)
            .is_some_and(|log| matches!(intervals(log, &journal.user)[..], [(1, u64::MAX)]));
        // Who was removed meanwhile is refused at the second try of what the first had stored.
        if always_there && index.texts.contains(text.as_str()) {
            findings.add(Kind::RefusedButThere, || format!("{}: {text}", journal.user));
        }
    }
}

/// What came over the connection: in order, once, all of it, nothing else.
fn stream(journal: &Journal, evidence: &Evidence, findings: &mut Findings) {
    let mut by_conversation: BTreeMap<&str, Vec<Option<&Entry>>> = BTreeMap::new();
    for step in &journal.steps {
        match step {
            Step::Entry { conversation, entry } => {
                by_conversation.entry(conversation).or_default().push(Some(entry));
            }
            Step::Resumed => by_conversation.values_mut().for_each(|seen| seen.push(None)),
        }
    }
    for (conversation, log) in &evidence.logs {
        let seen = by_conversation.remove(conversation.as_str()).unwrap_or_default();
        let about = |entry: &Entry| format!("{} in {conversation}: {entry:?}", journal.user);
        let member = intervals(log, &journal.user);
        let mut last = 0;
        let mut had = HashSet::new();
        for entry in &seen {
            let Some(entry) = entry else {
                last = 0;
                continue;
            };
            if entry.seq <= last {
                let kind = if entry.seq == last { Kind::Duplicated } else { Kind::Reordered };
                findings.add(kind, || about(entry));
            }
            last = entry.seq;
            had.insert(entry.seq);
            if !within(&member, entry.seq) {
                findings.add(Kind::Foreign, || about(entry));
            }
            if !at(log, entry.seq).is_some_and(|there| there.same(entry)) {
                findings.add(Kind::Renumbered, || about(entry));
            }
        }
        for entry in log.iter().filter(|entry| within(&member, entry.seq) && !had.contains(&entry.seq)) {
            findings.add(unseen(entry), || about(entry));
        }
    }
    for (conversation, seen) in by_conversation {
        for entry in seen.into_iter().flatten() {
            findings.add(Kind::Foreign, || format!("{} in {conversation}: {entry:?}", journal.user));
        }
    }
}

fn unseen(entry: &Entry) -> Kind {
    match entry.what {
        What::Edited { .. } => Kind::UnseenEdit,
        What::Deleted { .. } => Kind::UnseenDeletion,
        _ => Kind::Unseen,
    }
}

/// Whoever was given the text of an entry was given the same one.
fn texts_agree(evidence: &Evidence, findings: &mut Findings) {
    let mut texts: HashMap<(&str, u64), &str> = HashMap::new();
    let logs = evidence.logs.iter().flat_map(|(c, log)| log.iter().map(move |entry| (c, entry)));
    let seen = evidence.journals.iter().flat_map(|journal| &journal.steps).filter_map(|step| match step {
        Step::Entry { conversation, entry } => Some((conversation, entry)),
        Step::Resumed => None,
    });
    for (conversation, entry) in logs.chain(seen) {
        let Some(text) = entry.text() else { continue };
        if *texts.entry((conversation, entry.seq)).or_insert(text) != text {
            findings.add(Kind::Renumbered, || format!("{conversation} has two texts at {}", entry.seq));
        }
    }
}

/// What the server shows at the end is what the events made, and nothing from outside the membership.
fn shown(view: &View, evidence: &Evidence, findings: &mut Findings) {
    let Some(log) = evidence.logs.get(&view.conversation) else { return };
    let about = |what: &str| format!("{} in {}: {what}", view.user, view.conversation);
    let member = intervals(log, &view.user);
    for entry in &view.log {
        if !within(&member, entry.seq) {
            findings.add(Kind::Foreign, || about(&format!("paged {entry:?}")));
        } else if !at(log, entry.seq).is_some_and(|there| there.same(entry)) {
            findings.add(Kind::Renumbered, || about(&format!("paged {entry:?}")));
        }
    }
    let paged: HashSet<u64> = view.log.iter().map(|entry| entry.seq).collect();
    for entry in log.iter().filter(|entry| within(&member, entry.seq) && !paged.contains(&entry.seq)) {
        findings.add(unseen(entry), || about(&format!("not paged {entry:?}")));
    }
    for seq in view.messages.keys().filter(|seq| !within(&member, **seq)) {
        findings.add(Kind::Foreign, || about(&format!("shown the message at {seq}")));
    }
    let Some((from, to)) = member.last().copied() else { return };
    if let Some(journal) = evidence.journals.iter().find(|journal| journal.user == view.user) {
        let mut fold = Fold::default();
        for step in &journal.steps {
            if let Step::Entry { conversation, entry } = step
                && *conversation == view.conversation
            {
                fold.take(entry);
            }
        }
        let left = to != u64::MAX;
        let deleted = deleted_in(log);
        let expected = fold.shown(from);
        let got: BTreeMap<_, _> = view.messages.range(from..).collect();
        for (seq, message) in &expected {
            // Who left is not told of a later deletion, and finds it at the next refetch.
            let gone = left && deleted.contains(message.id.as_str());
            if got.get(seq).is_none_or(|shown| *shown != message && !gone) {
                findings.add(Kind::Differing, || about(&format!("{message:?} is {:?}", got.get(seq))));
            }
        }
        for (seq, message) in got.iter().filter(|(seq, _)| !expected.contains_key(seq)) {
            findings.add(Kind::Differing, || about(&format!("{message:?} at {seq} came by no event")));
        }
        // A mark from before the newest joining is confirmed and changes nothing.
        let marked = journal.read.get(&view.conversation).copied().filter(|seq| *seq >= from).unwrap_or(0);
        if view.read < marked {
            findings.add(Kind::MarkerBack, || about(&format!("{} after {marked}", view.read)));
        }
    }
    if to == u64::MAX {
        let recount = recount(log, &view.user, view.read.max(from.saturating_sub(1)));
        if recount != view.unread {
            findings.add(Kind::Unread, || about(&format!("{} instead of {recount}", view.unread)));
        }
    }
}

fn deleted_in(log: &[Entry]) -> HashSet<&str> {
    let deleted = log.iter().filter_map(|entry| match &entry.what {
        What::Deleted { target } => Some(target.as_str()),
        _ => None,
    });
    deleted.collect()
}

/// Messages after `read`, but none if all of them are one's own.
fn recount(log: &[Entry], user: &str, read: u64) -> u64 {
    let is_message = |entry: &&Entry| entry.seq > read && matches!(entry.what, What::Message { .. });
    let unread = || log.iter().filter(is_message);
    if unread().any(|entry| entry.actor != user) { unread().count() as u64 } else { 0 }
}

/// The entry at a `seq` of a whole log.
fn at(log: &[Entry], seq: u64) -> Option<&Entry> {
    let guess = usize::try_from(seq).ok()?.checked_sub(1)?;
    log.get(guess).filter(|entry| entry.seq == seq).or_else(|| log.iter().find(|entry| entry.seq == seq))
}

fn within(intervals: &[(u64, u64)], seq: u64) -> bool {
    intervals.iter().any(|(from, to)| (*from..=*to).contains(&seq))
}

/// When somebody was a member: first and last `seq` of each time, rising; the last is the largest number there is
/// for who still is one.
fn intervals(log: &[Entry], user: &str) -> Vec<(u64, u64)> {
    let mut intervals: Vec<(u64, u64)> = Vec::new();
    for entry in log {
        let open = intervals.last().is_some_and(|(_, to)| *to == u64::MAX);
        match &entry.what {
            What::Created { members } | What::Added { members }
                if !open && members.iter().any(|m| m == user) =>
            {
                intervals.push((entry.seq, u64::MAX));
            }
            What::Removed { members } if open && members.iter().any(|m| m == user) => {
                if let Some((_, to)) = intervals.last_mut() {
                    *to = entry.seq;
                }
            }
            _ => {}
        }
    }
    intervals
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
