//! The inbox: all the caller's conversations, and what is unread in them.

use super::Chat;
use super::page::{Paging, cut};
use crate::access::Membership;
use crate::account::Caller;
use crate::error::Result;
use chat4all_backend::store::{Overview, Own};
use chat4all_model::api::{Conversation, Page, Unread};
use chat4all_model::id::ConversationId;
use chat4all_model::unread::unread;
use std::cmp::Reverse;

/// Participants of a conversation in a list.
const SHOWN: usize = 5;

/// Which conversations of the inbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those archived, or those that are not, as if left out: what is archived is out of the inbox.
    pub archived: Option<bool>,
    /// Those with something unread, or those without; left out, both.
    pub unread: Option<bool>,
}

/// A conversation in the caller's eyes, but for its people and messages.
pub(super) struct Entry {
    pub(super) membership: Membership,
    pub(super) overview: Overview,
    pub(super) own: Own,
}

impl Chat {
    /// The caller's conversations, newest activity first.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidRequest`.
    pub async fn inbox(
        &self,
        caller: &Caller,
        filter: Filter,
        paging: &Paging,
    ) -> Result<Page<Conversation>> {
        let (limit, after) = (paging.limit()?, paging.after::<(u64, String)>()?);
        let mut entries = self.entries(caller).await?;
        entries.retain(|entry| filter.takes(entry));
        // By activity and id, so that a page continues where the last one ended whatever has moved up since.
        let place = |entry: &Entry| (entry.overview.head.time, entry.membership.conversation().to_string());
        entries.sort_by_cached_key(|entry| Reverse(place(entry)));
        if let Some(after) = after {
            entries.retain(|entry| place(entry) < after);
        }
        entries.truncate(limit + 1);
        let (entries, next) = cut(entries, limit, place);
        Ok(Page { items: self.views(entries, SHOWN).await?, next })
    }

    /// All the caller's conversations by id, archived ones too: an order in which nothing moves, so that the
    /// pages together miss none that was there before the first.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidRequest`.
    pub async fn snapshot(&self, caller: &Caller, paging: &Paging) -> Result<Page<Conversation>> {
        let (limit, after) = (paging.limit()?, paging.after::<ConversationId>()?);
        let mut memberships = self.access.memberships(caller).await?;
        memberships.retain(|m| after.as_ref().is_none_or(|after| m.conversation() > after));
        memberships.truncate(limit + 1);
        let (memberships, next) = cut(memberships, limit, |m| m.conversation().clone());
        let entries = self.read_entries(memberships).await?;
        Ok(Page { items: self.views(entries, SHOWN).await?, next })
    }

    /// What is unread in all conversations that are not archived.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn unread(&self, caller: &Caller) -> Result<Unread> {
        let mut total = Unread { conversations: 0, messages: 0, mentions: 0 };
        for entry in self.entries(caller).await?.iter().filter(|entry| !entry.own.settings.archived) {
            total.conversations += u64::from(entry.unread() > 0);
            total.messages += entry.unread();
            total.mentions += entry.mentions();
        }
        Ok(total)
    }

    /// All the caller's conversations.
    async fn entries(&self, caller: &Caller) -> Result<Vec<Entry>> {
        let memberships = self.access.memberships(caller).await?;
        self.read_entries(memberships).await
    }

    /// The conversations of these memberships, all of one user, in their order.
    pub(super) async fn read_entries(&self, memberships: Vec<Membership>) -> Result<Vec<Entry>> {
        let Some(user) = memberships.first().map(|m| m.user().clone()) else { return Ok(Vec::new()) };
        let overviews = self.content.overviews(&memberships).await?;
        let own = self.content.own(&user, &memberships).await?;
        let entries = memberships.into_iter().zip(overviews).zip(own);
        let entry = |((membership, overview), own)| Some(Entry { membership, overview: overview?, own });
        Ok(entries.filter_map(entry).collect())
    }
}

impl Entry {
    /// How many messages are unread.
    pub(super) fn unread(&self) -> u64 {
        unread(&self.overview.head, self.membership.newest(), &self.own.markers)
    }

    /// How many unread messages mention the caller.
    pub(super) fn mentions(&self) -> u64 {
        if self.unread() == 0 {
            return 0;
        }
        let newest = self.membership.newest();
        self.own.mentions.iter().filter(|seq| newest.contains(**seq)).count() as u64
    }
}

impl Filter {
    fn takes(self, entry: &Entry) -> bool {
        entry.own.settings.archived == self.archived.unwrap_or(false)
            && self.unread.is_none_or(|unread| unread == (entry.unread() > 0))
    }
}
