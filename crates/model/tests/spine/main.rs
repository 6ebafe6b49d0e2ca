//! The proofs of the spine: what each command does, what holds after any of them, and the simulated world in
//! which everything around them fails.

mod decide;
mod properties;
mod seeds;
mod talk;
mod world;
