//! Following.

use super::*;

pub(super) const CASES: &[Case] = &[
    case!(follows_from_the_middle),
    case!(waits_at_the_end),
    case!(a_dropped_call_loses_nothing),
    case!(follows_through_into_live_without_gap_or_duplicate),
    case!(follows_what_was_kept_into_live, Reopen),
    case!(following_is_bounded_a_call),
    case!(followers_do_not_take_from_each_other),
    case!(what_was_trimmed_cannot_be_followed),
    case!(a_follower_overtaken_by_trimming_is_told),
    case!(what_is_behind_the_end_cannot_be_followed),
];

async fn follows_from_the_middle(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let offsets = append_all(&*log, 0..10).await?;
    let mut follower = log.follow(Topic::Events, 0, offsets[6]).await?;
    let read = take(follower.as_mut(), 4).await?;
    ensure!(payloads(&read) == ["6", "7", "8", "9"], "read {:?}", payloads(&read));
    ensure!(read[0].offset == offsets[6], "the first came with offset {}", read[0].offset);
    Ok(())
}

async fn waits_at_the_end(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    append_all(&*log, 0..3).await?;
    let Bounds { end, .. } = log.bounds(Topic::Events, 0).await?;
    let mut follower = log.follow(Topic::Events, 0, end).await?;
    let early = tokio::time::timeout(Duration::from_millis(50), follower.next()).await;
    ensure!(early.is_err(), "a follower at the end gave {early:?}");
    let (read, appended) = tokio::join!(take(follower.as_mut(), 1), append_one(&*log, 0, "new"));
    let (read, appended) = (read?, appended?);
    ensure!(payloads(&read) == ["new"] && read[0].offset == appended, "read {read:?}");
    Ok(())
}

async fn a_dropped_call_loses_nothing(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut follower = log.follow(Topic::Events, 0, 0).await?;
    let mut read = Vec::new();
    let appending = async {
        for n in 0..200 {
            append_one(&*log, 0, &n.to_string()).await?;
        }
        Ok::<_, Error>(())
    };
    let reading = async {
        while read.len() < 200 {
            // Dropped at any point: as soon as it waits for anything.
            tokio::select! {
                biased;
                records = follower.next() => read.extend(records?),
                () = tokio::task::yield_now() => {}
            }
        }
        Ok::<_, Error>(())
    };
    in_time("200 records", async { tokio::try_join!(appending, reading) }).await?;
    ensure!(
        payloads(&read) == (0..200).map(|n| n.to_string()).collect::<Vec<_>>(),
        "read {:?}",
        payloads(&read)
    );
    Ok(())
}

async fn follows_through_into_live_without_gap_or_duplicate(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    append_all(&*log, 0..1_000).await?;
    into_live(&log, 1_000).await
}

async fn follows_what_was_kept_into_live(fixture: &dyn Fixture) -> Outcome {
    append_all(&*fixture.open().await?, 0..20_000).await?;
    let log = fixture.reopen().await?;
    into_live(&log, 20_000).await
}

/// Four appenders write while a follower reads from the start, where `there` records are.
async fn into_live(log: &Arc<dyn EventLog>, there: usize) -> Outcome {
    const EACH: usize = 500;
    let mut follower = log.follow(Topic::Events, 0, 0).await?;
    let appenders = (0..4).map(|_| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            let mut offsets = Vec::new();
            for n in 0..EACH {
                offsets.push(append_one(&*log, 0, &n.to_string()).await?);
            }
            Ok::<_, Error>(offsets)
        })
    });
    let appenders = appenders.collect::<Vec<_>>();
    let read = take(follower.as_mut(), there + 4 * EACH).await?;
    let offsets = read.iter().map(|record| record.offset).collect::<Vec<_>>();
    ensure!(offsets.len() == there + 4 * EACH, "{} records read", offsets.len());
    ensure!(offsets.is_sorted_by(|a, b| a < b), "a duplicate or out of order");
    for appender in appenders {
        for offset in appender.await?? {
            ensure!(offsets.binary_search(&offset).is_ok(), "{offset} was appended and not read");
        }
    }
    Ok(())
}

async fn following_is_bounded_a_call(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let payload = Bytes::from(vec![7; 200 * 1024]);
    for _ in 0..30 {
        in_time("append", log.append(Topic::Events, vec![(0, payload.clone())])).await?;
    }
    let mut follower = log.follow(Topic::Events, 0, 0).await?;
    let mut count = 0;
    while count < 30 {
        let records = in_time("records", follower.next()).await?;
        let bytes = records.iter().map(|record| record.payload.len()).sum::<usize>();
        ensure!(bytes <= 3 << 19, "{bytes} bytes at once");
        ensure!(!records.is_empty(), "nothing instead of waiting");
        count += records.len();
    }
    Ok(())
}

async fn followers_do_not_take_from_each_other(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let mut followers = Vec::new();
    for _ in 0..5 {
        followers.push(log.follow(Topic::Events, 0, 0).await?);
    }
    append_all(&*log, 0..10).await?;
    for follower in &mut followers {
        let read = take(follower.as_mut(), 10).await?;
        ensure!(read.len() == 10, "read {:?}", payloads(&read));
    }
    Ok(())
}

async fn what_was_trimmed_cannot_be_followed(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    let offsets = append_all(&*log, 0..10).await?;
    in_time("trim", log.trim(Topic::Events, 0, offsets[5])).await?;
    let trimmed = kind(log.follow(Topic::Events, 0, offsets[4]).await);
    ensure!(trimmed == Some(ErrorKind::Trimmed), "following before the start: {trimmed:?}");
    let mut follower = log.follow(Topic::Events, 0, offsets[5]).await?;
    let read = take(follower.as_mut(), 5).await?;
    ensure!(payloads(&read)[0] == "5", "the start gives {:?}", payloads(&read));
    Ok(())
}

async fn a_follower_overtaken_by_trimming_is_told(fixture: &dyn Fixture) -> Outcome {
    /// With 200 KiB each, more than an engine fetches before it is asked for.
    const COUNT: usize = 40;
    let log = fixture.open().await?;
    let payload = Bytes::from(vec![7; 200 * 1024]);
    let mut offsets = Vec::new();
    for _ in 0..COUNT {
        offsets.extend(in_time("append", log.append(Topic::Events, vec![(0, payload.clone())])).await?);
    }
    let mut follower = log.follow(Topic::Events, 0, offsets[0]).await?;
    in_time("trim", log.trim(Topic::Events, 0, offsets[COUNT - 1])).await?;
    let mut expected = offsets.iter();
    let told = loop {
        // What was fetched before may still come, but nothing is passed over in silence.
        match in_time("records or an error", follower.next()).await {
            Ok(records) => {
                for Record { offset, .. } in records {
                    ensure!(expected.next() == Some(&offset), "{offset} came, records before it did not");
                }
            }
            Err(error) => break error,
        }
    };
    ensure!(told.kind == ErrorKind::Trimmed, "it was told {told}");
    Ok(())
}

async fn what_is_behind_the_end_cannot_be_followed(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.open().await?;
    append_all(&*log, 0..10).await?;
    let Bounds { end, .. } = log.bounds(Topic::Events, 0).await?;
    let truncated = kind(log.follow(Topic::Events, 0, end + 1).await);
    ensure!(truncated == Some(ErrorKind::Truncated), "following from behind the end: {truncated:?}");
    Ok(())
}
