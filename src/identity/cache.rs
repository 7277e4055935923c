//! Tokens that were verified a moment ago, known by their hash.
//!
//! One cache belongs to one set of keys under one policy, and is dropped with it: a change of either empties it by
//! construction. The token itself is never kept.

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;
use std::fmt;
use std::sync::Arc;

/// Most tokens that are remembered; the least used go first.
pub const MAX_VERIFIED: usize = 16_384;

/// What was found out about tokens.
pub struct VerifiedCache<T> {
    known: Cache<[u8; 32], Verified<T>>,
}

struct Verified<T> {
    value: Arc<T>,
    expires_at: u64,
}

impl<T> Clone for Verified<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            expires_at: self.expires_at,
        }
    }
}

impl<T> fmt::Debug for VerifiedCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedCache").field("len", &self.known.len()).finish()
    }
}

impl<T> Default for VerifiedCache<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> VerifiedCache<T> {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            known: Cache::new(MAX_VERIFIED),
        }
    }

    /// What is known of a token, unless it has expired by `now` (unix seconds).
    #[must_use]
    pub fn get(&self, token: &str, now: u64) -> Option<Arc<T>> {
        let key = hash(token);
        let found = self.known.get(&key)?;
        if now >= found.expires_at {
            self.known.remove(&key);
            return None;
        }
        Some(found.value)
    }

    /// Remembers a token until it expires.
    pub fn insert(&self, token: &str, value: Arc<T>, expires_at: u64) {
        self.known.insert(hash(token), Verified { value, expires_at });
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

fn hash(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes())
        .as_ref()
        .try_into()
        .unwrap_or_default()
}
