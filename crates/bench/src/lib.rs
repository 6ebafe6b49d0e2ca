//! What of the load generator tests use as well: the storm that kills servers and cuts clients.

pub mod chaos;
