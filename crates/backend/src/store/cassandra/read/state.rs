//! The values of the decider's state, and conversations as a whole.

use super::super::column::{bucket, conversation, known, number, position, shard, unsigned};
use super::{KEYS, PARTITIONS, Read, each};
use crate::store::Overview;
use crate::{Error, ErrorKind, Result};
use chat4all_model::fact::{About, Head};
use chat4all_model::id::{ConversationId, RecordId};
use chat4all_model::rows::{Position, new_message};
use chat4all_model::state::{Key, Known, Value};
use scylla::statement::prepared::PreparedStatement;
use std::collections::{BTreeMap, HashMap};

/// What stands of a conversation; name and head come one after the other.
#[derive(Default)]
struct Standing {
    about: Option<About>,
    head: Option<Head>,
    position: Position,
}

/// Id, conversation, seq, hash, whether it is a message.
type IdColumns = (String, String, i64, i64, bool);

/// Id, name, its position, head, its position.
type Columns = (String, Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>, Option<i64>);

impl Read<'_> {
    pub(in super::super) async fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        let id = |key: &Key| if let Key::Id(id) = key { Some(*id) } else { None };
        let ids: Vec<RecordId> = keys.iter().filter_map(id).collect();
        let others: Vec<&Key> = keys.iter().filter(|key| id(key).is_none()).collect();
        let others = each(others, |key| Box::pin(self.value(key)));
        let (known, others) = futures_util::try_join!(self.all_known(ids), others)?;
        let (mut known, mut others) = (known.into_iter(), others.into_iter());
        let value = |key: &Key| match id(key) {
            Some(_) => known.next().flatten().map(Value::Id),
            None => others.next().flatten(),
        };
        Ok(keys.iter().map(value).collect())
    }

    async fn value(&self, key: &Key) -> Result<Option<Value>> {
        Ok(match key {
            Key::About(c) => self.standing(c).await?.about.map(Value::About),
            Key::Head(c) => self.standing(c).await?.head.map(Value::Head),
            Key::Member(c, user) => self.intervals(c, user).await?.pop().map(Value::Member),
            Key::Id(id) => self.all_known(vec![*id]).await?.pop().flatten().map(Value::Id),
            Key::Message(c, seq) => {
                let state = match self.changed(c, *seq).await? {
                    Some(state) => Some(state),
                    None => self.message_at(c, *seq).await?.and_then(|event| new_message(&event.fact)),
                };
                state.map(Value::Message)
            }
            Key::Markers(c, user) => self.own_of(user, c).await?.0.map(Value::Markers),
            Key::Settings(c, user) => self.own_of(user, c).await?.1.map(Value::Settings),
            Key::Reaction(c, seq, user, emoji) => {
                let key = (c.as_str(), number(bucket(*seq)), number(*seq), user.as_str(), &**emoji);
                let found: Option<(Option<bool>,)> = self.row(&self.queries.reaction, &key).await?;
                found.and_then(|(present,)| present).map(Value::Reaction)
            }
        })
    }

    pub(in super::super) async fn all_known(&self, ids: Vec<RecordId>) -> Result<Vec<Option<Known>>> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let found = each(names.chunks(PARTITIONS).collect(), |names| async move {
            self.rows::<IdColumns>(&self.queries.ids, &(names,)).await
        });
        let mut places = HashMap::new();
        for (id, c, seq, hash, message) in found.await?.into_iter().flatten() {
            let (conversation, hash) = (conversation(&c)?, hash.cast_unsigned());
            places.insert(id, Known { conversation, seq: unsigned(seq), hash, message });
        }
        Ok(names.iter().map(|name| places.get(name).cloned()).collect())
    }

    async fn standing(&self, conversation: &ConversationId) -> Result<Standing> {
        let found = self.by_shard(&self.queries.conversations, std::slice::from_ref(conversation)).await?;
        found.into_iter().next().map_or_else(|| Ok(Standing::default()), |row| Ok(standing(row)?.1))
    }

    pub(in super::super) async fn overviews(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Overview>>> {
        let found = self.by_shard(&self.queries.conversations, conversations).await?;
        let mut overviews = HashMap::new();
        for row in found {
            let (id, Standing { about, head, position }) = standing(row)?;
            let Some(head) = head else { continue };
            let about = about
                .ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("{id} has a head but no beginning")))?;
            overviews.insert(id, Overview { about, head, position });
        }
        Ok(conversations.iter().map(|c| overviews.get(c.as_str()).cloned()).collect())
    }

    /// The last `seq` of each conversation that has one.
    pub(super) async fn last_seqs(&self, conversations: &[ConversationId]) -> Result<HashMap<String, u64>> {
        let found: Vec<(String, Option<i64>)> = self.by_shard(&self.queries.last_seqs, conversations).await?;
        Ok(found.into_iter().filter_map(|(id, seq)| Some((id, unsigned(seq?)))).collect())
    }

    /// Rows of the table of heads, in no order.
    async fn by_shard<T>(&self, query: &PreparedStatement, conversations: &[ConversationId]) -> Result<Vec<T>>
    where
        T: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm> + Send,
    {
        let mut shards: BTreeMap<i16, Vec<&str>> = BTreeMap::new();
        for conversation in conversations {
            shards.entry(shard(conversation)).or_default().push(conversation.as_str());
        }
        let parts = shards.iter().flat_map(|(shard, ids)| ids.chunks(KEYS).map(move |ids| (*shard, ids)));
        let parts: Vec<(i16, &[&str])> = parts.collect();
        let rows = each(parts, |(shard, ids)| async move { self.rows(query, &(shard, ids)).await }).await?;
        Ok(rows.into_iter().flatten().collect())
    }
}

fn standing((id, about, about_position, head, head_position): Columns) -> Result<(String, Standing)> {
    let position = position(about_position.max(head_position).unwrap_or_default());
    Ok((id, Standing { about: known(about)?, head: known(head)?, position }))
}
