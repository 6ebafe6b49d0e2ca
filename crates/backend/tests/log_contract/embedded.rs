//! The fixture of the embedded log, and what only it promises.

use crate::{crash, runtime};
use async_trait::async_trait;
use bytes::Bytes;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::contract::{Capability, Fixture};
use chat4all_backend::log::{EmbeddedLog, EventLog, Options, Topic};
use chat4all_backend::{Error, ErrorKind};
use libtest_mimic::{Failed, Trial};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) fn fixture() -> Result<Box<dyn Fixture>, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    Ok(Box::new(Embedded { dir, now: Arc::new(AtomicU64::new(1_700_000_000_000)), open: Mutex::default() }))
}

struct Embedded {
    dir: TempDir,
    now: Arc<AtomicU64>,
    open: Mutex<Option<Arc<EmbeddedLog>>>,
}

impl Embedded {
    fn options(&self) -> Options {
        let now = Arc::clone(&self.now);
        Options {
            partitions: Some(4),
            clock: Arc::new(move || now.load(Ordering::Relaxed)),
            ..Options::default()
        }
    }

    fn open_with(&self, options: Options) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        let log = Arc::new(EmbeddedLog::open(&DataFolder::open(self.dir.path())?, options)?);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&log));
        Ok(log)
    }
}

#[async_trait]
impl Fixture for Embedded {
    fn can(&self, _: Capability) -> bool {
        true
    }

    async fn open(&self) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        self.open_with(self.options())
    }

    async fn narrow(&self) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        self.open_with(Options { queue_records: 8, ..self.options() })
    }

    async fn reopen(&self) -> chat4all_backend::Result<Arc<dyn EventLog>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(log) = open {
            log.close().await;
        }
        // A tail of almost nothing, so that what was kept is read from the file.
        self.open_with(Options { tail_bytes: 1_000, ..self.options() })
    }

    fn pass(&self, time: Duration) {
        self.now.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

type Run = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let all: [(&str, Run); 7] = [
        ("what_was_answered_survives_a_kill", what_was_answered_survives_a_kill),
        ("another_number_of_partitions_is_refused", another_number_of_partitions_is_refused),
        ("a_full_disk_is_refused_and_recovers", a_full_disk_is_refused_and_recovers),
        ("closing_writes_what_waits", closing_writes_what_waits),
        ("a_closed_log_says_so", a_closed_log_says_so),
        ("trimmed_space_is_used_again", trimmed_space_is_used_again),
        ("trimmed_space_is_given_back", trimmed_space_is_given_back),
    ];
    all.into_iter().map(|(name, run)| Trial::test(format!("embedded::{name}"), run))
}

fn what_was_answered_survives_a_kill() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    crash::test(dir.path().to_str().ok_or("the folder's name is not UTF-8")?, 8)
}

fn another_number_of_partitions_is_refused() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let folder = DataFolder::open(dir.path())?;
    let runtime = runtime()?;
    let with =
        |partitions, epoch| EmbeddedLog::open(&folder, Options { partitions, epoch, ..Options::default() });
    runtime.block_on(with(Some(3), 7)?.close());
    let refused = with(Some(5), 7).err().ok_or("5 partitions were taken")?;
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(refused.to_string().contains("give 3"), "{refused}");
    let log = with(None, 8)?;
    assert_eq!((log.partitions(), log.epoch()), (3, 7));
    runtime.block_on(log.close());
    Ok(())
}

fn a_full_disk_is_refused_and_recovers() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let options = Options { max_file_bytes: Some(2 << 20), ..Options::default() };
    let log = EmbeddedLog::open(&DataFolder::open(dir.path())?, options)?;
    let large = || log.append(Topic::Events, vec![(0, Bytes::from(vec![7; 100_000]))]);
    runtime()?.block_on(async {
        let mut answered = Vec::new();
        let refused = loop {
            match large().await {
                Ok(offsets) => answered.extend(offsets),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused}");
        let bounds = log.bounds(Topic::Events, 0).await?;
        assert_eq!(bounds.end, answered.last().map_or(0, |last| last + 1));
        let mut follower = log.follow(Topic::Events, 0, 0).await?;
        let mut read = Vec::new();
        while read.len() < answered.len() {
            read.extend(follower.next().await?.into_iter().map(|record| record.offset));
        }
        assert_eq!(read, answered);

        log.trim(Topic::Events, 0, bounds.end).await?;
        let deadline = Instant::now() + Duration::from_secs(20);
        let offset = loop {
            match large().await {
                Ok(offsets) => break offsets[0],
                Err(refused) if Instant::now() < deadline => assert_eq!(refused.kind, ErrorKind::Unavailable),
                Err(refused) => return Err(refused),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(offset >= bounds.end);
        Ok::<_, Error>(())
    })?;
    Ok(())
}

fn closing_writes_what_waits() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let runtime = runtime()?;
    let log = EmbeddedLog::open(&DataFolder::open(dir.path())?, Options::default())?;
    let appends = (0..1_000).map(|_| log.append(Topic::Events, vec![(0, Bytes::from_static(b"x"))]));
    let appends = appends.collect::<Vec<_>>();
    runtime.block_on(log.close());
    for append in appends {
        runtime.block_on(append)?;
    }
    // The folder is free at once.
    let log = EmbeddedLog::open(&DataFolder::open(dir.path())?, Options::default())?;
    assert_eq!(runtime.block_on(log.bounds(Topic::Events, 0))?.end, 1_000);
    Ok(())
}

fn a_closed_log_says_so() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let log = EmbeddedLog::open(&DataFolder::open(dir.path())?, Options::default())?;
    runtime()?.block_on(async {
        let mut follower = log.follow(Topic::Events, 0, 0).await?;
        let (followed, ()) = tokio::join!(follower.next(), log.close());
        let appended = log.append(Topic::Events, vec![(0, Bytes::new())]).await;
        assert_eq!(followed.err().map(|e| e.kind), Some(ErrorKind::Unavailable));
        assert_eq!(appended.err().map(|e| e.kind), Some(ErrorKind::Unavailable));
        Ok::<_, Error>(())
    })?;
    Ok(())
}

fn trimmed_space_is_used_again() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let log = EmbeddedLog::open(&DataFolder::open(dir.path())?, Options::default())?;
    runtime()?.block_on(async {
        for _ in 0..40 {
            let records = (0..2_000).map(|_| (0, Bytes::from(vec![7; 300]))).collect();
            let offsets = log.append(Topic::Events, records).await?;
            log.trim(Topic::Events, 0, offsets[1_999]).await?;
        }
        log.close().await;
        Ok::<_, Error>(())
    })?;
    // Forty rounds of 600 KB went through it; a few of them may wait to be deleted.
    let size = std::fs::metadata(dir.path().join("log.db"))?.len();
    assert!(size < 6 << 20, "the file has grown to {size} bytes");
    Ok(())
}

fn trimmed_space_is_given_back() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let log = EmbeddedLog::open(&DataFolder::open(dir.path())?, Options::default())?;
    let size = || std::fs::metadata(dir.path().join("log.db")).map(|file| file.len());
    runtime()?.block_on(async {
        for _ in 0..50 {
            let records = (0..10).map(|_| (0, Bytes::from(vec![7; 100_000]))).collect();
            log.append(Topic::Events, records).await?;
        }
        let full = size()?;
        assert!(full > 30 << 20, "50 MB were written, the file has {full} bytes");
        log.trim(Topic::Events, 0, u64::MAX).await?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while size()? > full / 2 {
            assert!(Instant::now() < deadline, "the file had {full} bytes and has {} now", size()?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, Failed>(())
    })
}
