//! How an event stands in a row of a distributed engine: what a deletion takes away in cells of its own, the text
//! readable for everybody, and all else in one cell that never changes.

use crate::{Error, ErrorKind, Result};
use chat4all_model::command::Content;
use chat4all_model::fact::{Fact, Head, What};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// An event in three cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    /// All but the conversation and the content. Written once.
    pub(crate) body: Vec<u8>,
    /// The text of a message or of an edit; blanked when the message is deleted.
    pub(crate) text: Option<Arc<str>>,
    /// A message's data, files and mentions, if it has any; blanked with the text.
    pub(crate) rest: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    actor: Cow<'a, UserId>,
    time: u64,
    id: Option<RecordId>,
    hash: u64,
    head: Cow<'a, Option<Head>>,
    what: Cow<'a, What>,
}

impl Split {
    /// Takes a fact apart.
    pub(crate) fn of(fact: &Fact) -> Result<Self> {
        let (what, text, rest) = match &fact.what {
            What::Message { kind, content, reply_to, client_id } => {
                let bare = What::Message {
                    kind: *kind,
                    content: Content::default(),
                    reply_to: *reply_to,
                    client_id: client_id.clone(),
                };
                let rest = Content { text: None, ..content.clone() };
                let rest = (rest != Content::default()).then(|| to_blob(&rest)).transpose()?;
                (Cow::Owned(bare), content.text.clone(), rest)
            }
            What::Edited { target, text, state } => {
                let bare = What::Edited { target: *target, text: None, state: state.clone() };
                (Cow::Owned(bare), text.clone(), None)
            }
            other => (Cow::Borrowed(other), None, None),
        };
        let body = Body {
            actor: Cow::Borrowed(&fact.actor),
            time: fact.time,
            id: fact.id,
            hash: fact.hash,
            head: Cow::Borrowed(&fact.head),
            what,
        };
        Ok(Self { body: to_blob(&body)?, text, rest })
    }

    /// Puts a fact together again.
    pub(crate) fn join(
        conversation: &ConversationId,
        body: &[u8],
        text: Option<&str>,
        rest: Option<&[u8]>,
    ) -> Result<Fact> {
        let body: Body<'_> = from_blob(body)?;
        let mut what = body.what.into_owned();
        match &mut what {
            What::Message { content, .. } => {
                *content = rest.map(from_blob).transpose()?.unwrap_or_default();
                content.text = text.map(Into::into);
            }
            What::Edited { text: edited, .. } => *edited = text.map(Into::into),
            _ => {}
        }
        Ok(Fact {
            conversation: conversation.clone(),
            actor: body.actor.into_owned(),
            time: body.time,
            id: body.id,
            hash: body.hash,
            head: body.head.into_owned(),
            what,
        })
    }
}

/// A value as it stands in a cell.
pub(crate) fn to_blob<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(|e| Error::new(ErrorKind::Invalid, e))
}

/// A value from a cell.
pub(crate) fn from_blob<T: DeserializeOwned>(blob: &[u8]) -> Result<T> {
    postcard::from_bytes(blob)
        .map_err(|e| Error::new(ErrorKind::Corrupt, format!("a row of the store cannot be read: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::world::{World, say, say_to};
    use chat4all_model::api::MessageKind;
    use chat4all_model::command::{Action, Send};

    #[test]
    fn what_is_taken_apart_comes_back() {
        let mut world = World::default();
        let content = Content { data: Some("{}".into()), files: vec!["f".into()], ..Content::default() };
        let files = Action::Send(Send { kind: MessageKind::File, content, reply_to: None, seen: None });
        let id = world.act("ann", "d:ann:bob", say("hello"));
        world.act("ann", "d:ann:bob", say_to("you", &["bob"]));
        world.act("ann", "d:ann:bob", files);
        world.act("ann", "d:ann:bob", Action::Edit { target: id, text: "other".into() });
        world.act("ann", "d:ann:bob", Action::React { target: id, emoji: "x".into(), remove: false });
        world.act("ann", "d:ann:bob", Action::Delete { target: id });
        let facts = world.records.iter().flat_map(|record| record.facts.iter());
        for fact in facts {
            let Split { body, text, rest } = Split::of(fact).unwrap();
            let back = Split::join(&fact.conversation, &body, text.as_deref(), rest.as_deref()).unwrap();
            assert_eq!(back, *fact);
        }
        let first = &world.records[1].facts[0];
        let Split { body, .. } = Split::of(first).unwrap();
        let blank = Split::join(&first.conversation, &body, None, None).unwrap();
        assert!(matches!(blank.what, What::Message { content, .. } if content == Content::default()));
    }
}
