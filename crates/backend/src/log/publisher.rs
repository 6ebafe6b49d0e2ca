//! What is published for others: topics that we write and never read.

use crate::Result;
use async_trait::async_trait;
use bytes::Bytes;

/// A topic for others. Kept for 7 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PublicTopic {
    /// New messages. Key: conversation.
    MessageCreated,
    /// Edits. Key: conversation.
    MessageUpdated,
    /// Deletions. Key: conversation.
    MessageDeleted,
    /// Commands that could not be read. Key: none.
    DeadLetters,
}

impl PublicTopic {
    /// Every topic.
    pub const ALL: [Self; 4] =
        [Self::MessageCreated, Self::MessageUpdated, Self::MessageDeleted, Self::DeadLetters];

    /// The topic's name on the engine.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageCreated => "message.created",
            Self::MessageUpdated => "message.updated",
            Self::MessageDeleted => "message.deleted",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// A record for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Into which topic.
    pub topic: PublicTopic,
    /// The partition: that of the conversation.
    pub partition: u32,
    /// By which readers tell what belongs together; none for records that belong to nothing.
    pub key: Option<Bytes>,
    /// What is told.
    pub payload: Bytes,
}

/// Publishes for others.
///
/// # Ordering
/// Records of one partition and topic keep their order, across calls one after another.
///
/// # Delivery
/// At least once: after a failure some may be there, and are published again.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Publishes all of these; durable when it answers.
    async fn publish(&self, records: Vec<Publication>) -> Result<()>;
}
