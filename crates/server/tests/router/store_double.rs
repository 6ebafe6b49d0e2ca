//! The store as all routers see it: it can be away.

use async_trait::async_trait;
use chat4all_backend::store::{
    DeadLetter, EmbeddedStore, Overview, Own, OwnChange, Projection, Reaction, ReaderName, Slice, Store,
    StoredEvent, StoredMessage,
};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::command::Marker;
use chat4all_model::fact::{Interval, Markers};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Known, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) struct StoreDouble {
    store: Arc<EmbeddedStore>,
    away: AtomicBool,
    full: AtomicBool,
    /// Projections that were refused.
    pub(crate) refused: AtomicU64,
}

impl StoreDouble {
    pub(crate) fn new(store: Arc<EmbeddedStore>) -> Arc<Self> {
        let (away, full, refused) = Default::default();
        Arc::new(Self { store, away, full, refused })
    }

    /// Whether it answers nothing.
    pub(crate) fn be_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Whether it reads but does not write.
    pub(crate) fn be_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    fn here(&self) -> Result<&EmbeddedStore> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "away, as the test wants it"));
        }
        Ok(&self.store)
    }
}

#[async_trait]
impl Store for StoreDouble {
    async fn project(&self, partition: u32, projection: Projection) -> Result<()> {
        if self.full.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Unavailable, "full, as the test wants it"));
        }
        self.here()?.project(partition, projection).await
    }

    async fn progress(&self, partition: u32) -> Result<Progress> {
        self.here()?.progress(partition).await
    }

    async fn synced_progress(&self, partition: u32) -> Result<Progress> {
        self.here()?.synced_progress(partition).await
    }

    async fn terms(&self, partition: u32) -> Result<Vec<u64>> {
        self.here()?.terms(partition).await
    }

    async fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        self.here()?.values(keys).await
    }

    async fn known(&self, ids: Vec<RecordId>) -> Result<Vec<Option<Known>>> {
        self.here()?.known(ids).await
    }

    async fn overviews(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Overview>>> {
        self.here()?.overviews(conversations).await
    }

    async fn memberships(&self, user: &UserId) -> Result<Vec<(ConversationId, Interval)>> {
        self.here()?.memberships(user).await
    }

    async fn intervals(&self, conversation: &ConversationId, user: &UserId) -> Result<Vec<Interval>> {
        self.here()?.intervals(conversation, user).await
    }

    async fn members(
        &self,
        conversation: &ConversationId,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        self.here()?.members(conversation, after, limit).await
    }

    async fn members_between(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Interval>> {
        self.here()?.members_between(conversation, from, to, limit).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        after: u64,
        upto: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.here()?.events(conversation, after, upto, limit).await
    }

    async fn first_after(&self, conversation: &ConversationId, position: Position) -> Result<Option<u64>> {
        self.here()?.first_after(conversation, position).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>> {
        self.here()?.messages(conversation, slice, limit).await
    }

    async fn own(&self, user: &UserId, conversations: Vec<ConversationId>) -> Result<Vec<Own>> {
        self.here()?.own(user, conversations).await
    }

    async fn own_changes(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<OwnChange>> {
        self.here()?.own_changes(user, partition, from, to, limit).await
    }

    async fn rejections(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.here()?.rejections(user, partition, from, to, limit).await
    }

    async fn markers(&self, conversation: &ConversationId, limit: usize) -> Result<Vec<(UserId, Markers)>> {
        self.here()?.markers(conversation, limit).await
    }

    async fn rises(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<(UserId, Marker, u64, u64)>> {
        self.here()?.rises(conversation, from, to).await
    }

    async fn conversations(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)> {
        self.here()?.conversations(after, limit).await
    }

    async fn clear_derived(&self) -> Result<()> {
        self.here()?.clear_derived().await
    }

    async fn reactions(
        &self,
        conversation: &ConversationId,
        seqs: Vec<u64>,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>> {
        self.here()?.reactions(conversation, seqs, user, limit).await
    }

    async fn dead_letters(&self, after: Option<String>, limit: usize) -> Result<Vec<DeadLetter>> {
        self.here()?.dead_letters(after, limit).await
    }

    async fn mark_replayed(&self, id: &str, time: u64) -> Result<bool> {
        self.here()?.mark_replayed(id, time).await
    }

    async fn reader(&self, name: &ReaderName, partition: u32) -> Result<Progress> {
        self.here()?.reader(name, partition).await
    }

    async fn save_reader(&self, name: &ReaderName, partition: u32, progress: Progress) -> Result<()> {
        self.here()?.save_reader(name, partition, progress).await
    }
}
