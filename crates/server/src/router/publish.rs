//! What leaves for other platforms: messages of channels, into the topic of their platform.
//!
//! At least once: what was published before a crash and not yet projected is published again, with the same
//! `(conversation_id, seq)`.

use bytes::Bytes;
use chat4all_backend::log::{EventLog, Topic};
use chat4all_backend::store::Counted;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::fact::{Fact, What};
use chat4all_model::id::{ConversationKind, Platform, RecordId};
use serde::Serialize;

/// A message on its way to another platform. Version 1 of the payload.
#[derive(Serialize)]
struct Outbound<'a> {
    version: u8,
    message_id: RecordId,
    conversation_id: &'a str,
    seq: u64,
    sender_id: &'a str,
    recipient_id: &'a str,
    content: Option<&'a str>,
    file_ids: Vec<&'a str>,
    data: Option<&'a serde_json::value::RawValue>,
    timestamp: u64,
}

/// Appends what of these facts leaves for other platforms.
pub(crate) async fn publish(log: &dyn EventLog, partition: u32, counted: &[Counted]) -> Result<()> {
    for topic in [Topic::WhatsappOutbound, Topic::InstagramOutbound] {
        let mut records = Vec::new();
        for fact in counted.iter().flat_map(|counted| counted.facts.iter()) {
            if let Some(payload) = outbound(fact, topic)? {
                records.push((partition, payload));
            }
        }
        if !records.is_empty() {
            log.append(topic, records).await?;
        }
    }
    Ok(())
}

fn outbound(fact: &Fact, topic: Topic) -> Result<Option<Bytes>> {
    let What::Message { content, .. } = &fact.what else { return Ok(None) };
    let ConversationKind::Channel { address, .. } = fact.conversation.kind() else { return Ok(None) };
    let wanted = match Platform::of(&address) {
        Some(Platform::Whatsapp) => Topic::WhatsappOutbound,
        Some(Platform::Instagram) => Topic::InstagramOutbound,
        None => return Ok(None),
    };
    let (true, Some(message_id)) = (wanted == topic, fact.id) else { return Ok(None) };
    let data = content.data.as_deref().map(serde_json::from_str).transpose();
    let outbound = Outbound {
        version: 1,
        message_id,
        conversation_id: fact.conversation.as_str(),
        seq: fact.seq(),
        sender_id: fact.actor.as_str(),
        recipient_id: &address,
        content: content.text.as_deref(),
        file_ids: content.files.iter().map(AsRef::as_ref).collect(),
        data: data.map_err(|error| Error::new(ErrorKind::Corrupt, error))?,
        timestamp: fact.time,
    };
    let payload = serde_json::to_vec(&outbound).map_err(|error| Error::new(ErrorKind::Corrupt, error))?;
    Ok(Some(payload.into()))
}
