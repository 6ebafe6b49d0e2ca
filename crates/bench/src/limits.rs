//! The limits: servers and a table that do the least of the same work. They run beside ours in the same run.

pub(crate) mod http;
pub(crate) mod table;
pub(crate) mod ws;
