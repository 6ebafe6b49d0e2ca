//! What must hold at the end: the law that everybody saw the same, complete and allowed thing.

use super::gateway::{inside, shown, target};
use super::log::{EventReader, INPUTS};
use super::router::Known;
use super::rules::Rule;
use super::store::{RowKey, Store, last_of_each, writes};
use super::{EPOCH, World, kind};
use chat4all_model::command::{Action, Command, Count};
use chat4all_model::decide::decide;
use chat4all_model::fact::{Fact, Interval, Markers, What};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Read;
use chat4all_model::record::{Facts, decode_command};
use chat4all_model::rows::Position;
use chat4all_model::unread::unread;
use std::collections::{BTreeMap, BTreeSet};

/// What the log says, folded command by command.
struct Truth {
    store: Store,
    /// Each conversation's events and where they stand.
    events: BTreeMap<ConversationId, Vec<(u64, Fact)>>,
    made: BTreeSet<RecordId>,
    rejected: BTreeSet<(usize, u64, usize)>,
    rejected_ids: BTreeSet<RecordId>,
    mine: BTreeSet<(usize, u64, usize)>,
    /// Each user's memberships by where they began.
    memberships: BTreeMap<(ConversationId, UserId), BTreeMap<u64, Interval>>,
}

pub(crate) fn check(world: &World) -> Result<(), String> {
    let mut truth = Truth {
        store: Store::default(),
        events: BTreeMap::new(),
        made: BTreeSet::new(),
        rejected: BTreeSet::new(),
        rejected_ids: BTreeSet::new(),
        mine: BTreeSet::new(),
        memberships: BTreeMap::new(),
    };
    for partition in 0..world.partitions() {
        fold(world, partition, &mut truth)?;
    }
    for id in &world.acked {
        if !truth.made.contains(id) && !truth.rejected_ids.contains(id) {
            return Err(format!("P1 acked and lost: {id}"));
        }
    }
    rows(world, &truth)?;
    for conversation in &world.conversations {
        given(world, &truth, conversation)?;
        counts(world, &truth, conversation)?;
    }
    if world.told != truth.mine {
        return Err(format!("P1 rejections told: {:?}, should be {:?}", world.told, truth.mine));
    }
    history(world, &truth)
}

/// Every counted record is what deciding its run of commands in the folded state gives.
fn fold(world: &World, partition: usize, truth: &mut Truth) -> Result<(), String> {
    let mut reader = EventReader::from_start(world.rules);
    let mut next = [0, 0];
    while let Some((offset, read)) = reader.next(&world.events[partition]) {
        let Read::Facts(record) = read else { continue };
        let input = usize::from(record.source.input != INPUTS[0]);
        if record.source.offset < next[input] {
            return Err(format!("P2 decided twice: {input}.{} of p{partition}", record.source.offset));
        }
        let mut want = Facts { facts: Vec::new(), dead: Vec::new(), ..record.clone() };
        while let Some((at, payload)) = world.inputs[partition][input].at_or_after(next[input]) {
            if at > record.source.offset {
                break;
            }
            next[input] = at + 1;
            match decode_command(payload) {
                Err(_) => want.dead.extend(record.dead.iter().find(|d| d.source.offset == at).cloned()),
                Ok(command) => {
                    let facts = decided(world, truth, &want, &command)?;
                    seen_only(truth, &want.facts, &command, &facts)?;
                    want.facts.extend(facts);
                }
            }
        }
        if want != record {
            return Err(format!(
                "P3 not what the true state gives: @{offset} of p{partition} {record:?}, but {want:?}"
            ));
        }
        take(world, truth, partition, offset, &record)?;
    }
    for (input, next) in next.into_iter().enumerate() {
        if let Some((at, payload)) = world.inputs[partition][input].at_or_after(next) {
            return Err(format!(
                "P1 never decided: {input}.{at} of p{partition} {:?}",
                decode_command(payload)
            ));
        }
    }
    Ok(())
}

/// What a command gives after the earlier ones of its run.
fn decided(world: &World, truth: &Truth, run: &Facts, command: &Command) -> Result<Vec<Fact>, String> {
    let values: Vec<_> = run.facts.iter().flat_map(chat4all_model::rows::values).collect();
    let state = |key: &_| {
        let newer = values.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.clone());
        newer.or_else(|| truth.store.value(key))
    };
    decide(&Known { state: &state, command, others: world.on(Rule::OthersInHead) }, command)
        .map_err(|torn| format!("P3 folded state is torn: {torn} at {command:?}"))
}

/// A send moves its sender's marker past the message only if no message by others lies between it and `seen`.
fn seen_only(truth: &Truth, run: &[Fact], command: &Command, facts: &[Fact]) -> Result<(), String> {
    let Action::Send(send) = &command.action else { return Ok(()) };
    let (Some(message), Some(What::Receipt { markers, .. })) =
        (facts.iter().find(|f| matches!(f.what, What::Message { .. })), facts.last().map(|f| &f.what))
    else {
        return Ok(());
    };
    let seen = send.seen.map_or(0, |at| at.seq);
    let before = truth.events.get(&command.conversation).into_iter().flatten().map(|(_, f)| f);
    let mut others = before.chain(run).filter(|f| {
        matches!(f.what, What::Message { .. })
            && f.conversation == command.conversation
            && f.actor != command.actor
            && f.seq() > seen
    });
    if markers.read.seq == message.seq() && others.next().is_some() {
        return Err(format!("MARK read what was never seen: {command:?} gave {markers:?}"));
    }
    Ok(())
}

fn take(
    world: &World,
    truth: &mut Truth,
    partition: usize,
    offset: u64,
    record: &Facts,
) -> Result<(), String> {
    for (index, fact) in record.facts.iter().enumerate() {
        let events = truth.events.entry(fact.conversation.clone()).or_default();
        if let Some(head) = &fact.head {
            let messages = events.iter().filter(|(_, f)| matches!(f.what, What::Message { .. })).count()
                as u64
                + u64::from(matches!(fact.what, What::Message { .. }));
            if head.seq != events.len() as u64 + 1 || head.n != messages {
                return Err(format!(
                    "P3 not dense: {} {}:{} n {}",
                    kind(fact),
                    fact.conversation,
                    head.seq,
                    head.n
                ));
            }
            events.push((offset, fact.clone()));
        }
        match &fact.what {
            What::Message { .. } if !fact.id.is_some_and(|id| truth.made.insert(id)) => {
                return Err(format!("P2 made twice: {:?}", fact.id));
            }
            What::Rejected { .. } => {
                truth.rejected.insert((partition, offset, index));
                truth.rejected_ids.extend(fact.id);
                if fact.actor == world.user {
                    truth.mine.insert((partition, offset, index));
                }
            }
            What::Created { members, .. } | What::Added { members } | What::Removed { members, .. } => {
                for member in members {
                    let key = (fact.conversation.clone(), member.user.clone());
                    truth.memberships.entry(key).or_default().insert(member.since, member.clone());
                }
            }
            _ => {}
        }
    }
    for write in last_of_each(writes(record, partition, Position::new(EPOCH, offset))) {
        truth.store.put(write)?;
    }
    Ok(())
}

/// The store holds the fold, row by row.
fn rows(world: &World, truth: &Truth) -> Result<(), String> {
    let have: BTreeMap<_, _> =
        world.store.rows.iter().filter(|(key, _)| !matches!(key, RowKey::Progress(_))).collect();
    let keys: BTreeSet<_> = have.keys().copied().chain(truth.store.rows.keys()).collect();
    for key in keys {
        let (have, want) = (have.get(key).copied(), truth.store.rows.get(key));
        if have != want {
            return Err(format!("P1 store row: {key:?} {have:?}, the fold gives {want:?}"));
        }
    }
    Ok(())
}

/// The client got all that its intervals contain, nothing else, in order, with the content it may see.
fn given(world: &World, truth: &Truth, c: &ConversationId) -> Result<(), String> {
    let none = Vec::new();
    let events = truth.events.get(c).unwrap_or(&none);
    let intervals = memberships(truth, c, &world.user);
    for (_, event) in events {
        let seq = event.seq();
        let given = world.given.get(&(c.clone(), seq));
        let lived = intervals.iter().any(|i| i.since <= seq && i.contains(seq));
        let what = format!("{} {c}:{seq}, intervals {intervals:?}, cursor {:?}", kind(event), world.cursor);
        match given {
            // What was there before a re-join that sees all is refetched.
            None if lived => return Err(format!("P4 never got: {what}")),
            Some(_) if !inside(&intervals, seq) => return Err(format!("P5 foreign event: {what}")),
            _ => {}
        }
        let deleted = events.iter().find_map(|(at, later)| match &later.what {
            What::Deleted { target, state } if target.at.seq == seq || state.edits.contains(&seq) => {
                Some(*at)
            }
            _ => None,
        });
        let (full, bare) = (shown(event, &intervals, true), kind(event));
        for given in given.into_iter().flatten() {
            let gone = deleted.is_some_and(|at| at < given.known);
            if gone && given.shown != bare {
                return Err(format!("P5 deleted text: {what}"));
            }
            let blanked = deleted.is_some() && given.shown == bare;
            if given.shown != full && !blanked {
                return Err(format!(
                    "P5 content: {what}: {}, not {full}; target {:?}",
                    given.shown,
                    target(event)
                ));
            }
        }
    }
    let mut order = world.order.iter().filter(|(k, _)| k == c).map(|(_, seq)| *seq);
    if !order.clone().is_sorted() {
        return Err(format!("P4 order: {c} {:?}", order.collect::<Vec<_>>()));
    }
    match order.find(|seq| *seq > events.len() as u64) {
        Some(seq) => Err(format!("P5 got what never counted: {c}:{seq}")),
        None => Ok(()),
    }
}

fn memberships(truth: &Truth, c: &ConversationId, user: &UserId) -> Vec<Interval> {
    let all = truth.memberships.get(&(c.clone(), user.clone()));
    all.into_iter().flat_map(|all| all.values().cloned()).collect()
}

/// Unread counts equal a recount; heads know the last message by others; members are counted.
fn counts(world: &World, truth: &Truth, c: &ConversationId) -> Result<(), String> {
    let Some(head) = truth.store.head(c) else { return Ok(()) };
    let events = &truth.events[c];
    let messages = |by: &dyn Fn(&Fact) -> bool| {
        let all = events.iter().filter(|(_, f)| matches!(f.what, What::Message { .. }) && by(f));
        all.map(|(_, f)| f.seq()).collect::<Vec<_>>()
    };
    let (mut participants, mut admins) = (0, 0);
    for user in &world.users {
        let intervals = truth.store.intervals(c, user);
        let Some(newest) = intervals.iter().max_by_key(|i| i.since) else { continue };
        participants += u32::from(newest.to.is_none());
        admins += u32::from(newest.to.is_none() && newest.role == chat4all_model::api::Role::Admin);
        let last = messages(&|f| f.actor != *user).last().copied().unwrap_or(0);
        if world.on(Rule::OthersInHead) && head.last_by_others(user) != last {
            return Err(format!(
                "P5 last by others: than {user} in {c} is {last}, not {}",
                head.last_by_others(user)
            ));
        }
        let markers: Markers = truth.store.markers(c, user).unwrap_or_default();
        let past = |f: &Fact| newest.contains(f.seq()) && f.seq() > markers.read.seq;
        let counted = messages(&|f| past(f)).len() as u64;
        let recount = if messages(&|f| past(f) && f.actor != *user).is_empty() { 0 } else { counted };
        let counting = if world.on(Rule::CountFromJoining) {
            newest.clone()
        } else {
            Interval { from: Count { seq: newest.from.seq, n: 0 }, ..newest.clone() }
        };
        let count = unread(head, &counting, &markers);
        if count != recount {
            return Err(format!(
                "P5 unread: of {user} in {c} is {count}, recount {recount}; {newest:?} {markers:?} {head:?}"
            ));
        }
    }
    if (head.participants, head.admins) != (participants, admins) {
        return Err(format!("P3 members counted: {head:?}, but {participants} with {admins} admins"));
    }
    Ok(())
}

/// A history page is neither foreign nor older than what had been heard.
fn history(world: &World, truth: &Truth) -> Result<(), String> {
    for read in &world.reads {
        let c = &read.conversation;
        let none = Vec::new();
        let events = truth.events.get(c).unwrap_or(&none);
        let intervals = memberships(truth, c, &world.user);
        let began = |i: &&Interval| events.iter().any(|(at, f)| f.seq() == i.since && *at < read.heard);
        let known: Vec<Interval> = intervals.iter().filter(began).cloned().collect();
        if let Some(seq) = read.texts.keys().find(|seq| !inside(&intervals, **seq)) {
            return Err(format!("P5 history foreign: {c}:{seq}, intervals {intervals:?}"));
        }
        for (at, first) in events.iter().filter(|(_, f)| matches!(f.what, What::Message { .. })) {
            let seq = first.seq();
            let mut texts = vec![(*at, seq, text_after(first))];
            let changes = events
                .iter()
                .filter(|(_, f)| target(f) == Some(seq) && !matches!(f.what, What::Reacted { .. }));
            texts.extend(changes.map(|(at, f)| (*at, f.seq(), text_after(f))));
            let allowed = |within: &[Interval], (_, at, text): &(u64, u64, Option<String>)| {
                inside(within, *at) || text.is_none()
            };
            // The last one heard that one might see: nothing older may be given.
            let newest = texts.iter().rposition(|t| t.0 < read.heard && allowed(&known, t));
            let Some(text) = read.texts.get(&seq) else {
                if newest.is_some() && inside(&known, seq) {
                    return Err(format!("P4 stale history: {c}:{seq} is missing, heard {}", read.heard));
                }
                continue;
            };
            let right = |t: &&(u64, u64, Option<String>)| t.2 == *text && allowed(&intervals, t);
            if !texts.iter().any(|t| right(&t)) {
                return Err(format!("P5 history: {c}:{seq} {text:?}, an edit outside {intervals:?}"));
            }
            if inside(&known, seq) && !texts[newest.unwrap_or(0)..].iter().any(|t| right(&t)) {
                return Err(format!("P4 stale history: {c}:{seq} {text:?}, heard {}", read.heard));
            }
        }
    }
    Ok(())
}

fn text_after(event: &Fact) -> Option<String> {
    match &event.what {
        What::Message { content, .. } => content.text.as_ref().map(ToString::to_string),
        What::Edited { text, .. } => text.as_ref().map(ToString::to_string),
        _ => None,
    }
}
