//! Tollgate.
pub mod call;
pub mod identity;
pub mod masking;
pub mod policy;
pub mod reason;
