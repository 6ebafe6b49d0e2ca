//! The bus on Redis.
