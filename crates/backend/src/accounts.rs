//! Accounts: people, sessions, keys.
