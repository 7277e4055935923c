//! What is outside, one file each: backends, key servers, the store, revoked tokens, the audit file, metrics, changed files.
//!
//! Everything here waits, and nothing here decides.

pub mod backend;
pub mod gather;
pub mod journal;
pub mod jwks;
pub mod locks;
pub mod metrics;
pub mod payload;
pub mod revoked;
pub mod room;
pub mod share;
pub mod store;
pub mod tls;
pub mod watch;
