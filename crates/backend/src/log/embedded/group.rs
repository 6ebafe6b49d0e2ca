//! Groups within the process: who owns which partition.

use super::super::{Member, Topic};
use super::closed;
use crate::Result;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

type Key = (String, Topic);

/// All groups of a log.
pub(super) struct Groups {
    partitions: u32,
    groups: Arc<Mutex<HashMap<Key, Group>>>,
}

#[derive(Default)]
struct Group {
    /// Members in the order in which they joined, each with what is its own.
    members: Vec<(u64, watch::Sender<Vec<u32>>)>,
    next_id: u64,
}

impl Groups {
    pub(super) fn new(partitions: u32) -> Self {
        Self { partitions, groups: Arc::default() }
    }

    pub(super) fn join(&self, group: &str, topic: Topic) -> EmbeddedMember {
        let key = (group.to_owned(), topic);
        let mut groups = self.groups.lock();
        let group = groups.entry(key.clone()).or_default();
        let id = group.next_id;
        group.next_id += 1;
        let (sender, mut changes) = watch::channel(Vec::new());
        group.members.push((id, sender));
        group.share_out(self.partitions);
        // The first call answers at once, even with nothing.
        changes.mark_changed();
        EmbeddedMember { id, key, partitions: self.partitions, groups: Arc::clone(&self.groups), changes }
    }
}

impl Group {
    /// Shares the partitions out evenly, moving as few as possible.
    fn share_out(&mut self, partitions: u32) {
        let members = self.members.len();
        if members == 0 {
            return;
        }
        let total = partitions as usize;
        let mut owned: Vec<Vec<u32>> =
            self.members.iter().map(|(_, sender)| sender.borrow().clone()).collect();
        // Who has most keeps the odd ones.
        let mut by_size: Vec<usize> = (0..members).collect();
        by_size.sort_by_key(|member| std::cmp::Reverse(owned[*member].len()));
        let mut quota = vec![total / members; members];
        for member in by_size.into_iter().take(total % members) {
            quota[member] += 1;
        }
        let mut taken = vec![false; total];
        for (own, quota) in owned.iter_mut().zip(&quota) {
            own.truncate(*quota);
            own.iter().for_each(|partition| taken[*partition as usize] = true);
        }
        let mut free = (0..partitions).filter(|partition| !taken[*partition as usize]);
        for ((own, quota), (_, sender)) in owned.iter_mut().zip(&quota).zip(&self.members) {
            own.extend(free.by_ref().take(quota - own.len()));
            own.sort_unstable();
            sender.send_if_modified(|current| {
                let changed = current != own;
                current.clone_from(own);
                changed
            });
        }
    }
}

/// Leaves when dropped.
pub(super) struct EmbeddedMember {
    id: u64,
    key: Key,
    partitions: u32,
    groups: Arc<Mutex<HashMap<Key, Group>>>,
    changes: watch::Receiver<Vec<u32>>,
}

impl Drop for EmbeddedMember {
    fn drop(&mut self) {
        let mut groups = self.groups.lock();
        let Some(group) = groups.get_mut(&self.key) else { return };
        group.members.retain(|(id, _)| *id != self.id);
        group.share_out(self.partitions);
        if group.members.is_empty() {
            groups.remove(&self.key);
        }
    }
}

#[async_trait]
impl Member for EmbeddedMember {
    async fn assignment(&mut self) -> Result<Vec<u32>> {
        self.changes.changed().await.map_err(|_| closed())?;
        Ok(self.changes.borrow_and_update().clone())
    }

    async fn leave(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(member: &EmbeddedMember) -> Vec<u32> {
        member.changes.borrow().clone()
    }

    #[test]
    fn only_what_must_move_moves() {
        let groups = Groups::new(7);
        let a = groups.join("g", Topic::Messages);
        assert_eq!(owned(&a), [0, 1, 2, 3, 4, 5, 6]);
        let b = groups.join("g", Topic::Messages);
        assert_eq!((owned(&a), owned(&b)), (vec![0, 1, 2, 3], vec![4, 5, 6]));
        let c = groups.join("g", Topic::Messages);
        assert_eq!((owned(&a), owned(&b), owned(&c)), (vec![0, 1, 2], vec![4, 5], vec![3, 6]));
        drop(b);
        assert_eq!((owned(&a), owned(&c)), (vec![0, 1, 2, 4], vec![3, 5, 6]));
    }

    #[test]
    fn an_empty_group_is_forgotten() {
        let groups = Groups::new(4);
        drop(groups.join("g", Topic::Messages));
        assert!(groups.groups.lock().is_empty());
    }
}
