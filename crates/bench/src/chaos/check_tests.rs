//! A good history is found good; spoiled in any one way, it is found bad in that way and no other.

use super::*;
use crate::chaos::evidence::Shown;

const GROUP: &str = "g:1";

fn entry(seq: u64, actor: &str, what: What) -> Entry {
    Entry { seq, actor: actor.into(), what }
}

fn message(seq: u64, actor: &str, id: &str) -> Entry {
    entry(seq, actor, What::Message { id: id.into(), text: Some(format!("text of {id}")) })
}

/// Ann makes the group with Bob and is there all the time; Bob is away from 8 to 10.
fn log() -> Vec<Entry> {
    vec![
        entry(1, "ann", What::Created { members: vec!["ann".into(), "bob".into()] }),
        message(2, "ann", "m2"),
        message(3, "bob", "m3"),
        entry(4, "bob", What::Edited { target: "m3".into(), text: Some("edited".into()) }),
        entry(5, "ann", What::Reacted { target: "m3".into(), emoji: Some("👍".into()), removed: false }),
        message(6, "ann", "m6"),
        entry(7, "ann", What::Deleted { target: "m6".into() }),
        entry(8, "ann", What::Removed { members: vec!["bob".into()] }),
        message(9, "ann", "m9"),
        entry(10, "ann", What::Added { members: vec!["bob".into()] }),
        message(11, "bob", "m11"),
        message(12, "ann", "m12"),
        entry(13, "ann", What::Edited { target: "m12".into(), text: Some("better".into()) }),
        message(14, "bob", "m14"),
        entry(15, "bob", What::Deleted { target: "m14".into() }),
    ]
}

fn journal(user: &str, seqs: impl Fn(u64) -> bool) -> Journal {
    let steps = log().into_iter().filter(|entry| seqs(entry.seq));
    let steps = steps.map(|entry| Step::Entry { conversation: GROUP.into(), entry }).collect();
    Journal { user: user.into(), steps, ..Journal::default() }
}

fn view(user: &str, from: u64, seqs: impl Fn(u64) -> bool) -> View {
    let mut fold = Fold::default();
    let mut paged: Vec<Entry> = log().into_iter().filter(|entry| seqs(entry.seq)).collect();
    paged.iter().for_each(|entry| fold.take(entry));
    for entry in &mut paged {
        if let What::Message { id, text } = &mut entry.what
            && (id == "m6" || id == "m14")
        {
            *text = None;
        }
    }
    let messages = fold.shown(from);
    View { user: user.into(), conversation: GROUP.into(), messages, log: paged, read: 11, unread: 2 }
}

fn good() -> Evidence {
    let bobs = |seq| seq <= 8 || seq >= 10;
    let (mut ann, bob) = (journal("ann", |_| true), journal("bob", bobs));
    let sent = |id: &str| Promise::Sent {
        key: format!("key {id}"),
        id: id.into(),
        conversation: GROUP.into(),
        text: format!("text of {id}"),
    };
    ann.promises = vec![
        sent("m2"),
        sent("m6"),
        sent("m12"),
        sent("never decided"),
        Promise::Edited { key: "k13".into(), id: "m12".into(), text: "better".into() },
        Promise::Deleted { key: "k7".into(), id: "m6".into() },
        Promise::Reacted { key: "k5".into(), id: "m3".into(), emoji: "👍".into() },
    ];
    ann.rejected = vec!["key never decided".into()];
    let views = vec![view("ann", 1, |_| true), view("bob", 1, bobs)];
    Evidence { journals: vec![ann, bob], logs: [(GROUP.into(), log())].into(), views }
}

/// What is found once the good history is spoiled.
fn spoiled(spoil: impl FnOnce(&mut Evidence)) -> Findings {
    let mut evidence = good();
    spoil(&mut evidence);
    check(&evidence)
}

fn only(findings: &Findings, kinds: &[Kind]) {
    for (kind, name) in Kind::ALL {
        let found = findings.count(kind) > 0;
        let examples: Vec<_> = findings.examples().collect();
        assert_eq!(found, kinds.contains(&kind), "{name}: {examples:?}");
    }
}

fn steps(evidence: &mut Evidence, person: usize) -> &mut Vec<Step> {
    &mut evidence.journals[person].steps
}

fn whole(evidence: &mut Evidence) -> &mut Vec<Entry> {
    evidence.logs.get_mut(GROUP).unwrap()
}

#[test]
fn a_good_history_is_good() {
    only(&check(&good()), &[]);
}

#[test]
fn what_came_before_a_resume_may_come_again() {
    let again = |e: &mut Evidence| {
        let last = steps(e, 0).last().unwrap().clone();
        steps(e, 0).extend([Step::Resumed, last]);
    };
    only(&spoiled(again), &[]);
}

#[test]
fn finds_a_lost_message() {
    only(&spoiled(|e| e.journals[0].rejected.clear()), &[Kind::Lost]);
}

#[test]
fn finds_lost_changes() {
    for (at, kind) in [(4, "edit"), (5, "deletion"), (6, "reaction")] {
        let lose = |e: &mut Evidence| match &mut e.journals[0].promises[at] {
            Promise::Edited { text, .. } => *text = "another".into(),
            Promise::Deleted { id, .. } => *id = "m2".into(),
            Promise::Reacted { emoji, .. } => *emoji = "👎".into(),
            Promise::Sent { .. } => panic!("not a change"),
        };
        let findings = spoiled(lose);
        only(&findings, &[Kind::Lost]);
        assert_eq!(findings.count(Kind::Lost), 1, "{kind}");
    }
}

#[test]
fn finds_a_message_stored_twice() {
    let twice = |e: &mut Evidence| {
        let mut again = message(16, "ann", "m2 again");
        again.what = What::Message { id: "m16".into(), text: Some("text of m2".into()) };
        whole(e).push(again.clone());
        for journal in &mut e.journals {
            journal.steps.push(Step::Entry { conversation: GROUP.into(), entry: again.clone() });
        }
        for view in &mut e.views {
            view.log.push(again.clone());
            let shown = Shown { id: "m16".into(), text: Some("text of m2".into()), ..Shown::default() };
            view.messages.insert(16, shown);
            view.unread = 3;
        }
    };
    only(&spoiled(twice), &[Kind::Duplicated]);
}

#[test]
fn finds_an_event_given_twice() {
    only(
        &spoiled(|e| {
            let s = steps(e, 0);
            s.insert(3, s[2].clone());
        }),
        &[Kind::Duplicated],
    );
}

#[test]
fn finds_events_in_another_order() {
    // Within one connection, although nothing is missing.
    only(&spoiled(|e| steps(e, 0).swap(1, 2)), &[Kind::Reordered, Kind::Differing]);
}

#[test]
fn finds_a_renumbered_event() {
    let renumber = |e: &mut Evidence| {
        for (seq, user) in [(9, "m12"), (12, "m9")] {
            let at = usize::try_from(seq).unwrap() - 1;
            let Step::Entry { entry, .. } = &mut steps(e, 0)[at] else { panic!("an entry") };
            *entry = message(seq, "ann", user);
        }
    };
    let findings = spoiled(renumber);
    assert!(findings.count(Kind::Renumbered) > 0);
}

#[test]
fn finds_two_texts_of_a_message_that_is_deleted_by_now() {
    let differ = |e: &mut Evidence| {
        let Step::Entry { entry, .. } = &mut steps(e, 1)[5] else { panic!("an entry") };
        entry.what = What::Message { id: "m6".into(), text: Some("another".into()) };
    };
    assert!(spoiled(differ).count(Kind::Renumbered) > 0);
}

#[test]
fn finds_a_gap_in_a_log() {
    assert!(
        spoiled(|e| {
            whole(e).remove(8);
        })
        .count(Kind::Gap)
            > 0
    );
}

#[test]
fn finds_what_a_member_never_saw() {
    for (at, kind) in [(3, Kind::UnseenEdit), (6, Kind::UnseenDeletion), (9, Kind::Unseen)] {
        let findings = spoiled(|e| {
            steps(e, 0).remove(at);
        });
        assert_eq!(findings.count(kind), 1, "{at}");
    }
}

#[test]
fn finds_what_was_not_for_the_viewer() {
    let leak = |e: &mut Evidence| {
        let entry = message(9, "ann", "m9");
        steps(e, 1).insert(8, Step::Entry { conversation: GROUP.into(), entry });
    };
    only(&spoiled(leak), &[Kind::Foreign]);
    let show = |e: &mut Evidence| {
        e.views[1].messages.insert(9, Shown { id: "m9".into(), ..Shown::default() });
    };
    only(&spoiled(show), &[Kind::Foreign]);
    only(&spoiled(|e| e.views[1].log.insert(8, message(9, "ann", "m9"))), &[Kind::Foreign]);
    let stranger = |e: &mut Evidence| e.journals[1].user = "eve".into();
    assert!(spoiled(stranger).count(Kind::Foreign) > 0);
}

#[test]
fn finds_state_that_is_not_what_the_events_made() {
    let stale = |e: &mut Evidence| {
        e.views[0].messages.get_mut(&12).unwrap().text = Some("text of m12".into());
    };
    only(&spoiled(stale), &[Kind::Differing]);
    let reaction = |e: &mut Evidence| e.views[0].messages.get_mut(&3).unwrap().reactions.clear();
    only(&spoiled(reaction), &[Kind::Differing]);
    only(
        &spoiled(|e| {
            e.views[0].messages.remove(&2);
        }),
        &[Kind::Differing],
    );
}

#[test]
fn finds_wrong_counts_and_markers() {
    only(&spoiled(|e| e.views[0].unread = 1), &[Kind::Unread]);
    only(
        &spoiled(|e| {
            e.journals[0].read.insert(GROUP.into(), 12);
        }),
        &[Kind::MarkerBack],
    );
}

#[test]
fn finds_a_refusal_of_something_stored() {
    let refuse = |e: &mut Evidence| e.journals[0].refused.push((GROUP.into(), "text of m9".into()));
    only(&spoiled(refuse), &[Kind::RefusedButThere]);
    // Bob was removed once: the retry of what was stored may have met that.
    only(&spoiled(|e| e.journals[1].refused.push((GROUP.into(), "text of m3".into()))), &[]);
}

#[test]
fn passes_on_what_the_clients_noticed() {
    only(&spoiled(|e| e.journals[0].holes = 1), &[Kind::Hole]);
    only(&spoiled(|e| e.journals[0].unanswered.push("an edit".into())), &[Kind::Unanswered]);
    let fault = |e: &mut Evidence| {
        e.journals[0].codes.insert("internal".into(), 1);
    };
    only(&spoiled(fault), &[Kind::Crash]);
    only(&spoiled(|e| e.journals[0].key_faults.push("a key".into())), &[Kind::Key]);
    only(&spoiled(|e| e.journals[0].markers_back.push("5 after 6".into())), &[Kind::MarkerBack]);
}
