//! The one place that turns facts into the events of the API.

use super::sight::Sight;
use bytes::Bytes;
use chat4all_backend::store::{OwnChange, OwnChanged};
use chat4all_model::api::{At, ConversationType, Event, Role};
use chat4all_model::command::Content;
use chat4all_model::fact::{Fact, Interval, Markers, Settings, What};
use chat4all_model::id::{ConversationId, ConversationKind, RecordId, UserId};
use serde_json::Value;
use std::sync::Arc;

/// What of a fact its viewer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As everybody is.
    Plain,
    /// With the client's own name for it: to the actor's devices.
    Own,
    /// With the place where sight begins: to those who were added.
    Added(u64),
    /// Without content: the target lies outside what the viewer may see.
    Masked,
}

/// The event that `viewer` is given of a fact; none if it is not for its eyes. `blank`: its content was deleted.
#[must_use]
pub fn event(fact: &Fact, viewer: &UserId, sight: &Sight, blank: bool) -> Option<Event> {
    let form = form(fact, viewer, sight)?;
    Some(event_in(fact, form, blank))
}

/// In which form `viewer` is given a fact; none if not at all.
pub(crate) fn form(fact: &Fact, viewer: &UserId, sight: &Sight) -> Option<Form> {
    let own = fact.actor == *viewer;
    let seen = match &fact.what {
        What::Receipt { rises, .. } => own || (sight.is_open() && (rises.delivered || rises.read)),
        What::Settings { .. } | What::Rejected { .. } => own,
        _ => sight.contains(fact.seq()),
    };
    if !seen {
        return None;
    }
    Some(match &fact.what {
        What::Edited { target, .. } | What::Reacted { target, .. } if !sight.contains(target.at.seq) => {
            Form::Masked
        }
        What::Added { members } => match members.iter().find(|member| member.user == *viewer) {
            Some(me) => Form::Added(me.from.seq),
            None => Form::Plain,
        },
        What::Message { client_id: Some(_), .. } if own => Form::Own,
        _ => Form::Plain,
    })
}

/// The event of a fact in one form.
pub(crate) fn event_in(fact: &Fact, form: Form, blank: bool) -> Event {
    let masked = form == Form::Masked;
    let at = || At {
        conversation_id: fact.conversation.to_string(),
        seq: fact.seq(),
        timestamp: fact.time,
        actor_id: fact.actor.to_string(),
    };
    match &fact.what {
        What::Created { about, members } => Event::ConversationCreated {
            at: at(),
            conversation_type: conversation_type(&fact.conversation),
            name: about.name.as_deref().map(str::to_owned),
            history: about.history,
            user_ids: users(members),
        },
        What::Renamed { about } => {
            Event::ConversationUpdated { at: at(), name: about.name.as_deref().map(str::to_owned) }
        }
        What::Added { members } => Event::ParticipantAdded {
            at: at(),
            user_ids: users(members),
            role: members.first().map_or(Role::Member, |member| member.role),
            first_seq: if let Form::Added(first) = form { Some(first) } else { None },
        },
        What::Removed { members, promoted } => Event::ParticipantRemoved {
            at: at(),
            user_ids: users(members),
            promoted: promoted.as_ref().map(|member| member.user.to_string()),
        },
        What::RoleSet { member } => {
            Event::ParticipantUpdated { at: at(), user_id: member.user.to_string(), role: member.role }
        }
        What::Message { kind, content, reply_to, client_id } => {
            let none = Content::default();
            let content = if blank { &none } else { content };
            let text = |s: &Arc<str>| s.as_ref().to_owned();
            Event::NewMessage {
                at: at(),
                message_id: id(fact.id),
                sender_id: fact.actor.to_string(),
                recipient_id: fact.conversation.recipient(&fact.actor).map(str::to_owned),
                kind: *kind,
                content: content.text.as_ref().map(text),
                data: content.data.as_ref().and_then(|data| serde_json::from_str(data).ok()),
                file_id: content.files.first().map(text),
                files: content.files.iter().map(text).collect(),
                reply_to: reply_to.map(|id| id.to_string()),
                mentions: content.mentions.iter().map(text).collect(),
                client_id: client_id.as_ref().filter(|_| form == Form::Own).map(text),
            }
        }
        What::Edited { target, text, .. } => Event::MessageUpdated {
            at: at(),
            message_id: target.id.to_string(),
            message_seq: target.at.seq,
            content: text.as_deref().filter(|_| !masked && !blank).map(str::to_owned),
        },
        What::Deleted { target, .. } => {
            Event::MessageDeleted { at: at(), message_id: target.id.to_string(), message_seq: target.at.seq }
        }
        What::Reacted { target, emoji, removed, .. } => {
            let (message_id, message_seq) = (target.id.to_string(), target.at.seq);
            let emoji = (!masked).then(|| emoji.as_ref().to_owned());
            if *removed {
                Event::ReactionRemoved { at: at(), message_id, message_seq, emoji }
            } else {
                Event::ReactionAdded { at: at(), message_id, message_seq, emoji }
            }
        }
        What::Receipt { markers, .. } => receipt(&fact.conversation, &fact.actor, *markers, fact.time),
        What::Settings { settings } => settled(&fact.conversation, settings, fact.time),
        What::Rejected { code, client_id } => Event::Rejected {
            conversation_id: fact.conversation.to_string(),
            client_id: client_id.as_deref().map(str::to_owned),
            message_id: id(fact.id),
            code: code.as_str().to_owned(),
            timestamp: fact.time,
        },
    }
}

/// The event of a marker or settings of the viewer's own.
pub(crate) fn own_change(change: &OwnChange, user: &UserId) -> Event {
    match &change.what {
        OwnChanged::Markers(markers) => receipt(&change.conversation, user, *markers, change.time),
        OwnChanged::Settings(settings) => settled(&change.conversation, settings, change.time),
    }
}

/// An event as a text frame.
pub(crate) fn frame(event: &Event) -> Bytes {
    // Events hold strings, numbers and JSON values only, which always serialize.
    serde_json::to_vec(event).unwrap_or_default().into()
}

/// A frame with one more field.
pub(crate) fn with_field(frame: &[u8], name: &str, value: &Value) -> Bytes {
    let value = value.to_string();
    let body = frame.strip_suffix(b"}").unwrap_or(frame);
    let mut extended = Vec::with_capacity(body.len() + name.len() + value.len() + 5);
    extended.extend_from_slice(body);
    extended.extend_from_slice(b",\"");
    extended.extend_from_slice(name.as_bytes());
    extended.extend_from_slice(b"\":");
    extended.extend_from_slice(value.as_bytes());
    extended.push(b'}');
    extended.into()
}

fn receipt(conversation: &ConversationId, user: &UserId, markers: Markers, timestamp: u64) -> Event {
    Event::Receipt {
        conversation_id: conversation.to_string(),
        user_id: user.to_string(),
        delivered_seq: markers.delivered.seq,
        read_seq: markers.read.seq,
        timestamp,
    }
}

fn settled(conversation: &ConversationId, settings: &Settings, timestamp: u64) -> Event {
    Event::ConversationSettings {
        conversation_id: conversation.to_string(),
        muted_until: settings.muted_until,
        archived: settings.archived,
        pinned: settings.pinned,
        timestamp,
    }
}

fn users(members: &[Interval]) -> Vec<String> {
    members.iter().map(|member| member.user.to_string()).collect()
}

fn id(id: Option<RecordId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn conversation_type(conversation: &ConversationId) -> ConversationType {
    match conversation.kind() {
        ConversationKind::Direct(..) => ConversationType::Direct,
        ConversationKind::Group => ConversationType::Group,
        ConversationKind::Channel { .. } => ConversationType::Channel,
    }
}
