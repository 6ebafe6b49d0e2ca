//! What members have of their own: markers, settings, mentions.

use super::super::column::{
    EVERYBODY, conversation, known, marker as word, markers, milliseconds, number, position, unsigned,
    user as user_of,
};
use super::{KEYS, Read, each, limited};
use crate::Result;
use crate::store::page::{Whole, whole};
use crate::store::{MAX_MENTIONS, Own, OwnChange, OwnChanged};
use chat4all_model::command::Marker;
use chat4all_model::fact::{Markers, Settings};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::rows::Position;
use futures_util::try_join;
use scylla::value::CqlTimestamp;
use std::collections::HashMap;

/// Conversation, delivered, read, settings.
type OwnColumns = (String, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<Vec<u8>>);
/// Conversation; delivered, read, when and where; settings, when and where.
type ChangeColumns = (
    String,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<CqlTimestamp>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<CqlTimestamp>,
    Option<i64>,
);
/// User, delivered, read.
type MarkerColumns = (String, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl Read<'_> {
    /// Markers and settings of a user in a conversation.
    pub(super) async fn own_of(
        &self,
        user: &UserId,
        c: &ConversationId,
    ) -> Result<(Option<Markers>, Option<Settings>)> {
        let found = self.row(&self.queries.own, &(user.as_str(), c.as_str())).await?;
        let Some((d, dn, r, rn, settings)) = found else { return Ok((None, None)) };
        Ok((markers((d, dn, r, rn)), known(settings)?))
    }

    pub(in super::super) async fn own(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Own>> {
        let (mine, last) = try_join!(self.owns(user, conversations), self.last_seqs(conversations))?;
        each(conversations.iter().collect(), |c: &ConversationId| {
            let (markers, settings) = mine.get(c.as_str()).cloned().unwrap_or_default();
            // Nothing is mentioned past the end: of an inbox, most is read.
            let more = last.get(c.as_str()).is_some_and(|last| *last > markers.read.seq);
            async move {
                let mentions =
                    if more { self.mentions(user, c, markers.read.seq).await? } else { Vec::new() };
                Ok(Own { markers, settings, mentions })
            }
        })
        .await
    }

    async fn owns(
        &self,
        user: &UserId,
        conversations: &[ConversationId],
    ) -> Result<HashMap<String, (Markers, Settings)>> {
        let found = each(conversations.chunks(KEYS).collect(), |some: &[ConversationId]| async move {
            let ids: Vec<&str> = some.iter().map(ConversationId::as_str).collect();
            self.rows(&self.queries.owns, &(user.as_str(), ids)).await
        });
        let read = |(id, d, dn, r, rn, settings): OwnColumns| {
            Ok((id, (markers((d, dn, r, rn)).unwrap_or_default(), known(settings)?.unwrap_or_default())))
        };
        found.await?.into_iter().flatten().map(read).collect()
    }

    async fn mentions(&self, user: &UserId, c: &ConversationId, after: u64) -> Result<Vec<u64>> {
        let of = |whom| (whom, c.as_str(), number(after), limited(MAX_MENTIONS));
        let (mine, everybodys) = (of(user.as_str()), of(EVERYBODY));
        let (mut mine, everybodys): (Vec<(i64,)>, Vec<(i64,)>) = try_join!(
            self.rows(&self.queries.mentions, &mine),
            self.rows(&self.queries.mentions, &everybodys)
        )?;
        mine.extend(everybodys);
        let mut seqs: Vec<u64> = mine.into_iter().map(|(seq,)| unsigned(seq)).collect();
        seqs.sort_unstable();
        seqs.dedup();
        seqs.truncate(MAX_MENTIONS);
        Ok(seqs)
    }

    /// All of a user's rows in a partition are read: they move all the time, so no table is sorted by that.
    pub(in super::super) async fn own_changes(
        &self,
        user: &UserId,
        partition: u32,
        (from, to): (Position, Position),
        limit: usize,
    ) -> Result<Vec<OwnChange>> {
        let values = (user.as_str(), i64::from(partition));
        let found: Vec<ChangeColumns> = self.rows(&self.queries.own_of_partition, &values).await?;
        let mut changes = Vec::new();
        for row in found {
            changes.extend(own_changes(row)?.into_iter().flatten());
        }
        changes.retain(|change| from < change.position && change.position <= to);
        // Stable, and the rows came by conversation.
        changes.sort_by_key(|change| change.position);
        let all = changes.clone();
        changes.truncate(limit.saturating_add(1));
        Ok(match whole(changes, limit, |change| change.position) {
            Whole::Page(page) => page,
            Whole::Position(only) => all.into_iter().filter(|change| change.position == only).collect(),
        })
    }

    pub(in super::super) async fn markers(
        &self,
        c: &ConversationId,
        limit: usize,
    ) -> Result<Vec<(UserId, Markers)>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let found: Vec<MarkerColumns> =
            self.rows(&self.queries.markers, &(c.as_str(), limited(limit))).await?;
        let read = |(user, d, dn, r, rn): MarkerColumns| {
            Ok((user_of(&user)?, markers((d, dn, r, rn)).unwrap_or_default()))
        };
        found.into_iter().map(read).collect()
    }

    pub(in super::super) async fn rises(
        &self,
        c: &ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<(UserId, Marker, u64, u64)>> {
        let registers = self.markers(c, usize::MAX).await?;
        let registers = registers.into_iter().flat_map(|(user, markers)| {
            let delivered = (user.clone(), Marker::Delivered, markers.delivered.seq);
            [delivered, (user, Marker::Read, markers.read.seq)]
        });
        // One that has not come to `from` has not risen there.
        let registers = registers.filter(|(_, _, seq)| *seq >= from).collect();
        let found = each(registers, |(user, marker, seq)| async move {
            let (id, name, word) = (c.as_str(), user.as_str(), word(marker));
            let within = (id, name, word, number(from), number(to));
            let within = self.rows(&self.queries.rises, &within);
            let mut rises: Vec<(i64, CqlTimestamp)> = if seq > to {
                let past = (id, name, word, number(to));
                let past = self.rows(&self.queries.next_rise, &past);
                let (mut within, mut past): (Vec<_>, Vec<_>) = try_join!(within, past)?;
                within.append(&mut past);
                within
            } else {
                within.await?
            };
            let rise = |(seq, time)| (user.clone(), marker, unsigned(seq), milliseconds(time));
            Ok(rises.drain(..).map(rise).collect::<Vec<_>>())
        });
        Ok(found.await?.into_iter().flatten().collect())
    }
}

/// The markers and the settings of a row, as far as they were ever written.
fn own_changes(row: ChangeColumns) -> Result<[Option<OwnChange>; 2]> {
    let (id, d, dn, r, rn, markers_time, markers_position, settings, settings_time, settings_position) = row;
    let conversation = conversation(&id)?;
    let change = |at: Option<i64>, time: Option<CqlTimestamp>, what: Option<OwnChanged>| {
        Some(OwnChange {
            conversation: conversation.clone(),
            position: position(at?),
            time: milliseconds(time?),
            what: what?,
        })
    };
    let settings = known(settings)?.map(OwnChanged::Settings);
    Ok([
        change(markers_position, markers_time, markers((d, dn, r, rn)).map(OwnChanged::Markers)),
        change(settings_position, settings_time, settings),
    ])
}
