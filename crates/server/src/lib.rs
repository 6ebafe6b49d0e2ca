//! Who does what in Chat4All: use-cases, access, gateways, roles.
//!
//! Roles meet only in the engines. A use-case never sees a type of a transport, a gateway never sees an engine.

pub mod access;
pub mod account;
pub mod app;
pub mod chat;
pub mod clock;
pub mod dead_letters;
pub mod engines;
pub mod error;
pub mod events;
pub mod health;
pub mod http;
pub mod installation;
pub mod listen;
pub mod live;
pub mod operator;
pub mod public_topics;
pub mod ready;
pub mod router;
pub mod secret;
pub mod shutdown;
pub mod sync;
pub mod ws;

pub use error::{Failure, Result};
