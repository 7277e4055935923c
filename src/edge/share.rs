//! How many requests of each user a backend has at one time.
//!
//! A client that sends its body slowly, or does not read its answer, keeps a connection to the backend for as long as its
//! timeouts let it. Without a share of its own for each, one user's slow requests keep all others out (THREATS C19, L15).

use foldhash::fast::RandomState as Fast;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The users of one backend who have requests there. No more than the backend has connections.
#[derive(Debug)]
pub struct Shares {
    most: u32,
    /// Nobody outside can foresee whom it takes for the same.
    hasher: RandomState,
    held: Mutex<HashMap<u64, u32, Fast>>,
}

/// One request's part of a share; given back when dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    who: u64,
}

/// A user has all of its share.
#[derive(Clone, Copy, Debug)]
pub struct Crowded;

impl Shares {
    /// At most so many requests of each user.
    #[must_use]
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most,
            hasher: RandomState::new(),
            held: Mutex::default(),
        })
    }

    /// One more request of this user; none if it has as many as it may.
    #[must_use]
    pub fn take(self: &Arc<Self>, who: impl Hash) -> Option<Share> {
        let who = self.hasher.hash_one(who);
        let mut held = self.held();
        let count = held.entry(who).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            shares: Arc::clone(self),
            who,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u64, u32, Fast>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        if let Some(count) = held.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_and_is_forgotten_with_its_last_request() {
        let shares = Shares::new(2);
        let first = shares.take(("issuer", "u1")).unwrap();
        let second = shares.take(("issuer", "u1")).unwrap();
        assert!(shares.take(("issuer", "u1")).is_none());
        let other = shares.take(("issuer", "u2")).unwrap();
        let elsewhere = shares.take(("another", "u1")).unwrap();
        drop(first);
        let third = shares.take(("issuer", "u1")).unwrap();
        assert!(shares.take(("issuer", "u1")).is_none());
        drop((second, third, other, elsewhere));
        assert!(shares.held().is_empty());
    }
}
