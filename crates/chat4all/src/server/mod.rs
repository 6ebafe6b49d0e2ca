//! The server's side of the binary.

pub mod admin;
pub mod config;
pub mod dead_letters;
pub mod doctor;
mod logging;
mod metrics;
mod operator_link;
mod seed;
pub mod serve;
pub mod settings;
