//! The words of the public API: what REST bodies and socket frames hold, the same for server, client and tools.
//!
//! Requests refuse unknown fields; responses must be read leniently. Times are milliseconds since 1970 UTC.

mod account;
mod conversation;
mod event;
mod frame;
mod message;
mod problem;

pub use account::*;
pub use conversation::*;
pub use event::*;
pub use frame::*;
pub use message::*;
pub use problem::*;

use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The entries, in the order the list promises.
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; null at the end.
    pub next: Option<String>,
}
