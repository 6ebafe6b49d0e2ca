//! Groups.

use super::*;
use crate::log::Member;

pub(super) const CASES: &[Case] = &[
    case!(one_member_gets_everything),
    case!(members_share_evenly_and_nothing_twice),
    case!(more_members_than_partitions),
    case!(who_leaves_is_replaced),
    case!(who_is_dropped_is_replaced),
    case!(groups_and_topics_do_not_share),
    case!(a_dropped_wait_for_an_assignment_loses_nothing),
];

type Members = Vec<(Box<dyn Member>, Vec<u32>)>;

async fn join(log: &dyn EventLog, members: &mut Members) -> Result<()> {
    members.push((in_time("join", log.join("g", Topic::Messages)).await?, Vec::new()));
    Ok(())
}

/// Takes changes in until each partition is owned once and shares differ by at most one.
async fn settled(log: &dyn EventLog, members: &mut Members) -> Outcome {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let all = (0..log.partitions()).collect::<Vec<_>>();
    loop {
        let mut owned = members.iter().flat_map(|(_, own)| own.clone()).collect::<Vec<_>>();
        owned.sort_unstable();
        let sizes = members.iter().map(|(_, own)| own.len()).collect::<Vec<_>>();
        let even = sizes.iter().max() <= sizes.iter().min().map(|least| least + 1).as_ref();
        if owned == all && even {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < deadline, "owned: {owned:?}, even: {even}");
        for (member, own) in members.iter_mut() {
            if let Ok(assigned) = tokio::time::timeout(Duration::from_millis(20), member.assignment()).await {
                *own = assigned?;
                ensure!(own.is_sorted(), "not sorted: {own:?}");
            }
        }
    }
}

async fn one_member_gets_everything(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut members = Members::new();
    join(&*log, &mut members).await?;
    settled(&*log, &mut members).await
}

async fn members_share_evenly_and_nothing_twice(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut members = Members::new();
    for _ in 0..3 {
        join(&*log, &mut members).await?;
        settled(&*log, &mut members).await?;
    }
    Ok(())
}

async fn more_members_than_partitions(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut members = Members::new();
    for _ in 0..=log.partitions() {
        join(&*log, &mut members).await?;
    }
    settled(&*log, &mut members).await
}

async fn who_leaves_is_replaced(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut members = Members::new();
    for _ in 0..3 {
        join(&*log, &mut members).await?;
    }
    settled(&*log, &mut members).await?;
    for _ in 0..2 {
        let (member, _) = members.remove(0);
        in_time("leave", member.leave()).await?;
        settled(&*log, &mut members).await?;
    }
    Ok(())
}

async fn who_is_dropped_is_replaced(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut members = Members::new();
    for _ in 0..2 {
        join(&*log, &mut members).await?;
    }
    settled(&*log, &mut members).await?;
    drop(members.remove(0));
    settled(&*log, &mut members).await?;
    members.clear();
    join(&*log, &mut members).await?;
    settled(&*log, &mut members).await
}

async fn groups_and_topics_do_not_share(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut kept = Vec::new();
    for (group, topic) in [("a", Topic::Messages), ("b", Topic::Messages), ("a", Topic::Events)] {
        // Kept until the end of the case: a group that shared with an earlier one would get half.
        let member = in_time("join", log.join(group, topic)).await?;
        let mut members = vec![(member, Vec::new())];
        settled(&*log, &mut members).await?;
        kept.push(members);
    }
    Ok(())
}

async fn a_dropped_wait_for_an_assignment_loses_nothing(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut members = Members::new();
    join(&*log, &mut members).await?;
    drop(members[0].0.assignment());
    settled(&*log, &mut members).await?;
    join(&*log, &mut members).await?;
    drop(members[0].0.assignment());
    settled(&*log, &mut members).await
}
