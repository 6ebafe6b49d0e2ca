//! What a caller may see after a cursor: for bots that poll, and for whoever takes a snapshot first.

use crate::account::Caller;
use crate::error::{Failure, Result};
use crate::live::{Attachment, Hub};
use crate::secret::Secret;
use chat4all_model::api::{Code, Event, EventPage, Scope};
use chat4all_model::cursor::{Cursor, CursorKey};
use chat4all_model::id::UserId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Events of a page if the caller does not say.
pub const DEFAULT_LIMIT: usize = 50;
/// The most.
pub const MAX_LIMIT: usize = 200;
/// The longest wait for an event.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// Callers that may wait at once.
const MAX_WAITERS: usize = 10_000;

/// The use-cases of catching up. Cheap to clone.
#[derive(Clone)]
pub struct Sync {
    hub: Arc<Hub>,
    key: CursorKey,
    waiters: Arc<Semaphore>,
}

impl Sync {
    /// Catching up with what `hub` hears.
    #[must_use]
    pub fn new(hub: Arc<Hub>, secret: &Secret) -> Self {
        Self {
            hub,
            key: CursorKey::new(secret.derive("cursor")),
            waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
        }
    }

    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The cursor of a snapshot. To be taken before the snapshot is read, which then holds all that lies before it.
    ///
    /// # Errors
    /// `Unavailable` if the store has not come as far as this process has heard.
    pub async fn cursor_now(&self, caller: &Caller) -> Result<String> {
        caller.require(Scope::Read)?;
        let attachment = self.hub.attach(&caller.user_id).await?;
        let next = self.hub.positions();
        self.hub.readable_everywhere().await?;
        Ok(self.seal(attachment.user(), &self.at(next)))
    }

    /// What the caller may see after a cursor, at most `limit` events; if there is nothing, what comes within
    /// `wait`.
    ///
    /// # Errors
    /// `CursorExpired`: take a snapshot. `Overloaded` if too many wait.
    pub async fn since(
        &self,
        caller: &Caller,
        cursor: &str,
        limit: usize,
        wait: Duration,
    ) -> Result<EventPage> {
        caller.require(Scope::Read)?;
        let mut cursor = self.open(&caller.user_id, cursor)?;
        let limit = limit.clamp(1, MAX_LIMIT);
        let attachment = self.hub.attach(&caller.user_id).await?;
        let deadline = Instant::now() + wait.min(MAX_WAIT);
        loop {
            let (events, more) = self.page(&attachment, &mut cursor, limit).await?;
            if !events.is_empty() || more || Instant::now() >= deadline {
                let cursor = self.seal(&caller.user_id, &cursor);
                return Ok(EventPage { events, cursor, more });
            }
            let Ok(_waiting) = self.waiters.try_acquire() else {
                return Err(Failure::new(Code::Overloaded, "too many wait for events; ask without `wait`"));
            };
            // Live from here on: whatever comes after the positions read below wakes this.
            let _positions = attachment.go_live();
            let (events, more) = self.page(&attachment, &mut cursor, limit).await?;
            if !events.is_empty() || more {
                let cursor = self.seal(&caller.user_id, &cursor);
                return Ok(EventPage { events, cursor, more });
            }
            let woken = tokio::time::timeout_at(deadline, attachment.session().woken());
            if woken.await.is_ok() {
                let _frames = attachment.session().drain();
            }
        }
    }

    async fn page(
        &self,
        attachment: &Attachment,
        cursor: &mut Cursor,
        limit: usize,
    ) -> Result<(Vec<Event>, bool)> {
        if cursor.page.is_none()
            && let Some(found) = attachment.events(&mut cursor.next, limit)
        {
            return Ok(found);
        }
        let given = attachment.store_page(cursor.clone(), limit).await?;
        *cursor = given.cursor;
        // The ring has the rest.
        Ok((given.events, true))
    }

    /// The cursor of these positions.
    #[must_use]
    pub fn at(&self, next: Vec<u64>) -> Cursor {
        Cursor { epoch: self.hub.epoch(), next, page: None }
    }

    /// A cursor as `user` is given it.
    #[must_use]
    pub fn seal(&self, user: &UserId, cursor: &Cursor) -> String {
        self.key.seal(cursor, user)
    }

    /// Reads what `user` brings.
    ///
    /// # Errors
    /// `CursorExpired` if it cannot be served.
    pub fn open(&self, user: &UserId, text: &str) -> Result<Cursor> {
        let expired = || Failure::new(Code::CursorExpired, "the cursor cannot be served; take a snapshot");
        let cursor = self.key.open(text, user).map_err(|bad| expired().because(bad))?;
        if self.hub.admits(&cursor) { Ok(cursor) } else { Err(expired()) }
    }
}
