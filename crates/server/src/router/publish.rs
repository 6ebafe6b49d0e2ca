//! What leaves for other platforms: messages of channels, into the topic of their platform, which its connector reads.
//!
//! At least once: what was published before a crash and not yet projected is published again, with the same
//! `(conversation_id, seq)`.

use crate::public_topics::{self, Outbound};
use bytes::Bytes;
use chat4all_backend::Result;
use chat4all_backend::log::{EventLog, Topic};
use chat4all_backend::store::Counted;
use chat4all_model::id::Platform;
use std::collections::BTreeMap;

/// Appends what of these facts leaves for other platforms.
pub(crate) async fn publish(log: &dyn EventLog, partition: u32, counted: &[Counted]) -> Result<()> {
    let mut leaving: BTreeMap<Topic, Vec<(u32, Bytes)>> = BTreeMap::new();
    let facts = counted.iter().flat_map(|counted| counted.facts.iter());
    for (platform, outbound) in facts.filter_map(Outbound::of) {
        let topic = match platform {
            Platform::Whatsapp => Topic::WhatsappOutbound,
            Platform::Instagram => Topic::InstagramOutbound,
        };
        leaving.entry(topic).or_default().push((partition, public_topics::write(&[], &outbound)?));
    }
    for (topic, records) in leaving {
        log.append(topic, records).await?;
    }
    Ok(())
}
