//! How an event stands in its row: what is looked for in columns, the rest in one blob, what a deletion takes
//! away in another.

use super::super::StoredEvent;
use crate::{Error, ErrorKind, Result};
use chat4all_model::api::MessageKind;
use chat4all_model::command::Content;
use chat4all_model::fact::{Fact, Head, MessageState, Target, What};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::rows::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The columns of an event.
pub(super) struct Columns {
    pub(super) place: i64,
    pub(super) key: Option<i64>,
    pub(super) body: Vec<u8>,
    pub(super) content: Option<Vec<u8>>,
}

/// All but content, seq and conversation. Small numbers take one byte, so distances stand for seqs.
#[derive(Serialize, Deserialize)]
struct Body<W> {
    at: At,
    actor: i64,
    time: u64,
    /// The bytes of the id that are not in the key.
    id: Option<[u8; 8]>,
    hash: [u8; 8],
    n: u64,
    sender: Option<i64>,
    /// `seq` less this is the head's.
    sender_back: u64,
    other_back: u64,
    participants: u32,
    admins: u32,
    /// None if it is the fact's.
    head_time: Option<u64>,
    what: W,
}

/// A position, first in a body, so that it can be read alone.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct At {
    epoch: u32,
    offset: u64,
}

#[derive(Serialize)]
enum Written<'a> {
    Message { kind: MessageKind, reply_to: Option<RecordId>, client_id: ClientId<'a> },
    Edited { target: &'a Target, state: &'a MessageState },
    Other(&'a What),
}

#[derive(Deserialize)]
enum Stored<'a> {
    Message {
        kind: MessageKind,
        reply_to: Option<RecordId>,
        #[serde(borrow)]
        client_id: ClientId<'a>,
    },
    Edited {
        target: Target,
        state: MessageState,
    },
    Other(What),
}

/// Most clients name their messages with UUIDs; 16 bytes instead of 36.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum ClientId<'a> {
    None,
    Text(&'a str),
    Uuid([u8; 16]),
}

/// The place of a seq that is no message; that of a message is the next.
pub(super) fn place(seq: u64) -> i64 {
    number(seq) << 1
}

/// SQLite's integers are signed; none of ours comes near their end.
pub(super) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX >> 1)
}

/// Half of an id: three bytes of the conversation's six, so that inserts into the index are local, and five of
/// those that are the command's own, so that hardly two of one conversation share a key.
pub(super) fn key(id: &RecordId) -> i64 {
    let b = id.as_bytes();
    i64::from_be_bytes([b[0], b[1], b[2], b[6], b[7], b[8], b[9], b[10]])
}

fn rest(id: &RecordId) -> [u8; 8] {
    let b = id.as_bytes();
    [b[3], b[4], b[5], b[11], b[12], b[13], b[14], b[15]]
}

fn join(key: i64, rest: [u8; 8]) -> RecordId {
    let (k, r) = (key.to_be_bytes(), rest);
    RecordId::from_bytes([
        k[0], k[1], k[2], r[0], r[1], r[2], k[3], k[4], k[5], k[6], k[7], r[3], r[4], r[5], r[6], r[7],
    ])
}

/// Writes an event. `number` gives the numbers of users.
pub(super) fn write(
    fact: &Fact,
    head: &Head,
    position: Position,
    mut number_of: impl FnMut(&UserId) -> Result<i64>,
) -> Result<Columns> {
    let (what, content) = match &fact.what {
        What::Message { kind, content, reply_to, client_id } => {
            let client_id = ClientId::of(client_id.as_deref());
            (Written::Message { kind: *kind, reply_to: *reply_to, client_id }, Some(to_blob(content)?))
        }
        What::Edited { target, text, state } => {
            let content = Content { text: text.clone(), ..Content::default() };
            let blob = text.as_ref().map(|_| to_blob(&content)).transpose()?;
            (Written::Edited { target, state }, blob)
        }
        other => (Written::Other(other), None),
    };
    let message = matches!(fact.what, What::Message { .. });
    let body = Body {
        at: At { epoch: position.epoch(), offset: position.offset() },
        actor: number_of(&fact.actor)?,
        time: fact.time,
        id: fact.id.as_ref().map(rest),
        hash: fact.hash.to_le_bytes(),
        n: head.n,
        sender: head.sender.as_ref().map(&mut number_of).transpose()?,
        sender_back: head.seq.wrapping_sub(head.sender_seq),
        other_back: head.seq.wrapping_sub(head.other_seq),
        participants: head.participants,
        admins: head.admins,
        head_time: (head.time != fact.time).then_some(head.time),
        what,
    };
    Ok(Columns {
        place: place(head.seq) + i64::from(message),
        key: fact.id.as_ref().map(key),
        body: to_blob(&body)?,
        content,
    })
}

/// Reads an event. `user` gives the users of numbers.
pub(super) fn read(
    conversation: &ConversationId,
    place: i64,
    key: Option<i64>,
    body: &[u8],
    content: Option<&[u8]>,
    mut user: impl FnMut(i64) -> Result<UserId>,
) -> Result<StoredEvent> {
    let body: Body<Stored<'_>> = postcard::from_bytes(body).map_err(corrupt)?;
    let content: Option<Content> = content.map(from_blob).transpose()?;
    let seq = (place >> 1).unsigned_abs();
    let what = match body.what {
        Stored::Message { kind, reply_to, client_id } => What::Message {
            kind,
            content: content.unwrap_or_default(),
            reply_to,
            client_id: client_id.text(),
        },
        Stored::Edited { target, state } => {
            What::Edited { target, text: content.and_then(|content| content.text), state }
        }
        Stored::Other(what) => what,
    };
    let head = Head {
        seq,
        n: body.n,
        sender: body.sender.map(&mut user).transpose()?,
        sender_seq: seq.wrapping_sub(body.sender_back),
        other_seq: seq.wrapping_sub(body.other_back),
        participants: body.participants,
        admins: body.admins,
        time: body.head_time.unwrap_or(body.time),
    };
    let fact = Fact {
        conversation: conversation.clone(),
        actor: user(body.actor)?,
        time: body.time,
        id: key.zip(body.id).map(|(key, rest)| join(key, rest)),
        hash: u64::from_le_bytes(body.hash),
        head: Some(head),
        what,
    };
    Ok(StoredEvent { position: Position::new(body.at.epoch, body.at.offset), fact })
}

/// The position of an event, without reading the rest.
pub(super) fn position(body: &[u8]) -> Result<Position> {
    let (at, _) = postcard::take_from_bytes::<At>(body).map_err(corrupt)?;
    Ok(Position::new(at.epoch, at.offset))
}

/// The id and hash of an event, if it is that of `id`.
pub(super) fn hash_if(id: &RecordId, body: &[u8]) -> Result<Option<u64>> {
    let body: Body<Stored<'_>> = postcard::from_bytes(body).map_err(corrupt)?;
    Ok((body.id == Some(rest(id))).then(|| u64::from_le_bytes(body.hash)))
}

pub(super) fn to_blob<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(|e| Error::new(ErrorKind::Invalid, e))
}

pub(super) fn from_blob<T: DeserializeOwned>(blob: &[u8]) -> Result<T> {
    postcard::from_bytes(blob).map_err(corrupt)
}

fn corrupt(error: postcard::Error) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a row of the store cannot be read: {error}"))
}

impl<'a> ClientId<'a> {
    fn of(text: Option<&'a str>) -> Self {
        text.map_or(Self::None, |text| uuid(text).map_or(Self::Text(text), Self::Uuid))
    }

    fn text(&self) -> Option<Arc<str>> {
        match self {
            Self::None => None,
            Self::Text(text) => Some((*text).into()),
            Self::Uuid(bytes) => Some(hyphenated(bytes).into()),
        }
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const HYPHENS: [usize; 4] = [4, 6, 8, 10];

/// The bytes of a UUID in its usual form; none for any other spelling, which must come back as it was.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let digit = |c: u8| DIGITS.iter().position(|d| *d == c).and_then(|d| u8::try_from(d).ok());
    let (mut bytes, mut at) = ([0; 16], 0);
    for (i, byte) in bytes.iter_mut().enumerate() {
        if HYPHENS.contains(&i) {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
        at += 2;
    }
    Some(bytes)
}

fn hyphenated(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if HYPHENS.contains(&i) {
            text.push('-');
        }
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_come_back_as_they_were() {
        let good = "019a0b7c-3f52-7abc-8def-0123456789ab";
        assert!(matches!(ClientId::of(Some(good)), ClientId::Uuid(_)));
        let others =
            ["", "m1", "019A0B7C-3F52-7ABC-8DEF-0123456789AB", "019a0b7c3f52-7abc-8def-0123456789ab-", "né"];
        for text in others.into_iter().chain([good]) {
            assert_eq!(ClientId::of(Some(text)).text().as_deref(), Some(text));
        }
        assert_eq!(ClientId::of(None).text(), None);
    }

    #[test]
    fn a_key_and_the_rest_make_the_id() {
        let id = RecordId::from_bytes(std::array::from_fn(|i| 251 - u8::try_from(i).unwrap()));
        assert_eq!(join(key(&id), rest(&id)), id);
    }
}
