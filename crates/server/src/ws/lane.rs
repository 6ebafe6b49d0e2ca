//! The way of a connection's commands: appended in the order in which they came, answered as they are done.

use super::answer;
use super::frame::{Change, Changing};
use crate::account::Caller;
use crate::chat::{Chat, Sent};
use crate::error::{Failure, Result};
use chat4all_model::api::{Control, SendMessage, Status};
use chat4all_model::command::Marker;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;

/// Commands a connection may have under way; then it is not read until some are done.
const MAX_UNDER_WAY: usize = 256;
/// Sends appended with one call.
const MAX_RUN: usize = 128;

/// A command that waits for its turn.
enum Op {
    Send { id: Option<String>, message: Box<SendMessage> },
    Change { id: Option<String>, change: Change },
}

/// The names by which the answer to a send is known.
struct Names {
    id: Option<String>,
    client_id: Option<String>,
}

/// How many commands are done, and their answers.
type Done = (usize, Vec<Control>);

/// What a step of the lane left behind.
enum Stepped {
    /// The run is with the log; its answers come when it is durable.
    Appended(BoxFuture<'static, Done>),
    /// Done.
    Answered(Control),
}

/// Sends and changes go one after another as far as the log; a change until its outcome is known, so that what
/// follows it builds on it. Markers, which only rise, go beside.
pub(super) struct Lane {
    chat: Chat,
    waiting: VecDeque<Op>,
    step: Option<BoxFuture<'static, Stepped>>,
    /// Answers that are due.
    answers: FuturesUnordered<BoxFuture<'static, Done>>,
    under_way: usize,
}

impl Lane {
    pub(super) fn new(chat: Chat) -> Self {
        Self { chat, waiting: VecDeque::new(), step: None, answers: FuturesUnordered::new(), under_way: 0 }
    }

    /// Whether it takes more.
    pub(super) fn has_room(&self) -> bool {
        self.under_way < MAX_UNDER_WAY
    }

    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.step.is_some() || !self.waiting.is_empty() || !self.answers.is_empty()
    }

    pub(super) fn send(&mut self, id: Option<String>, message: Box<SendMessage>) {
        self.under_way += 1;
        self.waiting.push_back(Op::Send { id, message });
    }

    pub(super) fn change(&mut self, id: Option<String>, change: Change) {
        self.under_way += 1;
        self.waiting.push_back(Op::Change { id, change });
    }

    pub(super) fn read(&mut self, caller: &Arc<Caller>, id: Option<String>, conversation: String, seq: u64) {
        self.under_way += 1;
        let (chat, caller) = (self.chat.clone(), Arc::clone(caller));
        self.answers.push(Box::pin(async move {
            let answer = match chat.mark(&caller, &conversation, Marker::Read, seq).await {
                Ok(_) if id.is_none() => None,
                Ok(changed) => Some(answer::changed(id, None, None, changed.is_pending())),
                Err(failure) => Some(answer::error(id, None, &failure)),
            };
            (1, answer.into_iter().collect())
        }));
    }

    /// Markers for what has arrived. Nobody is told of it.
    pub(super) fn note(&mut self, work: BoxFuture<'static, ()>) {
        self.under_way += 1;
        self.answers.push(Box::pin(async move {
            work.await;
            (1, Vec::new())
        }));
    }

    /// Begins the next step, if none is under way.
    pub(super) fn start(&mut self, caller: &Arc<Caller>) {
        if self.step.is_some() {
            return;
        }
        match self.waiting.pop_front() {
            None => {}
            Some(Op::Change { id, change }) => {
                let (chat, caller) = (self.chat.clone(), Arc::clone(caller));
                self.step =
                    Some(Box::pin(
                        async move { Stepped::Answered(see_through(chat, caller, id, change).await) },
                    ));
            }
            Some(Op::Send { id, message }) => {
                let (mut names, mut run) = (Vec::new(), Vec::new());
                let mut add = |id, message: Box<SendMessage>| {
                    names.push(Names { id, client_id: message.client_id.clone() });
                    run.push((*message, None));
                    run.len()
                };
                let mut taken = add(id, message);
                while taken < MAX_RUN && matches!(self.waiting.front(), Some(Op::Send { .. })) {
                    let Some(Op::Send { id, message }) = self.waiting.pop_front() else { break };
                    taken = add(id, message);
                }
                let (chat, caller) = (self.chat.clone(), Arc::clone(caller));
                self.step = Some(Box::pin(async move {
                    let begun = chat.begin(&caller, run).await;
                    Stepped::Appended(Box::pin(async move {
                        let answers = names.into_iter().zip(begun.finish().await);
                        let answers: Vec<_> = answers.map(|(names, sent)| names.answer(sent)).collect();
                        (answers.len(), answers)
                    }))
                }));
            }
        }
    }

    /// Waits for the next answers. Safe to cancel. Only to be called while it [is busy](Self::is_busy).
    pub(super) async fn next(&mut self, caller: &Arc<Caller>) -> Vec<Control> {
        loop {
            self.start(caller);
            let stepping = async {
                match &mut self.step {
                    Some(step) => step.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            let stepped = tokio::select! {
                stepped = stepping => stepped,
                Some((done, answers)) = self.answers.next() => {
                    self.under_way = self.under_way.saturating_sub(done);
                    return answers;
                }
            };
            self.step = None;
            match stepped {
                Stepped::Appended(answers) => self.answers.push(answers),
                Stepped::Answered(answer) => {
                    self.under_way = self.under_way.saturating_sub(1);
                    return vec![answer];
                }
            }
        }
    }
}

impl Names {
    fn answer(self, sent: Result<Sent>) -> Control {
        match sent {
            Ok(sent) => Control::Ack {
                id: self.id,
                client_id: self.client_id,
                message_id: Some(sent.accepted.message_id),
                conversation_id: Some(sent.accepted.conversation_id),
                status: Some(Status::Sent),
                pending: None,
            },
            Err(failure) => answer::error(self.id, self.client_id, &failure),
        }
    }
}

async fn see_through(chat: Chat, caller: Arc<Caller>, id: Option<String>, change: Change) -> Control {
    let Change { client_id, message_id, what } = change;
    let key = client_id.as_deref();
    let changed: Result<_, Failure> = match what {
        Changing::Edit { content } => chat.edit(&caller, None, &message_id, &content, key).await,
        Changing::Delete => chat.delete(&caller, None, &message_id, key).await,
        Changing::React { emoji } => chat.react(&caller, None, &message_id, &emoji, key).await,
        Changing::Unreact { emoji } => chat.unreact(&caller, None, &message_id, &emoji, key).await,
    };
    match changed {
        Ok(changed) => answer::changed(id, client_id, Some(message_id), changed.is_pending()),
        Err(failure) => answer::error(id, client_id, &failure),
    }
}
