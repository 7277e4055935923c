//! Tollgate.
pub mod call;
pub mod edge;
pub mod identity;
pub mod ledger;
pub mod masking;
pub mod policy;
pub mod reason;
