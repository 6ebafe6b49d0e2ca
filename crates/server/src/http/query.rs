//! What queries ask for.

use crate::chat::Paging;
use serde::Deserialize;
use utoipa::IntoParams;

/// A page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
    /// How many entries.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<usize>,
}

/// People by the beginning of a name.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PeopleQuery {
    /// The beginning of a username, or of a word of a display name; at least 2 characters.
    #[param(min_length = 2, max_length = 64)]
    pub(super) query: String,
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
    /// How many entries.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<usize>,
}

/// Which conversations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InboxQuery {
    /// Those archived, or those that are not.
    pub(super) archived: Option<bool>,
    /// Those with something unread, or those without.
    pub(super) unread: Option<bool>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// How many entries.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
}

/// Which messages; at most one of the first three.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// The newest before this `seq`, newest first.
    pub(super) before: Option<u64>,
    /// The oldest after this `seq`, oldest first.
    pub(super) after: Option<u64>,
    /// As many before as after this `seq`, newest first.
    pub(super) around: Option<u64>,
    /// How many messages.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<usize>,
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Those after this `seq`; left out: from where the caller's sight begins.
    pub(super) after: Option<u64>,
    /// How many events.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<usize>,
}

/// Where to resume.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SyncQuery {
    /// Events after this cursor; left out: a snapshot.
    pub(super) since: Option<String>,
    /// Without `since`: `conversations.next` of the page before.
    pub(super) cursor: Option<String>,
    /// How many events or conversations.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<usize>,
    /// With `since`: wait so many seconds for an event if there is none.
    #[param(minimum = 0, maximum = 60)]
    pub(super) wait: Option<u64>,
}

impl PageQuery {
    pub(super) fn paging(self) -> Paging {
        Paging { cursor: self.cursor, limit: self.limit }
    }
}

impl InboxQuery {
    pub(super) fn paging(&self) -> Paging {
        Paging { cursor: self.cursor.clone(), limit: self.limit }
    }
}
