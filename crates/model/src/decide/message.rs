//! Messages and what happens to them.

use super::{MAX_EDITS, MAX_REACTION_KINDS, No, Scene, State, Torn};
use crate::api::{Code, Role};
use crate::command::{Count, Send, text_hash};
use crate::fact::{Fact, Head, Interval, MessageState, Target, What};
use crate::id::RecordId;
use crate::state::{Key, Value};
use std::sync::Arc;

impl<S: State> Scene<'_, S> {
    pub(super) fn send(&self, send: &Send) -> Result<Vec<Fact>, No> {
        let birth = self.birth()?;
        let born = birth.as_ref().and_then(|fact| fact.head.clone());
        let head = match (&born, &self.head) {
            (Some(head), _) | (None, Some(head)) => head,
            (None, None) => return Err(Torn("neither born nor there").into()),
        };
        if let Some(answered) = send.reply_to {
            self.answerable(answered)?;
        }
        let what = What::Message {
            kind: send.kind,
            content: send.content.clone(),
            reply_to: send.reply_to,
            client_id: self.command.client_id.clone(),
        };
        let message = self.next(head, what);
        let receipt = send.seen.and_then(|seen| self.seen(head, &message, seen).transpose()).transpose()?;
        // The id is the message's: of the two facts that a first message makes, only one can be found by it.
        let birth = birth.map(|fact| Fact { id: None, ..fact });
        Ok(birth.into_iter().chain([message]).chain(receipt).collect())
    }

    /// The sender's markers after a send that says what was seen: past the new message if nobody else wrote
    /// since, else only as far as was seen.
    fn seen(&self, head: &Head, message: &Fact, seen: Count) -> Result<Option<Fact>, No> {
        if seen.seq > head.seq {
            return Ok(None);
        }
        let all = head.last_by_others(&self.command.actor) <= seen.seq;
        let at = if all { Count { seq: message.seq(), n: message.n() } } else { seen };
        let before = self.markers()?;
        let mut after = before;
        after.read = after.read.max(at);
        after.delivered = after.delivered.max(at);
        Ok(self.receipt(head, before, after))
    }

    fn answerable(&self, id: RecordId) -> Result<(), No> {
        let known = self.known(id)?.ok_or(No::Rule(Code::NotFound))?;
        let mine = self.me.as_ref().is_some_and(|me| me.contains(known.seq));
        let here = known.message && known.conversation == self.command.conversation && mine;
        if here { Ok(()) } else { Err(No::Rule(Code::NotFound)) }
    }

    pub(super) fn edit(&self, target: RecordId, text: &Arc<str>) -> Result<Vec<Fact>, No> {
        let (head, _, message) = self.target(target)?;
        if message.sender != self.command.actor {
            return Err(No::Rule(Code::Forbidden));
        }
        if message.deleted_at.is_some() {
            return Err(No::Rule(Code::NotFound));
        }
        let hash = text_hash(text);
        if message.text_hash == hash {
            return Err(No::Change);
        }
        if message.edits.len() >= MAX_EDITS {
            return Err(No::Rule(Code::LimitReached));
        }
        let target = Target { id: target, at: message.at };
        let mut state = MessageState { text_hash: hash, edited_at: Some(self.command.time), ..message };
        state.edits.push(head.seq + 1);
        Ok(vec![self.next(head, What::Edited { target, text: Some(text.clone()), state })])
    }

    pub(super) fn delete(&self, target: RecordId) -> Result<Vec<Fact>, No> {
        let (head, me, message) = self.target(target)?;
        if message.sender != self.command.actor && me.role != Role::Admin {
            return Err(No::Rule(Code::Forbidden));
        }
        if message.deleted_at.is_some() {
            return Err(No::Change);
        }
        let target = Target { id: target, at: message.at };
        let state = MessageState { deleted_at: Some(self.command.time), reactions: Vec::new(), ..message };
        Ok(vec![self.next(head, What::Deleted { target, state })])
    }

    pub(super) fn react(&self, target: RecordId, emoji: &Arc<str>, remove: bool) -> Result<Vec<Fact>, No> {
        let (head, _, message) = self.target(target)?;
        if message.deleted_at.is_some() {
            return Err(No::Rule(Code::NotFound));
        }
        let key = Key::Reaction(
            self.command.conversation.clone(),
            message.at.seq,
            self.command.actor.clone(),
            emoji.clone(),
        );
        let present = matches!(self.state.get(&key), Some(Value::Reaction(true)));
        if present != remove {
            return Err(No::Change);
        }
        let target = Target { id: target, at: message.at };
        let mut state = message;
        match state.reactions.iter().position(|(kind, _)| kind == emoji) {
            Some(at) if remove => state.reactions[at].1 = state.reactions[at].1.saturating_sub(1),
            Some(at) => state.reactions[at].1 += 1,
            None if remove => return Err(Torn("a reaction that was not counted").into()),
            None if state.reactions.len() >= MAX_REACTION_KINDS => return Err(No::Rule(Code::LimitReached)),
            None => state.reactions.push((emoji.clone(), 1)),
        }
        state.reactions.retain(|(_, count)| *count > 0);
        Ok(vec![self.next(head, What::Reacted { target, emoji: emoji.clone(), removed: remove, state })])
    }

    /// A message that the actor, a member now, may see.
    fn target(&self, id: RecordId) -> Result<(&Head, &Interval, MessageState), No> {
        let (head, me) = self.as_member()?;
        let known = self.known(id)?.ok_or(No::Rule(Code::NotFound))?;
        if known.conversation != self.command.conversation || !known.message || !me.contains(known.seq) {
            return Err(No::Rule(Code::NotFound));
        }
        match self.state.get(&Key::Message(known.conversation, known.seq)) {
            Some(Value::Message(message)) => Ok((head, me, message)),
            _ => Err(Torn("an id without its message").into()),
        }
    }
}
