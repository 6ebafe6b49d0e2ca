//! Accounts on PostgreSQL.
