//! What is true in Chat4All: ids, commands, facts, the decider, the rows facts become, the words of the API.
//!
//! Nothing here does IO, reads a clock or makes a random number.

#[expect(missing_docs, reason = "fields of wire types carry the names that the API's reference explains")]
pub mod api;
pub mod command;
pub mod cursor;
pub mod decide;
pub mod fact;
pub mod id;
pub mod reader;
pub mod record;
pub mod rows;
pub mod state;
pub mod unread;
