//! What is learnt of a request on its way, for the line that is logged of it.

use chat4all_model::id::UserId;
use std::cell::RefCell;

tokio::task_local! {
    /// Set by the layer around every request, read there when it is answered.
    pub(super) static TRAIL: RefCell<Trail>;
}

/// What the way of a request has shown.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Who asked.
    pub(super) user: Option<UserId>,
    /// About which conversation, where the path does not say it.
    pub(super) conversation: Option<String>,
}

/// Notes who asks.
pub(super) fn note_user(user: &UserId) {
    // Outside of a request (in a test of an extractor) there is nothing to note it for.
    let _ = TRAIL.try_with(|trail| trail.borrow_mut().user = Some(user.clone()));
}

/// Notes which conversation it is about.
pub(super) fn note_conversation(conversation: &str) {
    let _ = TRAIL.try_with(|trail| trail.borrow_mut().conversation = Some(conversation.to_owned()));
}
