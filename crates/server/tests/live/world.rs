//! A hub over embedded engines, and a decider and projector of a few lines that the test drives by hand.

use chat4all_backend::folder::DataFolder;
use chat4all_backend::log::Topic;
use chat4all_backend::store::{Counted, Projection};
use chat4all_model::api::{Event, History, MessageKind, Role};
use chat4all_model::command::{Action, Command, Content, Count, Marker, Send};
use chat4all_model::cursor::Cursor;
use chat4all_model::decide::decide;
use chat4all_model::fact::Fact;
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::{Read, Reader};
use chat4all_model::record::{EventRecord, Facts, Input, Source, encode_event};
use chat4all_model::rows::{Position, values};
use chat4all_model::state::{Key, Value};
use chat4all_server::engines::{Embedded, Engines};
use chat4all_server::live::{Attachment, Hub, LiveSettings, Step};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const PARTITIONS: u32 = 2;

pub(crate) struct World {
    pub(crate) engines: Engines,
    pub(crate) hub: Arc<Hub>,
    _embedded: Embedded,
    _folder: tempfile::TempDir,
    state: HashMap<Key, Value>,
    /// Per partition: term, next index, commands decided.
    terms: Vec<(u64, u64, u64)>,
    readers: Vec<Reader>,
    /// Appended and not projected yet.
    unprojected: Vec<Vec<(u64, bytes::Bytes)>>,
    time: u64,
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(crate) fn group(name: &str) -> ConversationId {
    ConversationId::parse(&format!("g:{name}")).unwrap()
}

impl World {
    pub(crate) async fn new(settings: LiveSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path().join("data")).unwrap();
        let clock = chat4all_server::clock::system_clock();
        let embedded = Embedded::open(data, Some(PARTITIONS), &clock).unwrap();
        let engines = embedded.engines();
        let mut terms = Vec::new();
        let mut unprojected = Vec::new();
        for partition in 0..PARTITIONS {
            let term = encode_event(&EventRecord::Term { router: "test".into(), nonce: 1 });
            let offset = engines.log.append(Topic::Events, vec![(partition, term.clone())]).await.unwrap()[0];
            terms.push((offset, 0, 0));
            unprojected.push(vec![(offset, term)]);
        }
        let epoch = engines.log.epoch();
        let start = chat4all_model::reader::Progress { epoch, ..Default::default() };
        Self {
            hub: Hub::start(engines.clone(), settings),
            engines,
            _embedded: embedded,
            _folder: folder,
            state: HashMap::new(),
            terms,
            readers: (0..PARTITIONS).map(|_| Reader::new(start)).collect(),
            unprojected,
            time: 1_000,
        }
    }

    /// Another process on the same engines.
    pub(crate) fn another(&self, settings: LiveSettings) -> Arc<Hub> {
        Hub::start(self.engines.clone(), settings)
    }

    pub(crate) fn command(
        &mut self,
        actor: &str,
        conversation: &ConversationId,
        key: &str,
        action: Action,
    ) -> Command {
        self.time += 1;
        Command::new(conversation.clone(), user(actor), self.time, key, action)
    }

    /// Decides a command and appends the record; gives its facts and the command's offset.
    pub(crate) async fn decide(&mut self, command: &Command) -> (Vec<Fact>, u64) {
        let facts = decide(&|key: &Key| self.state.get(key).cloned(), command).unwrap();
        for fact in &facts {
            self.state.extend(values(fact));
        }
        let partition = command.conversation.partition(PARTITIONS);
        let (term, index, decided) = &mut self.terms[partition as usize];
        let input = match command.action {
            Action::Mark { .. } | Action::Settings(_) => Input::StatusUpdates,
            _ => Input::Messages,
        };
        let source = Source { input, epoch: self.engines.log.epoch(), offset: *decided };
        let record = Facts { term: *term, index: *index, source, facts: facts.clone(), dead: Vec::new() };
        let offset = *decided;
        (*index, *decided) = (*index + 1, *decided + 1);
        let payload = encode_event(&EventRecord::Facts(record));
        let at = self.engines.log.append(Topic::Events, vec![(partition, payload.clone())]).await.unwrap()[0];
        self.unprojected[partition as usize].push((at, payload));
        (facts, offset)
    }

    /// Brings the store up to the log and tells the hub, as a projector in its process does.
    pub(crate) async fn project(&mut self) {
        for partition in 0..PARTITIONS {
            let reader = &mut self.readers[partition as usize];
            let mut projection = Projection::default();
            for (offset, payload) in self.unprojected[partition as usize].drain(..) {
                match reader.read(offset, &payload).unwrap() {
                    Read::Term { .. } => projection.terms.push(offset),
                    Read::Facts(facts) => projection.counted.push(Counted {
                        position: Position::new(self.engines.log.epoch(), offset),
                        facts: facts.facts.into(),
                        dead: facts.dead.into(),
                    }),
                    Read::Ignored => {}
                }
            }
            projection.progress = *reader.progress();
            self.engines.store.project(partition, projection).await.unwrap();
            self.hub.note_progress(partition, *reader.progress());
        }
    }

    /// Decides and projects.
    pub(crate) async fn act(
        &mut self,
        actor: &str,
        conversation: &ConversationId,
        action: Action,
    ) -> Vec<Fact> {
        let key = format!("k{}", self.time);
        let command = self.command(actor, conversation, &key, action);
        let (facts, _) = self.decide(&command).await;
        self.project().await;
        facts
    }

    pub(crate) async fn send(&mut self, actor: &str, conversation: &ConversationId, text: &str) -> RecordId {
        let key = format!("k{}", self.time);
        let mut command = self.command(actor, conversation, &key, send(text));
        command.client_id = Some(key.into());
        self.decide(&command).await;
        self.project().await;
        command.id.unwrap()
    }

    /// Waits until a hub has heard all there is.
    pub(crate) async fn caught_up(&self, hub: &Hub) {
        for partition in 0..PARTITIONS {
            let end = self.engines.log.bounds(Topic::Events, partition).await.unwrap().end;
            until(|| hub.heard(partition) >= end).await;
        }
    }

    pub(crate) fn cursor(&self, next: Vec<u64>) -> Cursor {
        Cursor { epoch: self.engines.log.epoch(), next, page: None }
    }
}

pub(crate) fn send(text: &str) -> Action {
    let content = Content { text: Some(text.into()), ..Content::default() };
    Action::Send(Send { kind: MessageKind::Text, content, reply_to: None, seen: None })
}

pub(crate) fn create(members: &[&str]) -> Action {
    let members = members.iter().map(|name| user(name)).collect();
    Action::Create { name: Some("team".into()), members, history: History::Joined }
}

pub(crate) fn add(users: &[&str]) -> Action {
    Action::Add { users: users.iter().map(|name| user(name)).collect(), role: Role::Member }
}

pub(crate) fn read_to(seq: u64, n: u64) -> Action {
    Action::Mark { marker: Marker::Read, at: Count { seq, n } }
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "it never came to be");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Everything the ring has after `from`, as the socket is given it; none if it does not reach back so far.
pub(crate) fn from_ring(attachment: &Attachment, mut from: Vec<u64>) -> Option<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        let (frames, done) = match attachment.step(&mut from) {
            Step::Behind => return None,
            Step::Page(frames) => (frames, false),
            Step::Live(frames) => (frames, true),
        };
        events.extend(frames.iter().map(|frame| serde_json::from_slice::<Event>(frame).unwrap()));
        if done {
            return Some(events);
        }
    }
}

/// Everything the store has after `from`, in pages of `limit`.
pub(crate) async fn from_store(attachment: &Attachment, mut cursor: Cursor, limit: usize) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let given = attachment.store_page(cursor, limit).await.unwrap();
        assert!(given.events.len() <= limit, "{} of {limit}", given.events.len());
        events.extend(given.events);
        cursor = given.cursor;
        if cursor.page.is_none() {
            return events;
        }
    }
}

/// What a session's queue holds.
pub(crate) fn drained(attachment: &Attachment) -> Vec<Event> {
    attachment.session().drain().iter().map(|frame| serde_json::from_slice(frame).unwrap()).collect()
}
