//! What becomes one record of `events`, kept below the log's limit whatever the commands are.

use bytes::Bytes;
use chat4all_backend::log::MAX_RECORD_BYTES;
use chat4all_model::api::Code;
use chat4all_model::command::Command;
use chat4all_model::fact::{Fact, What};
use chat4all_model::record::{Dead, EventRecord, Facts, Source, encode_event};

/// Bytes from which on a record takes no further command.
const FULL_BYTES: usize = 96 * 1024;
/// Commands of one record.
const FULL_COMMANDS: usize = 256;
/// What one command may come to: the rest is for the record's own fields.
const ROOM: usize = MAX_RECORD_BYTES - 1024;
/// Bytes of a reason that are kept.
const REASON: usize = 500;

/// Outcomes of an unbroken run of commands of one topic.
#[derive(Default)]
pub(super) struct Batch {
    source: Option<Source>,
    facts: Vec<Fact>,
    dead: Vec<Dead>,
    commands: usize,
    bytes: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.source.is_none()
    }

    /// How many commands it holds.
    pub(super) fn commands(&self) -> usize {
        self.commands
    }

    /// Whether an outcome of `bytes` belongs into the next one.
    pub(super) fn is_full_for(&self, bytes: usize) -> bool {
        !self.is_empty() && (self.commands >= FULL_COMMANDS || self.bytes + bytes > FULL_BYTES)
    }

    /// Takes what came of the command at `source`.
    pub(super) fn push(&mut self, source: Source, outcome: Outcome) {
        self.source = Some(source);
        self.commands += 1;
        self.bytes += outcome.bytes;
        self.facts.extend(outcome.facts);
        self.dead.extend(outcome.dead);
    }

    /// The record number `index` of `term`; none if nothing was decided.
    pub(super) fn encode(self, term: u64, index: u64) -> Option<Bytes> {
        let source = self.source?;
        let facts = Facts { term, index, source, facts: self.facts, dead: self.dead };
        Some(encode_event(&EventRecord::Facts(facts)))
    }
}

/// What came of one command.
pub(super) struct Outcome {
    pub(super) facts: Vec<Fact>,
    dead: Option<Dead>,
    /// What it takes in a record.
    pub(super) bytes: usize,
}

impl Outcome {
    /// Of a command that could be decided. What no record can hold is refused.
    pub(super) fn decided(command: &Command, facts: Vec<Fact>) -> Self {
        let size = |fact: &Fact| postcard::experimental::serialized_size(fact).unwrap_or(ROOM);
        let bytes = facts.iter().map(size).sum();
        if bytes <= ROOM {
            return Self { facts, dead: None, bytes };
        }
        let refused = Fact {
            conversation: command.conversation.clone(),
            actor: command.actor.clone(),
            time: command.time,
            id: command.id,
            hash: command.hash,
            head: None,
            what: What::Rejected { code: Code::TooLarge, client_id: command.client_id.clone() },
        };
        Self { bytes: size(&refused), facts: vec![refused], dead: None }
    }

    /// Of one that could not be read.
    pub(super) fn dead(source: Source, mut reason: String, payload: &[u8]) -> Self {
        reason.truncate(reason.floor_char_boundary(REASON));
        // Nothing of ours is as long as a record may be; of what is, the beginning tells what it was.
        let payload = payload[..payload.len().min(ROOM - REASON)].to_vec();
        let bytes = payload.len() + reason.len();
        Self { facts: Vec::new(), dead: Some(Dead { source, reason: reason.into(), payload }), bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat4all_model::api::{History, Role};
    use chat4all_model::command::{Action, Count};
    use chat4all_model::fact::{About, Interval};
    use chat4all_model::id::{ConversationId, UserId};
    use chat4all_model::record::Input;

    fn source(offset: u64) -> Source {
        Source { input: Input::Messages, epoch: 1, offset }
    }

    #[test]
    fn a_record_is_never_over_the_limit() {
        let mut batch = Batch::default();
        batch.push(source(0), Outcome::dead(source(0), "ä".repeat(600), &vec![7; MAX_RECORD_BYTES]));
        assert!(batch.is_full_for(1));
        assert!(batch.encode(u64::MAX, u64::MAX).unwrap().len() <= MAX_RECORD_BYTES);
    }

    #[test]
    fn what_no_record_can_hold_is_refused() {
        let conversation = ConversationId::parse("g:1").unwrap();
        let user = |n: usize| UserId::parse(&format!("{n:0>60}")).unwrap();
        let members: Vec<UserId> = (0..4_000).map(user).collect();
        let joined = |user: &UserId| Interval {
            user: user.clone(),
            role: Role::Member,
            from: Count { seq: 1, n: 0 },
            since: 1,
            to: None,
            other_seq: 0,
            joined_at: u64::MAX,
        };
        let intervals = members.iter().map(joined).collect();
        let action = Action::Create { name: None, members, history: History::All };
        let command = Command::new(conversation.clone(), user(1), 1, "k", action);
        let about = About { name: None, created_by: user(1), created_at: 1, history: History::All };
        let fact = Fact {
            conversation,
            actor: user(1),
            time: 1,
            id: command.id,
            hash: command.hash,
            head: None,
            what: What::Created { about, members: intervals },
        };
        let outcome = Outcome::decided(&command, vec![fact]);
        let Some(Fact { what: What::Rejected { code: Code::TooLarge, .. }, id, .. }) = outcome.facts.first()
        else {
            panic!("{:?}", outcome.facts.len())
        };
        assert_eq!(*id, command.id);
    }
}
