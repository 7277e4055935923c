//! The decision.
pub mod parts;
pub mod pattern;
