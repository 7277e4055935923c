//! Runs against a plain map.
