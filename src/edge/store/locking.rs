//! What both kinds of servers promise of the locks that gateways share.

use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use super::contract::{in_postgresql, in_redis, servers, store, until};
use super::tests::wait;
use super::*;
use crate::edge::locks::{Held, Locks, NotLocked, Resource};

const LEASE: Duration = Duration::from_secs(10);

fn name(of: u8) -> LockName {
    [of; 32]
}

fn lock(store: &Store, of: u8) -> Option<Lease> {
    wait(store.lock(name(of), LEASE)).unwrap()
}

/// Two gateways at one server, by a clock that the test sets.
struct Pair {
    one: Store,
    two: Store,
    clock: Arc<AtomicI64>,
}

impl Pair {
    fn at(place: &SharedStore) -> Self {
        let clock = Arc::new(AtomicI64::new(1000));
        Self {
            one: store(place, &clock),
            two: store(place, &clock),
            clock,
        }
    }

    fn is(&self, now: i64) {
        self.clock.store(now, Ordering::SeqCst);
    }
}

type Case = (&'static str, fn(&Pair));

const CASES: [Case; 5] = [
    (
        "a lock is had by one and free when it is released",
        |Pair { one, two, .. }| {
            let held = lock(one, 1).unwrap();
            assert!(lock(two, 1).is_none() && lock(one, 1).is_none());
            let other = lock(two, 2).unwrap();
            wait(held.release().unwrap().heard());
            assert!(held.release().is_none(), "once is enough");
            let next = lock(two, 1).unwrap();
            assert!(lock(one, 1).is_none());
            drop((next, other));
        },
    ),
    ("one that is dropped stands until its lease is over", |pair| {
        drop(lock(&pair.one, 1).unwrap());
        pair.is(1009);
        assert!(lock(&pair.two, 1).is_none() && lock(&pair.one, 1).is_none());
        pair.is(1010);
        assert!(lock(&pair.two, 1).is_some());
    }),
    ("a lease is put off, and never cut short", |pair| {
        let held = lock(&pair.one, 1).unwrap();
        pair.is(1005);
        assert_eq!(wait(held.extend(LEASE)), Ok(true));
        assert_eq!(wait(held.extend(Duration::from_secs(1))), Ok(true));
        pair.is(1014);
        assert!(lock(&pair.two, 1).is_none());
        // One that is over is still this one's until somebody else has the lock.
        pair.is(1020);
        assert_eq!(wait(held.extend(LEASE)), Ok(true));
        assert!(lock(&pair.two, 1).is_none());
    }),
    ("who lost a lock neither has it nor takes it away", |pair| {
        let late = lock(&pair.one, 1).unwrap();
        pair.is(1010);
        let held = lock(&pair.two, 1).unwrap();
        assert_eq!(wait(late.extend(LEASE)), Ok(false));
        wait(late.release().unwrap().heard());
        assert!(lock(&pair.one, 1).is_none(), "it is the other's");
        assert_eq!(wait(held.extend(LEASE)), Ok(true));
    }),
    ("one of 32 who ask at once has it", |Pair { one, two, .. }| {
        for round in 0..8 {
            let barrier = Barrier::new(32);
            let held: Vec<Lease> = thread::scope(|scope| {
                let asked: Vec<_> = (0..32)
                    .map(|of| {
                        let (store, barrier) = ([one, two][of % 2], &barrier);
                        scope.spawn(move || {
                            barrier.wait();
                            lock(store, round)
                        })
                    })
                    .collect();
                asked.into_iter().filter_map(|asked| asked.join().unwrap()).collect()
            });
            assert_eq!(held.len(), 1);
        }
    }),
];

fn keeps_the_contract(place: &SharedStore, empty: impl Fn()) {
    for (about, case) in CASES {
        eprintln!("{about}");
        let pair = Pair::at(place);
        empty();
        case(&pair);
    }
}

#[test]
fn postgresql_locks_for_one_at_a_time() {
    let server = servers::Postgres::start();
    keeps_the_contract(&in_postgresql(&server), || {
        server.execute("TRUNCATE tollgate.locks");
    });
}

#[test]
fn redis_locks_for_one_at_a_time() {
    let server = servers::Redis::start();
    keeps_the_contract(&in_redis(&server), || {
        server.said(&["EVAL", FORGET, "0"]);
    });
}

const FORGET: &str = "for _, key in ipairs(redis.call('KEYS', '{tollgate}:lock*')) do redis.call('DEL', key) end";

/// A lock that has ended goes, also when nobody asks for it again; one that has not stays.
fn are_swept(place: SharedStore, count: impl Fn() -> String) {
    let pair = Pair::at(&SharedStore {
        lease: Duration::from_secs(1),
        ..place
    });
    drop([1, 2, 3].map(|of| lock(&pair.one, of).unwrap()));
    pair.is(1005);
    let held = lock(&pair.two, 4).unwrap();
    assert_eq!(count(), "4");
    pair.is(1012);
    until("what has ended to be gone", || count() == "1");
    assert_eq!(wait(held.extend(LEASE)), Ok(true));
}

#[test]
fn postgresql_sweeps_locks_that_have_ended() {
    let server = servers::Postgres::start();
    are_swept(in_postgresql(&server), || {
        server.execute("SELECT count(*) FROM tollgate.locks")
    });
}

#[test]
fn redis_sweeps_locks_that_have_ended() {
    let server = servers::Redis::start();
    are_swept(in_redis(&server), || {
        let there = server.said(&["EVAL", "return #redis.call('KEYS', '{tollgate}:lock:*')", "0"]);
        there.trim_start_matches(':').to_owned()
    });
}

/// A lock that was asked for in vain is nobody's, although the question may have been carried out.
#[test]
fn a_lock_whose_answer_was_lost_is_taken_back() {
    let server = servers::Redis::start();
    let pair = Pair::at(&in_redis(&server));
    // Whichever of its connections is asked is open.
    drop([2, 3, 4, 5, 6, 7, 8, 9].map(|of| lock(&pair.one, of).unwrap()));
    server.freeze();
    let asked = wait(pair.one.lock(name(1), LEASE));
    server.thaw();
    assert!(matches!(asked, Err(StoreFault::Unavailable(_))), "{asked:?}");
    // The clock stands still: it does not end by itself.
    until("the lock to be free", || {
        matches!(wait(pair.two.lock(name(1), LEASE)), Ok(Some(_)))
    });
    assert!(matches!(wait(pair.two.lock(name(1), LEASE)), Ok(None)));
}

#[test]
fn a_redis_that_forgot_its_gateways_locks_for_none_of_them() {
    let server = servers::Redis::start();
    let pair = Pair::at(&in_redis(&server));
    let held = lock(&pair.one, 1).unwrap();
    server.said(&["FLUSHALL"]);
    let asked = wait(pair.two.lock(name(1), LEASE));
    assert!(matches!(asked, Err(StoreFault::Unavailable(_))), "{asked:?}");
    until("the lock to be lost", || wait(held.extend(LEASE)) == Ok(false));
}

#[test]
fn nobody_shares_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(matches!(wait(store.lock(name(1), LEASE)), Err(StoreFault::Refused(_))));
    assert!(store.is_healthy());
}

const WRITE: Duration = Duration::from_millis(300);
const MARGIN: Duration = Duration::from_millis(600);
const WAIT: Duration = Duration::from_secs(30);

/// The locks of two gateways at one server.
fn locks(place: &SharedStore) -> [Locks; 2] {
    [(); 2].map(|()| Locks::beside(&Store::join(place).unwrap(), MARGIN))
}

async fn taken(locks: &Locks, wait: Duration) -> Result<Held, NotLocked> {
    locks.take(Resource::new("billing", "/a"), WRITE, wait).await
}

#[test]
fn a_lease_is_renewed_for_as_long_as_a_write_takes() {
    let server = servers::Redis::start();
    let [one, two] = locks(&in_redis(&server));
    wait(async {
        let held = taken(&one, WAIT).await.unwrap();
        let (finish, finished) = tokio::sync::oneshot::channel();
        let write = tokio::spawn(held.during(finished, || false));
        // Longer than any lease.
        let late = taken(&two, 3 * (WRITE + MARGIN)).await;
        assert_eq!(late.unwrap_err(), NotLocked::TooLong);
        finish.send(()).unwrap();
        assert_eq!(write.await.unwrap(), Some(Ok(())));
        let held = taken(&two, WAIT).await.unwrap();
        // The lock stands if what was written may still be under way, and ends by itself.
        let began = std::time::Instant::now();
        assert_eq!(held.during(async {}, || true).await, Some(()));
        drop(taken(&one, WAIT).await.unwrap());
        assert!(began.elapsed() >= WRITE, "{:?}", began.elapsed());
        drop(taken(&one, WAIT).await.unwrap());
    });
}

#[test]
fn a_write_is_given_up_when_its_lock_is_lost() {
    let mut server = servers::Redis::start();
    let [one, two] = locks(&in_redis(&server));
    wait(async {
        let held = taken(&one, WAIT).await.unwrap();
        held.ready().await.unwrap();
        server.said(&["FLUSHALL"]);
        let given_up = held.during(std::future::pending::<()>(), || false).await;
        assert_eq!(given_up, None);
        let held = loop {
            // A server that forgot its gateways hears of them again.
            if let Ok(held) = taken(&two, WAIT).await {
                break held;
            }
            tokio::task::yield_now().await;
        };
        servers::Restarts::crash(&mut server);
        let began = std::time::Instant::now();
        // Enough is left of the lease at first; then nothing is begun any more.
        let fault = loop {
            if let Err(fault) = held.ready().await {
                break fault;
            }
            tokio::task::yield_now().await;
        };
        assert!(matches!(fault, StoreFault::Unavailable(_)), "{fault:?}");
        let given_up = held.during(std::future::pending::<()>(), || false).await;
        assert_eq!(given_up, None);
        assert!(began.elapsed() < WRITE + MARGIN, "{:?}", began.elapsed());
    });
}

/// Tables from before there were locks are brought up to date, and keep what is in them.
#[test]
fn an_older_postgresql_store_gets_locks() {
    let server = servers::Postgres::start();
    let place = in_postgresql(&server);
    let clock = Arc::new(AtomicI64::new(1000));
    let older = store(&place, &clock);
    drop(tests::granted(&older, 1, 1000));
    drop(older);
    server.execute("DROP TABLE tollgate.locks; UPDATE tollgate.facts SET value = 1 WHERE name = 'format'");
    let newer = store(&place, &clock);
    drop(lock(&newer, 1).unwrap());
    let kept = wait(newer.show(tests::key(1))).unwrap();
    assert!(kept.is_some());
    assert_eq!(
        server.execute("SELECT value FROM tollgate.facts WHERE name = 'format'"),
        "2"
    );
}
