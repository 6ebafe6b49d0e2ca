//! What must hold at the end: every command decided once, as its state was, and the store the fold of it.

use crate::told::{self, Told};
use chat4all_backend::log::{EmbeddedLog, EventLog, Publication, Record, Topic};
use chat4all_backend::store::Store;
use chat4all_model::decide::decide;
use chat4all_model::fact::{Fact, What};
use chat4all_model::id::{ConversationId, ConversationKind};
use chat4all_model::reader::{Progress, Read, Reader};
use chat4all_model::record::{Input, decode_command};
use chat4all_model::rows::{Position, values};
use chat4all_model::state::{Key, Value};
use chat4all_server::public_topics::READER;
use std::collections::{BTreeMap, HashMap};

/// All records of a partition.
pub(crate) async fn read(log: &EmbeddedLog, topic: Topic, partition: u32) -> Vec<Record> {
    let bounds = log.bounds(topic, partition).await.unwrap();
    let mut records: Vec<Record> = Vec::new();
    if bounds.start == bounds.end {
        return records;
    }
    let mut follower = log.follow(topic, partition, bounds.start).await.unwrap();
    while records.last().is_none_or(|last| last.offset + 1 < bounds.end) {
        records.extend(follower.next().await.unwrap());
    }
    records
}

/// What was found, to see that a test tests something.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) commands: usize,
    pub(crate) terms: usize,
    pub(crate) ignored: usize,
    pub(crate) dead: usize,
    pub(crate) told_again: usize,
}

pub(crate) async fn check(log: &EmbeddedLog, store: &dyn Store, told: &[Publication]) -> Findings {
    let mut findings = Findings::default();
    for partition in 0..log.partitions() {
        let told: Vec<&Publication> = told.iter().filter(|one| one.partition == partition).collect();
        check_partition(log, store, partition, &told, &mut findings).await;
    }
    assert_eq!(store.dead_letters(None, 10_000).await.unwrap().len(), findings.dead);
    findings
}

async fn check_partition(
    log: &EmbeddedLog,
    store: &dyn Store,
    partition: u32,
    told: &[&Publication],
    findings: &mut Findings,
) {
    let mut inputs: HashMap<Input, std::vec::IntoIter<Record>> = HashMap::new();
    for (input, topic) in [(Input::Messages, Topic::Messages), (Input::StatusUpdates, Topic::StatusUpdates)] {
        let records = read(log, topic, partition).await;
        findings.commands += records.len();
        inputs.insert(input, records.into_iter());
    }
    let mut state: HashMap<Key, Value> = HashMap::new();
    let mut events: BTreeMap<ConversationId, Vec<(Position, Fact)>> = BTreeMap::new();
    let mut to_tell: Vec<Told> = Vec::new();
    let mut reader = Reader::new(Progress { epoch: log.epoch(), ..Progress::default() });
    for record in read(log, Topic::Events, partition).await {
        let facts = match reader.read(record.offset, &record.payload).unwrap() {
            Read::Facts(facts) => facts,
            Read::Term { .. } => {
                findings.terms += 1;
                continue;
            }
            Read::Ignored => {
                findings.ignored += 1;
                continue;
            }
        };
        let run = inputs.get_mut(&facts.source.input).unwrap();
        let (mut decided, mut dead) = (Vec::new(), Vec::new());
        loop {
            let command = run.next().expect("a record of facts decides a command");
            match decode_command(&command.payload) {
                Ok(command) => {
                    let came = decide(&|key: &Key| state.get(key).cloned(), &command).unwrap();
                    state.extend(came.iter().flat_map(values));
                    decided.extend(came);
                }
                Err(_) => dead.push(command.payload.to_vec()),
            }
            assert!(command.offset <= facts.source.offset, "decided twice, or passed over");
            if command.offset == facts.source.offset {
                break;
            }
        }
        assert_eq!(facts.facts, decided, "record {} of partition {partition}", record.offset);
        assert_eq!(facts.dead.iter().map(|dead| dead.payload.clone()).collect::<Vec<_>>(), dead);
        findings.dead += dead.len();
        to_tell.extend(told::by(&facts));
        let position = Position::new(log.epoch(), record.offset);
        for fact in facts.facts.into_iter().filter(|fact| fact.head.is_some()) {
            events.entry(fact.conversation.clone()).or_default().push((position, fact));
        }
    }
    assert!(inputs.values_mut().all(|left| left.next().is_none()), "a command was never decided");
    // A term may have begun since.
    let (stored, read) = (store.progress(partition).await.unwrap(), *reader.progress());
    assert!(read.last.is_none_or(|last| stored.covers(last.offset)), "{stored:?} {read:?}");
    assert_eq!((stored.messages, stored.status_updates), (read.messages, read.status_updates));
    let keys: Vec<Key> = state.keys().cloned().collect();
    for (key, value) in keys.iter().zip(store.values(keys.clone()).await.unwrap()) {
        assert_eq!(value.as_ref(), state.get(key), "{key:?}");
    }
    for (conversation, facts) in &events {
        assert!(facts.iter().map(|(_, fact)| fact.seq()).eq(1..=facts.len() as u64), "dense");
        let stored = store.events(conversation, 0, u64::MAX, 100_000).await.unwrap();
        let of = |position: Position, fact: &Fact| (position, fact.head.clone(), fact.id, fact.hash);
        let stored: Vec<_> = stored.iter().map(|event| of(event.position, &event.fact)).collect();
        assert_eq!(stored, facts.iter().map(|(position, fact)| of(*position, fact)).collect::<Vec<_>>());
    }
    check_published(log, partition, &events).await;
    findings.told_again += told::check(told, &to_tell);
}

async fn check_published(
    log: &EmbeddedLog,
    partition: u32,
    events: &BTreeMap<ConversationId, Vec<(Position, Fact)>>,
) {
    let mut published = Vec::new();
    for topic in [Topic::WhatsappOutbound, Topic::InstagramOutbound] {
        for record in read(log, topic, partition).await {
            let json: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            let place = (json["conversation_id"].as_str().unwrap().to_owned(), json["seq"].as_u64().unwrap());
            published.push((topic, place));
        }
    }
    let mut expected = 0;
    for (conversation, facts) in events {
        let ConversationKind::Channel { address, .. } = conversation.kind() else { continue };
        let whatsapp = address.starts_with("whatsapp:");
        let topic = if whatsapp { Topic::WhatsappOutbound } else { Topic::InstagramOutbound };
        for (_, fact) in facts.iter().filter(|(_, fact)| matches!(fact.what, What::Message { .. })) {
            let place = (conversation.as_str().to_owned(), fact.seq());
            assert!(published.contains(&(topic, place)), "{conversation:?} {} was not published", fact.seq());
            expected += 1;
        }
    }
    published.sort();
    published.dedup();
    assert_eq!(published.len(), expected, "what did not happen was published");
}

/// Whether all commands are decided and projected.
pub(crate) async fn is_done(log: &EmbeddedLog, store: &dyn Store) -> bool {
    for partition in 0..log.partitions() {
        let Ok(progress) = store.progress(partition).await else { return false };
        for (input, topic) in
            [(Input::Messages, Topic::Messages), (Input::StatusUpdates, Topic::StatusUpdates)]
        {
            let bounds = log.bounds(topic, partition).await.unwrap();
            let next = progress.source(input).map_or(bounds.start, |source| source.offset + 1);
            if next < bounds.end {
                return false;
            }
        }
        if progress.next() < log.bounds(Topic::Events, partition).await.unwrap().end {
            return false;
        }
    }
    true
}

/// Whether all that is decided is told, and its teller has said so.
pub(crate) async fn is_told(log: &EmbeddedLog, store: &dyn Store) -> bool {
    for partition in 0..log.partitions() {
        let place = store.reader(&READER, partition).await.unwrap();
        if place.next() < log.bounds(Topic::Events, partition).await.unwrap().end {
            return false;
        }
    }
    true
}
