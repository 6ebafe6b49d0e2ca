//! Comparing what both installations say.

use super::super::difference::Differences;
use super::super::digest::{Digest, Part, Tally, person, whole};
use super::accounts::kinds;
use super::log::Taken;
use super::{AT_ONCE, CONVERSATIONS, LETTERS, Note};
use crate::engines::Engines;
use crate::operator::take_over::Present;
use chat4all_backend::accounts::MAX_ENTRIES;
use chat4all_backend::store::Store;
use chat4all_backend::{Error, Result};
use chat4all_model::id::{ConversationId, UserId};
use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use std::collections::BTreeMap;

/// How much there is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    /// Rows of accounts, by kind.
    pub accounts: BTreeMap<&'static str, u64>,
    /// Rows of the store, by part.
    pub store: BTreeMap<Part, u64>,
    /// Dead letters.
    pub dead_letters: u64,
    /// Records that the target's log begins with, by topic: commands to be decided, messages on their way to other
    /// platforms.
    pub log: BTreeMap<&'static str, u64>,
}

/// Compares everything but for what only passes through: how much there is, and what is not the same.
pub(super) async fn verify(
    from: &Engines,
    to: &Engines,
    taken: Vec<Taken>,
    note: Note<'_>,
) -> Result<(Counts, Differences)> {
    let (mut counts, mut differences) = (Counts::default(), Differences::default());
    let (theirs, ours) = try_join(kinds(from.accounts.as_ref()), kinds(to.accounts.as_ref())).await?;
    for (kind, tally) in &theirs {
        counts.accounts.insert(kind, tally.count);
    }
    let all_kinds = theirs.keys().chain(ours.keys().filter(|kind| !theirs.contains_key(*kind)));
    for kind in all_kinds.filter(|kind| theirs.get(*kind) != ours.get(*kind)) {
        differences.add(kind, said(theirs.get(kind), ours.get(kind)));
    }
    let mut store = Digest::default();
    conversations(from, to, note, &mut store, &mut differences).await?;
    people(from, to, note, &mut store, &mut differences).await?;
    counts.store = store.0.iter().map(|(part, tally)| (*part, tally.count)).collect();
    let (theirs, ours) = try_join(letters(from.store.as_ref()), letters(to.store.as_ref())).await?;
    counts.dead_letters = theirs.count;
    if theirs != ours {
        differences.add("dead letters", said(Some(&theirs), Some(&ours)));
    }
    for Taken { topic, records } in taken {
        counts.log.insert(topic.name(), records);
        // More would be of an attempt that was cut off: a command's id makes it once, whatever is read twice.
        let present = Present::of(to.log.as_ref(), topic).await?.len() as u64;
        if present < records {
            differences
                .add(topic.name(), format!("{records} records in the source, {present} in the target"));
        }
    }
    Ok((counts, differences))
}

async fn conversations(
    from: &Engines,
    to: &Engines,
    note: Note<'_>,
    all: &mut Digest,
    differences: &mut Differences,
) -> Result<()> {
    let (theirs, ours) = (from.store.as_ref(), to.store.as_ref());
    let (mut after, mut listed, mut done) = (None, 0_u64, 0);
    loop {
        let (page, next) = theirs.conversations(after, CONVERSATIONS).await?;
        listed += page.len() as u64;
        let compare = |conversation: ConversationId| async move {
            let both = try_join(whole(theirs, &conversation), whole(ours, &conversation)).await?;
            Ok::<_, Error>((conversation, both))
        };
        let mut compared = stream::iter(page.into_iter().map(compare)).buffer_unordered(AT_ONCE);
        while let Some((conversation, (source, target))) = compared.try_next().await? {
            done += source.0.get(&Part::Events).map_or(0, |events| events.count);
            note("events compared", done);
            differences.add_parts(&conversation, &source.differences(&target));
            all.plus(&source);
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    let copies = count(ours).await?;
    if listed != copies {
        differences.add("conversations", format!("{listed} in the source, {copies} in the target"));
    }
    Ok(())
}

async fn count(store: &dyn Store) -> Result<u64> {
    let (mut count, mut after) = (0, None);
    loop {
        let (page, next) = store.conversations(after, CONVERSATIONS).await?;
        count += page.len() as u64;
        after = next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

async fn people(
    from: &Engines,
    to: &Engines,
    note: Note<'_>,
    all: &mut Digest,
    differences: &mut Differences,
) -> Result<()> {
    let (theirs, ours) = (from.store.as_ref(), to.store.as_ref());
    let (mut after, mut done) = (None, 0);
    loop {
        let page = from.accounts.list(after.as_ref(), MAX_ENTRIES).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.user_id.clone());
        let compare = |user: UserId| async move {
            let both = try_join(person(theirs, &user), person(ours, &user)).await?;
            Ok::<_, Error>((user, both))
        };
        let users = page.into_iter().map(|account| compare(account.user_id));
        let mut compared = stream::iter(users).buffer_unordered(AT_ONCE);
        while let Some((user, (source, target))) = compared.try_next().await? {
            done += 1;
            note("people compared", done);
            differences.add_parts(&user, &source.differences(&target));
            all.plus(&source);
        }
    }
}

async fn letters(store: &dyn Store) -> Result<Tally> {
    let (mut letters, mut after) = (Tally::default(), None);
    loop {
        let page = store.dead_letters(after, LETTERS).await?;
        let Some(last) = page.last() else { return Ok(letters) };
        after = Some(last.id.clone());
        for letter in &page {
            letters.add(&(&letter.dead, letter.replayed_at))?;
        }
    }
}

fn said(theirs: Option<&Tally>, ours: Option<&Tally>) -> String {
    let count = |tally: Option<&Tally>| tally.map_or(0, |tally| tally.count);
    match (count(theirs), count(ours)) {
        (source, target) if source == target => format!("{source} in both, but not the same"),
        (source, target) => format!("{source} in the source, {target} in the target"),
    }
}
