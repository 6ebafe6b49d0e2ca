//! Which connections belong to which session, so that they end with it.

use crate::account::SessionWatch;
use crate::live::{Cut, Session};
use chat4all_backend::accounts::SessionId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Connections by session.
#[derive(Debug, Default)]
pub(super) struct Registry {
    sessions: Mutex<HashMap<SessionId, Vec<Arc<Session>>>>,
}

/// A connection's entry, until it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    registry: Arc<Registry>,
    id: SessionId,
    session: Arc<Session>,
}

impl Registry {
    pub(super) fn enter(self: &Arc<Self>, id: &SessionId, session: &Arc<Session>) -> Entry {
        self.sessions
            .lock()
            .entry(id.clone())
            .or_insert_with(|| Vec::with_capacity(1))
            .push(Arc::clone(session));
        Entry { registry: Arc::clone(self), id: id.clone(), session: Arc::clone(session) }
    }

    /// Cuts what belongs to ended sessions, for ever.
    pub(super) async fn follow(self: Arc<Self>, watch: Arc<SessionWatch>) {
        let mut ended = watch.subscribe();
        loop {
            match ended.recv().await {
                Ok(session) => self.cut(&session.session_id),
                Err(RecvError::Lagged(_)) => {
                    let ids: Vec<SessionId> = self.sessions.lock().keys().cloned().collect();
                    ids.iter().filter(|id| watch.has_ended(id)).for_each(|id| self.cut(id));
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn cut(&self, id: &SessionId) {
        for session in self.sessions.lock().get(id).into_iter().flatten() {
            session.cut(Cut::SessionEnded);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut sessions = self.registry.sessions.lock();
        if let Some(list) = sessions.get_mut(&self.id) {
            list.retain(|session| !Arc::ptr_eq(session, &self.session));
            if list.is_empty() {
                sessions.remove(&self.id);
            }
        }
    }
}
