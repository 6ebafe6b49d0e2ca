//! Appending, keeping, trimming.

use super::*;
use crate::log::MAX_RECORD_BYTES;
use futures_util::future::join_all;

pub(super) const CASES: &[Case] = &[
    case!(offsets_grow_in_the_order_of_appends),
    case!(nothing_appended_is_nothing_done),
    case!(partitions_and_topics_are_apart),
    case!(concurrent_appenders_keep_their_own_order),
    case!(dropping_the_future_still_appends),
    case!(what_was_answered_survives, Reopen),
    case!(epoch_and_partitions_survive, Reopen),
    case!(the_largest_record_is_taken_and_a_larger_one_is_not),
    case!(an_unknown_partition_is_invalid),
    case!(a_full_queue_answers_overloaded_and_recovers, Narrow),
    case!(trimming_moves_the_start_and_never_back),
    case!(trimming_beyond_the_end_forgets_what_is_there),
    case!(the_start_survives, Reopen),
    case!(offsets_are_not_reused, Reopen),
    case!(a_time_finds_its_offset, Clock),
    case!(a_time_finds_its_offset_after_trimming, Clock),
];

async fn offsets_grow_in_the_order_of_appends(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let Bounds { start, end } = log.bounds(Topic::Events, 0).await?;
    ensure!(start == end, "an empty partition holds {start}..{end}");
    let mut offsets = append_all(&*log, 0..3).await?;
    offsets.extend(append_all(&*log, 3..6).await?);
    ensure!(offsets.len() == 6, "six records, offsets {offsets:?}");
    ensure!(offsets.is_sorted_by(|a, b| a < b), "offsets do not grow: {offsets:?}");
    let bounds = log.bounds(Topic::Events, 0).await?;
    ensure!(bounds.start <= offsets[0], "{bounds:?} begins after {}", offsets[0]);
    ensure!(bounds.end > offsets[5], "{bounds:?} ends before {}", offsets[5]);
    let read = everything(&*log, 6).await?;
    ensure!(payloads(&read) == ["0", "1", "2", "3", "4", "5"], "read {:?}", payloads(&read));
    let given = read.iter().map(|record| record.offset).collect::<Vec<_>>();
    ensure!(given == offsets, "appended at {offsets:?}, read at {given:?}");
    Ok(())
}

async fn nothing_appended_is_nothing_done(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let before = log.bounds(Topic::Events, 0).await?;
    let offsets = in_time("append", log.append(Topic::Events, Vec::new())).await?;
    ensure!(offsets.is_empty(), "no records, offsets {offsets:?}");
    ensure!(log.bounds(Topic::Events, 0).await? == before, "the bounds moved");
    Ok(())
}

async fn partitions_and_topics_are_apart(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mixed = vec![(0, text("a")), (1, text("b")), (0, text("c")), (3, text("d"))];
    let offsets = in_time("append", log.append(Topic::Messages, mixed)).await?;
    ensure!(offsets.len() == 4 && offsets[0] < offsets[2], "offsets {offsets:?}");
    for (partition, expected) in [(0, vec!["a", "c"]), (1, vec!["b"]), (3, vec!["d"])] {
        let Bounds { start, .. } = log.bounds(Topic::Messages, partition).await?;
        let mut follower = log.follow(Topic::Messages, partition, start).await?;
        let read = take(follower.as_mut(), expected.len()).await?;
        ensure!(payloads(&read) == expected, "partition {partition} holds {:?}", payloads(&read));
    }
    for (topic, partition) in [(Topic::Messages, 2), (Topic::Events, 0), (Topic::StatusUpdates, 1)] {
        let Bounds { start, end } = log.bounds(topic, partition).await?;
        ensure!(start == end, "{topic:?}/{partition} holds something");
    }
    Ok(())
}

async fn concurrent_appenders_keep_their_own_order(fixture: &dyn Fixture) -> Outcome {
    const APPENDERS: usize = 16;
    const EACH: usize = 50;
    let log = fixture.open().await?;
    let appenders = (0..APPENDERS).map(|appender| {
        // Called one after another without waiting: the order of the calls is the order in the log.
        let appends = (0..EACH)
            .map(|n| log.append(Topic::Events, vec![(0, text(&format!("{appender} {n:03}")))]))
            .collect::<Vec<_>>();
        tokio::spawn(join_all(appends))
    });
    for outcome in join_all(appenders.collect::<Vec<_>>()).await {
        for appended in outcome? {
            appended?;
        }
    }
    let read = payloads(&everything(&*log, APPENDERS * EACH).await?);
    for appender in 0..APPENDERS {
        let own = read.iter().filter(|text| text.starts_with(&format!("{appender} "))).collect::<Vec<_>>();
        ensure!(own.len() == EACH, "appender {appender} wrote {EACH}, {} are there", own.len());
        ensure!(own.is_sorted(), "the records of appender {appender} are out of order: {own:?}");
    }
    Ok(())
}

async fn dropping_the_future_still_appends(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    drop(log.append(Topic::Events, vec![(0, text("dropped"))]));
    append_one(&*log, 0, "kept").await?;
    let read = payloads(&everything(&*log, 2).await?);
    ensure!(read == ["dropped", "kept"], "read {read:?}");
    Ok(())
}

async fn what_was_answered_survives(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let offsets = append_all(&*log, 0..500).await?;
    drop(log);
    let log = fixture.reopen().await?;
    let read = everything(&*log, 500).await?;
    let given = read.iter().map(|record| record.offset).collect::<Vec<_>>();
    ensure!(given == offsets, "other offsets than before");
    ensure!(
        payloads(&read) == (0..500).map(|n| n.to_string()).collect::<Vec<_>>(),
        "other records than before"
    );
    let next = append_one(&*log, 0, "next").await?;
    ensure!(offsets.last() < Some(&next), "offset {next} after {:?}", offsets.last());
    Ok(())
}

async fn epoch_and_partitions_survive(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let before = (log.epoch(), log.partitions());
    ensure!(log.partitions() == 4, "{} partitions, the fixture should make 4", log.partitions());
    drop(log);
    let log = fixture.reopen().await?;
    let after = (log.epoch(), log.partitions());
    ensure!(before == after, "epoch and partitions {before:?} became {after:?}");
    Ok(())
}

async fn the_largest_record_is_taken_and_a_larger_one_is_not(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let largest = Bytes::from(vec![7; MAX_RECORD_BYTES]);
    in_time("append", log.append(Topic::Events, vec![(0, largest.clone())])).await?;
    let larger = Bytes::from(vec![7; MAX_RECORD_BYTES + 1]);
    let refused = kind(log.append(Topic::Events, vec![(0, larger)]).await);
    ensure!(refused == Some(ErrorKind::Invalid), "a larger one: {refused:?}");
    in_time("append", log.append(Topic::Events, vec![(0, Bytes::new())])).await?;
    let read = everything(&*log, 2).await?;
    ensure!(read.len() == 2 && read[0].payload == largest, "the largest record came back otherwise");
    ensure!(read[1].payload.is_empty(), "an empty record came back otherwise");
    Ok(())
}

async fn an_unknown_partition_is_invalid(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let unknown = log.partitions();
    let kinds = [
        kind(log.append(Topic::Events, vec![(0, text("x")), (unknown, text("x"))]).await),
        kind(log.follow(Topic::Events, unknown, 0).await),
        kind(log.bounds(Topic::Events, unknown).await),
        kind(log.offset_at(Topic::Events, unknown, 0).await),
        kind(log.trim(Topic::Events, unknown, 1).await),
    ];
    ensure!(kinds.iter().all(|kind| *kind == Some(ErrorKind::Invalid)), "append, follow, …: {kinds:?}");
    Ok(())
}

async fn a_full_queue_answers_overloaded_and_recovers(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.narrow().await?;
    let appends = (0..5_000).map(|n| log.append(Topic::Events, vec![(0, text(&n.to_string()))]));
    let outcomes = join_all(appends.collect::<Vec<_>>()).await;
    let mut expected = Vec::new();
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => expected.push(n.to_string()),
            Err(error) => ensure!(error.kind == ErrorKind::Overloaded, "append {n}: {error}"),
        }
    }
    ensure!(expected.len() < 5_000, "nothing was refused");
    ensure!(!expected.is_empty(), "everything was refused");
    append_one(&*log, 0, "after").await?;
    expected.push("after".to_owned());
    let read = payloads(&everything(&*log, expected.len()).await?);
    ensure!(read == expected, "what was answered is not what is there");
    Ok(())
}

async fn trimming_moves_the_start_and_never_back(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let offsets = append_all(&*log, 0..100).await?;
    for (before, start) in [(50, 50), (50, 50), (20, 50), (0, 50), (51, 51)] {
        in_time("trim", log.trim(Topic::Events, 0, offsets[before])).await?;
        let bounds = log.bounds(Topic::Events, 0).await?;
        ensure!(bounds.start == offsets[start], "trimmed before the {before}th: {bounds:?}, {offsets:?}");
        ensure!(bounds.end > offsets[99], "trimming moved the end: {bounds:?}");
    }
    let read = everything(&*log, 49).await?;
    ensure!(payloads(&read)[0] == "51" && read.len() == 49, "read {:?}", payloads(&read));
    Ok(())
}

async fn trimming_beyond_the_end_forgets_what_is_there(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    append_all(&*log, 0..10).await?;
    let Bounds { end, .. } = log.bounds(Topic::Events, 0).await?;
    in_time("trim", log.trim(Topic::Events, 0, end + 1_000)).await?;
    let bounds = log.bounds(Topic::Events, 0).await?;
    ensure!(bounds.start == bounds.end && bounds.end == end, "ended at {end}, holds {bounds:?} now");
    let offset = append_one(&*log, 0, "next").await?;
    ensure!(offset >= end, "offset {offset} after an end of {end}");
    let read = payloads(&everything(&*log, 1).await?);
    ensure!(read == ["next"], "read {read:?}");
    Ok(())
}

async fn the_start_survives(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let offsets = append_all(&*log, 0..3_000).await?;
    in_time("trim", log.trim(Topic::Events, 0, offsets[2_500])).await?;
    drop(log);
    let log = fixture.reopen().await?;
    let bounds = log.bounds(Topic::Events, 0).await?;
    ensure!(bounds.start == offsets[2_500], "began at {}, holds {bounds:?} now", offsets[2_500]);
    let trimmed = kind(log.follow(Topic::Events, 0, offsets[2_499]).await);
    ensure!(trimmed == Some(ErrorKind::Trimmed), "following what was trimmed: {trimmed:?}");
    let read = everything(&*log, 500).await?;
    ensure!(payloads(&read)[0] == "2500" && read.len() == 500, "{} records are left", read.len());
    Ok(())
}

async fn offsets_are_not_reused(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut last = append_all(&*log, 0..10).await?[9];
    for round in 0..3 {
        let log = fixture.reopen().await?;
        let Bounds { end, .. } = log.bounds(Topic::Events, 0).await?;
        in_time("trim", log.trim(Topic::Events, 0, end)).await?;
        let log = fixture.reopen().await?;
        let bounds = log.bounds(Topic::Events, 0).await?;
        ensure!(bounds.end > last, "round {round}: {last} was used, the log ends at {}", bounds.end);
        let offset = append_one(&*log, 0, "next").await?;
        ensure!(offset > last, "round {round}: offset {offset} again, {last} was used");
        last = offset;
    }
    Ok(())
}

async fn a_time_finds_its_offset(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let before = fixture.now_ms();
    ensure!(log.offset_at(Topic::Events, 0, before).await? == 0, "an empty log has an offset for a time");
    let mut appended = Vec::new();
    for n in 0..20 {
        appended.push((fixture.now_ms(), append_one(&*log, 0, &n.to_string()).await?));
        fixture.pass(Duration::from_secs(47));
    }
    check_times(&*log, &appended).await?;
    let Bounds { end, .. } = log.bounds(Topic::Events, 0).await?;
    let late = log.offset_at(Topic::Events, 0, fixture.now_ms() + 600_000).await?;
    ensure!(late == end, "nothing was appended so late, but it finds {late}, not the end {end}");
    let early = log.offset_at(Topic::Events, 0, 0).await?;
    ensure!(early <= appended[0].1, "the beginning of time finds {early}");
    Ok(())
}

async fn a_time_finds_its_offset_after_trimming(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut appended = Vec::new();
    for n in 0..20 {
        appended.push((fixture.now_ms(), append_one(&*log, 0, &n.to_string()).await?));
        fixture.pass(Duration::from_secs(21));
    }
    in_time("trim", log.trim(Topic::Events, 0, appended[7].1)).await?;
    check_times(&*log, &appended[7..]).await?;
    let early = log.offset_at(Topic::Events, 0, appended[0].0).await?;
    ensure!(early == appended[7].1, "a time before the start finds {early}, not the start");
    Ok(())
}

async fn check_times(log: &dyn EventLog, appended: &[(u64, u64)]) -> Outcome {
    for (time, offset) in appended {
        let found = log.offset_at(Topic::Events, 0, *time).await?;
        ensure!(found <= *offset, "{time} finds {found}, too late for {offset}");
        let too_early = appended.iter().filter(|(t, o)| *o >= found && t + 60_000 < *time).count();
        ensure!(too_early == 0, "{time} finds {found}, {too_early} records earlier than a minute before");
    }
    Ok(())
}
