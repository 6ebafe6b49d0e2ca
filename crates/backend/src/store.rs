//! The store: what the facts of the log amount to, kept so that it can be read.
//!
//! A projection: every row is a pure function of facts ([`chat4all_model::rows`]), written blindly by whoever
//! projects, and nothing is read beyond the progress written with it.

pub mod cassandra;
pub mod contract;
mod embedded;
mod page;
mod postgres;
mod split;

pub use embedded::{EmbeddedStore, Options, Stats};
pub use postgres::PostgresStore;

use crate::Result;
use async_trait::async_trait;
use chat4all_model::command::Marker;
use chat4all_model::fact::{About, Fact, Head, Interval, Markers, MessageState, Settings};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::record::Dead;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Known, Value};
use std::sync::Arc;

/// How many terms of a partition are kept.
pub const MAX_TERMS: usize = 100;
/// How many mentions of a member in a conversation are given.
pub const MAX_MENTIONS: usize = 1_000;

/// A run of records of one partition of `events`, to be projected together.
#[derive(Debug, Clone, Default)]
pub struct Projection {
    /// The records that counted, in order.
    pub counted: Vec<Counted>,
    /// Offsets of the terms that began.
    pub terms: Vec<u64>,
    /// How far the reader has come after all of them.
    pub progress: Progress,
}

/// A record that counted.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Where it stands.
    pub position: Position,
    /// What happened, in order; of rows with one key the later one wins.
    pub facts: Arc<[Fact]>,
    /// Commands that could not be read.
    pub dead: Arc<[Dead]>,
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where its fact stands in the log.
    pub position: Position,
    /// The fact; its content is empty ([`Content::default`](chat4all_model::command::Content) or no text) once blanked.
    pub fact: Fact,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its first event.
    pub event: StoredEvent,
    /// What changed since; none if nothing did.
    pub state: Option<MessageState>,
    /// The present text if it was edited and not deleted.
    pub text: Option<Arc<str>>,
    /// The highest position among what was read.
    pub position: Position,
}

/// A conversation but for its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Name and maker.
    pub about: About,
    /// Counters.
    pub head: Head,
    /// Where the newest of them stands.
    pub position: Position,
}

/// What a member has of its own in a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// How far it has come.
    pub markers: Markers,
    /// Its settings.
    pub settings: Settings,
    /// `seq` of mentions past the read marker, of itself and of all, the first [`MAX_MENTIONS`], rising.
    pub mentions: Vec<u64>,
}

/// A marker or settings of a user that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnChange {
    /// Where.
    pub conversation: ConversationId,
    /// In `events`.
    pub position: Position,
    /// When.
    pub time: u64,
    /// What.
    pub what: OwnChanged,
}

/// What changed of a user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnChanged {
    /// The markers, as they are now.
    Markers(Markers),
    /// The settings, as they are now.
    Settings(Settings),
}

/// Which messages of a conversation, all inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// The newest at or below this `seq`, newest first.
    Down(u64),
    /// The oldest at or above this `seq`, oldest first.
    Up(u64),
}

/// `(seq, user, emoji, since)`
pub type Reaction = (u64, UserId, Arc<str>, u64);

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `<partition>-<position>-<index in its record>`, opaque.
    pub id: String,
    /// When it was set aside; 0 if the log does not say.
    pub time: u64,
    /// What was set aside.
    pub dead: Dead,
    /// When it was replayed, if it was.
    pub replayed_at: Option<u64>,
}

/// A durable reader's place: of the publisher, the notifier, an indexer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReaderName(pub &'static str);

/// The store of conversations.
///
/// # Atomicity
/// Each method is one step. [`project`](Self::project) may be seen in part by other readers of an engine without
/// snapshots, in the order rows, heads, progress; a read within one method of an SQL engine is of one moment.
///
/// # Idempotence
/// Records are first projected in the order of their partition. Projecting them again, late, or from two processes
/// at once leaves the same bytes: of two writes of
/// one row the higher position wins, markers only rise, progress only moves forward, what was blanked stays blank.
///
/// # Durability
/// What [`progress`](Self::progress) covers survives a kill of the process. After a power cut it may be older, but
/// rows and progress are then of one moment, and the log still has the rest.
///
/// # Limits
/// A list is never longer than its `limit` but for what [`own_changes`](Self::own_changes) says. A failed call changed nothing or all (`OutcomeUnknown`: repeat it).
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes what a run of records amounts to, and the progress after it.
    async fn project(&self, partition: u32, projection: Projection) -> Result<()>;

    /// How far a partition has been projected.
    async fn progress(&self, partition: u32) -> Result<Progress>;

    /// How far, as a power cut would leave it: the log may be trimmed behind this.
    async fn synced_progress(&self, partition: u32) -> Result<Progress>;

    /// Offsets of the last [`MAX_TERMS`] terms of a partition, rising.
    async fn terms(&self, partition: u32) -> Result<Vec<u64>>;

    /// The values of these keys, in their order.
    async fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>>;

    /// Where these commands' facts stand, in their order.
    async fn known(&self, ids: Vec<RecordId>) -> Result<Vec<Option<Known>>>;

    /// Conversations, in the order asked.
    async fn overviews(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Overview>>>;

    /// All intervals of a user, in all conversations.
    async fn memberships(&self, user: &UserId) -> Result<Vec<(ConversationId, Interval)>>;

    /// All intervals of a user in one conversation, rising.
    async fn intervals(&self, conversation: &ConversationId, user: &UserId) -> Result<Vec<Interval>>;

    /// Present members by time of joining and id, after a given one.
    async fn members(
        &self,
        conversation: &ConversationId,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<Interval>>;

    /// Every interval, closed ones too, that reaches into `from..=to`, at most `limit`.
    async fn members_between(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Interval>>;

    /// Events with `after < seq <= upto`, rising.
    async fn events(
        &self,
        conversation: &ConversationId,
        after: u64,
        upto: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>>;

    /// The first `seq` of a conversation whose event stands after `position`; none if there is none.
    async fn first_after(&self, conversation: &ConversationId, position: Position) -> Result<Option<u64>>;

    /// Messages of a slice.
    async fn messages(
        &self,
        conversation: &ConversationId,
        slice: Slice,
        limit: usize,
    ) -> Result<Vec<StoredMessage>>;

    /// What a user has of its own in conversations, in the order asked.
    async fn own(&self, user: &UserId, conversations: Vec<ConversationId>) -> Result<Vec<Own>>;

    /// A user's own markers and settings that changed after `from` up to `to` in one partition, rising, at most
    /// `limit`. What stands at one position is never parted, so that the next page can begin after the last one's:
    /// the last position is left out instead, or given whole if it is the only one.
    async fn own_changes(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<OwnChange>>;

    /// A user's refused commands after `from` up to `to` in one partition, rising, at most `limit`, positions never
    /// parted.
    async fn rejections(
        &self,
        user: &UserId,
        partition: u32,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<StoredEvent>>;

    /// The markers of members who have any, at most `limit`.
    async fn markers(&self, conversation: &ConversationId, limit: usize) -> Result<Vec<(UserId, Markers)>>;

    /// Of each user and marker, its rises with `from <= seq <= to` and the first one past `to`: `(user, marker, seq, time)`.
    async fn rises(
        &self,
        conversation: &ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<(UserId, Marker, u64, u64)>>;

    /// Conversations that have events, each once, in an order of the engine's own, and where the next page begins;
    /// none if there is none. What is made meanwhile may be left out.
    async fn conversations(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, Option<String>)>;

    /// Empties all that the event rows give: names, heads, members, what became of messages, reactions. To be
    /// projected again from the events at once, while nobody else reads or writes.
    async fn clear_derived(&self) -> Result<()>;

    /// Who reacts to the messages at these `seq`s, of one user if given, at most `limit`.
    async fn reactions(
        &self,
        conversation: &ConversationId,
        seqs: Vec<u64>,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Reaction>>;

    /// Dead letters after an id, oldest first.
    async fn dead_letters(&self, after: Option<String>, limit: usize) -> Result<Vec<DeadLetter>>;

    /// Notes that a dead letter was replayed. False if there is none of that id.
    async fn mark_replayed(&self, id: &str, time: u64) -> Result<bool>;

    /// A durable reader's place in a partition.
    async fn reader(&self, name: &ReaderName, partition: u32) -> Result<Progress>;

    /// Moves a durable reader's place, never back.
    async fn save_reader(&self, name: &ReaderName, partition: u32, progress: Progress) -> Result<()>;
}
