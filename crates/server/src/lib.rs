//! server

pub mod error;

pub use error::{Failure, Result};
