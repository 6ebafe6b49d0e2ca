//! The contract of the store, as cases that every engine passes.

/// A case.
#[derive(Debug, Clone, Copy)]
pub struct Case;
/// What an engine gives the cases.
pub trait Fixture {}
/// All cases.
#[must_use]
pub fn cases() -> &'static [Case] {
    &[]
}
