//! The server's side of the binary.

mod logging;
mod metrics;
pub mod serve;
pub mod settings;
