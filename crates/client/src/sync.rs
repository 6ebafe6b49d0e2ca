use crate::{Client, ClientError};
use chat4all_model::api::{Event, EventPage, Page, Snapshot};

/// Events and catching up (`/v1/sync`, `/v1/conversations/{id}/events`).
impl Client {
    /// The state of everything now, all its pages, and the cursor to go on from.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        let limit = ("limit", Some("200".to_owned()));
        let mut snapshot: Snapshot = self.get(&["v1", "sync"], std::slice::from_ref(&limit)).await?;
        while let Some(next) = snapshot.conversations.next.take() {
            let page: Snapshot = self.get(&["v1", "sync"], &[limit.clone(), ("cursor", Some(next))]).await?;
            // The first page's cursor is the oldest: the later ones would skip what happened between the pages.
            snapshot.conversations.items.extend(page.conversations.items);
            snapshot.conversations.next = page.conversations.next;
        }
        Ok(snapshot)
    }

    /// What came after `cursor`. With `wait` the server holds the answer up to so many seconds until there is
    /// something.
    ///
    /// # Errors
    /// `cursor_expired`: take a snapshot. See [`ClientError`].
    pub async fn events_since(
        &self,
        cursor: &str,
        limit: Option<u32>,
        wait: Option<u32>,
    ) -> Result<EventPage, ClientError> {
        let query = [
            ("since", Some(cursor.to_owned())),
            ("limit", limit.map(|limit| limit.to_string())),
            ("wait", wait.map(|seconds| seconds.to_string())),
        ];
        self.get(&["v1", "sync"], &query).await
    }

    /// A page of one conversation's log, in order, after `seq`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(
        &self,
        conversation_id: &str,
        after: u64,
        limit: Option<u32>,
    ) -> Result<Page<Event>, ClientError> {
        let query = [("after", Some(after.to_string())), ("limit", limit.map(|limit| limit.to_string()))];
        self.get(&["v1", "conversations", conversation_id, "events"], &query).await
    }
}
