//! Sending: accepted once it is durable. A run of sends of one connection costs one lookup and one append.

use super::submit::{refusal, unanswered};
use super::validate::{self, Recipient, Valid};
use super::{Chat, message};
use crate::access::Writer;
use crate::account::Caller;
use crate::error::{Failure, Result};
use crate::live::{CommandPlace, Outcome, Waiter};
use chat4all_backend::ErrorKind;
use chat4all_backend::log::{Appended, Topic};
use chat4all_model::api::{Accepted, Code, Message, SendMessage, Status};
use chat4all_model::command::{Action, Command, Count, Send};
use chat4all_model::id::{ConversationId, ConversationKind, RecordId, UserId};
use chat4all_model::record::{Input, encode_command};
use chat4all_model::state::Known;
use metrics::counter;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A send that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The answer.
    pub accepted: Accepted,
    /// The client's name for it.
    pub client_id: Option<Arc<str>>,
    /// Where its command stands; none if it stood there already.
    pub place: Option<CommandPlace>,
    id: RecordId,
}

/// What a send that waits for its message gives.
#[derive(Debug)]
pub enum Waited {
    /// The message as it is stored, and its position.
    Stored(Box<Message>, Option<String>),
    /// It is durable; the wait was too short to see it stored.
    Accepted(Sent),
}

/// A run of sends whose commands are with the log, in order. Later runs come after it, whether this one is
/// waited for or not.
pub struct Begun {
    sends: Vec<Result<Prepared>>,
    appended: Option<Appended>,
    recent: Arc<Recent>,
    partitions: u32,
}

/// A send that is fit to be appended.
struct Prepared {
    sent: Sent,
    command: Command,
    key: Arc<str>,
    /// The client brought the key, so it may have been used before.
    asked_for: bool,
    /// It stands in the log already, from an earlier try.
    stands: bool,
}

impl Chat {
    /// Sends a message. `key` is the `Idempotency-Key` header.
    ///
    /// # Errors
    /// `InvalidRequest`; `NotFound` where the caller may not know of the place; `Forbidden`;
    /// `IdempotencyKeyReused`; `OutcomeUnknown` with the key for a retry.
    pub async fn send(&self, caller: &Caller, message: SendMessage, key: Option<&str>) -> Result<Sent> {
        let begun = self.begin(caller, vec![(message, key.map(str::to_owned))]).await;
        let none = || Err(Failure::internal("a send without an answer"));
        begun.finish().await.pop().unwrap_or_else(none)
    }

    /// Takes a run of sends of one connection and hands them to the log in this order. They are accepted when
    /// [`Begun::finish`] says so; the connection may begin its next run before.
    pub async fn begin(&self, caller: &Caller, messages: Vec<(SendMessage, Option<String>)>) -> Begun {
        let mut sends = Vec::with_capacity(messages.len());
        for (message, key) in messages {
            sends.push(self.prepare(caller, message, key.as_deref()).await);
        }
        self.find_retries(&mut sends).await;
        let partitions = self.log.partitions();
        let fresh = || sends.iter().flatten().filter(|send| !send.stands);
        let record = |send: &Prepared| {
            (send.command.conversation.partition(partitions), encode_command(&send.command))
        };
        let records: Vec<_> = fresh().map(record).collect();
        self.recent.remember(fresh().map(|send| (send.sent.id, &send.command)));
        let appended = (!records.is_empty()).then(|| self.log.append(Topic::Messages, records));
        Begun { sends, appended, recent: Arc::clone(&self.recent), partitions }
    }

    /// Sends a message and waits up to `patience` for it to be stored.
    ///
    /// # Errors
    /// As [`send`](Self::send); the decided refusal, if it turns out not to be allowed.
    pub async fn send_and_wait(
        &self,
        caller: &Caller,
        message: SendMessage,
        key: Option<&str>,
        patience: Duration,
    ) -> Result<Waited> {
        let outcome = self.sent_and_decided(caller, message, key, patience).await;
        count(&outcome);
        outcome
    }

    async fn sent_and_decided(
        &self,
        caller: &Caller,
        message: SendMessage,
        key: Option<&str>,
        patience: Duration,
    ) -> Result<Waited> {
        let mut sends = vec![self.prepare(caller, message, key).await];
        self.find_retries(&mut sends).await;
        let send = sends.pop().unwrap_or_else(|| Err(Failure::internal("a send without an answer")))?;
        if send.stands {
            return self.stored(caller, send.sent, None).await;
        }
        let waiter: Waiter = self.hub.expect(&send.command)?;
        let partition = send.command.conversation.partition(self.log.partitions());
        let record = (partition, encode_command(&send.command));
        self.recent.remember([(send.sent.id, &send.command)].into_iter());
        let appended = self.log.append(Topic::Messages, vec![record]).await;
        if let Err(error) = &appended {
            self.recent.refused(error, std::iter::once(&send.sent.id));
        }
        let offset = appended.map_err(|error| unanswered(error, &send.key))?.first().copied();
        let offset = offset.ok_or_else(|| Failure::internal("an append without an offset"))?;
        match waiter.outcome(offset, patience).await {
            Outcome::Done(position) => self.stored(caller, send.sent, Some(self.hub.seal(position))).await,
            Outcome::Unchanged => self.stored(caller, send.sent, None).await,
            Outcome::Rejected(code) => Err(refusal(code)),
            Outcome::Pending => {
                let place = Some(CommandPlace { partition, input: Input::Messages, offset });
                Ok(Waited::Accepted(Sent { place, ..send.sent }))
            }
        }
    }

    /// The message of a send that stands. One that the store cannot give now is accepted all the same.
    async fn stored(&self, caller: &Caller, sent: Sent, position: Option<String>) -> Result<Waited> {
        match self.message_of(caller, &sent).await {
            Ok(Some(message)) => Ok(Waited::Stored(Box::new(message), position)),
            Ok(None) => Ok(Waited::Accepted(sent)),
            Err(failure) if failure.code == Code::Unavailable => Ok(Waited::Accepted(sent)),
            Err(failure) => Err(failure),
        }
    }

    async fn message_of(&self, caller: &Caller, sent: &Sent) -> Result<Option<Message>> {
        let writer = self.access.sender(caller, &self.conversation_of(sent)?).await?;
        self.hub.readable(writer.conversation()).await?;
        let (Some(m), Some(known)) = (writer.membership(), self.lookup.one(sent.id).await?) else {
            return Ok(None);
        };
        let Some(found) = self.content.message(m, known.seq).await? else { return Ok(None) };
        let participants = self.content.overview(&found.membership).await?.head.participants;
        let mut messages =
            message::assemble(&self.content, &found.membership, participants, &found.messages).await?;
        Ok(messages.pop())
    }

    fn conversation_of(&self, sent: &Sent) -> Result<ConversationId> {
        ConversationId::parse(&sent.accepted.conversation_id).map_err(Failure::internal)
    }

    /// Checks a send and makes its command.
    async fn prepare(&self, caller: &Caller, message: SendMessage, key: Option<&str>) -> Result<Prepared> {
        let mut valid = validate::send(message, key, &caller.user_id)?;
        let conversation = place(&mut valid, &caller.user_id)?;
        let writer = self.access.sender(caller, &conversation).await?;
        if writer.membership().is_none() {
            self.other_side(&writer).await?;
        }
        // Files come with their own use-cases; until then no id names one.
        if !valid.content.files.is_empty() {
            return Err(Failure::new(Code::NotFound, "file_ids: there is no such file that you may read"));
        }
        self.must_be_members(&writer, &valid).await?;
        let seen = self.seen(&writer, valid.seen).await?;
        let asked_for = valid.key.is_some();
        let key: Arc<str> = valid.key.take().unwrap_or_else(|| self.ambient.uuid().into());
        let send = Send { kind: valid.kind, content: valid.content, reply_to: valid.reply_to, seen };
        let mut command = writer.command(self.ambient.now(), &key, Action::Send(send));
        command.client_id = valid.client_id.clone();
        let Some(id) = command.id else { return Err(Failure::internal("a send without an id")) };
        let accepted = Accepted {
            message_id: id.to_string(),
            conversation_id: conversation.to_string(),
            status: Status::Sent,
        };
        let sent = Sent { accepted, client_id: valid.client_id, place: None, id };
        Ok(Prepared { sent, command, key, asked_for, stands: false })
    }

    /// Marks those that stand already, and refuses those whose key stands for something else.
    async fn find_retries(&self, sends: &mut [Result<Prepared>]) {
        let asked_for = |send: &&mut Result<Prepared>| send.as_ref().is_ok_and(|send| send.asked_for);
        let ids: Vec<RecordId> =
            sends.iter().flatten().filter(|send| send.asked_for).map(|send| send.sent.id).collect();
        match self.lookup.known(ids).await {
            Ok(known) => {
                for (send, known) in sends.iter_mut().filter(asked_for).zip(known) {
                    let Ok(prepared) = send.as_mut() else { continue };
                    prepared.stands = known.as_ref().is_some_and(|known| same(&prepared.command, known));
                    // What was accepted here a moment ago may not be stored yet.
                    let reused = match known {
                        Some(_) => !prepared.stands,
                        None => self.recent.has_other_content(&prepared.sent.id, prepared.command.hash),
                    };
                    if reused {
                        *send = Err(refusal(Code::IdempotencyKeyReused));
                    }
                }
            }
            Err(failure) => {
                for send in sends.iter_mut().filter(asked_for) {
                    *send = Err(Failure::new(failure.code, failure.detail.clone()));
                }
            }
        }
    }

    /// Refuses to begin a direct conversation with nobody.
    async fn other_side(&self, writer: &Writer) -> Result<()> {
        let ConversationKind::Direct(a, b) = writer.conversation().kind() else { return Ok(()) };
        let other = if a == *writer.user() { b } else { a };
        match self.accounts.get(std::slice::from_ref(&other)).await?.is_empty() {
            true => Err(Failure::new(Code::NotFound, "recipient_id: there is no such user")),
            false => Ok(()),
        }
    }

    /// Refuses mentions of people who are not here.
    async fn must_be_members(&self, writer: &Writer, valid: &Valid) -> Result<()> {
        let mentioned = valid.content.mentions.iter().filter(|who| &***who != "all");
        let users: Vec<UserId> = mentioned.filter_map(|who| UserId::parse(who).ok()).collect();
        if users.is_empty() {
            return Ok(());
        }
        let here: Vec<bool> = match (writer.membership(), writer.conversation().kind()) {
            (Some(m), _) => {
                self.hub.readable(m.conversation()).await?;
                self.content.are_members(m, &users).await?
            }
            (None, ConversationKind::Direct(a, b)) => users.iter().map(|u| *u == a || *u == b).collect(),
            (None, _) => users.iter().map(|user| user == writer.user()).collect(),
        };
        let mut errors = validate::Errors::default();
        for (user, _) in users.iter().zip(here).filter(|(_, here)| !here) {
            errors.add("mentions", format!("{user} is not a member of the conversation"));
        }
        errors.finish()
    }

    /// What the sender has seen, with the messages up to it counted.
    async fn seen(&self, writer: &Writer, seen: Option<u64>) -> Result<Option<Count>> {
        match (seen, writer.membership()) {
            (Some(seq), Some(m)) if seq >= m.first_seq() => {
                Ok(Some(Count { seq, n: self.content.n(m, seq, "seen").await? }))
            }
            (Some(seq), None) if seq > 0 => {
                Err(Failure::invalid("seen", "lies beyond the end of the conversation"))
            }
            _ => Ok(None),
        }
    }
}

impl Begun {
    /// Waits until the run is durable; an answer for each send, in order.
    pub async fn finish(self) -> Vec<Result<Sent>> {
        let (offsets, error) = match self.appended {
            Some(appended) => match appended.await {
                Ok(offsets) => (offsets, None),
                Err(error) => (Vec::new(), Some(error)),
            },
            None => (Vec::new(), None),
        };
        if let Some(error) = &error {
            let fresh = self.sends.iter().flatten().filter(|send| !send.stands);
            self.recent.refused(error, fresh.map(|send| &send.sent.id));
        }
        let mut offsets = offsets.into_iter();
        let mut answer = |send: Prepared| match &error {
            _ if send.stands => Ok(send.sent),
            Some(error) => {
                let copy = chat4all_backend::Error::new(error.kind, error.to_string());
                Err(unanswered(copy, &send.key))
            }
            None => {
                let partition = send.command.conversation.partition(self.partitions);
                let place =
                    offsets.next().map(|offset| CommandPlace { partition, input: Input::Messages, offset });
                Ok(Sent { place, ..send.sent })
            }
        };
        let outcomes: Vec<_> = self.sends.into_iter().map(|send| send.and_then(&mut answer)).collect();
        outcomes.iter().for_each(count);
        outcomes
    }
}

/// Counts a send as it is answered, whatever the transport.
fn count<T>(outcome: &Result<T>) {
    match outcome {
        Ok(_) => counter!("messages_accepted_total").increment(1),
        Err(failure) => counter!("messages_rejected_total", "reason" => failure.code.as_str()).increment(1),
    }
}

/// Whether what stands under a command's id is the same content.
pub(super) fn same(command: &Command, known: &Known) -> bool {
    known.hash == command.hash && known.conversation == command.conversation
}

/// Which conversation a send goes to.
fn place(valid: &mut Valid, me: &UserId) -> Result<ConversationId> {
    let implied = match valid.recipient.take() {
        None => None,
        Some(Recipient::User(user)) => {
            let own = || Failure::invalid("recipient_id", "cannot be yourself");
            Some(ConversationId::direct(me, &user).ok_or_else(own)?)
        }
        Some(Recipient::Address(address)) => Some(
            ConversationId::channel(me, &address)
                .map_err(|error| Failure::invalid("recipient_id", error.to_string()))?,
        ),
    };
    match (valid.conversation.take(), implied) {
        (Some(named), Some(implied)) if named != implied => Err(Failure::invalid(
            "recipient_id",
            "is not who this conversation is with; leave one of the two out",
        )),
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err(Failure::invalid("conversation_id", "is needed")),
    }
}

/// Where the newest sends of this process went and what they hold, until the store knows: an edit by the
/// message's id alone stands behind the send in the same partition of the log, and a key that was used a moment
/// ago is used.
#[derive(Default)]
pub(super) struct Recent(Mutex<Generations>);

/// The newer half and the older half, which goes when the newer is full.
#[derive(Default)]
struct Generations {
    newer: HashMap<RecordId, (ConversationId, u64)>,
    older: HashMap<RecordId, (ConversationId, u64)>,
}

impl Generations {
    fn get(&self, id: &RecordId) -> Option<&(ConversationId, u64)> {
        self.newer.get(id).or_else(|| self.older.get(id))
    }
}

impl Recent {
    const HALF: usize = 16_384;

    fn remember<'a>(&self, sends: impl Iterator<Item = (RecordId, &'a Command)>) {
        let mut halves = self.0.lock();
        for (id, command) in sends {
            if halves.newer.len() >= Self::HALF {
                halves.older = std::mem::take(&mut halves.newer);
            }
            halves.newer.insert(id, (command.conversation.clone(), command.hash));
        }
    }

    /// Frees the keys of sends whose append failed, if surely nothing was accepted.
    fn refused<'a>(&self, error: &chat4all_backend::Error, ids: impl Iterator<Item = &'a RecordId>) {
        if error.kind == ErrorKind::OutcomeUnknown {
            return;
        }
        let mut halves = self.0.lock();
        for id in ids {
            halves.newer.remove(id);
            halves.older.remove(id);
        }
    }

    /// Whether the id was taken by other content.
    fn has_other_content(&self, id: &RecordId, hash: u64) -> bool {
        self.0.lock().get(id).is_some_and(|(_, taken)| *taken != hash)
    }

    pub(super) fn conversation(&self, id: &RecordId) -> Option<ConversationId> {
        self.0.lock().get(id).map(|(conversation, _)| conversation.clone())
    }
}
