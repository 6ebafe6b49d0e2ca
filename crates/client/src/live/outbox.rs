use chat4all_model::api::ClientFrame;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// What was asked to be sent and is not answered yet, in the order it was asked; survives connections.
pub(super) struct Outbox {
    limit: usize,
    entries: VecDeque<Entry>,
    /// The newest read marker of each conversation that the server has not confirmed.
    reads: HashMap<String, Read>,
    next_read: u64,
}

struct Entry {
    client_id: String,
    frame: ClientFrame,
    /// When to send it (again).
    due: Instant,
    failures: u32,
}

struct Read {
    seq: u64,
    id: String,
    due: Instant,
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), entries: VecDeque::new(), reads: HashMap::new(), next_read: 0 }
    }

    pub(super) fn has_room(&self) -> bool {
        self.entries.len() + self.reads.len() < self.limit
    }

    pub(super) fn push(&mut self, client_id: String, frame: ClientFrame) {
        self.entries.push_back(Entry { client_id, frame, due: Instant::now(), failures: 0 });
    }

    /// Replaces an older marker of the same conversation.
    pub(super) fn read(&mut self, conversation_id: String, seq: u64) {
        self.next_read += 1;
        let read = Read { seq, id: format!("read-{}", self.next_read), due: Instant::now() };
        let known = self.reads.get(&conversation_id).map_or(0, |known| known.seq);
        if seq > known {
            self.reads.insert(conversation_id, read);
        }
    }

    /// A new connection knows nothing: everything is to be sent again.
    pub(super) fn restart(&mut self) {
        let now = Instant::now();
        self.entries.iter_mut().for_each(|entry| entry.due = now);
        self.reads.values_mut().for_each(|read| read.due = now);
    }

    /// The frames to send now; each becomes due again after `again` without an answer.
    pub(super) fn due(&mut self, again: Duration) -> Vec<ClientFrame> {
        let now = Instant::now();
        let mut frames = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.due <= now) {
            entry.due = now + again;
            frames.push(entry.frame.clone());
        }
        for (conversation_id, read) in self.reads.iter_mut().filter(|(_, read)| read.due <= now) {
            read.due = now + again;
            frames.push(ClientFrame::Read {
                id: Some(read.id.clone()),
                conversation_id: conversation_id.clone(),
                seq: read.seq,
            });
        }
        frames
    }

    /// When [`due`](Self::due) will next have something.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let entries = self.entries.iter().map(|entry| entry.due);
        entries.chain(self.reads.values().map(|read| read.due)).min()
    }

    /// The answer to something has come: gives whether it is news to the caller.
    pub(super) fn settle(&mut self, id: &str) -> bool {
        if let Some(index) = self.entries.iter().position(|entry| entry.client_id == id) {
            self.entries.remove(index);
            return true;
        }
        self.reads.retain(|_, read| read.id != id);
        false
    }

    /// How often something has failed, counting the failure that has just come; none if it is nothing of ours.
    pub(super) fn failures(&self, id: &str) -> Option<u32> {
        let entry = self.entries.iter().find(|entry| entry.client_id == id);
        entry
            .map(|entry| entry.failures + 1)
            .or_else(|| self.reads.values().any(|read| read.id == id).then_some(1))
    }

    /// It was not accepted, but may be later.
    pub(super) fn put_off(&mut self, id: &str, wait: Duration) {
        let due = Instant::now() + wait;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.client_id == id) {
            entry.due = due;
            entry.failures += 1;
        } else if let Some(read) = self.reads.values_mut().find(|read| read.id == id) {
            read.due = due;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: Duration = Duration::from_secs(15);

    fn delete(id: &str) -> ClientFrame {
        ClientFrame::Delete { id: Some(id.into()), client_id: Some(id.into()), message_id: "m".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn sends_again_until_settled_in_order() {
        let mut outbox = Outbox::new(2);
        outbox.push("a".into(), delete("a"));
        outbox.push("b".into(), delete("b"));
        assert!(!outbox.has_room());
        assert_eq!(outbox.due(AGAIN), [delete("a"), delete("b")]);
        assert!(outbox.due(AGAIN).is_empty());
        tokio::time::advance(AGAIN).await;
        assert_eq!(outbox.due(AGAIN).len(), 2);
        assert!(outbox.settle("a"));
        assert!(!outbox.settle("a"));
        outbox.restart();
        assert_eq!(outbox.due(AGAIN), [delete("b")]);
        assert_eq!(outbox.failures("b"), Some(1));
        outbox.put_off("b", Duration::from_secs(1));
        assert_eq!(outbox.failures("b"), Some(2));
        assert!(outbox.due(AGAIN).is_empty());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(outbox.due(AGAIN), [delete("b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_only_the_newest_marker() {
        let mut outbox = Outbox::new(8);
        outbox.read("g:1".into(), 3);
        outbox.read("g:1".into(), 7);
        outbox.read("g:1".into(), 5);
        let frames = outbox.due(AGAIN);
        let [ClientFrame::Read { id: Some(id), seq: 7, .. }] = frames.as_slice() else {
            panic!("{frames:?}")
        };
        assert!(!outbox.settle(id), "a marker's answer is no news");
        assert_eq!(outbox.next_due(), None);
    }
}
