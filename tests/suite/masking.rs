//! masking
