//! What every store promises, as one list of cases that all kinds of stores are put through; and what a shared store
//! promises beside that.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Instant;

use super::shared::{Question, Server};
use super::tests::{KEEP, NOW, duplicate, fingerprint, granted, key, ruled, wait};
use super::*;
use crate::config::Host;
use crate::ledger::MAX_SEALED_ANSWER;

#[path = "../../../tests/servers/mod.rs"]
#[allow(unreachable_pub, dead_code, unused_imports)]
pub(super) mod servers;

pub(super) fn in_postgresql(server: &servers::Postgres) -> SharedStore {
    SharedStore {
        user: Some("tollgate".into()),
        database: "postgres".into(),
        ..at(ServerKind::PostgreSql, server.folder().join(".s.PGSQL.5432"))
    }
}

pub(super) fn in_redis(server: &servers::Redis) -> SharedStore {
    at(ServerKind::Redis, server.socket())
}

fn at(kind: ServerKind, socket: PathBuf) -> SharedStore {
    SharedStore {
        kind,
        host: Host::Socket(socket),
        port: 1,
        user: None,
        password: None,
        database: "0".into(),
        tls: false,
        ca: None,
        lease: Duration::from_secs(15),
        insecure_volatile: false,
        folder: PathBuf::new(),
    }
}

fn joined<S: Server>(lease: Duration, make: impl FnOnce() -> Result<S, StoreFault> + Send + 'static) -> Store {
    let queue = Arc::new(Queue::default());
    let writer = shared::spawn(make, lease, Arc::clone(&queue)).unwrap();
    let store = Store::of_server(queue, writer);
    until("the server to be there", || store.is_healthy());
    store
}

/// A store in PostgreSQL or Redis, which goes by a clock that the test sets.
pub(super) fn store(place: &SharedStore, clock: &Arc<AtomicI64>) -> Store {
    let (given, clock) = (place.clone(), Clock::Told(Arc::clone(clock)));
    match place.kind {
        ServerKind::PostgreSql => joined(place.lease, move || Postgres::new(given, clock)),
        ServerKind::Redis => joined(place.lease, move || Redis::new(given, clock)),
    }
}

pub(super) fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "waited too long for {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// A store, and the time that it goes by.
struct Subject {
    store: Store,
    clock: Arc<AtomicI64>,
}

impl Subject {
    fn claim_as(&self, of: usize, print: u8, now: u64) -> Claim {
        self.clock.store(now.min(1 << 40) as i64, Ordering::SeqCst);
        wait(self.store.reserve(key(of), None, fingerprint(print), KEEP, now)).unwrap()
    }

    fn granted(&self, of: usize, now: u64) -> Reservation {
        match self.claim_as(of, 1, now) {
            Claim::Granted(reservation) => reservation,
            Claim::Refused(verdict) => panic!("{verdict:?}"),
        }
    }

    fn refused(&self, of: usize, now: u64) -> Verdict {
        match self.claim_as(of, 1, now) {
            Claim::Granted(_) => Verdict::Proceed,
            Claim::Refused(verdict) => verdict,
        }
    }

    fn complete(&self, reservation: Reservation, id: &str, now: u64) {
        self.clock.store(now as i64, Ordering::SeqCst);
        wait(reservation.complete(201, Some(id.into()), now)).unwrap();
    }

    fn rule(&self, of: usize, ruling: Ruling, now: u64) -> bool {
        self.clock.store(now as i64, Ordering::SeqCst);
        ruled(&self.store, key(of), ruling, now).unwrap()
    }
}

type Case = (&'static str, fn(&Subject));

const CASES: [Case; 7] = [
    ("a key is granted once and remembered as long as asked", |subject| {
        let first = subject.granted(1, NOW);
        assert_eq!(subject.refused(1, NOW), Verdict::InProgress);
        assert!(matches!(subject.claim_as(1, 2, NOW), Claim::Refused(Verdict::Reused)));
        subject.complete(first, "t1", NOW + 5);
        assert_eq!(subject.refused(1, NOW + 104), duplicate("t1", NOW + 5));
        assert!(matches!(
            subject.claim_as(1, 2, NOW + 104),
            Claim::Refused(Verdict::Reused)
        ));
        subject.complete(subject.granted(1, NOW + 105), "t2", NOW + 105);
        assert_eq!(subject.refused(1, NOW + 105), duplicate("t2", NOW + 105));
    }),
    ("what was not sent is free, what may have been is unknown", |subject| {
        wait(subject.granted(1, NOW).release()).unwrap();
        let again = subject.granted(1, NOW);
        subject.clock.store(NOW as i64 + 1, Ordering::SeqCst);
        wait(again.unknown(NOW + 1)).unwrap();
        assert_eq!(subject.refused(1, 1 << 40), Verdict::Unknown { since: NOW + 1 });
        drop(subject.granted(2, NOW));
        until("the drop to be written", || {
            subject.refused(2, NOW) == Verdict::Unknown { since: NOW }
        });
    }),
    ("an operator rules on what is unknown only, once", |subject| {
        let done = Ruling::Done {
            status: Some(201),
            transaction_id: Some("t".into()),
        };
        let running = subject.granted(1, NOW);
        assert!(!subject.rule(1, Ruling::Free, NOW), "it runs");
        assert!(!subject.rule(9, Ruling::Free, NOW), "there is none");
        wait(running.unknown(NOW)).unwrap();
        for stale in [
            Record::running(fingerprint(1), None, NOW, KEEP),
            Record::running(fingerprint(2), None, NOW, KEEP).orphaned(),
            Record::running(fingerprint(1), None, NOW - 1, KEEP).orphaned(),
        ] {
            for ruling in [Ruling::Free, done.clone()] {
                let ruled = wait(subject.store.rule(key(1), stale.clone(), ruling, NOW));
                assert_eq!(ruled, Ok(false), "this is not what the operator saw: {stale:?}");
            }
        }
        assert!(subject.rule(1, done.clone(), NOW + 9));
        assert!(!subject.rule(1, done, NOW + 9), "it is done");
        assert_eq!(subject.refused(1, NOW + 108), duplicate("t", NOW + 9));
        wait(subject.granted(2, NOW).unknown(NOW)).unwrap();
        assert!(subject.rule(2, Ruling::Free, NOW));
        assert_eq!(wait(subject.store.show(key(2))), Ok(None));
    }),
    ("pages follow one another in the order of names", |subject| {
        let held: Vec<_> = (0..MAX_LISTED + 9).map(|of| subject.granted(of, NOW)).collect();
        let list = |filter, after| wait(subject.store.list(filter, after, NOW)).unwrap();
        let first = list(Filter::Unsettled, None);
        assert_eq!(
            (first.records.len(), first.next),
            (MAX_LISTED, Some(key(MAX_LISTED - 1)))
        );
        let rest = list(Filter::Of(Kind::InProgress), first.next);
        assert_eq!(
            (rest.records.len(), rest.records[0].0, rest.next),
            (9, key(MAX_LISTED), None)
        );
        assert_eq!(list(Filter::Of(Kind::Unknown), None), Page::default());
        for reservation in held {
            subject.complete(reservation, "t", NOW);
        }
        assert_eq!(list(Filter::Unsettled, None), Page::default());
        assert_eq!(list(Filter::Of(Kind::Done), None).records.len(), MAX_LISTED);
    }),
    ("an owner is found by its key, as it was written", |subject| {
        let owner = Arc::new(Owner {
            issuer: "i".into(),
            user: "ü 1".into(),
            module: "ledger".into(),
            route: "/api/ledger/sync".into(),
            key: "k1".into(),
        });
        let claim = wait(
            subject
                .store
                .reserve(key(1), Some(Arc::clone(&owner)), fingerprint(1), KEEP, NOW),
        )
        .unwrap();
        let page = wait(subject.store.list(Filter::Key("k1".into()), None, NOW)).unwrap();
        assert_eq!(page.records.len(), 1);
        assert_eq!(page.records[0].1.owner, Some(owner));
        assert_eq!(
            wait(subject.store.list(Filter::Key("k".into()), None, NOW)),
            Ok(Page::default())
        );
        drop(claim);
    }),
    ("an answer is kept with its outcome, and no longer", |subject| {
        let sealed: Arc<[u8]> = Arc::from([0, 13, 10, 255]);
        let first = subject.granted(1, NOW);
        wait(first.complete_with(201, Some("t".into()), Some(Arc::clone(&sealed)), NOW)).unwrap();
        let kept = |verdict| match verdict {
            Verdict::Duplicate { answer, .. } => answer,
            other => panic!("{other:?}"),
        };
        assert_eq!(kept(subject.refused(1, NOW)), Some(Arc::clone(&sealed)));
        let shown = wait(subject.store.show(key(1))).unwrap().unwrap();
        assert_eq!(shown.answer_bytes(), sealed.len());
        let listed = wait(subject.store.list(Filter::Of(Kind::Done), None, NOW)).unwrap();
        assert_eq!(listed.records.len(), 1);
        assert_eq!(
            listed.records[0].1,
            shown.without_answer(),
            "who lists reads no answers"
        );
        subject.complete(subject.granted(1, NOW + 100), "t2", NOW + 100);
        assert_eq!(kept(subject.refused(1, NOW + 100)), None);
        let large: Arc<[u8]> = vec![1; MAX_SEALED_ANSWER + 1].into();
        wait(
            subject
                .granted(2, NOW + 100)
                .complete_with(201, None, Some(large), NOW + 100),
        )
        .unwrap();
        assert_eq!(
            kept(subject.refused(2, NOW + 100)),
            None,
            "an answer that is too large is left out"
        );
    }),
    ("one of 32 who ask at once gets the key", |subject| {
        let barrier = Barrier::new(32);
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..32 {
                let (tell, barrier) = (tell.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    tell.send(subject.claim_as(1, 1, NOW)).unwrap();
                });
            }
        });
        let claims: Vec<Claim> = told.try_iter().collect();
        let granted = claims.iter().filter(|claim| matches!(claim, Claim::Granted(_))).count();
        let running = |claim: &&Claim| matches!(claim, Claim::Refused(Verdict::InProgress));
        assert_eq!((granted, claims.iter().filter(running).count()), (1, 31));
    }),
];

#[test]
fn the_embedded_store_keeps_the_contract() {
    for (name, case) in CASES {
        eprintln!("{name}");
        let folder = tempfile::tempdir().unwrap();
        case(&Subject {
            store: Store::open(folder.path()).unwrap(),
            clock: Arc::default(),
        });
    }
}

fn keeps_the_contract(place: &SharedStore, empty: impl Fn()) {
    for (name, case) in CASES {
        eprintln!("{name}");
        let clock = Arc::new(AtomicI64::new(NOW as i64));
        let store = store(place, &clock);
        // Each case begins with nothing, but for the gateway.
        empty();
        case(&Subject { store, clock });
    }
}

#[test]
fn postgresql_keeps_the_contract() {
    let server = servers::Postgres::start();
    keeps_the_contract(&in_postgresql(&server), || {
        server.execute("TRUNCATE tollgate.keys");
    });
}

#[test]
fn redis_keeps_the_contract() {
    let server = servers::Redis::start();
    keeps_the_contract(&in_redis(&server), || {
        for names in ["names", "running", "unknown", "done"] {
            server.said(&["DEL", &format!("{{tollgate}}:{names}")]);
        }
        server.said(&["EVAL", FORGET, "0"]);
    });
}

/// Removes what stands under every key.
const FORGET: &str = "for _, key in ipairs(redis.call('KEYS', '{tollgate}:key:*')) do redis.call('DEL', key) end";

#[test]
fn postgresql_may_crash_and_come_back() {
    let mut server = servers::Postgres::start();
    comes_back(&in_postgresql(&server), &mut server);
}

#[test]
fn redis_may_crash_and_come_back() {
    let mut server = servers::Redis::start();
    comes_back(&in_redis(&server), &mut server);
}

/// The server dies with two keys that run. What becomes of them is written when it is there again.
fn comes_back(place: &SharedStore, server: &mut impl servers::Restarts) {
    let clock = Arc::new(AtomicI64::new(NOW as i64));
    let subject = Subject {
        store: store(place, &clock),
        clock,
    };
    subject.complete(subject.granted(1, NOW), "t1", NOW);
    let (running, free) = (subject.granted(2, NOW), subject.granted(3, NOW));
    server.crash();
    let ask = || wait(subject.store.reserve(key(4), None, fingerprint(1), KEEP, NOW));
    assert!(matches!(ask(), Err(StoreFault::Unavailable(_))));
    until("the store to be away", || !subject.store.is_healthy());
    // What becomes of the two is written when the server is there again, though nobody waits for it any more.
    let late = |future| wait(async { tokio::time::timeout(Duration::from_millis(20), future).await.is_err() });
    assert!(late(
        Box::pin(running.complete(201, Some("t2".into()), NOW)) as std::pin::Pin<Box<dyn Future<Output = _>>>
    ));
    assert!(late(Box::pin(free.release())));
    server.launch();
    until("the store to be there again", || subject.store.is_healthy());
    until("the outcome to be written", || {
        subject.refused(2, NOW) == duplicate("t2", NOW)
    });
    assert_eq!(subject.refused(1, NOW), duplicate("t1", NOW));
    until("the key to be free", || wait(subject.store.show(key(3))) == Ok(None));
    drop(subject.granted(4, NOW));
}

/// Runs with a runtime on which connections are driven.
fn locally(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap()
        .block_on(future);
}

fn asks(of: usize) -> Request {
    Request::Reserve {
        key: key(of),
        owner: None,
        fingerprint: fingerprint(1),
        keep: KEEP,
        now: 0,
    }
}

async fn answer<S: Server>(server: &S, link: &mut S::Link, request: &Request, turn: u64) -> Result<Answer, StoreFault> {
    server
        .run(link, &[Question { request, turn }])
        .await
        .unwrap()
        .pop()
        .unwrap()
}

/// Two holders: what one runs is unknown when it was not heard of, and only if the other was; what it knows it may still
/// say, unless somebody else has said something.
async fn leases<S: Server>(make: impl Fn(&Arc<AtomicI64>) -> S) {
    let clock = Arc::new(AtomicI64::new(1000));
    let (one, two) = (make(&clock), make(&clock));
    let (mut to_one, mut to_two) = (one.connect().await.unwrap(), two.connect().await.unwrap());
    let all = |_| true;
    one.beat(&mut to_one, &all).await.unwrap();
    two.beat(&mut to_two, &all).await.unwrap();
    let mut held = Vec::new();
    for turn in 1..=4_u64 {
        match answer(&one, &mut to_one, &asks(usize::try_from(turn).unwrap()), turn).await {
            Ok(Answer::Reserved(reserved)) => held.push(reserved),
            other => panic!("{other:?}"),
        }
    }
    // The clock stands for an outage: nobody was heard, so nobody is taken for dead.
    clock.store(1100, Ordering::SeqCst);
    two.beat(&mut to_two, &all).await.unwrap();
    let look = |of: usize| asks(of);
    let verdict = |answer| match answer {
        Ok(Answer::Refused(verdict)) => verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        verdict(answer(&two, &mut to_two, &look(1), 1).await),
        Verdict::InProgress
    );
    for now in [1105, 1110, 1116] {
        clock.store(now, Ordering::SeqCst);
        two.beat(&mut to_two, &all).await.unwrap();
    }
    for of in 1..=4 {
        assert_eq!(
            verdict(answer(&two, &mut to_two, &look(of), 1).await),
            Verdict::Unknown { since: 1000 }
        );
    }
    // An operator settles two of them, and one is used again.
    for of in [2, 3] {
        let rule = Request::Rule {
            key: key(of),
            seen: Record::running(fingerprint(1), None, 1000, KEEP).orphaned(),
            ruling: Ruling::Free,
            now: 0,
        };
        assert!(matches!(
            answer(&two, &mut to_two, &rule, 0).await,
            Ok(Answer::Ruled(true))
        ));
    }
    assert!(matches!(
        answer(&two, &mut to_two, &asks(3), 7).await,
        Ok(Answer::Reserved(_))
    ));
    // The first comes back.
    one.beat(&mut to_one, &all).await.unwrap();
    let mut said = Vec::new();
    for (reserved, released) in held.into_iter().zip([false, false, false, true]) {
        let settlement = if released {
            Settlement::Release
        } else {
            Settlement::Complete {
                status: 201,
                transaction_id: Some("t".into()),
                answer: None,
                now: 0,
            }
        };
        let turn = reserved.turn();
        let settle = Request::Settle { reserved, settlement };
        said.push(answer(&one, &mut to_one, &settle, turn).await.map(drop));
        // Said again, as after a lost answer, it is the same.
        assert_eq!(
            answer(&one, &mut to_one, &settle, turn).await.map(drop),
            *said.last().unwrap()
        );
    }
    assert_eq!(
        said,
        [Ok(()), Err(StoreFault::Overtaken), Err(StoreFault::Overtaken), Ok(())]
    );
    assert_eq!(
        verdict(answer(&two, &mut to_two, &look(1), 1).await),
        duplicate("t", 1116)
    );
    assert_eq!(
        verdict(answer(&one, &mut to_one, &look(3), 9).await),
        Verdict::InProgress,
        "it is the other's"
    );
    let unknown = Verdict::Unknown { since: 1000 };
    assert_eq!(
        verdict(answer(&two, &mut to_two, &look(4), 1).await),
        unknown,
        "it frees nothing any more"
    );
    // A reservation whose answer was lost is removed by its holder, and only by it.
    assert!(matches!(
        answer(&one, &mut to_one, &asks(5), 5).await,
        Ok(Answer::Reserved(_))
    ));
    two.beat(&mut to_two, &|_| false).await.unwrap();
    assert_eq!(
        verdict(answer(&one, &mut to_one, &look(5), 6).await),
        Verdict::InProgress
    );
    one.beat(&mut to_one, &|turn| turn != 5).await.unwrap();
    assert!(matches!(
        answer(&two, &mut to_two, &asks(5), 8).await,
        Ok(Answer::Reserved(_))
    ));
    // Who takes its leave leaves unknown what it runs.
    two.leave(&mut to_two).await.unwrap();
    assert!(matches!(
        verdict(answer(&one, &mut to_one, &look(5), 9).await),
        Verdict::Unknown { .. }
    ));
}

#[test]
fn postgresql_keeps_leases() {
    let server = servers::Postgres::start();
    let place = in_postgresql(&server);
    drop(store(&place, &Arc::new(AtomicI64::new(1000))));
    locally(leases(|clock| {
        Postgres::new(place.clone(), Clock::Told(Arc::clone(clock))).unwrap()
    }));
}

#[test]
fn redis_keeps_leases() {
    let server = servers::Redis::start();
    let place = in_redis(&server);
    locally(leases(|clock| {
        Redis::new(place.clone(), Clock::Told(Arc::clone(clock))).unwrap()
    }));
}

/// What has expired goes, some at a time, and what has not stays.
fn sweeps(place: &SharedStore) {
    let clock = Arc::new(AtomicI64::new(NOW as i64));
    let subject = Subject {
        store: store(place, &clock),
        clock,
    };
    let many = MAX_SWEEP + 20;
    for of in 0..many {
        subject.complete(subject.granted(of, NOW), "t", NOW);
    }
    subject.complete(subject.granted(many, NOW + 50), "t", NOW + 50);
    wait(subject.granted(many + 1, NOW + 50).unknown(NOW + 50)).unwrap();
    let held = subject.granted(many + 2, NOW + 50);
    let there = |of: usize| wait(subject.store.show(key(of))).unwrap().is_some();
    subject.clock.store(NOW as i64 + 100, Ordering::SeqCst);
    until("what has expired to be gone", || (0..many).all(|of| !there(of)));
    assert!((many..many + 3).all(there), "these are not to go");
    drop(held);
}

#[test]
fn postgresql_sweeps_what_has_expired() {
    let server = servers::Postgres::start();
    let lease = Duration::from_secs(1);
    sweeps(&SharedStore {
        lease,
        ..in_postgresql(&server)
    });
}

#[test]
fn redis_sweeps_what_has_expired() {
    let server = servers::Redis::start();
    let lease = Duration::from_secs(1);
    sweeps(&SharedStore {
        lease,
        ..in_redis(&server)
    });
    let left = server.said(&["EVAL", "return #redis.call('KEYS', '{tollgate}:key:*')", "0"]);
    assert_eq!(left, ":3");
}

#[test]
fn a_redis_that_may_forget_is_not_taken() {
    for (settings, why) in [
        (&["appendfsync everysec"][..], "`appendfsync everysec`"),
        (&["appendfsync no"], "`appendfsync no`"),
        (&["appendonly no"], "`appendonly no`"),
        (
            &["appendfsync always", "maxmemory-policy allkeys-lru"],
            "`maxmemory-policy allkeys-lru`",
        ),
        (&["appendfsync always", "rename-command CONFIG \"\""], "`appendonly`"),
    ] {
        let server = servers::Redis::with(settings);
        let place = in_redis(&server);
        match Store::join(&place) {
            Err(StoreFault::Volatile(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        }
        let insecure_volatile = true;
        let taken = Store::join(&SharedStore {
            insecure_volatile,
            ..place
        })
        .unwrap();
        assert!(taken.is_healthy(), "{:?}", taken.away());
    }
}

#[test]
fn a_redis_that_forgot_everything_is_taken_again_once_its_gateways_are_known() {
    let server = servers::Redis::start();
    let place = SharedStore {
        lease: Duration::from_secs(1),
        ..in_redis(&server)
    };
    let store = Store::join(&place).unwrap();
    let running = granted(&store, 1, NOW);
    server.said(&["FLUSHALL"]);
    server.said(&["SCRIPT", "FLUSH"]);
    let told = wait(running.complete(201, None, NOW));
    assert!(
        matches!(told, Ok(()) | Err(StoreFault::Overtaken | StoreFault::Unavailable(_))),
        "{told:?}"
    );
    until("a key to be granted again", || {
        let claim = wait(store.reserve(key(2), None, fingerprint(1), KEEP, NOW));
        matches!(claim, Ok(Claim::Granted(_)))
    });
}
