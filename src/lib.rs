//! Tollgate.
pub mod policy;
pub mod reason;
