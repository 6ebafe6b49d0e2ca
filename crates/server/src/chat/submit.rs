//! The way of every change but a send: append the command, wait for what comes of it, answer the truth.

use super::Chat;
use crate::error::{Failure, Result};
use crate::live::{CommandPlace, Outcome};
use crate::router::topic;
use chat4all_model::api::Code;
use chat4all_model::command::Command;
use chat4all_model::record::encode_command;
use std::time::Duration;

/// How long a change waits for its outcome.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is so now.
    Done(String),
    /// It was so already. A marker is a register without an id: of it this says only that it is there now. Without a
    /// position if nothing was asked of the log.
    Same(Option<String>),
    /// It is durable and will be decided; the outcome is not known yet.
    Pending(String),
}

impl Changed {
    /// The value of `Chat4All-Position`: a read that brings it sees at least what came of this.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        match self {
            Self::Done(position) | Self::Pending(position) => Some(position),
            Self::Same(position) => position.as_deref(),
        }
    }

    /// Whether the outcome is not known yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending(_))
    }
}

impl Chat {
    /// Appends a command and waits for what comes of it. `key` is what makes a retry safe.
    pub(super) async fn submit(&self, command: Command, key: &str) -> Result<Changed> {
        let input = command.action.input();
        let partition = command.conversation.partition(self.log.partitions());
        let waiter = self.hub.expect(&command)?;
        let appended = self.log.append(topic(input), vec![(partition, encode_command(&command))]).await;
        let offset = appended.map_err(|error| unanswered(error, key))?.first().copied();
        let offset = offset.ok_or_else(|| Failure::internal("an append without an offset"))?;
        let position = || self.hub.seal_command(CommandPlace { partition, input, offset });
        match waiter.outcome(offset, PATIENCE).await {
            Outcome::Done(place) => Ok(Changed::Done(self.hub.seal(place))),
            Outcome::Unchanged => Ok(Changed::Same(Some(position()))),
            Outcome::Rejected(code) => Err(refusal(code)),
            Outcome::Pending => Ok(Changed::Pending(position())),
        }
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
