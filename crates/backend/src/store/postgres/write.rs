//! The statements of a projection: one a table that it writes, whatever the number of rows. Whatever stands at a
//! higher position wins, so that late writers change nothing.

use super::project::{At, Change, Event, Gathered};
use super::words;
use crate::Result;
use crate::postgres::{Cell, Cells, Params, Query, number};
use crate::store::split::to_blob;
use crate::store::{MAX_TERMS, Projection};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use uuid::Uuid;

/// All statements of a projection.
pub(super) fn statements<'a>(
    partition: u32,
    projection: &Projection,
    all: &'a Gathered<'_>,
) -> Result<Vec<Query<'a>>> {
    let partition = number(partition.into());
    // First: it keeps others who project the partition waiting.
    let mut queries = vec![progress(partition, &projection.progress)?];
    if !projection.terms.is_empty() {
        queries.extend(terms(partition, projection));
    }
    let mut add = |rows: usize, query: fn(i64, &'a Gathered<'_>) -> Result<Query<'a>>| -> Result<()> {
        if rows > 0 {
            queries.push(query(partition, all)?);
        }
        Ok(())
    };
    add(all.messages.len(), messages)?;
    add(all.others.len(), others)?;
    // Behind the events: some of them may be of this very projection.
    add(all.blanks.len(), blank_messages)?;
    add(all.blanks.len(), blank_others)?;
    add(all.heads.len(), heads)?;
    add(all.abouts.len(), abouts)?;
    add(all.intervals.len(), members)?;
    add(all.changes.len(), changes)?;
    add(all.reactions.len(), reactions)?;
    add(all.mentions.len(), mentions)?;
    add(all.markers.len(), markers)?;
    add(all.settings.len(), settings)?;
    add(all.rises.len(), rises)?;
    add(all.rejections.len(), rejections)?;
    add(all.dead.len(), dead)?;
    Ok(queries)
}

fn progress<'a>(partition: i64, progress: &Progress) -> Result<Query<'a>> {
    let sql = "INSERT INTO progress AS t (partition, epoch, next, value) VALUES ($1, $2, $3, $4)
        ON CONFLICT (partition) DO UPDATE SET epoch = EXCLUDED.epoch, next = EXCLUDED.next, value = EXCLUDED.value
        WHERE (t.epoch, t.next) < (EXCLUDED.epoch, EXCLUDED.next)";
    let params: Params<'a> = vec![
        Box::new(partition),
        Box::new(number(progress.epoch.into())),
        Box::new(number(progress.next())),
        Box::new(to_blob(progress)?),
    ];
    Ok(Query::new(sql, params))
}

fn terms<'a>(partition: i64, projection: &Projection) -> [Query<'a>; 2] {
    let new = "INSERT INTO terms (partition, epoch, log_offset)
        SELECT $1, $2, log_offset FROM unnest($3::bigint[]) AS new (log_offset) ON CONFLICT DO NOTHING";
    let old = "DELETE FROM terms WHERE partition = $1 AND (epoch, log_offset) <=
        (SELECT epoch, log_offset FROM terms WHERE partition = $1
         ORDER BY epoch DESC, log_offset DESC LIMIT 1 OFFSET $2)";
    let epoch = number(projection.progress.epoch.into());
    let offsets: Vec<i64> = projection.terms.iter().copied().map(number).collect();
    [
        Query::new(new, vec![Box::new(partition), Box::new(epoch), Box::new(offsets)]),
        Query::new(old, vec![Box::new(partition), Box::new(number(MAX_TERMS as u64))]),
    ]
}

fn messages<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO message_events (conversation, seq, position, time, id, actor, content, body, rest)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[],
                             $7::text[], $8::bytea[], $9::bytea[]) ON CONFLICT DO NOTHING";
    Ok(Query::new(sql, events(&all.messages)))
}

fn others<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO other_events (conversation, seq, position, time, id, actor, content, body, rest)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[],
                             $7::text[], $8::bytea[], $9::bytea[]) ON CONFLICT DO NOTHING";
    Ok(Query::new(sql, events(&all.others)))
}

fn events<'a>(events: &'a [Event<'_>]) -> Params<'a> {
    Cells::columns(events.iter().map(|event| {
        (
            event.conversation,
            number(event.seq),
            at(event.position),
            number(event.fact.time),
            event.fact.id.map(|id| Uuid::from_bytes(*id.as_bytes())),
            event.fact.actor.as_str(),
            event.split.text.as_deref().map(Cell),
            event.split.body.as_slice(),
            event.split.rest.as_deref(),
        )
    }))
}

fn blank_messages<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "UPDATE message_events e SET content = NULL, rest = NULL
        FROM unnest($1::uuid[], $2::bigint[]) AS gone (conversation, seq)
        WHERE e.conversation = gone.conversation AND e.seq = gone.seq
        AND (e.content IS NOT NULL OR e.rest IS NOT NULL)";
    Ok(Query::new(sql, Cells::columns(all.blanks.iter().map(|(key, seq)| (*key, number(*seq))))))
}

fn blank_others<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "UPDATE other_events e SET content = NULL
        FROM unnest($1::uuid[], $2::bigint[]) AS gone (conversation, seq)
        WHERE e.conversation = gone.conversation AND e.seq = gone.seq AND e.content IS NOT NULL";
    Ok(Query::new(sql, Cells::columns(all.blanks.iter().map(|(key, seq)| (*key, number(*seq))))))
}

fn heads<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO conversations AS t
            (key, id, seq, n, sender, sender_seq, other_seq, participants, admins, time, head_position)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[],
                             $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
        ON CONFLICT (key) DO UPDATE SET seq = EXCLUDED.seq, n = EXCLUDED.n, sender = EXCLUDED.sender,
            sender_seq = EXCLUDED.sender_seq, other_seq = EXCLUDED.other_seq, participants = EXCLUDED.participants,
            admins = EXCLUDED.admins, time = EXCLUDED.time, head_position = EXCLUDED.head_position
        WHERE t.head_position <= EXCLUDED.head_position";
    let params = Cells::columns(all.heads.iter().map(|(key, At { position, value: (c, head) })| {
        (
            *key,
            c.as_str(),
            number(head.seq),
            number(head.n),
            head.sender.as_ref().map(|sender| sender.as_str()),
            number(head.sender_seq),
            number(head.other_seq),
            i64::from(head.participants),
            i64::from(head.admins),
            number(head.time),
            at(*position),
        )
    }));
    Ok(Query::new(sql, params))
}

fn abouts<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO conversations AS t (key, id, name, created_by, created_at, history, about_position)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[])
        ON CONFLICT (key) DO UPDATE SET name = EXCLUDED.name, created_by = EXCLUDED.created_by,
            created_at = EXCLUDED.created_at, history = EXCLUDED.history, about_position = EXCLUDED.about_position
        WHERE t.about_position <= EXCLUDED.about_position";
    let params = Cells::columns(all.abouts.iter().map(|(key, At { position, value: (c, about) })| {
        (
            *key,
            c.as_str(),
            about.name.as_deref().map(Cell),
            about.created_by.as_str(),
            number(about.created_at),
            words::history(about.history),
            at(*position),
        )
    }));
    Ok(Query::new(sql, params))
}

fn members<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO members AS t
            (conversation, user_id, since, role, from_seq, from_n, to_seq, to_n, other_seq, joined_at, position)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[],
                             $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
        ON CONFLICT (conversation, user_id, since) DO UPDATE SET role = EXCLUDED.role,
            from_seq = EXCLUDED.from_seq, from_n = EXCLUDED.from_n, to_seq = EXCLUDED.to_seq, to_n = EXCLUDED.to_n,
            other_seq = EXCLUDED.other_seq, joined_at = EXCLUDED.joined_at, position = EXCLUDED.position
        WHERE t.position <= EXCLUDED.position";
    let params =
        Cells::columns(all.intervals.iter().map(|((key, user, since), At { position, value: interval })| {
            (
                *key,
                user.as_str(),
                number(*since),
                words::role(interval.role),
                number(interval.from.seq),
                number(interval.from.n),
                interval.to.map(|to| number(to.seq)),
                interval.to.map(|to| number(to.n)),
                number(interval.other_seq),
                number(interval.joined_at),
                at(*position),
            )
        }));
    Ok(Query::new(sql, params))
}

/// State and text, each by its own position: -1 where the other alone changed.
fn changes<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO changes AS t (conversation, seq, state_position, text, text_position, state)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bytea[])
        ON CONFLICT (conversation, seq) DO UPDATE SET
            state = CASE WHEN t.state_position <= EXCLUDED.state_position THEN EXCLUDED.state ELSE t.state END,
            state_position = greatest(t.state_position, EXCLUDED.state_position),
            text = CASE WHEN t.text_position <= EXCLUDED.text_position THEN EXCLUDED.text ELSE t.text END,
            text_position = greatest(t.text_position, EXCLUDED.text_position)
        WHERE t.state_position <= EXCLUDED.state_position OR t.text_position <= EXCLUDED.text_position";
    let state = |change: &Change<'_>| change.state.as_ref().map(|state| to_blob(state.value)).transpose();
    let states = all.changes.values().map(state).collect::<Result<Vec<Option<Vec<u8>>>>>()?;
    let mut params = Cells::columns(all.changes.iter().map(|((key, seq), change)| {
        (
            *key,
            number(*seq),
            change.state.as_ref().map_or(-1, |state| at(state.position)),
            change.text.as_ref().and_then(|text| text.value).map(Cell),
            change.text.as_ref().map_or(-1, |text| at(text.position)),
        )
    }));
    params.push(Box::new(states));
    Ok(Query::new(sql, params))
}

fn reactions<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO reactions AS t (conversation, seq, user_id, emoji, since, position)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
        ON CONFLICT (conversation, seq, user_id, emoji)
            DO UPDATE SET since = EXCLUDED.since, position = EXCLUDED.position
        WHERE t.position <= EXCLUDED.position";
    let params = Cells::columns(all.reactions.iter().map(
        |((key, seq, user, emoji), At { position, value: since })| {
            (*key, number(*seq), user.as_str(), Cell(emoji), since.map(number), at(*position))
        },
    ));
    Ok(Query::new(sql, params))
}

fn mentions<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO mentions (user_id, conversation, seq)
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[]) ON CONFLICT DO NOTHING";
    Ok(Query::new(
        sql,
        Cells::columns(all.mentions.iter().map(|(user, key, seq)| (&**user, *key, number(*seq)))),
    ))
}

/// A register's `n` grows with its `seq`, so that each may be raised alone.
fn markers<'a>(partition: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO markers AS t
            (partition, user_id, conversation, delivered_seq, delivered_n, read_seq, read_n, time, position)
        SELECT $1, * FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                                 $8::bigint[], $9::bigint[])
        ON CONFLICT (user_id, conversation) DO UPDATE SET
            delivered_seq = greatest(t.delivered_seq, EXCLUDED.delivered_seq),
            delivered_n = greatest(t.delivered_n, EXCLUDED.delivered_n),
            read_seq = greatest(t.read_seq, EXCLUDED.read_seq), read_n = greatest(t.read_n, EXCLUDED.read_n),
            time = EXCLUDED.time, position = EXCLUDED.position
        WHERE t.position <= EXCLUDED.position";
    let rows =
        Cells::columns(all.markers.iter().map(|((user, key), At { position, value: (markers, time) })| {
            (
                user.as_str(),
                *key,
                number(markers.delivered.seq),
                number(markers.delivered.n),
                number(markers.read.seq),
                number(markers.read.n),
                number(*time),
                at(*position),
            )
        }));
    Ok(of_partition(sql, partition, rows))
}

fn settings<'a>(partition: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO settings AS t
            (partition, user_id, conversation, muted_until, archived, pinned, time, position)
        SELECT $1, * FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::boolean[], $6::boolean[], $7::bigint[],
                                 $8::bigint[])
        ON CONFLICT (user_id, conversation) DO UPDATE SET muted_until = EXCLUDED.muted_until,
            archived = EXCLUDED.archived, pinned = EXCLUDED.pinned, time = EXCLUDED.time,
            position = EXCLUDED.position
        WHERE t.position <= EXCLUDED.position";
    let rows =
        Cells::columns(all.settings.iter().map(|((user, key), At { position, value: (settings, time) })| {
            (
                user.as_str(),
                *key,
                settings.muted_until.map(number),
                settings.archived,
                settings.pinned,
                number(*time),
                at(*position),
            )
        }));
    Ok(of_partition(sql, partition, rows))
}

fn rises<'a>(_: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO rises (conversation, user_id, marker, seq, time)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) ON CONFLICT DO NOTHING";
    let params = Cells::columns(all.rises.iter().map(|((key, user, marker, seq), time)| {
        (*key, user.as_str(), words::marker(*marker), number(*seq), number(*time))
    }));
    Ok(Query::new(sql, params))
}

fn rejections<'a>(partition: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO rejections (partition, user_id, position, part, time, fact)
        SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
        ON CONFLICT DO NOTHING";
    let facts = all.rejections.iter().map(|rejection| to_blob(rejection.fact)).collect::<Result<Vec<_>>>()?;
    let mut rows = Cells::columns(all.rejections.iter().map(|rejection| {
        (
            rejection.fact.actor.as_str(),
            at(rejection.position),
            number(rejection.part as u64),
            number(rejection.fact.time),
        )
    }));
    rows.push(Box::new(facts));
    Ok(of_partition(sql, partition, rows))
}

fn dead<'a>(partition: i64, all: &'a Gathered<'_>) -> Result<Query<'a>> {
    let sql = "INSERT INTO dead_letters (partition, position, part, dead)
        SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) ON CONFLICT DO NOTHING";
    let blobs = all.dead.iter().map(|(_, _, dead)| to_blob(*dead)).collect::<Result<Vec<_>>>()?;
    let mut rows =
        Cells::columns(all.dead.iter().map(|(position, part, _)| (at(*position), number(*part as u64))));
    rows.push(Box::new(blobs));
    Ok(of_partition(sql, partition, rows))
}

/// A statement whose first value is the partition of all rows.
fn of_partition<'a>(sql: &'static str, partition: i64, mut rows: Params<'a>) -> Query<'a> {
    rows.insert(0, Box::new(partition));
    Query::new(sql, rows)
}

/// A position as it stands in a column.
fn at(position: Position) -> i64 {
    number(position.0)
}
