//! Working on engines while no router does.

use crate::router::GROUP;
use chat4all_backend::log::{EventLog, Member, Topic};
use chat4all_backend::{Error, ErrorKind, Result};
use std::future::Future;
use std::time::Duration;

/// How long the group may need to share out its partitions anew: one that was killed counts as alive for six seconds,
/// and a run that was killed again and again while it waited leaves several that are waited for in turn.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does `work` as the only member of the routers' group. A router that comes meanwhile is noticed, and ends it.
///
/// # Errors
/// `Conflict` if a router is there or comes.
pub(super) async fn alone<T>(log: &dyn EventLog, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut member = log.join(GROUP, Topic::Messages).await?;
    let all: Vec<u32> = (0..log.partitions()).collect();
    let taken = async {
        while member.assignment().await? != all {}
        Ok::<(), Error>(())
    };
    tokio::time::timeout(PATIENCE, taken).await.map_err(|_| runs())??;
    let outcome = tokio::select! {
        outcome = work => outcome,
        error = stays(member.as_mut(), &all) => Err(error),
    };
    if let Err(error) = member.leave().await {
        tracing::warn!(%error, "leaving the routers' group failed; the next one waits for a time-out");
    }
    outcome
}

/// Waits until not everything is this member's any more.
async fn stays(member: &mut dyn Member, all: &[u32]) -> Error {
    loop {
        match member.assignment().await {
            Ok(mine) if mine == all => {}
            Ok(_) => return runs(),
            Err(error) => return error,
        }
    }
}

fn runs() -> Error {
    Error::new(ErrorKind::Conflict, "a server runs on these engines; stop all of them first")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_backend::folder::DataFolder;
    use chat4all_backend::log::{EmbeddedLog, Options};

    #[tokio::test(start_paused = true)]
    async fn a_router_that_is_there_or_comes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(&DataFolder::open(dir.path()).unwrap(), Options::default()).unwrap();
        assert_eq!(alone(&log, async { Ok(7) }).await.unwrap(), 7);

        let mut router = log.join(GROUP, Topic::Messages).await.unwrap();
        router.assignment().await.unwrap();
        let there = alone(&log, async { Ok(()) }).await.unwrap_err();
        assert_eq!(there.kind, ErrorKind::Conflict);
        router.leave().await.unwrap();

        let (came, comes) = tokio::sync::oneshot::channel();
        let work = async {
            let router = log.join(GROUP, Topic::Messages).await?;
            let _ = came.send(router);
            std::future::pending::<Result<()>>().await
        };
        assert_eq!(alone(&log, work).await.unwrap_err().kind, ErrorKind::Conflict);
        drop(comes);
    }
}
