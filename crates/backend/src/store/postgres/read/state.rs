//! The values of the decider's state, and conversations as a whole.

use super::super::{PostgresStore, conversation_key, conversation_keys, words};
use super::events::event;
use super::people::{self, interval_columns, marker_columns};
use super::{conversation, in_order, position, user};
use crate::postgres::{Cell, Params, Query, Row, Text, column, unsigned};
use crate::store::Overview;
use crate::store::split::{Split, from_blob};
use crate::{Error, ErrorKind, Result};
use chat4all_model::fact::{About, Head};
use chat4all_model::id::{ConversationId, RecordId};
use chat4all_model::rows::new_message;
use chat4all_model::state::{Key, Known, Value};
use uuid::Uuid;

macro_rules! about_columns {
    () => {
        "c.name, c.created_by, c.created_at, c.history"
    };
}

macro_rules! head_columns {
    () => {
        "c.seq, c.n, c.sender, c.sender_seq, c.other_seq, c.participants, c.admins, c.time"
    };
}

const OVERVIEWS: &str = concat!(
    "SELECT i, ",
    about_columns!(),
    ", ",
    head_columns!(),
    ", c.about_position, c.head_position FROM unnest($1::uuid[]) WITH ORDINALITY AS k (key, i)
     JOIN conversations c ON c.key = k.key WHERE c.head_position >= 0"
);

const KNOWN: &str = "SELECT i, c.id, e.seq, e.body, e.message
    FROM unnest($1::uuid[]) WITH ORDINALITY AS k (id, i),
    LATERAL (
        (SELECT conversation, seq, body, true AS message FROM message_events WHERE id = k.id LIMIT 1)
        UNION ALL
        (SELECT conversation, seq, body, false FROM other_events WHERE id = k.id LIMIT 1)
    ) e JOIN conversations c ON c.key = e.conversation";

/// The values of one sort of key: how they are asked for, and how a row is read behind the number of its key.
struct Sort {
    sql: &'static str,
    read: fn(&Key, &Row) -> Result<Option<Value>>,
}

const ABOUTS: Sort = Sort {
    sql: concat!(
        "SELECT i, ",
        about_columns!(),
        " FROM unnest($1::uuid[]) WITH ORDINALITY AS k (key, i)
         JOIN conversations c ON c.key = k.key WHERE c.about_position >= 0"
    ),
    read: |_, row| Ok(Some(Value::About(about(row, 1)?))),
};

const HEADS: Sort = Sort {
    sql: concat!(
        "SELECT i, ",
        head_columns!(),
        " FROM unnest($1::uuid[]) WITH ORDINALITY AS k (key, i)
         JOIN conversations c ON c.key = k.key WHERE c.head_position >= 0"
    ),
    read: |_, row| Ok(Some(Value::Head(head(row, 1)?))),
};

const MEMBERS: Sort = Sort {
    sql: concat!(
        "SELECT i, ",
        interval_columns!(),
        " FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (conversation, user_id, i),
         LATERAL (SELECT * FROM members WHERE conversation = k.conversation AND user_id = k.user_id
                  ORDER BY since DESC LIMIT 1) m"
    ),
    read: |_, row| Ok(Some(Value::Member(people::interval(row, 1)?))),
};

const IDS: Sort = Sort { sql: KNOWN, read: |_, row| Ok(Some(Value::Id(known(row)?))) };

/// What became of a message, or else the message itself.
const MESSAGES: Sort = Sort {
    sql: "SELECT i, c.state, m.position, m.body, m.content, m.rest
        FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS k (conversation, seq, i)
        LEFT JOIN changes c ON c.conversation = k.conversation AND c.seq = k.seq
        LEFT JOIN message_events m ON m.conversation = k.conversation AND m.seq = k.seq AND c.state IS NULL",
    read: |key, row| {
        if let Some(state) = column::<Option<&[u8]>>(row, 1)? {
            return Ok(Some(Value::Message(from_blob(state)?)));
        }
        let (Key::Message(c, _), Some(_)) = (key, column::<Option<i64>>(row, 2)?) else { return Ok(None) };
        Ok(new_message(&event(c, row, 2)?.fact).map(Value::Message))
    },
};

const MARKERS: Sort = Sort {
    sql: concat!(
        "SELECT i, ",
        marker_columns!(),
        " FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (conversation, user_id, i)
         JOIN markers o ON o.user_id = k.user_id AND o.conversation = k.conversation"
    ),
    read: |_, row| Ok(Some(Value::Markers(people::markers(row, 1)?))),
};

const REACTIONS: Sort = Sort {
    sql: "SELECT i, r.since IS NOT NULL
        FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[]) WITH ORDINALITY
             AS k (conversation, user_id, seq, emoji, i)
        JOIN reactions r ON r.conversation = k.conversation AND r.seq = k.seq AND r.user_id = k.user_id
             AND r.emoji = k.emoji",
    read: |_, row| Ok(Some(Value::Reaction(column(row, 1)?))),
};

const SETTINGS: Sort = Sort {
    sql: "SELECT i, s.muted_until, s.archived, s.pinned
        FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (conversation, user_id, i)
        JOIN settings s ON s.user_id = k.user_id AND s.conversation = k.conversation",
    read: |_, row| Ok(Some(Value::Settings(people::settings(row, 1)?))),
};

/// Keys of one sort, column by column; a column that the sort does not have stays empty.
#[derive(Default)]
struct Asked<'k> {
    /// With where the answer belongs.
    keys: Vec<(usize, &'k Key)>,
    conversations: Vec<Uuid>,
    users: Vec<&'k str>,
    seqs: Vec<i64>,
    emojis: Vec<Cell<'k>>,
    ids: Vec<Uuid>,
}

impl<'k> Asked<'k> {
    fn add(&mut self, place: usize, key: &'k Key) {
        self.keys.push((place, key));
        match key {
            Key::Id(id) => self.ids.push(Uuid::from_bytes(*id.as_bytes())),
            Key::About(c) | Key::Head(c) => self.conversations.push(conversation_key(c)),
            Key::Member(c, user) | Key::Markers(c, user) | Key::Settings(c, user) => {
                self.conversations.push(conversation_key(c));
                self.users.push(user.as_str());
            }
            Key::Message(c, seq) => {
                self.conversations.push(conversation_key(c));
                self.seqs.push(crate::postgres::number(*seq));
            }
            Key::Reaction(c, seq, user, emoji) => {
                self.conversations.push(conversation_key(c));
                self.users.push(user.as_str());
                self.seqs.push(crate::postgres::number(*seq));
                self.emojis.push(Cell(emoji));
            }
        }
    }

    fn params(&self) -> Params<'_> {
        let mut params: Params<'_> = Vec::new();
        let columns: [(bool, Box<dyn crate::postgres::ToSql + Sync + Send + '_>); 5] = [
            (self.conversations.is_empty(), Box::new(self.conversations.as_slice())),
            (self.users.is_empty(), Box::new(self.users.as_slice())),
            (self.seqs.is_empty(), Box::new(self.seqs.as_slice())),
            (self.emojis.is_empty(), Box::new(self.emojis.as_slice())),
            (self.ids.is_empty(), Box::new(self.ids.as_slice())),
        ];
        params.extend(columns.into_iter().filter_map(|(empty, column)| (!empty).then_some(column)));
        params
    }
}

fn sort(key: &Key) -> &'static Sort {
    match key {
        Key::About(_) => &ABOUTS,
        Key::Head(_) => &HEADS,
        Key::Member(..) => &MEMBERS,
        Key::Id(_) => &IDS,
        Key::Message(..) => &MESSAGES,
        Key::Markers(..) => &MARKERS,
        Key::Reaction(..) => &REACTIONS,
        Key::Settings(..) => &SETTINGS,
    }
}

impl PostgresStore {
    pub(in super::super) async fn read_values(&self, keys: &[Key]) -> Result<Vec<Option<Value>>> {
        let mut sorts: Vec<(&Sort, Asked<'_>)> = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let sort = sort(key);
            let at = sorts.iter().position(|(known, _)| known.sql == sort.sql).unwrap_or_else(|| {
                sorts.push((sort, Asked::default()));
                sorts.len() - 1
            });
            sorts[at].1.add(place, key);
        }
        let queries: Vec<_> =
            sorts.iter().map(|(sort, asked)| Query::new(sort.sql, asked.params())).collect();
        let answers = self.database.snapshot(&queries).await?;
        let mut values = vec![None; keys.len()];
        for ((sort, asked), rows) in sorts.iter().zip(answers) {
            for row in &rows {
                let number = usize::try_from(column::<i64>(row, 0)? - 1).ok();
                if let Some((place, key)) = number.and_then(|number| asked.keys.get(number)) {
                    values[*place] = (sort.read)(key, row)?;
                }
            }
        }
        Ok(values)
    }

    pub(in super::super) async fn read_known(&self, ids: &[RecordId]) -> Result<Vec<Option<Known>>> {
        let keys: Vec<_> = ids.iter().map(|id| Uuid::from_bytes(*id.as_bytes())).collect();
        let rows = self.database.rows(KNOWN, &[&keys]).await?;
        in_order(ids.len(), &rows, |row| known(row).map(Some))
    }

    pub(in super::super) async fn read_overviews(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Option<Overview>>> {
        let rows = self.database.rows(OVERVIEWS, &[&conversation_keys(conversations)]).await?;
        in_order(conversations.len(), &rows, |row| {
            if column::<i64>(row, 13)? < 0 {
                let why = "a conversation has a head but no beginning";
                return Err(Error::new(ErrorKind::Corrupt, why));
            }
            let position = position(row, 13)?.max(position(row, 14)?);
            Ok(Some(Overview { about: about(row, 1)?, head: head(row, 5)?, position }))
        })
    }
}

fn known(row: &Row) -> Result<Known> {
    let conversation = conversation(row, 1)?;
    let hash = Split::join(&conversation, column(row, 3)?, None, None)?.hash;
    Ok(Known { conversation, seq: unsigned(row, 2)?, hash, message: column(row, 4)? })
}

fn about(row: &Row, first: usize) -> Result<About> {
    Ok(About {
        name: column::<Option<Text<'_>>>(row, first)?.map(|name| (*name.0).into()),
        created_by: user(row, first + 1)?,
        created_at: unsigned(row, first + 2)?,
        history: words::to_history(column(row, first + 3)?)?,
    })
}

fn head(row: &Row, first: usize) -> Result<Head> {
    let sender = column::<Option<&str>>(row, first + 2)?.is_some();
    let count = |index| unsigned(row, index).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    Ok(Head {
        seq: unsigned(row, first)?,
        n: unsigned(row, first + 1)?,
        sender: sender.then(|| user(row, first + 2)).transpose()?,
        sender_seq: unsigned(row, first + 3)?,
        other_seq: unsigned(row, first + 4)?,
        participants: count(first + 5)?,
        admins: count(first + 6)?,
        time: unsigned(row, first + 7)?,
    })
}
