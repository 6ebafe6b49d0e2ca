//! The router over the embedded engines, with a log, a store and a publisher that fail, are late and stand still as
//! told, and a group that shares out partitions as told. At the end everything is held against the fold of the log.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod cases;
mod chaos;
#[path = "../support/fits.rs"]
mod fits;
mod log_double;
mod publisher_double;
mod registry_double;
mod store_double;
mod talk;
mod telling;
mod told;
mod truth;
mod world;
