//! Looks up ids for many at once: whoever asks while a lookup is under way shares the next one.

use crate::error::{Failure, Result};
use chat4all_backend::store::Store;
use chat4all_model::api::Code;
use chat4all_model::id::RecordId;
use chat4all_model::state::Known;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Ids that one call of the store looks up.
const MAX_BATCH: usize = 1_024;
/// Ids that may wait for a lookup.
const MAX_WAITING: usize = 65_536;

type Answer = Result<Vec<Option<Known>>>;
type Found = BoxFuture<'static, chat4all_backend::Result<Vec<Option<Known>>>>;

/// The one way to look up ids. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lookup {
    find: Arc<dyn Fn(Vec<RecordId>) -> Found + Send + Sync>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// A task is at work, and will look here before it ends.
    busy: bool,
    asked: Vec<Asked>,
    waiting: usize,
}

struct Asked {
    ids: Vec<RecordId>,
    answer: oneshot::Sender<Answer>,
}

impl Lookup {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self::by(move |ids| {
            let store = Arc::clone(&store);
            async move { store.known(ids).await }.boxed()
        })
    }

    fn by(find: impl Fn(Vec<RecordId>) -> Found + Send + Sync + 'static) -> Self {
        Self { find: Arc::new(find), queue: Arc::default() }
    }

    /// Where the facts of these commands stand, in their order.
    pub(super) async fn known(&self, ids: Vec<RecordId>) -> Answer {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            if queue.waiting + ids.len() > MAX_WAITING {
                return Err(Failure::new(Code::Overloaded, "too many ids are being looked up"));
            }
            queue.waiting += ids.len();
            queue.asked.push(Asked { ids, answer });
            if !std::mem::replace(&mut queue.busy, true) {
                // A task of its own, so that nobody's lookup hangs on another caller who goes away.
                tokio::spawn(self.clone().work());
            }
        }
        let gone = || Failure::internal("the lookup ended without an answer");
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Where one command's fact stands.
    pub(super) async fn one(&self, id: RecordId) -> Result<Option<Known>> {
        Ok(self.known(vec![id]).await?.pop().flatten())
    }

    async fn work(self) {
        let mut shift = Shift { queue: Arc::clone(&self.queue), over: false };
        while let Some(batch) = self.take() {
            let ids: Vec<RecordId> = batch.iter().flat_map(|asked| asked.ids.iter().copied()).collect();
            match (self.find)(ids).await {
                Ok(mut known) => {
                    for asked in batch {
                        let rest = known.split_off(asked.ids.len().min(known.len()));
                        let own = std::mem::replace(&mut known, rest);
                        // Nobody left to tell is no fault.
                        let _ = asked.answer.send(Ok(own));
                    }
                }
                Err(error) => {
                    let kind = error.kind;
                    for asked in batch {
                        let error = chat4all_backend::Error::new(kind, error.to_string());
                        let _ = asked.answer.send(Err(error.into()));
                    }
                }
            }
        }
        shift.over = true;
    }

    /// The next batch; none ends the work.
    fn take(&self) -> Option<Vec<Asked>> {
        let mut queue = self.queue.lock();
        let mut size = 0;
        let fits = |asked: &&Asked| {
            size += asked.ids.len();
            size <= MAX_BATCH
        };
        let n = queue.asked.iter().take_while(fits).count().max(1).min(queue.asked.len());
        if n == 0 {
            queue.busy = false;
            return None;
        }
        let batch: Vec<Asked> = queue.asked.drain(..n).collect();
        queue.waiting -= batch.iter().map(|asked| asked.ids.len()).sum::<usize>();
        Some(batch)
    }
}

/// Leaves the queue in order if the work ends in a panic: who waits is told, who comes begins anew.
struct Shift {
    queue: Arc<Mutex<Queue>>,
    over: bool,
}

impl Drop for Shift {
    fn drop(&mut self) {
        if !self.over {
            *self.queue.lock() = Queue::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_backend::{Error, ErrorKind};
    use chat4all_model::id::ConversationId;
    use tokio::sync::Semaphore;

    fn id(n: u8) -> RecordId {
        RecordId::from_bytes([n; 16])
    }

    fn known(id: RecordId) -> Option<Known> {
        let conversation = ConversationId::parse("g:1").unwrap();
        let seq = u64::from(id.as_bytes()[0]);
        (seq % 2 == 0).then_some(Known { conversation, seq, hash: 0, message: true })
    }

    #[tokio::test]
    async fn those_who_come_while_one_is_under_way_share_the_next() {
        let (gate, sizes) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (door, seen) = (Arc::clone(&gate), Arc::clone(&sizes));
        let lookup = Lookup::by(move |ids| {
            seen.lock().push(ids.len());
            let door = Arc::clone(&door);
            async move {
                let _pass = door.acquire_owned().await;
                Ok(ids.into_iter().map(known).collect())
            }
            .boxed()
        });
        let ask = |n: u8| {
            let lookup = lookup.clone();
            tokio::spawn(async move { lookup.known(vec![id(n), id(n + 1)]).await })
        };
        let first = ask(0);
        while sizes.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (1..100).map(ask).collect();
        while lookup.queue.lock().asked.len() < 99 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        assert_eq!(first.await.unwrap().unwrap(), [known(id(0)), None]);
        for (n, other) in (1..).zip(others) {
            assert_eq!(other.await.unwrap().unwrap(), [known(id(n)), known(id(n + 1))]);
        }
        assert_eq!(*sizes.lock(), [2, 198]);
        assert_eq!(lookup.queue.lock().waiting, 0);
    }

    #[tokio::test]
    async fn a_failure_and_a_panic_are_told_and_the_next_one_works() {
        let calls = Mutex::new(0);
        let lookup = Lookup::by(move |ids| {
            let mut calls = calls.lock();
            *calls += 1;
            let call = *calls;
            async move {
                match call {
                    1 => Err(Error::new(ErrorKind::Unavailable, "away")),
                    2 => panic!("torn"),
                    _ => Ok(ids.into_iter().map(known).collect()),
                }
            }
            .boxed()
        });
        assert_eq!(lookup.one(id(2)).await.unwrap_err().code, Code::Unavailable);
        assert_eq!(lookup.one(id(2)).await.unwrap_err().code, Code::Internal);
        assert_eq!(lookup.one(id(2)).await.unwrap(), known(id(2)));
    }
}
