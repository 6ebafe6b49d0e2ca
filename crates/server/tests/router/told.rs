//! What others were told, against what they should have been.

use crate::fits::fits;
use chat4all_backend::log::{PublicTopic, Publication};
use chat4all_model::fact::What;
use chat4all_model::record::Facts;
use chat4all_server::public_topics::schemas;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

static SCHEMAS: LazyLock<HashMap<String, Value>> = LazyLock::new(|| schemas().into_iter().collect());

/// Something that others are told: the topic, the key, and by what readers know it again.
pub(crate) type Told = (PublicTopic, Option<String>, u64);

/// What others should be told of a record that counts, in order.
pub(crate) fn by(facts: &Facts) -> Vec<Told> {
    let of = facts.facts.iter().filter_map(|fact| {
        let topic = match fact.what {
            What::Message { .. } => PublicTopic::MessageCreated,
            What::Edited { .. } => PublicTopic::MessageUpdated,
            What::Deleted { .. } => PublicTopic::MessageDeleted,
            _ => return None,
        };
        Some((topic, Some(fact.conversation.to_string()), fact.seq()))
    });
    let dead = facts.dead.iter().map(|dead| (PublicTopic::DeadLetters, None, dead.source.offset));
    of.chain(dead).collect()
}

/// Fails unless all of it was told and nothing else; the first time in order within a topic; and again, if at all, with
/// the same words. Gives how often something was told again.
pub(crate) fn check(told: &[&Publication], expected: &[Told]) -> usize {
    let mut words: HashMap<Told, &Publication> = HashMap::new();
    let mut first = Vec::new();
    for publication in told {
        let place = place(publication);
        match words.insert(place.clone(), publication) {
            Some(before) => assert_eq!(&before, publication, "told again in other words"),
            None => first.push(place),
        }
    }
    for topic in PublicTopic::ALL {
        let of = |all: &[Told]| all.iter().filter(|one| one.0 == topic).cloned().collect::<Vec<_>>();
        assert_eq!(of(&first), of(expected), "{topic:?}");
    }
    let distinct: HashSet<&Told> = expected.iter().collect();
    told.len() - distinct.len()
}

fn place(publication: &Publication) -> Told {
    let value: Value = serde_json::from_slice(&publication.payload).unwrap();
    let schema = &SCHEMAS[&format!("{}.v1", publication.topic.name())];
    assert_eq!(fits(schema, schema, &value), Ok(()), "{value}");
    let key = publication.key.as_ref().map(|key| String::from_utf8(key.to_vec()).unwrap());
    assert_eq!(value["conversation_id"].as_str(), key.as_deref());
    let number = if key.is_some() { &value["seq"] } else { &value["offset"] };
    (publication.topic, key, number.as_u64().unwrap())
}
