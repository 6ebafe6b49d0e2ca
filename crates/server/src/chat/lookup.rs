//! Looks up ids for many at once: whoever asks while a lookup is under way shares the next one.

use crate::error::{Failure, Result};
use chat4all_backend::store::Store;
use chat4all_model::api::Code;
use chat4all_model::id::RecordId;
use chat4all_model::state::Known;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Ids that one call of the store looks up.
const MAX_BATCH: usize = 1_024;
/// Ids that may wait for a lookup.
const MAX_WAITING: usize = 65_536;

type Answer = Result<Vec<Option<Known>>>;

/// The one way to look up ids. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lookup {
    store: Arc<dyn Store>,
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
        Self { store, queue: Arc::default() }
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
        while let Some(batch) = self.take() {
            let ids: Vec<RecordId> = batch.iter().flat_map(|asked| asked.ids.iter().copied()).collect();
            match self.store.known(ids).await {
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
