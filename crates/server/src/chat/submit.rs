//! The way of every change but a send: append the command, wait for what comes of it, answer the truth.

use super::Chat;
use crate::error::{Failure, Result};
use crate::live::Outcome;
use chat4all_backend::log::Topic;
use chat4all_model::api::Code;
use chat4all_model::command::{Action, Command};
use chat4all_model::record::encode_command;
use std::time::Duration;

/// How long a change waits for its outcome.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is so now; a read that brings the position sees it.
    Done(Option<String>),
    /// It was so already. A marker is a register without an id: of it this says only that it is there now.
    Same,
    /// It is durable and will be decided; the outcome is not known yet.
    Pending,
}

impl Changed {
    /// The value of `Chat4All-Position`.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        match self {
            Self::Done(position) => position.as_deref(),
            Self::Same | Self::Pending => None,
        }
    }

    /// Whether the outcome is not known yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        *self == Self::Pending
    }
}

impl Chat {
    /// Appends a command and waits for what comes of it. `key` is what makes a retry safe.
    pub(super) async fn submit(&self, command: Command, key: &str) -> Result<Changed> {
        let topic = topic(&command.action);
        let partition = command.conversation.partition(self.log.partitions());
        let waiter = self.hub.expect(&command)?;
        let appended = self.log.append(topic, vec![(partition, encode_command(&command))]).await;
        let offset = appended.map_err(|error| unanswered(error, key))?.first().copied();
        let offset = offset.ok_or_else(|| Failure::internal("an append without an offset"))?;
        match waiter.outcome(offset, PATIENCE).await {
            Outcome::Done(position) => Ok(Changed::Done(Some(self.hub.seal(position)))),
            Outcome::Unchanged => Ok(Changed::Same),
            Outcome::Rejected(code) => Err(refusal(code)),
            Outcome::Pending => Ok(Changed::Pending),
        }
    }
}

/// Where a command goes.
pub(super) fn topic(action: &Action) -> Topic {
    match action {
        Action::Mark { .. } | Action::Settings(_) => Topic::StatusUpdates,
        _ => Topic::Messages,
    }
}

/// A failed append: where it may have landed, the key that makes a retry safe is told.
pub(super) fn unanswered(error: chat4all_backend::Error, key: &str) -> Failure {
    let failure = Failure::from(error);
    if failure.code == Code::OutcomeUnknown { failure.with_key(key) } else { failure }
}

/// A decided refusal, in words.
pub(super) fn refusal(code: Code) -> Failure {
    let detail = match code {
        Code::NotFound => return Failure::not_found(),
        Code::Forbidden => "you may see it, but not do this to it",
        Code::Conflict => "the conversation does not allow this as it is now",
        Code::LimitReached => "there are as many as are allowed",
        Code::IdempotencyKeyReused => "this key was used for something else; take another one",
        _ => "it was refused",
    };
    Failure::new(code, detail)
}
