//! An installation with all that people do in it, taken to other engines, and its tables made anew from its events.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fuse;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod world;

mod interrupted;
mod moved;
mod rebuilt;
