//! The client against a server that cuts, repeats, forgets, loses and fails.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod live;
mod rest;
mod server;
