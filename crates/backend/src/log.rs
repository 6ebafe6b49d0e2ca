//! The event log: topics of partitions, appended to and followed from a position.

pub mod contract;
mod embedded;
pub mod kafka;
mod publisher;

pub use embedded::{Clock, EmbeddedLog, Fatal, Options, Stats};
pub use publisher::{PublicTopic, Publication, Publisher};

use crate::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// The largest record a log must take, in bytes.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// A topic. Names are the same on every engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Commands: what was asked and accepted. Key: conversation.
    Messages,
    /// Marker moves, settings, receipts of platforms. Key: conversation.
    StatusUpdates,
    /// Facts: what happened, in the one order everybody sees, and the terms of the deciders.
    Events,
    /// Messages for WhatsApp, published from `events`.
    WhatsappOutbound,
    /// Messages for Instagram, published from `events`.
    InstagramOutbound,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 5] =
        [Self::Messages, Self::StatusUpdates, Self::Events, Self::WhatsappOutbound, Self::InstagramOutbound];

    /// The topic's name on the engine.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::StatusUpdates => "status-updates",
            Self::Events => "events",
            Self::WhatsappOutbound => "whatsapp-outbound",
            Self::InstagramOutbound => "instagram-outbound",
        }
    }
}

/// A record as it stands in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset. Grows within a partition, need not be dense, is never reused.
    pub offset: u64,
    /// What was appended.
    pub payload: Bytes,
}

/// What a partition holds: offsets in `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// No record before this offset is left. Reading from here never fails with `Trimmed`.
    pub start: u64,
    /// The next record's offset is at least this.
    pub end: u64,
}

/// The outcome of an append: each record's offset, in the order given.
pub type Appended = BoxFuture<'static, Result<Vec<u64>>>;

/// A durable log of partitioned topics.
///
/// # Durability
/// An append that answered `Ok` survives the kill of every process, and with a replicated engine the loss of a
/// node. Appends waiting at the same time share one sync (group commit).
///
/// # Ordering
/// Records of one partition keep the order in which [`append`](Self::append) was *called*, across calls from one
/// thread, unless one fails: what fails is not there or (`OutcomeUnknown`) may appear later, once or twice, and a
/// later append of the same caller may have succeeded before it. Fencing is done above, by terms in the log.
///
/// # Atomicity
/// None: of several records some may land. Nothing is ever half a record.
///
/// # Cancellation
/// `append` hands its records over before it returns; dropping the future changes nothing but who hears of it.
///
/// # Limits
/// A record is at most [`MAX_RECORD_BYTES`] (`Invalid`). A full queue answers `Overloaded` at once, a full disk
/// `Unavailable`, and both recover by themselves.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// The number of partitions of every topic, fixed when the log was made.
    fn partitions(&self) -> u32;

    /// Which incarnation of the log this is. Another number: nothing known of its positions holds any more.
    fn epoch(&self) -> u32;

    /// Appends records to partitions of `topic`, in this order.
    fn append(&self, topic: Topic, records: Vec<(u32, Bytes)>) -> Appended;

    /// Follows a partition from `from` (inclusive), through whatever is there and then live.
    ///
    /// # Errors
    /// `Trimmed` if records at or after `from` are gone, `Truncated` if `from` lies behind the end.
    async fn follow(&self, topic: Topic, partition: u32, from: u64) -> Result<Box<dyn Follower>>;

    /// What a partition holds now.
    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Bounds>;

    /// The first offset whose record was appended at or after `time_ms` (milliseconds since 1970), to within a
    /// minute and never too late; the end if there is none.
    async fn offset_at(&self, topic: Topic, partition: u32, time_ms: u64) -> Result<u64>;

    /// Forgets records before `before`. Idempotent; never moves the start back. Frees space by and by.
    async fn trim(&self, topic: Topic, partition: u32, before: u64) -> Result<()>;

    /// Joins a group that shares out the partitions of `topic` among its members.
    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>>;
}

/// A reader at a position of one partition.
#[async_trait]
pub trait Follower: Send {
    /// The next records in order: at least one (waits for it), as many as are at hand up to about 1 MiB.
    ///
    /// # Cancellation
    /// Safe: a dropped call loses nothing.
    ///
    /// # Errors
    /// `Trimmed` if it fell behind the log's start. After an `Unavailable` it may be called again.
    async fn next(&mut self) -> Result<Vec<Record>>;
}

/// A member of a group. Dropping it leaves the group; its partitions go to the others.
///
/// Partitions are shared out about evenly. The group shares out work and fences nothing: a slow member may
/// believe that it owns a partition that is another's already.
#[async_trait]
pub trait Member: Send {
    /// Waits for the next change and gives all partitions that are this member's now, sorted. The first call
    /// gives the first assignment. While a member is in this call it counts as alive.
    ///
    /// # Cancellation
    /// Safe.
    async fn assignment(&mut self) -> Result<Vec<u32>>;

    /// Leaves the group at once, so that the others take over without waiting for a time-out.
    async fn leave(self: Box<Self>) -> Result<()>;
}
