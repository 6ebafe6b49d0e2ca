//! The server's side of the binary.

pub mod admin;
pub mod config;
pub mod dead_letters;
pub mod doctor;
mod logging;
mod metrics;
pub mod migrate;
mod operator_link;
pub mod rebuild;
mod seed;
pub mod serve;
pub mod settings;
mod tell;
