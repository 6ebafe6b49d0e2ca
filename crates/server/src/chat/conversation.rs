//! Making conversations, and showing them to their members.

use super::content::Clipped;
use super::inbox::Entry;
use super::submit::{Changed, refusal};
use super::validate::{self, Recipient};
use super::{Chat, message, send};
use crate::access::Membership;
use crate::account::Caller;
use crate::error::{Failure, Result};
use chat4all_backend::accounts::Account;
use chat4all_backend::store::{Overview, Slice};
use chat4all_model::api::{
    Code, Conversation, ConversationType, CreateConversation, History, Message, Participant,
};
use chat4all_model::command::Action;
use chat4all_model::fact::Interval;
use chat4all_model::id::{ConversationId, ConversationKind, UserId, hash_parts};
use futures_util::stream::{StreamExt, TryStreamExt};
use std::collections::HashMap;

/// Participants of a conversation that is shown alone.
const SHOWN: usize = 100;
/// Conversations of a page that are read at once.
const AT_ONCE: usize = 8;

/// What came of making a conversation.
#[derive(Debug)]
pub enum Created {
    /// It is made.
    New(Box<Conversation>, Option<String>),
    /// It was there already, the same.
    Present(Box<Conversation>),
    /// It is durable and will be made; a read that brings the position sees it.
    Pending(String),
}

/// What to make.
struct Plan {
    conversation: ConversationId,
    action: Action,
    /// The client chose the id, so other content is a conflict of names.
    chosen: bool,
}

/// What must be read of a conversation beside its counters to show it.
struct Faces {
    members: Vec<Interval>,
    last_message: Option<Message>,
    name: Option<String>,
}

impl Chat {
    /// Makes a conversation. `key` is the `Idempotency-Key` header.
    ///
    /// # Errors
    /// `InvalidRequest`, `Forbidden`; `Conflict` if the chosen id names something else of the caller's.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateConversation,
        key: Option<&str>,
    ) -> Result<Created> {
        validate::key(key)?;
        let plan = self.plan(caller, request, key).await?;
        let writer = self.access.creator(caller, &plan.conversation)?;
        // What is made has one id, so making it is one command, whatever the key.
        let command = writer.command(self.ambient.now(), "", plan.action);
        let reused = if plan.chosen { Code::Conflict } else { Code::IdempotencyKeyReused };
        match self.lookup.known(command.id.into_iter().collect()).await?.pop().flatten() {
            Some(known) if !send::same(&command, &known) => return Err(refusal(reused)),
            Some(_) => return self.present(caller, &plan.conversation).await,
            // A conversation of two may have begun with a message.
            None if !is_group(&plan.conversation) => match self.present(caller, &plan.conversation).await {
                Err(failure) if failure.code == Code::NotFound => {}
                found => return found,
            },
            None => {}
        }
        match self.submit(command, "").await {
            Ok(Changed::Done(position)) => match self.present(caller, &plan.conversation).await? {
                Created::Present(conversation) => Ok(Created::New(conversation, Some(position))),
                other => Ok(other),
            },
            Ok(Changed::Same(_)) => self.present(caller, &plan.conversation).await,
            Ok(Changed::Pending(position)) => Ok(Created::Pending(position)),
            Err(failure) if failure.code == Code::IdempotencyKeyReused => Err(refusal(reused)),
            Err(failure) => Err(failure),
        }
    }

    /// A conversation as the member sees it.
    ///
    /// # Errors
    /// The engine's own.
    pub async fn conversation(&self, m: &Membership) -> Result<Conversation> {
        let entries = self.read_entries(vec![m.clone()]).await?;
        self.views(entries, SHOWN).await?.pop().ok_or_else(Failure::not_found)
    }

    async fn present(&self, caller: &Caller, conversation: &ConversationId) -> Result<Created> {
        self.hub.readable(conversation).await?;
        let writer = self.access.owner(caller, conversation).await?;
        let membership = writer.membership().ok_or_else(Failure::not_found)?;
        Ok(Created::Present(Box::new(self.conversation(membership).await?)))
    }

    async fn plan(&self, caller: &Caller, request: CreateConversation, key: Option<&str>) -> Result<Plan> {
        let me = &caller.user_id;
        let one_other = || Failure::invalid("participant_ids", "must name exactly one other");
        let others: Vec<&String> = request.participant_ids.iter().filter(|id| **id != *me.as_str()).collect();
        if request.kind != ConversationType::Group {
            let mut errors = validate::Errors::default();
            if request.name.is_some() {
                errors.add("name", "only groups have a name");
            }
            if request.conversation_id.is_some() {
                errors.add("conversation_id", "can be chosen for groups only");
            }
            if request.history.is_some() {
                errors.add("history", "can be chosen for groups only");
            }
            errors.finish()?;
            let [other] = others.as_slice() else { return Err(one_other()) };
            let bad = |why: String| Failure::invalid("participant_ids", why);
            let conversation = match (request.kind, validate::recipient(other).map_err(bad)?) {
                (ConversationType::Direct, Recipient::User(user)) => {
                    self.must_exist("participant_ids", std::slice::from_ref(&user)).await?;
                    ConversationId::direct(me, &user).ok_or_else(one_other)?
                }
                (ConversationType::Channel, Recipient::Address(address)) => {
                    ConversationId::channel(me, &address).map_err(|error| bad(error.to_string()))?
                }
                (ConversationType::Channel, Recipient::User(_)) => {
                    return Err(bad("must be an address, `whatsapp:…` or `instagram:…`".to_owned()));
                }
                _ => return Err(bad("must be a user; addresses have type `channel`".to_owned())),
            };
            let action = Action::Create { name: None, members: Vec::new(), history: History::All };
            return Ok(Plan { conversation, action, chosen: false });
        }
        let mut members = validate::users("participant_ids", &request.participant_ids)?;
        members.retain(|user| user != me);
        self.must_exist("participant_ids", &members).await?;
        if let Some(name) = &request.name {
            validate::name(name)?;
        }
        let conversation = match (&request.conversation_id, key) {
            (Some(chosen), _) => ConversationId::chosen_group(me, chosen)
                .map_err(|_| Failure::invalid("conversation_id", "must have 1 to 64 of A-Z a-z 0-9 _ -"))?,
            (None, Some(key)) => keyed_group(me, key)?,
            (None, None) => ConversationId::group(&self.ambient.uuid()).map_err(Failure::internal)?,
        };
        let history = request.history.unwrap_or_default();
        let action = Action::Create { name: request.name.map(Into::into), members, history };
        Ok(Plan { conversation, action, chosen: request.conversation_id.is_some() })
    }

    /// Entries with their people and last messages, each with the first `shown` participants.
    pub(super) async fn views(&self, entries: Vec<Entry>, shown: usize) -> Result<Vec<Conversation>> {
        let read = entries.into_iter().map(|entry| self.settled_faces(entry, shown));
        let faces: Vec<_> = futures_util::stream::iter(read).buffered(AT_ONCE).try_collect().await?;
        let users: Vec<UserId> =
            faces.iter().flat_map(|(_, faces)| &faces.members).map(|member| member.user.clone()).collect();
        let people = self.people(users).await?;
        Ok(faces.into_iter().map(|(entry, faces)| view(&entry, faces, &people)).collect())
    }

    /// The entry with its faces, read again if the member left meanwhile: what is shown is never from after that.
    async fn settled_faces(&self, mut entry: Entry, shown: usize) -> Result<(Entry, Faces)> {
        loop {
            let faces = self.faces(&entry, shown).await?;
            let now = self.access.again(&entry.membership).await?;
            if now.left() == entry.membership.left() {
                return Ok((entry, faces));
            }
            entry = self.read_entries(vec![now]).await?.pop().ok_or_else(Failure::not_found)?;
        }
    }

    async fn faces(&self, entry: &Entry, shown: usize) -> Result<Faces> {
        let (m, overview) = (&entry.membership, &entry.overview);
        let members = self.content.members(m, None, shown).await?;
        let newest = Slice::Down(m.clip(overview.head.seq));
        let Clipped { membership, messages } = self.content.messages(m, newest, 1).await?;
        let participants = overview.head.participants;
        let last_message =
            message::assemble(&self.content, &membership, participants, &messages).await?.pop();
        let name = match m.left() {
            Some(left) if is_group(m.conversation()) => self.content.name_then(m, left.seq).await?,
            _ => overview.about.name.clone(),
        };
        Ok(Faces { members, last_message, name: message::owned(name.as_ref()) })
    }
}

fn view(entry: &Entry, faces: Faces, people: &HashMap<UserId, Account>) -> Conversation {
    let Entry { membership: m, overview: Overview { about, head, .. }, own } = entry;
    Conversation {
        conversation_id: m.conversation().to_string(),
        kind: match m.conversation().kind() {
            ConversationKind::Direct(..) => ConversationType::Direct,
            ConversationKind::Group => ConversationType::Group,
            ConversationKind::Channel { .. } => ConversationType::Channel,
        },
        name: faces.name,
        created_by: about.created_by.to_string(),
        created_at: about.created_at,
        participant_count: head.participants,
        participants: faces.members.iter().map(|member| participant(member, people)).collect(),
        first_seq: m.first_seq(),
        last_seq: m.clip(head.seq),
        last_message: faces.last_message,
        last_activity: head.time,
        left_seq: m.left().map(|to| to.seq),
        unread_count: entry.unread(),
        mention_count: entry.mentions(),
        read_seq: own.markers.read.seq,
        delivered_seq: own.markers.delivered.seq,
        muted_until: own.settings.muted_until,
        archived: own.settings.archived,
        pinned: own.settings.pinned,
    }
}

/// A member with the name to show.
pub(super) fn participant(member: &Interval, people: &HashMap<UserId, Account>) -> Participant {
    let account = people.get(&member.user);
    Participant {
        user_id: member.user.to_string(),
        username: account.map(|account| account.username.clone()),
        display_name: account.and_then(|account| account.display_name.clone()),
        role: member.role,
        joined_at: member.joined_at,
    }
}

fn is_group(conversation: &ConversationId) -> bool {
    conversation.kind() == ConversationKind::Group
}

/// The group that a key names: the same one for each try.
fn keyed_group(me: &UserId, key: &str) -> Result<ConversationId> {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash_parts(&["group", me.as_str(), key])[..16]);
    let id = uuid::Builder::from_bytes(bytes).with_version(uuid::Version::Custom).into_uuid();
    ConversationId::group(&id.to_string()).map_err(Failure::internal)
}
