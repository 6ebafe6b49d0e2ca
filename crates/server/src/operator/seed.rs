//! People and messages for benchmarks, written as fast as the engines take them.

use super::link::{LinkError, Opened};
use crate::account::AccountService;
use crate::clock::system_clock;
use crate::engines::Engines;
use crate::error::Failure;
use bytes::Bytes;
use chat4all_backend::log::{Bounds, Topic};
use chat4all_backend::store::{Counted, Projection};
use chat4all_backend::{Error, ErrorKind};
use chat4all_model::api::{History, MessageKind};
use chat4all_model::command::{Action, Command, Content, Send};
use chat4all_model::decide::decide;
use chat4all_model::fact::Fact;
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::reader::{Progress, Read, Reader};
use chat4all_model::record::{EventRecord, Facts, Input, Source, encode_command, encode_event};
use chat4all_model::rows::{Position, values};
use chat4all_model::state::{Key, Value};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Accounts written at once: they share their commits.
const AT_ONCE: usize = 128;
/// Commands of one record of facts.
const RUN: usize = 256;
/// Commands decided before they are written.
const BATCH: usize = 16 * 1024;
/// People that conversations are shared out among.
const PEOPLE: usize = 1_000;
/// Milliseconds between two messages.
const PACE_MS: u64 = 10;
/// About as long as what people write, 200 bytes with the number before it.
const WORDS: &str = "the quick brown fox jumps over the lazy dog while five boxing wizards jump quickly and a mad \
                     boxer shot a quick gloved jab to the jaw of his dizzy opponent before the bell rang once more";

/// Somebody who is signed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeededUser {
    /// The id.
    pub user_id: String,
    /// The name.
    pub username: String,
    /// Good for an hour.
    pub access_token: String,
    /// Good for a week.
    pub refresh_token: String,
}

/// A conversation with a past, and somebody who may read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeededConversation {
    /// Which.
    pub conversation_id: String,
    /// Its head.
    pub last_seq: u64,
    /// Of the first member.
    pub access_token: String,
    /// All members, in the order of joining.
    pub members: Vec<SeededUser>,
}

/// How much is to be written.
#[derive(Debug, Clone, Copy)]
pub struct SeededMessages {
    /// Messages in all.
    pub count: usize,
    /// Groups they are shared out among, in turns.
    pub conversations: usize,
    /// Members of each.
    pub members: usize,
}

/// Makes accounts named by `prefix` and a number from 0, each signed in, without a password.
///
/// # Errors
/// `UsernameTaken`, and of the store.
pub async fn seed_users(
    accounts: &Arc<AccountService>,
    count: usize,
    prefix: &str,
) -> Result<Vec<SeededUser>, Failure> {
    let one = |number| {
        let (accounts, username) = (Arc::clone(accounts), format!("{prefix}{number}"));
        async move {
            let tokens = accounts.seed(username).await?;
            Ok(SeededUser {
                user_id: tokens.user.user_id,
                username: tokens.user.username,
                access_token: tokens.access_token,
                refresh_token: tokens.refresh_token,
            })
        }
    };
    stream::iter((0..count).map(one)).buffered(AT_ONCE).try_collect().await
}

/// Fills an opened folder with messages, decided as a router would. A server goes on from there.
///
/// Of a run of commands only the last is written into `messages`, as if those before it were trimmed already.
///
/// # Errors
/// `Folder` if commands wait to be decided there, or the engines fail.
pub async fn seed_messages(
    opened: &Opened,
    what: SeededMessages,
) -> Result<Vec<SeededConversation>, LinkError> {
    let told = |error: Error| LinkError::Folder(error.to_string());
    if what.members < 2 || what.conversations == 0 {
        return Err(LinkError::Folder("at least one conversation of two members is needed".to_owned()));
    }
    let engines = opened.installation.engines.clone();
    let mut writer = Writer::open(&engines).await.map_err(told)?;
    let people = what.members.max(PEOPLE.min(what.conversations));
    let people = seed_users(&opened.accounts, people, "seed-").await;
    let people = people.map_err(|failure| LinkError::Folder(failure.to_string()))?;
    let began = system_clock()().saturating_sub(what.count as u64 * PACE_MS);
    let talks = (0..what.conversations).map(|number| Talk::new(number, &people, what.members));
    let talks = talks.collect::<Result<Vec<_>, Error>>().map_err(told)?;
    for talk in &talks {
        writer.decide(&talk.creation(began)).await.map_err(told)?;
    }
    for number in 0..what.count {
        let talk = &talks[number % talks.len()];
        let turn = number / talks.len();
        writer.decide(&talk.message(turn, began + number as u64 * PACE_MS)).await.map_err(told)?;
    }
    writer.finish().await.map_err(told)?;
    let seeded = |talk: Talk| SeededConversation {
        last_seq: writer.head(&talk.id),
        conversation_id: talk.id.to_string(),
        access_token: talk.members.first().map(|(_, user)| user.access_token.clone()).unwrap_or_default(),
        members: talk.members.into_iter().map(|(_, user)| user).collect(),
    };
    Ok(talks.into_iter().map(seeded).collect())
}

/// A conversation that is being filled.
struct Talk {
    id: ConversationId,
    members: Vec<(UserId, SeededUser)>,
}

impl Talk {
    fn new(number: usize, people: &[SeededUser], members: usize) -> Result<Self, Error> {
        let broken = |e| Error::new(ErrorKind::Invalid, e);
        let member = |place: usize| {
            let user = people[(number * members + place) % people.len()].clone();
            Ok((UserId::parse(&user.user_id).map_err(broken)?, user))
        };
        let members: Vec<_> = (0..members).map(member).collect::<Result<_, Error>>()?;
        let id = format!("g:{}:seed-{number}", members[0].0);
        Ok(Self { id: ConversationId::parse(&id).map_err(broken)?, members })
    }

    fn creation(&self, time: u64) -> Command {
        let members = self.members.iter().skip(1).map(|(id, _)| id.clone()).collect();
        let action = Action::Create { name: Some("seeded".into()), members, history: History::Joined };
        Command::new(self.id.clone(), self.members[0].0.clone(), time, "create", action)
    }

    fn message(&self, turn: usize, time: u64) -> Command {
        let (sender, _) = &self.members[turn % self.members.len()];
        let content = Content { text: Some(format!("{turn:>9} {WORDS}").into()), ..Content::default() };
        let send = Send { kind: MessageKind::Text, content, reply_to: None, seen: None };
        Command::new(self.id.clone(), sender.clone(), time, &format!("seed-{turn}"), Action::Send(send))
    }
}

/// Decides, and writes what was decided in large batches.
struct Writer<'e> {
    engines: &'e Engines,
    /// What deciding needs again: heads and members.
    state: HashMap<Key, Value>,
    partitions: Vec<Partition>,
    /// Commands decided and not yet written.
    waiting: usize,
}

struct Partition {
    number: u32,
    reader: Reader,
    runs: Vec<Run>,
}

/// What becomes one record of facts.
#[derive(Default)]
struct Run {
    last: Bytes,
    commands: usize,
    facts: Vec<Fact>,
}

impl<'e> Writer<'e> {
    /// Takes a term in every partition.
    async fn open(engines: &'e Engines) -> Result<Self, Error> {
        let mut writer = Self { engines, state: HashMap::new(), partitions: Vec::new(), waiting: 0 };
        for number in 0..engines.log.partitions() {
            let progress = engines.store.progress(number).await?;
            require_rest(engines, number, &progress).await?;
            let reader = Reader::new(Progress { epoch: engines.log.epoch(), ..progress });
            let mut partition = Partition { number, reader, runs: Vec::new() };
            partition.take_term(engines).await?;
            writer.partitions.push(partition);
        }
        Ok(writer)
    }

    fn head(&self, conversation: &ConversationId) -> u64 {
        match self.state.get(&Key::Head(conversation.clone())) {
            Some(Value::Head(head)) => head.seq,
            _ => 0,
        }
    }

    async fn decide(&mut self, command: &Command) -> Result<(), Error> {
        let state = |key: &Key| self.state.get(key).cloned();
        let facts = decide(&state, command).map_err(|torn| Error::new(ErrorKind::Corrupt, torn))?;
        if facts.iter().any(|fact| fact.head.is_none()) {
            return Err(Error::new(ErrorKind::Conflict, "a seeded command was refused"));
        }
        for (key, value) in facts.iter().flat_map(values) {
            if matches!(key, Key::Head(_) | Key::Member(..) | Key::About(_)) {
                self.state.insert(key, value);
            }
        }
        let place = command.conversation.partition(self.engines.log.partitions()) as usize;
        let runs = &mut self.partitions[place].runs;
        if runs.last().is_none_or(|run| run.commands == RUN) {
            runs.push(Run::default());
        }
        if let Some(run) = runs.last_mut() {
            run.last = encode_command(command);
            run.commands += 1;
            run.facts.extend(facts);
        }
        self.waiting += 1;
        if self.waiting == BATCH { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.waiting = 0;
        for partition in &mut self.partitions {
            partition.write(self.engines).await?;
        }
        Ok(())
    }

    /// Writes the rest, and trims the log as far as a server would.
    async fn finish(&mut self) -> Result<(), Error> {
        self.write().await?;
        let log = &self.engines.log;
        for partition in &mut self.partitions {
            // The log can be trimmed up to a term only.
            partition.take_term(self.engines).await?;
            let progress = partition.reader.progress();
            log.trim(Topic::Events, partition.number, progress.term.unwrap_or(0)).await?;
            if let Some(source) = progress.messages {
                log.trim(Topic::Messages, partition.number, source.offset + 1).await?;
            }
        }
        Ok(())
    }
}

impl Partition {
    async fn take_term(&mut self, engines: &Engines) -> Result<(), Error> {
        let term = EventRecord::Term { router: "seed".into(), nonce: rand::random() };
        self.append(engines, vec![encode_event(&term)]).await
    }

    async fn write(&mut self, engines: &Engines) -> Result<(), Error> {
        let runs = std::mem::take(&mut self.runs);
        if runs.is_empty() {
            return Ok(());
        }
        let commands = runs.iter().map(|run| (self.number, run.last.clone())).collect();
        let offsets = engines.log.append(Topic::Messages, commands).await?;
        let Progress { term, index, .. } = *self.reader.progress();
        let record = |(index, (run, offset)): (u64, (Run, u64))| {
            let source = Source { input: Input::Messages, epoch: engines.log.epoch(), offset };
            let term = term.unwrap_or(0);
            encode_event(&EventRecord::Facts(Facts {
                term,
                index,
                source,
                facts: run.facts,
                dead: Vec::new(),
            }))
        };
        let records = (index..).zip(runs.into_iter().zip(offsets)).map(record).collect();
        self.append(engines, records).await
    }

    /// Appends records of `events`, and projects what is read back of them.
    async fn append(&mut self, engines: &Engines, records: Vec<Bytes>) -> Result<(), Error> {
        let batch = records.iter().map(|record| (self.number, record.clone())).collect();
        let offsets = engines.log.append(Topic::Events, batch).await?;
        let mut projection = Projection::default();
        for (record, offset) in records.iter().zip(offsets) {
            match self.reader.read(offset, record).map_err(|e| Error::new(ErrorKind::Corrupt, e))? {
                Read::Term { .. } => projection.terms.push(offset),
                Read::Facts(facts) => projection.counted.push(Counted {
                    position: Position::new(engines.log.epoch(), offset),
                    facts: facts.facts.into(),
                    dead: facts.dead.into(),
                }),
                Read::Ignored => return Err(Error::new(ErrorKind::Conflict, "another writes this log")),
            }
        }
        projection.progress = *self.reader.progress();
        engines.store.project(self.number, projection).await
    }
}

/// Refuses a partition where something waits to be decided or stored.
async fn require_rest(engines: &Engines, partition: u32, progress: &Progress) -> Result<(), Error> {
    let waits = |bounds: Bounds, next: u64| bounds.end > next.max(bounds.start);
    let decided = |input| progress.source(input).map_or(0, |source| source.offset + 1);
    let log = &engines.log;
    if waits(log.bounds(Topic::Events, partition).await?, progress.next())
        || waits(log.bounds(Topic::Messages, partition).await?, decided(Input::Messages))
        || waits(log.bounds(Topic::StatusUpdates, partition).await?, decided(Input::StatusUpdates))
    {
        let why = "commands wait to be decided here; start the server and stop it again first";
        return Err(Error::new(ErrorKind::Conflict, why));
    }
    Ok(())
}
