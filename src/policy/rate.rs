//! How often a caller may ask: the generic cell rate algorithm, as arithmetic on a clock that is an argument.
//!
//! Of each user one number is kept, the time at which an even flow of requests would have come to the last one. A request
//! may be ahead of that by the burst, and no more (ITU-T I.371; the interface's `rate_limit` of a role).

use std::time::Duration;

/// So many requests in each such time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests in each `per`, at least one.
    pub requests: u32,
    /// The time, not zero.
    pub per: Duration,
    /// Requests at once after a pause, at least one.
    pub burst: u32,
}

/// What the limit says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It may pass; this is to be kept of its user.
    Within(u64),
    /// It comes too early, by so much.
    TooFast(Duration),
}

impl RateLimit {
    /// Between two requests of an even flow, in nanoseconds.
    fn interval(self) -> u64 {
        let interval = self.per.as_nanos() / u128::from(self.requests.max(1));
        u64::try_from(interval).unwrap_or(u64::MAX).max(1)
    }

    /// Between two requests of an even flow.
    #[must_use]
    pub fn every(self) -> Duration {
        Duration::from_nanos(self.interval())
    }

    /// Judges a request at `now`, of whose user `kept` is kept; both are nanoseconds of one clock that never goes back.
    #[must_use]
    pub fn judge(self, kept: u64, now: u64) -> Pace {
        let interval = self.interval();
        let next = kept.max(now).saturating_add(interval);
        let ahead = next - now;
        let most = interval.saturating_mul(u64::from(self.burst.max(1)));
        if ahead > most {
            Pace::TooFast(Duration::from_nanos(ahead - most))
        } else {
            Pace::Within(next)
        }
    }

    /// What of the limit is left to a user at `now`: how many requests at once, and how long until it is one more; no time
    /// when it is all of them.
    #[must_use]
    pub fn left(self, kept: u64, now: u64) -> (u32, Duration) {
        let interval = self.interval();
        let most = interval.saturating_mul(u64::from(self.burst.max(1)));
        let room = most.saturating_sub(kept.saturating_sub(now));
        let left = u32::try_from(room / interval).unwrap_or(u32::MAX);
        let next = if room == most { 0 } else { interval - room % interval };
        (left, Duration::from_nanos(next))
    }

    /// Which of two limits lets less pass in the long run; the smaller burst decides between equals.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let rank = |limit: Self| (std::cmp::Reverse(limit.interval()), limit.burst);
        if rank(other) < rank(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn limit(requests: u32, per: u64, burst: u32) -> RateLimit {
        RateLimit {
            requests,
            per: Duration::from_secs(per),
            burst,
        }
    }

    /// How many of the requests at these times pass.
    fn passed(limit: RateLimit, times: impl IntoIterator<Item = u64>) -> usize {
        let mut kept = 0;
        let judged = times.into_iter().filter(|&now| match limit.judge(kept, now) {
            Pace::Within(next) => {
                kept = next;
                true
            }
            Pace::TooFast(_) => false,
        });
        judged.count()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_an_even_flow() {
        let limit = limit(50, 1, 100);
        let start = 7 * SECOND;
        assert_eq!(passed(limit, std::iter::repeat_n(start, 500)), 100);
        let flood = |seconds: u64| (0..seconds * 1000).map(move |milli| start + milli * SECOND / 1000);
        assert_eq!(
            passed(limit, flood(1)),
            149,
            "the first at once, and one in each 20 ms after"
        );
        assert_eq!(passed(limit, flood(10)), 599);
    }

    #[test]
    fn who_comes_too_early_is_told_by_how_much() {
        let limit = limit(1, 10, 1);
        let Pace::Within(kept) = limit.judge(0, 100 * SECOND) else {
            panic!("the first")
        };
        for (at, left) in [(100, Some(10)), (109, Some(1)), (110, None), (1000, None)] {
            let pace = limit.judge(kept, at * SECOND);
            match left {
                Some(left) => assert_eq!(pace, Pace::TooFast(Duration::from_secs(left)), "{at}"),
                None => assert!(matches!(pace, Pace::Within(_)), "{at}"),
            }
        }
    }

    #[test]
    fn what_is_left_is_what_may_come_at_once() {
        let limit = limit(10, 10, 3);
        for (ahead, left, next) in [
            (0, 3, 0),
            (1, 2, 1),
            (SECOND, 2, SECOND),
            (SECOND + 1, 1, 1),
            (2 * SECOND, 1, SECOND),
            (3 * SECOND, 0, SECOND),
            (5 * SECOND, 0, SECOND),
        ] {
            let now = 100 * SECOND;
            assert_eq!(
                limit.left(now + ahead, now),
                (left, Duration::from_nanos(next)),
                "{ahead}"
            );
        }
        assert_eq!(
            limit.left(7, 100 * SECOND),
            (3, Duration::ZERO),
            "what is long past counts no more"
        );
    }

    #[test]
    fn the_stricter_of_two_limits_is_the_slower_then_the_smaller_burst() {
        let (slow, fast) = (limit(1, 1, 50), limit(2, 1, 1));
        assert_eq!(slow.stricter(fast), slow);
        assert_eq!(fast.stricter(slow), slow);
        let small = limit(10, 10, 2);
        assert_eq!(slow.stricter(small), small);
        assert_eq!(small.stricter(slow), small);
    }

    proptest! {
        /// As many requests pass as are said to be left, and no more.
        #[test]
        fn what_is_left_passes(requests in 1..100_u32, per in 1..60_u64, burst in 1..50_u32, ahead in 0..100 * SECOND) {
            let limit = limit(requests, per, burst);
            let now = 1000 * SECOND;
            let mut kept = now + ahead;
            let (left, next) = limit.left(kept, now);
            for _ in 0..left {
                let Pace::Within(then) = limit.judge(kept, now) else { panic!("one of {left}") };
                kept = then;
            }
            let Pace::TooFast(wait) = limit.judge(kept, now) else { panic!("one more than {left}") };
            if ahead > 0 && left > 0 {
                prop_assert_eq!(wait, next);
            }
        }

        /// However requests come: in any stretch of time no more pass than the burst and the flow of that time.
        #[test]
        fn no_stretch_of_time_has_more(requests in 1..100_u32, per in 1..60_u64, burst in 1..50_u32, gaps in prop::collection::vec(0..SECOND, 1..200)) {
            let limit = limit(requests, per, burst);
            let mut now = SECOND;
            let mut kept = 0;
            let mut times = Vec::new();
            for gap in gaps {
                now += gap;
                if let Pace::Within(next) = limit.judge(kept, now) {
                    kept = next;
                    times.push(now);
                }
            }
            for (from, start) in times.iter().enumerate() {
                for (to, end) in times.iter().enumerate().skip(from) {
                    let flow = (end - start) / limit.interval();
                    prop_assert!((to - from + 1) as u64 <= u64::from(burst) + flow);
                }
            }
        }
    }
}
