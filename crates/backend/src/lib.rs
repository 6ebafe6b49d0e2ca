//! Where Chat4All is kept: the ports, the engines behind them, and the contract suite every engine passes.
//!
//! A port is a trait with few required methods and its contract written on it. An engine is a folder of its
//! own under the port it implements, chosen by the scheme of a URL in one `match`.

pub mod accounts;
pub mod address;
pub mod blobs;
pub mod bus;
mod cassandra;
pub mod check;
pub mod error;
pub mod folder;
pub mod guard;
pub mod log;
mod postgres;
mod sqlite;
pub mod store;
mod tls;

pub use error::{Error, ErrorKind, Result};
