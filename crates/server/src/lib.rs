//! Who does what in Chat4All: use-cases, access, gateways, roles.
//!
//! Roles meet only in the engines. A use-case never sees a type of a transport, a gateway never sees an engine.

pub mod account;
pub mod clock;
pub mod engines;
pub mod error;
pub mod events;
pub mod listen;
pub mod live;
pub mod shutdown;
pub mod router;
pub mod health;
pub mod secret;
pub mod sync;

pub use error::{Failure, Result};
