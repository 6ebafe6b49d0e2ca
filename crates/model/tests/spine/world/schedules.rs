//! The minimal schedules: what breaks, step by step, without one rule. Each passes with all rules in force.

use super::Choices;
use super::router::Outcome::{Lands, LandsTwice, Lost};
use super::rules::{Rule, Rules};
use super::sim::Sim;
use super::submit::text;
use chat4all_model::api::Role;
use chat4all_model::command::{Action, Count, Marker};

/// Conversations and users by their place in the world.
const JOINED: usize = 0;
const ALL: usize = 1;

/// Plays a schedule with all rules, and without some: then it must break in the given way.
fn play(off: &[Rule], breaks: &str, watcher: u32, schedule: impl Fn(&mut Sim)) {
    for rules in [Rules::ALL, Rules::without(off)] {
        // One partition, offsets without gaps, u1 or u2 behind the client, every read a step.
        let mut sim = Sim::new(rules, Choices::given(vec![0, 0, watcher - 1]), true);
        schedule(&mut sim);
        let bad = sim.finish();
        let wanted = if off.iter().all(|rule| rules.has(*rule)) { None } else { Some(breaks) };
        let trace = || sim.world.borrow().trace.clone().unwrap_or_default().join("\n  ");
        let right = match (&bad, wanted) {
            (Some(bad), Some(wanted)) => bad.starts_with(wanted),
            (bad, wanted) => bad.is_none() && wanted.is_none(),
        };
        assert!(right, "{off:?}: wanted {wanted:?}, got {bad:?}\n  {}", trace());
    }
}

/// Steps a decider until so many of its appends are on their way.
fn decide(sim: &mut Sim, worker: usize, in_flight: usize) {
    for _ in 0..300 {
        if sim.w(|w| w.workers[worker].flight.len()) >= in_flight {
            return;
        }
        sim.decide(worker);
    }
}

fn land(sim: &Sim, worker: usize) {
    sim.w(|w| w.broker(worker, Lands));
}

/// Steps a projector until all that is in the log is in the store.
fn project(sim: &mut Sim, worker: usize) {
    for _ in 0..2_000 {
        sim.project(worker);
    }
}

fn follow(sim: &Sim) {
    for _ in 0..sim.w(|w| w.events[0].len()) {
        sim.w(|w| w.follow(0));
    }
}

fn jobs(sim: &mut Sim, steps: usize) {
    (0..steps).for_each(|_| sim.jobs());
}

fn send(sim: &Sim, actor: usize, conversation: usize) -> chat4all_model::id::RecordId {
    let command = sim.w(|w| {
        let word = format!("t{}", w.keys);
        w.ask(actor, conversation, text(&word, None))
    });
    command.id.expect("sends have ids")
}

fn ask(sim: &Sim, actor: usize, conversation: usize, action: Action) {
    sim.w(|w| w.ask(actor, conversation, action));
}

fn add(sim: &Sim, user: usize, conversation: usize) {
    let users = sim.w(|w| vec![w.users[user].clone()]);
    ask(sim, 0, conversation, Action::Add { users, role: Role::Member });
}

fn remove(sim: &Sim, user: usize, conversation: usize) {
    let user = sim.w(|w| w.users[user].clone());
    ask(sim, 0, conversation, Action::Remove { user });
}

#[test]
fn term_a_zombie_decides_on() {
    play(&[Rule::Term], "P2 decided twice", 1, |sim| {
        decide(sim, 0, 1);
        land(sim, 0);
        project(sim, 0);
        decide(sim, 0, 2);
        land(sim, 0);
        let heir = sim.assign(0, 1);
        decide(sim, heir, 1);
        land(sim, heir);
        project(sim, heir);
        decide(sim, heir, 1);
        land(sim, heir);
        land(sim, 0);
    });
}

#[test]
fn f1_a_lost_append_in_a_pipeline_loses_its_command() {
    play(&[Rule::Index], "P3", 1, |sim| {
        sim.settle(0);
        send(sim, 0, JOINED);
        send(sim, 0, ALL);
        decide(sim, 0, 2);
        sim.w(|w| w.broker(0, Lost));
        land(sim, 0);
        sim.kill(0);
        sim.assign(0, 1);
    });
}

#[test]
fn f1_one_source_for_two_topics() {
    play(&[Rule::Index, Rule::SourceOfEachInput], "P1 never decided", 1, |sim| {
        send(sim, 0, JOINED);
        sim.settle(0);
        ask(sim, 1, JOINED, Action::Mark { marker: Marker::Read, at: Count { seq: 2, n: 1 } });
    });
}

#[test]
fn index_an_append_lands_twice() {
    play(&[Rule::Index, Rule::Source], "P2 decided twice", 1, |sim| {
        sim.settle(0);
        send(sim, 0, JOINED);
        decide(sim, 0, 1);
        sim.w(|w| w.broker(0, LandsTwice));
    });
}

#[test]
fn f2_progress_without_sources() {
    play(&[Rule::WholeProgress], "P2 decided twice", 1, |sim| {
        let id = send(sim, 0, JOINED);
        ask(sim, 1, JOINED, Action::Edit { target: id, text: "foreign".into() });
        sim.settle(0);
        sim.kill(0);
        let heir = sim.assign(0, 1);
        decide(sim, heir, 1);
        land(sim, heir);
        project(sim, heir);
        sim.kill(heir);
        sim.assign(0, 2);
    });
}

#[test]
fn f3_the_assignee_is_fenced_by_a_slow_term() {
    play(&[Rule::Retake], "P1 never decided", 1, |sim| {
        decide(sim, 0, 1);
        let heir = sim.assign(0, 1);
        decide(sim, heir, 1);
        land(sim, heir);
        land(sim, 0);
        sim.kill(0);
    });
}

#[test]
fn f3_a_router_stops_at_its_own_shadow() {
    play(&[Rule::Retake], "P1 never decided", 1, |sim| {
        decide(sim, 0, 1);
        sim.w(|w| w.broker(0, LandsTwice));
    });
}

#[test]
fn f4_overlay_dropped_under_a_running_read() {
    play(&[Rule::EvictBetween], "P3", 1, |sim| {
        sim.settle(0);
        let id = send(sim, 0, JOINED);
        decide(sim, 0, 1);
        land(sim, 0);
        ask(sim, 0, JOINED, Action::Delete { target: id });
        // It has read the head, not the target.
        sim.decide(0);
        sim.decide(0);
        project(sim, 0);
    });
}

#[test]
fn f5_progress_read_after_the_term() {
    play(&[Rule::ProgressFirst], "P1 never decided", 1, |sim| {
        decide(sim, 0, 1);
        land(sim, 0);
        project(sim, 0);
    });
}

#[test]
fn f6_a_rejection_of_somebody_who_is_no_member() {
    play(&[Rule::RejectionsByActor], "P1 rejections told", 2, |sim| {
        send(sim, 2, JOINED);
    });
}

#[test]
fn f7_unread_counts_what_was_before_the_joining() {
    play(&[Rule::CountFromJoining], "P5 unread", 2, |sim| {
        send(sim, 0, JOINED);
        add(sim, 2, JOINED);
        send(sim, 0, JOINED);
    });
}

#[test]
fn f8_a_marker_passes_what_was_never_seen() {
    play(&[Rule::OthersInHead], "MARK", 1, |sim| {
        send(sim, 1, JOINED);
        send(sim, 1, JOINED);
        send(sim, 0, JOINED);
        ask(sim, 0, JOINED, text("seen", Some(Count { seq: 2, n: 1 })));
    });
}

#[test]
fn f9_history_shows_an_edit_after_the_leaving() {
    play(&[Rule::MembershipLast], "P5 history", 1, |sim| {
        let id = send(sim, 0, JOINED);
        sim.settle(0);
        follow(sim);
        sim.read_history(JOINED);
        jobs(sim, 1);
        remove(sim, 1, JOINED);
        ask(sim, 0, JOINED, Action::Edit { target: id, text: "later".into() });
        sim.settle(0);
    });
}

#[test]
fn f9_history_reads_the_text_of_a_later_edit() {
    play(&[Rule::TextOfState], "P5 history", 1, |sim| {
        let id = send(sim, 0, JOINED);
        ask(sim, 0, JOINED, Action::Edit { target: id, text: "seen".into() });
        sim.settle(0);
        follow(sim);
        sim.read_history(JOINED);
        // Membership, the event, its state; not the text.
        jobs(sim, 3);
        remove(sim, 1, JOINED);
        ask(sim, 0, JOINED, Action::Edit { target: id, text: "later".into() });
        sim.settle(0);
    });
}

#[test]
fn f10_added_while_the_index_is_read() {
    play(&[Rule::WaitIndex], "P4 never got", 2, |sim| {
        sim.settle(0);
        add(sim, 2, JOINED);
        decide(sim, 0, 1);
        land(sim, 0);
        follow(sim);
        sim.connect();
        jobs(sim, 20);
    });
}

#[test]
fn f10_removed_while_the_index_is_read() {
    play(&[Rule::WaitIndex], "P5 foreign event", 1, |sim| {
        sim.settle(0);
        remove(sim, 1, JOINED);
        decide(sim, 0, 1);
        land(sim, 0);
        follow(sim);
        sim.connect();
        jobs(sim, 20);
        send(sim, 0, JOINED);
    });
}

#[test]
fn f11_a_command_without_a_trace() {
    play(&[Rule::EmptyRecords], "P1 never decided", 1, |sim| {
        sim.settle(0);
        // Nothing to do for a member who is there already; that a waiter must learn.
        add(sim, 1, JOINED);
    });
}

#[test]
fn to_a_catch_up_ends_past_what_is_stored() {
    play(&[Rule::EndAtProgress], "P4 never got", 1, |sim| {
        sim.settle(0);
        follow(sim);
        sim.connect();
        jobs(sim, 20);
        sim.cut(false);
        for _ in 0..6 {
            send(sim, 0, JOINED);
        }
        sim.settle(0);
        send(sim, 0, JOINED);
        decide(sim, 0, 1);
        land(sim, 0);
        follow(sim);
        sim.connect();
        jobs(sim, 100);
    });
}

#[test]
fn upto_deciding_before_the_term_is_projected() {
    play(&[Rule::ProjectUpToTerm], "P3", 1, |sim| {
        sim.settle(0);
        send(sim, 0, JOINED);
        decide(sim, 0, 1);
        land(sim, 0);
        sim.kill(0);
        let heir = sim.assign(0, 1);
        send(sim, 0, JOINED);
        decide(sim, heir, 1);
        land(sim, heir);
        decide(sim, heir, 1);
    });
}

#[test]
fn overlay_two_commands_before_the_projection() {
    play(&[Rule::Overlay], "P3", 1, |sim| {
        sim.settle(0);
        send(sim, 0, JOINED);
        send(sim, 0, JOINED);
        decide(sim, 0, 2);
    });
}

#[test]
fn drop_an_overlay_outlives_its_append() {
    play(&[Rule::DropCaches], "P3", 1, |sim| {
        sim.settle(0);
        send(sim, 0, JOINED);
        decide(sim, 0, 1);
        sim.w(|w| w.broker(0, Lost));
    });
}

#[test]
fn mask_an_edit_of_what_was_before_the_joining() {
    play(&[Rule::Mask], "P5 content", 2, |sim| {
        let id = send(sim, 0, JOINED);
        add(sim, 2, JOINED);
        ask(sim, 0, JOINED, Action::Edit { target: id, text: "hidden".into() });
    });
}

#[test]
fn blank_a_catch_up_from_the_ring_after_a_deletion() {
    play(&[Rule::Blank], "P5 deleted text", 1, |sim| {
        sim.settle(0);
        follow(sim);
        let id = send(sim, 0, JOINED);
        ask(sim, 0, JOINED, Action::Edit { target: id, text: "gone too".into() });
        ask(sim, 0, JOINED, Action::Delete { target: id });
    });
}

#[test]
fn rejoins_with_all_of_the_history() {
    play(&[Rule::Rejoins], "P4 never got", 1, |sim| {
        sim.settle(0);
        follow(sim);
        sim.connect();
        jobs(sim, 20);
        remove(sim, 1, ALL);
        add(sim, 1, ALL);
        send(sim, 0, ALL);
    });
}

#[test]
fn two_facts_of_one_record_write_the_same_row() {
    play(&[Rule::LastOfRecord], "row", 1, |sim| {
        // The first send makes the direct conversation too.
        send(sim, 0, 2);
    });
}
