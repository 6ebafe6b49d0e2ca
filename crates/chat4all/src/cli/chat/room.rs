use chat4all_client::model::{Conversation, Event, Message, MessagePage, ReactionCount, Status};
use std::collections::{BTreeMap, HashMap};

/// Messages kept of one conversation; older ones are fetched again when scrolled to.
const MOST_KEPT: usize = 5_000;

/// One conversation as it is shown: a snapshot with the events since folded in.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: String,
    pub(super) name: Option<String>,
    /// The members known; of a large group the first hundred.
    pub(super) members: Vec<String>,
    pub(super) last_seq: u64,
    pub(super) last_activity: u64,
    pub(super) last_text: String,
    pub(super) unread: u64,
    pub(super) read_seq: u64,
    /// By `seq`. Empty until opened.
    pub(super) messages: BTreeMap<u64, Message>,
    /// For messages fetched in a state that the events have not reached yet: up to which `seq` theirs are in it.
    ahead: HashMap<u64, u64>,
    /// Whether the newest page has been fetched.
    pub(super) loaded: bool,
    /// Whether there is something before the first of `messages`.
    pub(super) has_before: bool,
    pub(super) pending: Vec<Pending>,
    /// How far each other member is: (delivered, read).
    pub(super) markers: HashMap<String, (u64, u64)>,
}

/// A message that was written here and is not in the log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) client_id: String,
    pub(super) content: String,
    /// It is durable; its event is under way.
    pub(super) acked: bool,
    /// Why it was refused.
    pub(super) refused: Option<String>,
}

/// How far one's own message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    Sent,
    Delivered,
    Read,
    Failed,
}

impl Room {
    pub(super) fn new(conversation: Conversation) -> Self {
        let last = conversation.last_message.as_ref().and_then(|message| message.content.clone());
        Self {
            id: conversation.conversation_id,
            name: conversation.name,
            members: conversation.participants.into_iter().map(|member| member.user_id).collect(),
            last_seq: conversation.last_seq,
            last_activity: conversation.last_activity,
            last_text: last.unwrap_or_default(),
            unread: conversation.unread_count,
            read_seq: conversation.read_seq,
            messages: BTreeMap::new(),
            ahead: HashMap::new(),
            loaded: false,
            has_before: false,
            pending: Vec::new(),
            markers: HashMap::new(),
        }
    }

    /// Takes in a page of history. False if events have come that are younger than it: it must be fetched again.
    pub(super) fn load(&mut self, page: MessagePage, newest: bool) -> bool {
        if page.head_seq < self.last_seq {
            return false;
        }
        for message in page.messages {
            if page.head_seq > self.last_seq {
                self.ahead.insert(message.seq, page.head_seq);
            }
            self.messages.insert(message.seq, message);
        }
        if !(newest && self.loaded) {
            self.has_before = page.has_before;
        }
        self.loaded |= newest;
        true
    }

    /// The message an event changes, unless the change is in it already.
    fn target(&mut self, message_seq: u64, event_seq: u64) -> Option<&mut Message> {
        let known = self.ahead.get(&message_seq).is_some_and(|ahead| event_seq <= *ahead);
        if known { None } else { self.messages.get_mut(&message_seq) }
    }

    /// Folds an event in; repeated ones change nothing.
    pub(super) fn apply(&mut self, event: &Event, me: &str) {
        let Some(at) = event.at() else { return self.apply_value(event, me) };
        if at.seq <= self.last_seq {
            return;
        }
        self.last_seq = at.seq;
        self.ahead.retain(|_, ahead| *ahead > at.seq - 1);
        match event {
            Event::NewMessage { .. } => self.new_message(event, me),
            Event::MessageUpdated { message_seq, content, .. } => {
                if let Some(message) = self.target(*message_seq, at.seq) {
                    message.content.clone_from(content);
                    message.edited_at = Some(at.timestamp);
                }
            }
            Event::MessageDeleted { message_seq, .. } => {
                if let Some(message) = self.target(*message_seq, at.seq) {
                    message.content = None;
                    message.files.clear();
                    message.reactions.clear();
                    message.deleted_at = Some(at.timestamp);
                }
            }
            Event::ReactionAdded { message_seq, emoji: Some(emoji), .. } => {
                let mine = at.actor_id == me;
                if let Some(message) = self.target(*message_seq, at.seq) {
                    react(message, emoji, mine, true);
                }
            }
            Event::ReactionRemoved { message_seq, emoji: Some(emoji), .. } => {
                let mine = at.actor_id == me;
                if let Some(message) = self.target(*message_seq, at.seq) {
                    react(message, emoji, mine, false);
                }
            }
            Event::ConversationUpdated { name, .. } => self.name.clone_from(name),
            Event::ParticipantAdded { user_ids, .. } => {
                for user_id in user_ids {
                    if !self.members.contains(user_id) {
                        self.members.push(user_id.clone());
                    }
                }
            }
            Event::ParticipantRemoved { user_ids, .. } => {
                self.members.retain(|member| !user_ids.contains(member));
                self.markers.retain(|member, _| !user_ids.contains(member));
            }
            _ => {}
        }
    }

    fn apply_value(&mut self, event: &Event, me: &str) {
        match event {
            Event::Receipt { user_id, read_seq, .. } if user_id == me => self.read_up_to(*read_seq, me),
            Event::Receipt { user_id, delivered_seq, read_seq, .. } => {
                let marker = self.markers.entry(user_id.clone()).or_default();
                *marker = (marker.0.max(*delivered_seq), marker.1.max(*read_seq));
            }
            Event::MessageStatus { seq, status, error, .. } => {
                if let Some(message) = self.messages.get_mut(seq) {
                    message.status = Some(*status);
                    message.error.clone_from(error);
                }
            }
            Event::Rejected { client_id: Some(client_id), code, .. } => self.refuse(client_id, code),
            _ => {}
        }
    }

    fn new_message(&mut self, event: &Event, me: &str) {
        let Some(message) = message(event) else { return };
        if message.sender_id == me {
            self.pending.retain(|pending| message.client_id.as_ref() != Some(&pending.client_id));
        } else {
            self.unread += 1;
        }
        self.last_activity = self.last_activity.max(message.timestamp);
        self.last_text = message.content.clone().unwrap_or_default();
        if self.loaded {
            self.messages.entry(message.seq).or_insert(message);
            while self.messages.len() > MOST_KEPT {
                self.messages.pop_first();
                self.has_before = true;
            }
        }
    }

    /// The person has read so far, here or elsewhere.
    pub(super) fn read_up_to(&mut self, seq: u64, me: &str) {
        if seq <= self.read_seq {
            return;
        }
        self.read_seq = seq;
        let unread = self.messages.range(seq + 1..).filter(|(_, message)| message.sender_id != me).count();
        let counted = u64::try_from(unread).unwrap_or(u64::MAX);
        // Without all messages since, the count can only be known to have fallen.
        let known = self.loaded || seq >= self.last_seq;
        self.unread = if known { counted } else { self.unread.min(self.last_seq.saturating_sub(seq)) };
    }

    pub(super) fn acked(&mut self, client_id: &str) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.client_id == client_id) {
            pending.acked = true;
        }
    }

    pub(super) fn refuse(&mut self, client_id: &str, reason: &str) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.client_id == client_id) {
            pending.refused = Some(reason.into());
        }
    }

    /// The mark of one's own message: what *every* other member has.
    pub(super) fn tick(&self, message: &Message, me: &str) -> Option<Tick> {
        if message.sender_id != me || message.deleted_at.is_some() {
            return None;
        }
        let others = self.members.iter().filter(|member| *member != me);
        let marks: Vec<(u64, u64)> =
            others.map(|member| self.markers.get(member).copied().unwrap_or_default()).collect();
        let all = |far: fn(&(u64, u64)) -> u64| {
            !marks.is_empty() && marks.iter().all(|mark| far(mark) >= message.seq)
        };
        Some(match message.status {
            Some(Status::Failed) => Tick::Failed,
            Some(Status::Read) => Tick::Read,
            _ if all(|mark| mark.1) => Tick::Read,
            Some(Status::Delivered) => Tick::Delivered,
            _ if all(|mark| mark.0.max(mark.1)) => Tick::Delivered,
            _ => Tick::Sent,
        })
    }
}

/// The message that an event brings.
fn message(event: &Event) -> Option<Message> {
    let Event::NewMessage {
        at,
        message_id,
        sender_id,
        recipient_id,
        kind,
        content,
        data,
        file_id,
        files,
        reply_to,
        mentions,
        client_id,
    } = event.clone()
    else {
        return None;
    };
    Some(Message {
        message_id,
        conversation_id: at.conversation_id,
        seq: at.seq,
        kind,
        sender_id,
        recipient_id,
        content,
        data,
        file_id,
        files,
        timestamp: at.timestamp,
        status: Some(Status::Sent),
        error: None,
        delivered_at: None,
        read_at: None,
        edited_at: None,
        deleted_at: None,
        reply_to,
        reactions: Vec::new(),
        mentions,
        client_id,
    })
}

fn react(message: &mut Message, emoji: &str, mine: bool, added: bool) {
    let known = message.reactions.iter_mut().find(|reaction| reaction.emoji == emoji);
    match (known, added) {
        (Some(reaction), true) => {
            reaction.count += 1;
            reaction.mine |= mine;
        }
        (None, true) => message.reactions.push(ReactionCount { emoji: emoji.into(), count: 1, mine }),
        (Some(reaction), false) => {
            reaction.count = reaction.count.saturating_sub(1);
            reaction.mine &= !mine;
        }
        (None, false) => {}
    }
    message.reactions.retain(|reaction| reaction.count > 0);
}
