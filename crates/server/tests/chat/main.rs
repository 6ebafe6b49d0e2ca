//! Conversations and messages over the embedded engines, with a router and a live path of their own.

mod access;
mod groups;
mod inbox;
mod messages;
mod world;
