//! The store: what the facts of the log amount to, kept so that it can be read.
