//! The outside, one file per thing: what waits, sleeps, tells the time or touches a file.

pub mod store;
