//! What persons have of their own in conversations: markers, settings, mentions.

use super::super::copy::{counted, own, project};
use super::{AT_ONCE, Note};
use crate::engines::Engines;
use chat4all_backend::accounts::MAX_ENTRIES;
use chat4all_backend::store::{Counted, OwnChange, OwnChanged, Store};
use chat4all_backend::{Error, Result};
use chat4all_model::command::Content;
use chat4all_model::fact::{Rises, What};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::Position;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Changes of a person read at once.
const PAGE: usize = 1_000;
/// Facts projected at once.
const BATCH: usize = 2_000;
/// Conversations of a person asked for at once.
const CONVERSATIONS: usize = 100;
/// Behind every position.
const END: Position = Position(u64::MAX >> 2);

/// Copies what everybody with an account has.
pub(super) async fn copy(from: &Engines, to: &Engines, note: Note<'_>) -> Result<()> {
    let (mut after, mut done) = (None, 0);
    let mut batch = Batch { to, size: 0, records: BTreeMap::new() };
    loop {
        let page = from.accounts.list(after.as_ref(), MAX_ENTRIES).await?;
        let Some(last) = page.last() else { return batch.write().await };
        after = Some(last.user_id.clone());
        let people = page.iter().map(|account| of_person(from, &account.user_id));
        let mut people = stream::iter(people).buffered(AT_ONCE);
        while let Some(records) = people.try_next().await? {
            batch.add(records).await?;
            done += 1;
            note("people whose own was copied", done);
        }
    }
}

/// Records for several partitions.
struct Batch<'b> {
    to: &'b Engines,
    size: usize,
    records: BTreeMap<u32, Vec<Counted>>,
}

impl Batch<'_> {
    async fn add(&mut self, records: Vec<(ConversationId, Counted)>) -> Result<()> {
        for (conversation, counted) in records {
            let partition = conversation.partition(self.to.log.partitions());
            self.records.entry(partition).or_default().push(counted);
            self.size += 1;
        }
        if self.size >= BATCH { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<()> {
        self.size = 0;
        let records = std::mem::take(&mut self.records).into_iter().map(Ok::<_, Error>);
        let write = |(partition, records)| project(self.to.store.as_ref(), partition, records);
        stream::iter(records).try_for_each_concurrent(AT_ONCE, write).await
    }
}

/// What a person has of its own, as records that say so.
async fn of_person(from: &Engines, user: &UserId) -> Result<Vec<(ConversationId, Counted)>> {
    let store = from.store.as_ref();
    let mut records = mentions(store, user).await?;
    for partition in 0..from.log.partitions() {
        let mut after = Position::default();
        loop {
            let page = store.own_changes(user, partition, after, END, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            records.extend(page.into_iter().map(|change| changed(user, change)));
        }
    }
    Ok(records)
}

fn changed(user: &UserId, change: OwnChange) -> (ConversationId, Counted) {
    let OwnChange { conversation, position, time, what } = change;
    let what = match what {
        OwnChanged::Markers(markers) => What::Receipt { markers, rises: Rises::default() },
        OwnChanged::Settings(settings) => What::Settings { settings },
    };
    let facts = [own(&conversation, user.clone(), time, what)].into();
    (conversation, Counted { position, facts, dead: Arc::default() })
}

/// Unread mentions in messages that were deleted: they count until they are read, and their events do not tell of
/// them any more.
async fn mentions(store: &dyn Store, user: &UserId) -> Result<Vec<(ConversationId, Counted)>> {
    let memberships = store.memberships(user).await?;
    let mut conversations: Vec<_> = memberships.into_iter().map(|(conversation, _)| conversation).collect();
    conversations.sort_unstable();
    conversations.dedup();
    let mut records = Vec::new();
    for some in conversations.chunks(CONVERSATIONS) {
        for (conversation, own) in some.iter().zip(store.own(user, some.to_vec()).await?) {
            for seq in own.mentions {
                for mut event in store.events(conversation, seq - 1, seq, 1).await? {
                    let What::Message { content, .. } = &mut event.fact.what else { continue };
                    if *content == Content::default() {
                        // Written once, the event stays blank; the mention is all that is new.
                        content.mentions.push(user.as_str().into());
                        records.push((conversation.clone(), counted(event, Vec::new())));
                    }
                }
            }
        }
    }
    Ok(records)
}
