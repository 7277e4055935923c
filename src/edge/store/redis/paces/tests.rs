//! What the script makes of requests, in a real server, and what is told when there is none.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use super::*;
use crate::edge::store::contract::servers::{Redis, Restarts};
use crate::edge::store::contract::{in_redis, until};

const HOUR: Duration = Duration::from_secs(3600);

fn joined(server: &Redis) -> SharedPaces {
    let paces = SharedPaces::start(in_redis(server)).unwrap();
    until("the server to count", || paces.is_up());
    paces
}

fn of(user: &str) -> Whose<'_> {
    let issuer = "https://idp.city.example";
    Whose::Requests { issuer, user }
}

fn take(paces: &SharedPaces, user: &str, interval: Duration, burst: u32) -> Option<Counted> {
    take_of(paces, of(user), interval, burst)
}

fn take_of(paces: &SharedPaces, whose: Whose<'_>, interval: Duration, burst: u32) -> Option<Counted> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(paces.take(whose, interval, burst))
}

/// Up to the time that the test takes.
fn is_about(time: Duration, expected: Duration) -> bool {
    time <= expected && time + Duration::from_secs(30) > expected
}

#[test]
fn a_burst_passes_once_for_all_gateways() {
    let server = Redis::start();
    let gateways = [joined(&server), joined(&server)];
    for (at, ahead) in [(0, 1), (1, 2), (1, 3)] {
        let told = take(&gateways[at], "u1", HOUR, 3).unwrap();
        assert_eq!(told.wait, None, "{told:?}");
        assert!(is_about(told.ahead, HOUR * ahead), "{told:?}");
    }
    for paces in &gateways {
        let told = take(paces, "u1", HOUR, 3).unwrap();
        assert!(is_about(told.ahead, HOUR * 3), "{told:?}");
        assert!(is_about(told.wait.unwrap(), HOUR), "{told:?}");
    }
    assert_eq!(take(&gateways[0], "u2", HOUR, 3).unwrap().wait, None, "another user");
    assert_eq!(gateways[0].stats(), SharedPacing { up: true, alone: 0 });
}

#[test]
fn bad_tokens_are_counted_by_address_and_apart_from_requests() {
    let server = Redis::start();
    let gateways = [joined(&server), joined(&server)];
    let bad = |at: usize, last| take_of(&gateways[at], Whose::BadTokens([192, 0, 2, last].into()), HOUR, 2).unwrap();
    assert_eq!((bad(0, 1).wait, bad(1, 1).wait), (None, None));
    assert!(bad(0, 1).wait.is_some() && bad(1, 1).wait.is_some());
    assert_eq!(bad(0, 2).wait, None);
    assert_eq!(take(&gateways[0], "192.0.2.1", HOUR, 2).unwrap().wait, None);
}

#[test]
fn of_many_at_once_a_burst_passes() {
    let server = Redis::start();
    let gateways = [joined(&server), joined(&server)];
    let barrier = Barrier::new(40);
    let passed: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..40)
            .map(|client| {
                let (paces, barrier) = (&gateways[client % 2], &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    usize::from(take(paces, "u1", HOUR, 7).unwrap().wait.is_none())
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(passed, 7);
}

/// A name is kept as a hash, for as long as there is something to be kept; and not on disk, where it would cost time.
#[test]
fn what_is_kept_of_a_user_is_a_hash_and_goes_by_itself() {
    let mut server = Redis::start();
    let paces = joined(&server);
    let key = format!("{ROOT}:pace:{}", hex(&hash(of("u1"))));
    take(&paces, "u1", HOUR, 3).unwrap();
    let left: u64 = server.said(&["PTTL", &key]).trim_start_matches(':').parse().unwrap();
    assert!(is_about(Duration::from_millis(left), HOUR), "{left}");
    assert_eq!(server.said(&["DBSIZE"]), ":1");
    let requests = |issuer, user| hash(Whose::Requests { issuer, user });
    assert_ne!(requests("ab", "c"), requests("a", "bc"));
    assert_ne!(requests("", "192.0.2.1"), hash(Whose::BadTokens([192, 0, 2, 1].into())));
    take(&paces, "u2", Duration::from_millis(1), 1).unwrap();
    until("what is over to be gone", || server.said(&["DBSIZE"]) == ":1");
    server.crash();
    server.launch();
    assert_eq!(server.said(&["DBSIZE"]), ":0");
}

#[test]
fn nobody_waits_longer_than_the_limit_says_when_the_clock_went_back_or_the_limit_changed() {
    let server = Redis::start();
    let paces = joined(&server);
    let key = format!("{ROOT}:pace:{}", hex(&hash(of("u1"))));
    assert_eq!(server.said(&["SET", &key, "3000000000000000"]), "+OK");
    let told = take(&paces, "u1", HOUR, 3).unwrap();
    assert!(is_about(told.wait.unwrap(), HOUR), "{told:?}");
    let told = take(&paces, "u1", Duration::from_secs(1), 1).unwrap();
    assert!(told.wait.unwrap() <= Duration::from_secs(1), "{told:?}");
}

#[test]
fn the_longest_and_the_shortest_limits_are_counted() {
    let server = Redis::start();
    let paces = joined(&server);
    for (user, interval, burst) in [("u1", Duration::MAX, u32::MAX), ("u2", Duration::MAX, 1)] {
        assert_eq!(take(&paces, user, interval, burst).unwrap().wait, None, "{user}");
        assert!(take(&paces, user, interval, burst).unwrap().wait.is_some(), "{user}");
    }
    for _ in 0..100 {
        assert_eq!(
            take(&paces, "u3", Duration::from_nanos(1), u32::MAX).unwrap().wait,
            None
        );
    }
}

#[test]
fn a_server_that_is_away_is_waited_for_a_moment_and_found_again() {
    let mut server = Redis::start();
    let paces = joined(&server);
    server.freeze();
    let began = Instant::now();
    assert_eq!(take(&paces, "u1", HOUR, 3), None);
    assert!(began.elapsed() < MAX_ANSWER * 10, "{:?}", began.elapsed());
    until("the server to be missed", || !paces.is_up());
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(take(&paces, "u1", HOUR, 3), None);
    }
    assert!(began.elapsed() < MAX_ANSWER, "nobody waits: {:?}", began.elapsed());
    assert_eq!(paces.stats(), SharedPacing { up: false, alone: 101 });
    server.thaw();
    until("the server to count again", || paces.is_up());
    server.crash();
    until("a server that nobody asks to be missed", || !paces.is_up());
    server.launch();
    until("the server to count again", || paces.is_up());
    assert_eq!(take(&paces, "u1", HOUR, 3).unwrap().wait, None);
    assert_eq!(server.said(&["SCRIPT", "FLUSH"]), "+OK");
    assert_eq!(take(&paces, "u1", HOUR, 3), None);
    until("the script to be brought again", || {
        take(&paces, "u1", HOUR, 3).is_some()
    });
}

/// Whoever asks without a pause gets the burst and an even flow after it, by a clock of our own.
#[test]
fn an_even_flow_passes_after_the_burst() {
    const INTERVAL: Duration = Duration::from_millis(20);
    let server = Redis::start();
    let paces = joined(&server);
    let began = Instant::now();
    let mut passed = 0;
    while passed < 20 {
        passed += usize::from(take(&paces, "u1", INTERVAL, 3).unwrap().wait.is_none());
        assert!(
            began.elapsed() < INTERVAL * 20 + Duration::from_secs(20),
            "{passed} only"
        );
    }
    // The first three at once; those after them have each waited their time.
    assert!(began.elapsed() >= INTERVAL * 17, "{:?}", began.elapsed());
}

/// A replica takes connections and counts nothing.
#[test]
fn a_replica_counts_nothing() {
    let server = Redis::start();
    let paces = joined(&server);
    assert_eq!(server.said(&["REPLICAOF", "127.0.0.1", "1"]), "+OK");
    for _ in 0..3 {
        until("the connection to be made", || paces.is_up());
        assert_eq!(take(&paces, "u1", HOUR, 3), None);
    }
    assert_eq!(server.said(&["REPLICAOF", "NO", "ONE"]), "+OK");
    until("the server to count", || take(&paces, "u1", HOUR, 3).is_some());
}
