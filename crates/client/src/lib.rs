//! A client of Chat4All's public API.
//!
//! [`Client`] makes the REST calls: typed, with retries that cannot duplicate anything and tokens that renew
//! themselves. [`Live`] is a connection to `/ws` that misses nothing and loses nothing it was asked to send.
//!
//! ```no_run
//! use chat4all_client::{Client, LiveOptions, Update, model::SendMessage};
//! # async fn demo() -> Result<(), chat4all_client::ClientError> {
//! let client = Client::new("http://127.0.0.1:8080")?;
//! client.login("alice", "correct horse").await?;
//! let mut live = client.live(LiveOptions::default());
//! live.send(SendMessage { recipient_id: Some("…".into()), content: Some("hi".into()), ..Default::default() })
//!     .await?;
//! while let Some(update) = live.next().await {
//!     if let Update::Event(event) = update { /* … */ }
//! }
//! # Ok(()) }
//! ```

mod accounts;
mod backoff;
mod conversations;
mod error;
mod http;
mod live;
mod messages;
mod session;
mod sync;

pub use backoff::Backoff;
pub use chat4all_model::api as model;
pub use error::ClientError;
pub use http::{Client, Retry};
pub use live::{Live, LiveOptions, LiveSender, Start, Update};
pub use messages::{Changed, Range};
pub use session::{Session, SessionStore};
