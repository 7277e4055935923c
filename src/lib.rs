//! Tollgate.
pub mod call;
pub mod config;
pub mod identity;
pub mod masking;
pub mod policy;
pub mod reason;
