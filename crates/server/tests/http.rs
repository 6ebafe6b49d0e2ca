//! The REST API through its real router, over the embedded engines.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

#[path = "http/accounts.rs"]
mod accounts;
#[path = "http/conversations.rs"]
mod conversations;
#[path = "http/document.rs"]
mod document;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/messages.rs"]
mod messages;
#[path = "http/operations.rs"]
mod operations;
#[path = "http/privacy.rs"]
mod privacy;
#[path = "http/rubbish.rs"]
mod rubbish;
