//! Conversations and messages over the embedded engines, with a router and a live path of their own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod access;
mod groups;
mod inbox;
mod messages;
mod world;
