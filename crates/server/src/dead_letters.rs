//! Dead letters: commands that could not be read, set aside so that they block nothing; listed and replayed.

use crate::account::{Actor, Ambient};
use crate::engines::Engines;
use crate::error::{Failure, Result};
use crate::router::topic;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chat4all_backend::ErrorKind;
use chat4all_backend::accounts::AuditEntry;
use chat4all_backend::store::DeadLetter;
use chat4all_model::api::{Code, Page};
use chat4all_model::record::decode_command;
use serde::{Deserialize, Serialize};

/// Entries of a page, where none are asked for, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 200;

/// A dead letter as operators and administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetterView {
    /// Names it for a replay. Opaque.
    pub id: String,
    /// The topic it stood in.
    pub topic: String,
    /// Its offset there.
    pub offset: u64,
    /// Why it could not be read.
    pub reason: String,
    /// Its bytes, in base64.
    pub payload: String,
    /// When it was replayed, if it was; milliseconds since 1970.
    pub replayed_at: Option<u64>,
}

/// The use-cases of dead letters. Each refuses (`Forbidden`) an [`Actor::Admin`] who is none.
#[derive(Clone)]
pub struct DeadLetters {
    engines: Engines,
    ambient: Ambient,
}

impl DeadLetters {
    /// Those of these engines.
    #[must_use]
    pub fn new(engines: Engines, ambient: Ambient) -> Self {
        Self { engines, ambient }
    }

    /// Oldest first, after `cursor`, which is `next` of the page before.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub async fn list(
        &self,
        actor: Actor<'_>,
        cursor: Option<String>,
        limit: Option<usize>,
    ) -> Result<Page<DeadLetterView>> {
        actor.name()?;
        let limit = match limit.unwrap_or(PAGE) {
            limit @ 1..=MAX_PAGE => limit,
            _ => return Err(Failure::invalid("limit", "must be 1 to 200")),
        };
        let mut found = self.page(cursor, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(|letter| letter.id.clone()) } else { None };
        Ok(Page { items: found.into_iter().map(view).collect(), next })
    }

    /// Puts a dead letter back into its topic, to be decided as if it came now. Its own id keeps it from happening
    /// twice.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it was replayed before, or if this program cannot read it either.
    pub async fn replay(&self, actor: Actor<'_>, id: &str) -> Result<DeadLetterView> {
        let name = actor.name()?;
        let letter = self.find(id).await?;
        if letter.replayed_at.is_some() {
            return Err(Failure::new(Code::Conflict, "it was replayed before"));
        }
        let command = decode_command(&letter.dead.payload).map_err(|error| {
            let why = format!("this version cannot read it either ({error}); replay it with one that can");
            Failure::new(Code::Conflict, why)
        })?;
        let log = &self.engines.log;
        let partition = command.conversation.partition(log.partitions());
        let record = (partition, Bytes::from(letter.dead.payload.clone()));
        log.append(topic(letter.dead.source.input), vec![record]).await?;
        let now = self.ambient.now();
        self.engines.store.mark_replayed(id, now).await?;
        let entry = AuditEntry {
            entry_id: self.ambient.uuid(),
            at: now,
            actor: name.to_owned(),
            action: "dead_letter.replay".to_owned(),
            target: Some(id.to_owned()),
            detail: None,
        };
        self.engines.accounts.append_audit(entry).await?;
        Ok(view(DeadLetter { replayed_at: Some(now), ..letter }))
    }

    async fn find(&self, id: &str) -> Result<DeadLetter> {
        let mut after = None;
        loop {
            let page = self.page(after, MAX_PAGE).await?;
            let last = page.last().map(|letter| letter.id.clone());
            if let Some(letter) = page.into_iter().find(|letter| letter.id == id) {
                return Ok(letter);
            }
            after = Some(last.ok_or_else(|| Failure::new(Code::NotFound, "no such dead letter"))?);
        }
    }

    async fn page(&self, after: Option<String>, limit: usize) -> Result<Vec<DeadLetter>> {
        self.engines.store.dead_letters(after, limit).await.map_err(|error| match error.kind {
            ErrorKind::Invalid => Failure::invalid("cursor", "must be `next` of the page before"),
            _ => error.into(),
        })
    }
}

fn view(letter: DeadLetter) -> DeadLetterView {
    DeadLetterView {
        id: letter.id,
        topic: topic(letter.dead.source.input).name().to_owned(),
        offset: letter.dead.source.offset,
        reason: letter.dead.reason.to_string(),
        payload: STANDARD.encode(&letter.dead.payload),
        replayed_at: letter.replayed_at,
    }
}
