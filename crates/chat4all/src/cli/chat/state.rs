use super::room::{Pending, Room};
use chat4all_client::{
    Update,
    model::{Conversation, Event, Markers, Message, MessagePage, User},
};
use std::collections::HashMap;

/// Everything the screen shows: folded from the snapshot, the events and what is typed, without IO.
#[derive(Debug, Default)]
pub(super) struct Chat {
    pub(super) me: String,
    /// Newest activity first.
    pub(super) rooms: Vec<Room>,
    /// The id of the conversation on the right.
    pub(super) open: Option<String>,
    /// The `seq` of the selected message of the open conversation.
    pub(super) selected: Option<u64>,
    /// Lines scrolled up from the newest.
    pub(super) scroll: usize,
    pub(super) names: HashMap<String, String>,
    pub(super) link: Link,
    /// The last thing that went wrong or that was asked for.
    pub(super) notice: Option<String>,
    pub(super) help: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Link {
    #[default]
    Connecting,
    /// Connected, and being given what was missed.
    CatchingUp,
    Live,
    Reconnecting(String),
    /// For good; why.
    Ended(String),
}

/// What the state asks of the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// The newest page, and the markers.
    Newest(String),
    /// The page below a `seq`.
    Older(String, u64),
    Conversation(String),
    Name(String),
    Read(String, u64),
}

impl Chat {
    pub(super) fn new(me: String, my_name: String) -> Self {
        Self { names: HashMap::from([(me.clone(), my_name)]), me, ..Self::default() }
    }

    pub(super) fn room(&self) -> Option<&Room> {
        self.rooms.iter().find(|room| Some(&room.id) == self.open.as_ref())
    }

    pub(super) fn find(&mut self, id: &str) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.id == id)
    }

    /// Folds in what the live connection tells.
    pub(super) fn update(&mut self, update: Update) -> Vec<Wish> {
        match update {
            Update::Connected { .. } => self.link = Link::CatchingUp,
            Update::Live => self.link = Link::Live,
            Update::Disconnected { reason, .. } => self.link = Link::Reconnecting(reason),
            Update::Closed(error) => self.link = Link::Ended(error.to_string()),
            Update::Hole { .. } => {}
            Update::Acked { client_id, conversation_id, .. } => {
                let room = conversation_id.and_then(|id| self.find(&id).map(|room| room.acked(&client_id)));
                if room.is_none() {
                    self.rooms.iter_mut().for_each(|room| room.acked(&client_id));
                }
            }
            Update::Refused { client_id, detail, .. } => {
                self.rooms.iter_mut().for_each(|room| room.refuse(&client_id, &detail));
                self.notice = Some(detail);
            }
            Update::Snapshot(snapshot) => return self.snapshot(snapshot.conversations.items),
            Update::Event(event) => return self.event(&event),
        }
        Vec::new()
    }

    /// Starts from a state of everything. What was written here and is not in the log stays.
    fn snapshot(&mut self, conversations: Vec<Conversation>) -> Vec<Wish> {
        let mut pending: HashMap<String, Vec<Pending>> =
            self.rooms.drain(..).map(|room| (room.id, room.pending)).collect();
        let mut wishes: Vec<Wish> = Vec::new();
        for conversation in conversations {
            wishes.extend(self.learn(&conversation));
            let mut room = Room::new(conversation);
            room.pending = pending.remove(&room.id).unwrap_or_default();
            self.rooms.push(room);
        }
        self.sort();
        if let Some(open) = self.open.clone().or_else(|| self.rooms.first().map(|room| room.id.clone())) {
            wishes.extend(self.show(&open));
        }
        wishes
    }

    fn event(&mut self, event: &Event) -> Vec<Wish> {
        let id = event.conversation_id().to_owned();
        let me = self.me.clone();
        let mut wishes = Vec::new();
        if let Some(at) = event.at() {
            wishes.extend(self.unknown(&at.actor_id));
        }
        // Who joins again sees another part of it than before.
        let joined = matches!(event, Event::ParticipantAdded { first_seq: Some(_), .. });
        let Some(room) = self.find(&id).filter(|_| !joined) else {
            wishes.push(Wish::Conversation(id));
            return wishes;
        };
        room.apply(event, &me);
        if matches!(event, Event::NewMessage { .. }) {
            self.sort();
            if self.open.as_ref() == Some(&id) {
                wishes.extend(self.read_open());
            }
        }
        wishes
    }

    /// A conversation that is new here, or to be taken anew.
    pub(super) fn conversation(&mut self, conversation: Conversation) -> Vec<Wish> {
        let mut wishes = self.learn(&conversation);
        let mut fresh = Room::new(conversation);
        let id = fresh.id.clone();
        if let Some(at) = self.rooms.iter().position(|room| room.id == id) {
            let old = self.rooms.remove(at);
            fresh.pending = old.pending;
        }
        self.rooms.push(fresh);
        self.sort();
        if self.open.is_none() || self.open.as_ref() == Some(&id) {
            wishes.extend(self.show(&id));
        }
        wishes
    }

    pub(super) fn page(&mut self, id: &str, below: Option<u64>, page: MessagePage) -> Vec<Wish> {
        let senders: Vec<String> = page.messages.iter().map(|message| message.sender_id.clone()).collect();
        let mut wishes: Vec<Wish> = senders.iter().filter_map(|sender| self.unknown(sender)).collect();
        wishes.dedup();
        let Some(room) = self.find(id) else { return wishes };
        if !room.load(page, below.is_none()) {
            wishes.push(below.map_or(Wish::Newest(id.into()), |seq| Wish::Older(id.into(), seq)));
        } else if self.open.as_deref() == Some(id) {
            wishes.extend(self.read_open());
        }
        wishes
    }

    pub(super) fn markers(&mut self, id: &str, markers: Vec<Markers>) {
        let me = self.me.clone();
        let Some(room) = self.find(id) else { return };
        for marker in markers.into_iter().filter(|marker| marker.user_id != me) {
            let known = room.markers.entry(marker.user_id).or_default();
            *known = (known.0.max(marker.delivered_seq), known.1.max(marker.read_seq));
        }
    }

    pub(super) fn person(&mut self, user: User) {
        self.names.insert(user.user_id, user.username);
    }

    /// Opens a conversation.
    pub(super) fn show(&mut self, id: &str) -> Vec<Wish> {
        self.open = Some(id.into());
        self.selected = None;
        self.scroll = 0;
        let loaded = self.find(id).is_some_and(|room| room.loaded);
        if loaded { self.read_open().into_iter().collect() } else { vec![Wish::Newest(id.into())] }
    }

    /// Opens the conversation so many places further down the list, round and round.
    pub(super) fn step(&mut self, places: isize) -> Vec<Wish> {
        let count = isize::try_from(self.rooms.len()).unwrap_or(isize::MAX);
        if count == 0 {
            return Vec::new();
        }
        let at = self.rooms.iter().position(|room| Some(&room.id) == self.open.as_ref());
        let next = match at.and_then(|at| isize::try_from(at).ok()) {
            Some(at) => (at + places).rem_euclid(count),
            None => 0,
        };
        let id = self.rooms[next.unsigned_abs()].id.clone();
        self.show(&id)
    }

    /// Moves the selection up (older) or down; down from the newest selects nothing.
    pub(super) fn select(&mut self, older: bool) {
        let Some(room) = self.room() else { return };
        let next = match (self.selected, older) {
            (Some(seq), true) => {
                room.messages.range(..seq).next_back().map(|(seq, _)| *seq).or(self.selected)
            }
            (None, true) => room.messages.keys().next_back().copied(),
            (Some(seq), false) => room.messages.range(seq + 1..).next().map(|(seq, _)| *seq),
            (None, false) => None,
        };
        self.selected = next;
    }

    /// What a command is about: the selected message, else the newest that fits.
    pub(super) fn target(&self, fits: impl Fn(&Message) -> bool) -> Option<&Message> {
        let room = self.room()?;
        match self.selected {
            Some(seq) => room.messages.get(&seq).filter(|message| fits(message)),
            None => {
                room.messages.values().rev().find(|message| message.deleted_at.is_none() && fits(message))
            }
        }
    }

    /// Shows a message before the server has it.
    pub(super) fn sending(&mut self, id: &str, client_id: String, content: String) {
        self.scroll = 0;
        if let Some(room) = self.find(id) {
            room.pending.push(Pending { client_id, content, acked: false, refused: None });
        }
    }

    /// The page above what is loaded, if there is one.
    pub(super) fn older(&self) -> Option<Wish> {
        let room = self.room().filter(|room| room.loaded && room.has_before)?;
        let first = room.messages.keys().next()?;
        Some(Wish::Older(room.id.clone(), *first))
    }

    pub(super) fn name(&self, user_id: &str) -> String {
        self.names.get(user_id).cloned().unwrap_or_else(|| user_id.chars().take(8).collect())
    }

    pub(super) fn title(&self, room: &Room) -> String {
        if let Some(name) = &room.name {
            return name.clone();
        }
        let others = room.members.iter().filter(|member| **member != self.me);
        let names: Vec<String> = others.map(|member| self.name(member)).collect();
        if names.is_empty() { room.id.clone() } else { names.join(", ") }
    }

    fn read_open(&mut self) -> Option<Wish> {
        let (id, me) = (self.open.clone()?, self.me.clone());
        let room = self.find(&id).filter(|room| room.loaded && room.unread > 0)?;
        let seq = room.last_seq;
        room.read_up_to(seq, &me);
        Some(Wish::Read(id, seq))
    }

    fn learn(&mut self, conversation: &Conversation) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for member in &conversation.participants {
            match &member.username {
                Some(name) => drop(self.names.insert(member.user_id.clone(), name.clone())),
                None => wishes.extend(self.unknown(&member.user_id)),
            }
        }
        wishes
    }

    fn unknown(&self, user_id: &str) -> Option<Wish> {
        (!self.names.contains_key(user_id)).then(|| Wish::Name(user_id.into()))
    }

    fn sort(&mut self) {
        self.rooms.sort_by_key(|room| std::cmp::Reverse(room.last_activity));
    }
}
