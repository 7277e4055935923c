//! Not more often than the role may: what is kept of each user, for all workers and across reloads.
//!
//! A table of a fixed size, made when the first limit is met. Users share sets of [`WAYS`] places by a hash that nobody
//! outside can foresee; where a set is full of users who are all at it, the one who has been the slowest is forgotten.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::refusal::Refusal;
use crate::policy::{Authority, Pace, RateLimit};

/// Sets of places: with [`WAYS`] in each, 65,536 users are kept at one time, in 1.6 MiB.
const SETS: usize = 8192;

/// Users in one set.
const WAYS: usize = 8;

/// What is kept of users.
#[derive(Debug)]
pub struct Paces {
    began: Instant,
    hashers: [RandomState; 2],
    sets: OnceLock<Box<[Mutex<[Place; WAYS]>]>>,
}

/// One user.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Two hashes of issuer and user.
    who: (u64, u64),
    /// As [`RateLimit::judge`] has it.
    kept: u64,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            hashers: [RandomState::new(), RandomState::new()],
            sets: OnceLock::new(),
        }
    }
}

impl Paces {
    /// Lets a caller's request pass, or says when it may come again.
    pub(super) fn admit(&self, caller: &Authority) -> Result<(), Refusal> {
        let Some(limit) = caller.rate_limit() else {
            return Ok(());
        };
        let who = (&caller.caller.issuer, &caller.caller.user);
        let [first, second] = &self.hashers;
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.take((first.hash_one(who), second.hash_one(who)), limit, now)
            .map_err(|wait| Refusal::too_fast(limit, wait))
    }

    fn take(&self, who: (u64, u64), limit: RateLimit, now: u64) -> Result<(), Duration> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        let at = usize::try_from(who.0 % SETS as u64).unwrap_or(0);
        // There is always a set and a place; what could not be counted would not pass.
        let Some(set) = sets.get(at) else { return Err(limit.per) };
        let mut places = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places.iter().position(|place| place.who == who);
        // The place of the user who would be the first to have nothing to be kept of.
        let at = known.or_else(|| {
            let slowest = places.iter().enumerate().min_by_key(|(_, place)| place.kept);
            slowest.map(|(at, _)| at)
        });
        let Some(place) = at.and_then(|at| places.get_mut(at)) else {
            return Err(limit.per);
        };
        let kept = if known.is_some() { place.kept } else { 0 };
        match limit.judge(kept, now) {
            Pace::Within(kept) => {
                *place = Place { who, kept };
                Ok(())
            }
            Pace::TooFast(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit {
        requests: 1,
        per: Duration::from_secs(1),
        burst: 2,
    };

    #[test]
    fn users_are_counted_apart() {
        let paces = Paces::default();
        for who in [(1, 1), (1, 2), (2, 1)] {
            assert!(paces.take(who, LIMIT, 5).is_ok());
            assert!(paces.take(who, LIMIT, 5).is_ok());
            assert_eq!(paces.take(who, LIMIT, 5), Err(Duration::from_secs(1)));
        }
        assert!(paces.take((1, 1), LIMIT, 1_000_000_005).is_ok());
    }

    #[test]
    fn a_full_set_forgets_its_slowest_user_and_no_other() {
        let paces = Paces::default();
        let user = |number: usize| (0, number as u64 + 1);
        for number in 0..WAYS {
            assert!(paces.take(user(number), LIMIT, 10 + number as u64).is_ok());
            assert!(paces.take(user(number), LIMIT, 10 + number as u64).is_ok());
        }
        assert!((0..WAYS).all(|number| paces.take(user(number), LIMIT, 20).is_err()));
        assert!(
            paces.take(user(WAYS), LIMIT, 20).is_ok(),
            "one more takes the first one's place"
        );
        assert!((1..WAYS).all(|number| paces.take(user(number), LIMIT, 20).is_err()));
        assert!(
            paces.take(user(0), LIMIT, 20).is_ok(),
            "who was forgotten starts afresh"
        );
    }
}
