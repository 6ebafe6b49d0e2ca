//! The JSON Schemas of the payloads, made from their types. They are committed in `schema/events/`.
//!
//! The objects are closed. A registry asks whether a new schema can read what an old one wrote: what was closed can
//! gain an optional field, for no old record can hold it, while in an open object the same field might be there with
//! another meaning, and every addition would be refused.

use super::payload::{DeadLetter, MessageCreated, MessageDeleted, MessageUpdated, Outbound};
use chat4all_backend::log::PublicTopic;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// Every schema by its name, version included, as in `message.created.v1`.
#[must_use]
pub fn schemas() -> Vec<(String, Value)> {
    let public = PublicTopic::ALL.map(|topic| (format!("{}.v1", topic.name()), of(topic)));
    let outbound = ("outbound.v1".to_owned(), made::<Outbound<'_>>());
    public.into_iter().chain([outbound]).collect()
}

/// The schema of a topic's payloads.
pub(super) fn of(topic: PublicTopic) -> Value {
    match topic {
        PublicTopic::MessageCreated => made::<MessageCreated<'_>>(),
        PublicTopic::MessageUpdated => made::<MessageUpdated<'_>>(),
        PublicTopic::MessageDeleted => made::<MessageDeleted<'_>>(),
        PublicTopic::DeadLetters => made::<DeadLetter<'_>>(),
    }
}

/// Under which name a registry keeps it.
pub(super) fn subject(topic: PublicTopic) -> String {
    format!("{}-value", topic.name())
}

/// Draft 7 is the newest that all registries and their clients understand.
fn made<T: JsonSchema>() -> Value {
    let settings =
        SchemaSettings::draft07().for_serialize().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
