//! What a fact becomes: rows of the store, and values of the decider's state. Each is a pure function of the
//! fact and its position, so that replays and late writers write the same bytes.

use crate::command::{Count, Marker};
use crate::fact::{About, Fact, Head, Interval, Markers, MessageState, Settings, What};
use crate::id::{ConversationId, RecordId, UserId};
use crate::state::{Key, Known, Value};
use std::sync::Arc;

/// Where a fact stands in the log: one number that grows with the log's epoch and the offset in its partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    const OFFSET_BITS: u32 = 48;

    /// The position of `offset` in the log's incarnation `epoch`.
    #[must_use]
    pub fn new(epoch: u32, offset: u64) -> Self {
        Self((u64::from(epoch) << Self::OFFSET_BITS) | offset)
    }

    /// The offset alone.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.0 & ((1 << Self::OFFSET_BITS) - 1)
    }

    /// The log's incarnation.
    #[must_use]
    pub fn epoch(self) -> u32 {
        u32::try_from(self.0 >> Self::OFFSET_BITS).unwrap_or(u32::MAX)
    }
}

/// A write of the projection. Where rows of one key meet, the higher position wins; markers win by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row<'a> {
    /// An event of a conversation, written once.
    Event(&'a Fact),
    /// Where a command's fact stands, written once.
    Id(RecordId, Known),
    /// A conversation's name and maker.
    About(&'a ConversationId, &'a About),
    /// A conversation's counters.
    Head(&'a ConversationId, &'a Head),
    /// An interval of membership, by conversation, user and its first `seq`.
    Interval(&'a ConversationId, &'a Interval),
    /// What changed of a message.
    State(&'a ConversationId, &'a MessageState),
    /// A message's text after an edit, by the message's `seq`.
    Text(&'a ConversationId, u64, &'a str),
    /// The contents of these events, the message's and its edits', are gone.
    Blank(&'a ConversationId, Vec<u64>),
    /// A user's reaction to the message at `seq`, present or taken back.
    Reaction {
        /// Where.
        conversation: &'a ConversationId,
        /// To which message.
        seq: u64,
        /// Whose.
        user: &'a UserId,
        /// With what.
        emoji: &'a str,
        /// When it came; none when it went.
        since: Option<u64>,
    },
    /// A mention of a user, or of all with none, in the message at `at`.
    Mention(&'a ConversationId, Option<UserId>, Count),
    /// A member's markers; each register only rises.
    Markers(&'a ConversationId, &'a UserId, Markers),
    /// When a marker rose to `seq`; the first one at a `seq` stays.
    Rise {
        /// Where.
        conversation: &'a ConversationId,
        /// Whose.
        user: &'a UserId,
        /// Which.
        marker: Marker,
        /// To where.
        seq: u64,
        /// When.
        time: u64,
    },
    /// A member's settings.
    Settings(&'a ConversationId, &'a UserId, &'a Settings),
    /// A refused command, for its actor.
    Rejected(&'a Fact),
}

/// The rows of a fact.
#[must_use]
pub fn rows(fact: &Fact) -> Vec<Row<'_>> {
    let c = &fact.conversation;
    let mut rows = Vec::with_capacity(4);
    if let Some(head) = &fact.head {
        rows.push(Row::Event(fact));
        rows.push(Row::Head(c, head));
        rows.extend(fact.id.map(|id| Row::Id(id, known(fact))));
    }
    match &fact.what {
        What::Created { about, members } => {
            rows.push(Row::About(c, about));
            rows.extend(members.iter().map(|m| Row::Interval(c, m)));
        }
        What::Renamed { about } => rows.push(Row::About(c, about)),
        What::Added { members } => rows.extend(members.iter().map(|m| Row::Interval(c, m))),
        What::Removed { members, promoted } => {
            rows.extend(members.iter().chain(promoted).map(|m| Row::Interval(c, m)));
        }
        What::RoleSet { member } => rows.push(Row::Interval(c, member)),
        What::Message { content, .. } => {
            let at = Count { seq: fact.seq(), n: fact.n() };
            rows.extend(content.mentions.iter().filter_map(|mentioned| match &**mentioned {
                "all" => Some(Row::Mention(c, None, at)),
                user => UserId::parse(user).ok().map(|user| Row::Mention(c, Some(user), at)),
            }));
        }
        What::Edited { target, text, state } => {
            rows.push(Row::State(c, state));
            rows.extend(text.as_ref().map(|text| Row::Text(c, target.at.seq, text)));
        }
        What::Deleted { target, state } => {
            rows.push(Row::State(c, state));
            let mut seqs = vec![target.at.seq];
            seqs.extend(&state.edits);
            rows.push(Row::Blank(c, seqs));
        }
        What::Reacted { target, emoji, removed, state } => {
            rows.push(Row::State(c, state));
            let since = (!removed).then_some(fact.time);
            rows.push(Row::Reaction { conversation: c, seq: target.at.seq, user: &fact.actor, emoji, since });
        }
        What::Receipt { markers, rises } => {
            rows.push(Row::Markers(c, &fact.actor, *markers));
            let mut rise = |marker, at: Count| {
                rows.push(Row::Rise {
                    conversation: c,
                    user: &fact.actor,
                    marker,
                    seq: at.seq,
                    time: fact.time,
                });
            };
            if rises.delivered {
                rise(Marker::Delivered, markers.delivered);
            }
            if rises.read {
                rise(Marker::Read, markers.read);
            }
        }
        What::Settings { settings } => rows.push(Row::Settings(c, &fact.actor, settings)),
        What::Rejected { .. } => rows.push(Row::Rejected(fact)),
    }
    rows
}

fn known(fact: &Fact) -> Known {
    Known {
        conversation: fact.conversation.clone(),
        seq: fact.seq(),
        hash: fact.hash,
        message: matches!(fact.what, What::Message { .. }),
    }
}

/// What the next decision must know of a fact that the store may not hold yet.
#[must_use]
pub fn values(fact: &Fact) -> Vec<(Key, Value)> {
    let c = || fact.conversation.clone();
    let mut values = Vec::with_capacity(4);
    if let Some(head) = &fact.head {
        values.push((Key::Head(c()), Value::Head(head.clone())));
        values.extend(fact.id.map(|id| (Key::Id(id), Value::Id(known(fact)))));
    }
    let member = |m: &Interval| (Key::Member(c(), m.user.clone()), Value::Member(m.clone()));
    let message = |state: &MessageState| (Key::Message(c(), state.at.seq), Value::Message(state.clone()));
    match &fact.what {
        What::Created { about, members } => {
            values.push((Key::About(c()), Value::About(about.clone())));
            values.extend(members.iter().map(member));
        }
        What::Renamed { about } => values.push((Key::About(c()), Value::About(about.clone()))),
        What::Added { members } => values.extend(members.iter().map(member)),
        What::Removed { members, promoted } => values.extend(members.iter().chain(promoted).map(member)),
        What::RoleSet { member: m } => values.push(member(m)),
        What::Message { .. } => values.extend(new_message(fact).as_ref().map(message)),
        What::Edited { state, .. } | What::Deleted { state, .. } => values.push(message(state)),
        What::Reacted { target, emoji, removed, state } => {
            values.push(message(state));
            let key = Key::Reaction(c(), target.at.seq, fact.actor.clone(), emoji.clone());
            values.push((key, Value::Reaction(!removed)));
        }
        What::Receipt { markers, .. } => {
            values.push((Key::Markers(c(), fact.actor.clone()), Value::Markers(*markers)));
        }
        What::Settings { settings } => {
            values.push((Key::Settings(c(), fact.actor.clone()), Value::Settings(settings.clone())));
        }
        What::Rejected { .. } => {}
    }
    values
}

/// The state of a message that nothing has happened to yet; none for other facts.
#[must_use]
pub fn new_message(fact: &Fact) -> Option<MessageState> {
    let What::Message { content, .. } = &fact.what else { return None };
    Some(MessageState {
        sender: fact.actor.clone(),
        at: Count { seq: fact.seq(), n: fact.n() },
        text_hash: crate::command::text_hash(content.text.as_ref().map_or("", Arc::as_ref)),
        edits: Vec::new(),
        edited_at: None,
        deleted_at: None,
        reactions: Vec::new(),
    })
}
