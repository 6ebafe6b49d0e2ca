//! Accounts on Apache Cassandra.
