//! Not more often than may be: what is kept of each user and of each address, for all workers and across reloads.
//!
//! Tables of a fixed size, made when the first limit is met. Users share sets of [`WAYS`] places by a hash that nobody
//! outside can foresee; where a set is full of users who are all at it, the one who has been the slowest is forgotten. So
//! to be forgotten takes as many others as a set has places, each of which has been faster.
//!
//! Where gateways share a server that counts users for all of them, this is what is known of them meanwhile.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::refusal::Refusal;
use super::source::neighbourhood;
use crate::edge::store::{Counted, SharedPaces, Whose};
use crate::identity::Caller;
use crate::policy::{Authority, Pace, RateLimit};

/// Sets of places: with [`WAYS`] in each, 65,536 users are kept at one time, in 1.6 MiB.
const SETS: usize = 8192;

/// Users in one set.
const WAYS: usize = 8;

/// How fast users ask.
#[derive(Debug, Default)]
pub struct Paces {
    own: Table,
    /// Where they are counted for several gateways, if they are.
    shared: Option<SharedPaces>,
}

/// How many bad tokens addresses show.
#[derive(Debug)]
pub struct Attempts {
    limit: RateLimit,
    table: Table,
}

/// The bad tokens of one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries<'a> {
    attempts: &'a Attempts,
    source: IpAddr,
    shared: Option<&'a SharedPaces>,
}

/// How a user stands with a limit, for the `RateLimit` fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: RateLimit,
    left: u32,
    /// Until one more is left.
    next: Duration,
}

/// What is kept.
#[derive(Debug)]
struct Table {
    began: Instant,
    hashers: [RandomState; 2],
    sets: OnceLock<Box<[Mutex<[Place; WAYS]>]>>,
}

/// One user.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Two hashes of who it is.
    who: (u64, u64),
    /// As [`RateLimit::judge`] has it.
    kept: u64,
}

impl Paces {
    /// Counted here, and in a server if several gateways share one.
    #[must_use]
    pub fn new(shared: Option<SharedPaces>) -> Self {
        Self {
            own: Table::default(),
            shared,
        }
    }

    /// Where they are counted for several gateways.
    #[must_use]
    pub fn shared(&self) -> Option<&SharedPaces> {
        self.shared.as_ref()
    }

    /// Lets a caller's request pass, or says when it may come again. `standing` is then how the caller stands; without a
    /// limit it stays as it is.
    ///
    /// A server that does not answer opens nothing and closes nothing: this gateway goes by its own count, in which is what
    /// the server has said of the user before.
    pub(super) async fn admit(&self, caller: &Authority, standing: &mut Option<Standing>) -> Result<(), Refusal> {
        let Some(limit) = caller.rate_limit() else {
            return Ok(());
        };
        let who = self.own.hash((&caller.caller.issuer, &caller.caller.user));
        let admitted = match &self.shared {
            Some(shared) => Box::pin(self.admit_in(shared, who, limit, caller)).await,
            None => self.own.admit(who, limit),
        };
        match admitted {
            Ok(ahead) => {
                let (left, next) = limit.left(ahead, 0);
                *standing = Some(Standing { limit, left, next });
                Ok(())
            }
            Err(wait) => {
                let (left, next) = (0, wait);
                *standing = Some(Standing { limit, left, next });
                Err(Refusal::too_fast(wait))
            }
        }
    }

    /// As [`Table::admit`], of all gateways.
    async fn admit_in(
        &self,
        shared: &SharedPaces,
        who: (u64, u64),
        limit: RateLimit,
        caller: &Authority,
    ) -> Result<u64, Duration> {
        // Who is too fast for what is known here is so everywhere: a flood costs the server nothing.
        if let Pace::TooFast(wait) = limit.judge(self.own.kept(who), self.own.now()) {
            return Err(wait);
        }
        let Caller { issuer, user, .. } = &caller.caller;
        let whose = Whose::Requests { issuer, user };
        let Some(Counted { ahead, wait }) = shared.take(whose, limit.every(), limit.burst).await else {
            return self.own.admit(who, limit);
        };
        let ahead = nanos(ahead);
        self.own.learn(who, self.own.now().saturating_add(ahead));
        wait.map_or(Ok(ahead), Err)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Attempts {
    /// None so far.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            table: Table::default(),
        }
    }

    /// Those of one address, and of its neighbours that nobody can tell from it; `shared` counts them for several gateways.
    pub(super) fn from<'a>(&'a self, source: IpAddr, shared: Option<&'a SharedPaces>) -> Tries<'a> {
        Tries {
            attempts: self,
            source,
            shared,
        }
    }
}

impl Tries<'_> {
    fn who(&self) -> (u64, u64) {
        self.attempts.table.hash(neighbourhood(self.source))
    }

    /// Whether one more token is looked at: a bad one would still be within the limit.
    pub(super) fn may_try(&self) -> Result<(), Refusal> {
        let Attempts { limit, table } = self.attempts;
        match limit.judge(table.kept(self.who()), table.now()) {
            Pace::Within(_) => Ok(()),
            Pace::TooFast(wait) => Err(Refusal::too_many_bad_tokens(wait)),
        }
    }

    /// The token was bad. Where several gateways share a server, it says how many there were at all of them: a gateway
    /// hears of those at the others with the first that it sees itself, so that good tokens wait for nobody.
    pub(super) async fn failed(&self) {
        let Attempts { limit, table } = self.attempts;
        // Beyond the limit there is nothing more to count, and a flood costs the server nothing.
        if table.take(self.who(), *limit, table.now()).is_ok()
            && let Some(shared) = self.shared
        {
            Box::pin(self.count_in(shared)).await;
        }
    }

    async fn count_in(&self, shared: &SharedPaces) {
        let Attempts { limit, table } = self.attempts;
        let whose = Whose::BadTokens(neighbourhood(self.source));
        if let Some(Counted { ahead, .. }) = shared.take(whose, limit.every(), limit.burst).await {
            table.learn_more(self.who(), table.now().saturating_add(nanos(ahead)));
        }
    }
}

impl Standing {
    /// Tells the client (the `RateLimit` fields for HTTP: one quota, named `role`). Replaces what a backend says of its own.
    pub(super) fn tell(&self, fields: &mut HeaderMap) {
        let RateLimit { requests, per, .. } = self.limit;
        let (per, next) = (seconds(per).max(1), seconds(self.next));
        for (name, text) in [
            ("ratelimit-policy", format!("\"role\";q={requests};w={per}")),
            ("ratelimit", format!("\"role\";r={};t={next}", self.left)),
        ] {
            if let Ok(value) = HeaderValue::try_from(text) {
                fields.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// Whole seconds, none too few.
pub(super) fn seconds(time: Duration) -> u128 {
    time.as_nanos().div_ceil(1_000_000_000)
}

impl Default for Table {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            hashers: [RandomState::new(), RandomState::new()],
            sets: OnceLock::new(),
        }
    }
}

impl Table {
    fn hash(&self, who: impl Hash) -> (u64, u64) {
        let [first, second] = &self.hashers;
        (first.hash_one(&who), second.hash_one(&who))
    }

    fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    fn set(&self, who: (u64, u64)) -> Option<&Mutex<[Place; WAYS]>> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        sets.get(usize::try_from(who.0 % SETS as u64).unwrap_or(0))
    }

    /// What is kept of somebody; nothing of who is not known.
    fn kept(&self, who: (u64, u64)) -> u64 {
        let Some(set) = self.sets.get().and_then(|_| self.set(who)) else {
            return 0;
        };
        let places = set.lock().unwrap_or_else(PoisonError::into_inner);
        places
            .iter()
            .find(|place| place.who == who)
            .map_or(0, |place| place.kept)
    }

    /// Counts one more, and gives by how much its user is ahead now, in nanoseconds; or says how much too early it comes.
    fn admit(&self, who: (u64, u64), limit: RateLimit) -> Result<u64, Duration> {
        let now = self.now();
        self.take(who, limit, now).map(|kept| kept.saturating_sub(now))
    }

    /// Counts one more, and gives what is kept now; or says how much too early it comes.
    fn take(&self, who: (u64, u64), limit: RateLimit, now: u64) -> Result<u64, Duration> {
        // There is always a set and a place; what could not be counted would not pass.
        let judged = self.at(who, |place| {
            let kept = if place.who == who { place.kept } else { 0 };
            match limit.judge(kept, now) {
                Pace::Within(kept) => {
                    *place = Place { who, kept };
                    Ok(kept)
                }
                Pace::TooFast(wait) => Err(wait),
            }
        });
        judged.unwrap_or(Err(limit.per))
    }

    /// Keeps what somebody else has counted.
    fn learn(&self, who: (u64, u64), kept: u64) {
        self.at(who, |place| *place = Place { who, kept });
    }

    /// The same, unless more has been counted here.
    fn learn_more(&self, who: (u64, u64), kept: u64) {
        self.at(who, |place| {
            let own = if place.who == who { place.kept } else { 0 };
            *place = Place {
                who,
                kept: kept.max(own),
            };
        });
    }

    /// Does something with a user's place: with that of the user who would be the first to have nothing to be kept of, if he
    /// has none.
    fn at<T>(&self, who: (u64, u64), what: impl FnOnce(&mut Place) -> T) -> Option<T> {
        let mut places = self.set(who)?.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places.iter().position(|place| place.who == who);
        let at = known.or_else(|| {
            let slowest = places.iter().enumerate().min_by_key(|(_, place)| place.kept);
            slowest.map(|(at, _)| at)
        });
        at.and_then(|at| places.get_mut(at)).map(what)
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
        let table = Table::default();
        for who in [(1, 1), (1, 2), (2, 1)] {
            assert!(table.take(who, LIMIT, 5).is_ok());
            assert!(table.take(who, LIMIT, 5).is_ok());
            assert_eq!(table.take(who, LIMIT, 5), Err(Duration::from_secs(1)));
        }
        assert!(table.take((1, 1), LIMIT, 1_000_000_005).is_ok());
    }

    #[test]
    fn a_full_set_forgets_its_slowest_user_and_no_other() {
        let table = Table::default();
        let user = |number: usize| (0, number as u64 + 1);
        for number in 0..WAYS {
            assert!(table.take(user(number), LIMIT, 10 + number as u64).is_ok());
            assert!(table.take(user(number), LIMIT, 10 + number as u64).is_ok());
        }
        assert!((0..WAYS).all(|number| table.take(user(number), LIMIT, 20).is_err()));
        assert!(
            table.take(user(WAYS), LIMIT, 20).is_ok(),
            "one more takes the first one's place"
        );
        assert!((1..WAYS).all(|number| table.take(user(number), LIMIT, 20).is_err()));
        assert!(
            table.take(user(0), LIMIT, 20).is_ok(),
            "who was forgotten starts afresh"
        );
    }

    fn tries(attempts: &Attempts, from: &str) -> Result<(), Refusal> {
        attempts.from(from.parse().unwrap(), None).may_try()
    }

    #[tokio::test]
    async fn an_address_with_too_many_bad_tokens_is_not_listened_to() {
        let limit = RateLimit {
            requests: 3,
            per: Duration::from_secs(3600),
            burst: 3,
        };
        let attempts = Attempts::new(limit);
        let fail = async |from: &str| attempts.from(from.parse().unwrap(), None).failed().await;
        for _ in 0..3 {
            assert!(tries(&attempts, "192.0.2.1").is_ok());
            assert!(tries(&attempts, "192.0.2.1").is_ok(), "to look is not to count");
            fail("192.0.2.1").await;
        }
        for _ in 0..10 {
            assert!(tries(&attempts, "192.0.2.1").is_err());
            fail("192.0.2.1").await;
        }
        assert!(tries(&attempts, "::ffff:192.0.2.1").is_err(), "the same address");
        assert!(tries(&attempts, "192.0.2.2").is_ok());
        for host in 1..=3 {
            fail(&format!("2001:db8:0:1::{host}")).await;
        }
        assert!(
            tries(&attempts, "2001:db8:0:1:ffff::1").is_err(),
            "one network is one client"
        );
        assert!(tries(&attempts, "2001:db8:0:2::1").is_ok());
    }

    /// Many others, each with fewer bad tokens, do not make room for who has shown more.
    #[test]
    fn who_showed_many_is_not_forgotten_for_the_sake_of_those_who_showed_few() {
        let limit = RateLimit {
            requests: 10,
            per: Duration::from_secs(3600),
            burst: 10,
        };
        let table = Table::default();
        let (one, now) = ((0, 1), 1_000_000_000);
        while table.take(one, limit, now).is_ok() {}
        for other in 2..100_000 {
            assert!(table.take((0, other), limit, now).is_ok());
        }
        assert!(table.take(one, limit, now).is_err());
        let kept = size_of::<Mutex<[Place; WAYS]>>() * SETS;
        assert!(kept < 2 * 1024 * 1024, "{kept}");
    }
}
