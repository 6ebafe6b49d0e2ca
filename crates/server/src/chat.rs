//! Conversations and messages: what can be asked of them, whatever the transport.
//!
//! A write is checked ([`validate`], [`access`](crate::access)), made a command and appended ([`submit`]); the
//! router decides it. A read shows a membership and is clipped by it ([`content`]).

mod change;
mod content;
mod conversation;
mod history;
mod inbox;
mod lookup;
mod markers;
mod message;
mod page;
mod participants;
mod send;
mod submit;
mod validate;

pub use content::Content;
pub use conversation::Created;
pub use history::Window;
pub use inbox::Filter;
pub use page::{DEFAULT_LIMIT, MAX_LIMIT, Paging};
pub use send::{Begun, Sent, Waited};
pub use submit::Changed;
pub use validate::{
    MAX_DATA_BYTES, MAX_DATA_DEPTH, MAX_EMOJI_BYTES, MAX_FILES, MAX_KEY, MAX_MENTIONS, MAX_NAME, MAX_TEXT,
    MAX_USERS,
};

use crate::access::{Access, Membership};
use crate::account::{Ambient, Caller};
use crate::engines::Engines;
use crate::error::{Failure, Result};
use crate::live::Hub;
use chat4all_backend::accounts::{Account, Accounts, MAX_ENTRIES};
use chat4all_backend::log::EventLog;
use chat4all_model::id::{ConversationId, IdError, RecordId, UserId};
use chat4all_model::state::Known;
use lookup::Lookup;
use send::Recent;
use std::collections::HashMap;
use std::sync::Arc;

/// The use-cases of conversations and messages. Cheap to clone.
#[derive(Clone)]
pub struct Chat {
    log: Arc<dyn EventLog>,
    accounts: Arc<dyn Accounts>,
    hub: Arc<Hub>,
    access: Access,
    content: Content,
    lookup: Lookup,
    ambient: Ambient,
    recent: Arc<Recent>,
}

impl Chat {
    /// The use-cases over these engines, as fresh as `hub` is.
    #[must_use]
    pub fn new(engines: &Engines, hub: Arc<Hub>, ambient: Ambient) -> Self {
        let access = Access::new(Arc::clone(&engines.store), Arc::clone(&hub));
        Self {
            log: Arc::clone(&engines.log),
            accounts: Arc::clone(&engines.accounts),
            content: Content::new(Arc::clone(&engines.store), Arc::clone(&hub), access.clone()),
            lookup: Lookup::new(Arc::clone(&engines.store)),
            recent: Arc::default(),
            hub,
            access,
            ambient,
        }
    }

    /// Where access is decided.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The caller's membership of the conversation of that id, to read. What is no id is not there either.
    ///
    /// # Errors
    /// As [`Access::member`].
    pub async fn member(&self, caller: &Caller, conversation: &str) -> Result<Membership> {
        self.access.member(caller, &conversation_id(conversation)?).await
    }

    /// Where the message of that id stands, by the id alone or within a conversation.
    async fn locate(
        &self,
        message: &str,
        within: Option<&str>,
    ) -> Result<(RecordId, ConversationId, Option<Known>)> {
        let id = RecordId::parse(message).map_err(|_| Failure::not_found())?;
        let within = within.map(conversation_id).transpose()?;
        let known = match self.lookup.one(id).await? {
            // What this process has heard of may not have reached the store yet.
            None => {
                match within.as_ref() {
                    Some(conversation) => self.hub.readable(conversation).await?,
                    None => self.hub.readable_everywhere().await?,
                }
                self.lookup.one(id).await?
            }
            known => known,
        };
        let conversation = match &known {
            Some(known) if known.message => known.conversation.clone(),
            Some(_) => return Err(Failure::not_found()),
            // Accepted here a moment ago: it stands in the log before whatever is asked of it now.
            None => self.recent.conversation(&id).ok_or_else(Failure::not_found)?,
        };
        if within.is_some_and(|within| within != conversation) {
            return Err(Failure::not_found());
        }
        Ok((id, conversation, known))
    }

    /// The accounts of these people, by id.
    async fn people(&self, mut users: Vec<UserId>) -> Result<HashMap<UserId, Account>> {
        users.sort_unstable();
        users.dedup();
        let mut people = HashMap::with_capacity(users.len());
        for some in users.chunks(MAX_ENTRIES) {
            let found = self.accounts.get(some).await?;
            people.extend(found.into_iter().map(|account| (account.user_id.clone(), account)));
        }
        Ok(people)
    }

    /// Refuses people who do not exist.
    async fn must_exist(&self, field: &str, users: &[UserId]) -> Result<()> {
        let people = self.people(users.to_vec()).await?;
        let mut errors = validate::Errors::default();
        for user in users.iter().filter(|user| !people.contains_key(*user)) {
            errors.add(field, format!("there is no user {user}"));
        }
        errors.finish()
    }

    /// A key for a command that its client gave none.
    fn key_or_new(&self, key: Option<&str>) -> String {
        key.map_or_else(|| self.ambient.uuid(), str::to_owned)
    }
}

/// Reads a conversation's id from a path. One of the right letters that is none of ours names nothing.
fn conversation_id(id: &str) -> Result<ConversationId> {
    ConversationId::parse(id).map_err(|error| match error {
        IdError::Form => Failure::not_found(),
        IdError::Length | IdError::Character => Failure::invalid("conversation_id", error.to_string()),
    })
}

/// Reads a user's id from a path.
fn user_id(id: &str) -> Result<UserId> {
    UserId::parse(id).map_err(|error| match error {
        IdError::Form => Failure::not_found(),
        IdError::Length | IdError::Character => Failure::invalid("user_id", error.to_string()),
    })
}
