//! Gateways that share a store let one write at a time through to a resource, by the version that it was made for (S1.9).
//! The same stories are told of each kind of server.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::harness::*;
use super::servers::{Postgres, Redis};
use super::stores::Kind;
use super::versions::{BODY, KEY, Ledger, SYNC, refused, sync, writes};

/// How long a write waits for its turn, unless a test says otherwise.
const PATIENCE: &str = ", wait: 20s";

/// Least time for which a lock stands after its gateway has died: the time that a write may take, thrice `connect_timeout` and
/// once `timeout` of the backend. Its lease is renewed before less is left of it.
const WRITE: Duration = Duration::from_secs(4);

fn gateway(backend: &Backend, server: &impl Kind, wait: &str) -> Gateway {
    let policy = sync("get: /api/ledger/state, pointer: /version_hash", wait);
    let setup = Setup::new(backend).policy(&policy).extra("shared_store: { lease: 3s }");
    Setup {
        state: server.url(),
        files: vec![("keys/store.key", KEY.into())],
        timeout: "1s",
        ..setup
    }
    .start()
}

fn pair(backend: &Backend, server: &impl Kind) -> [Gateway; 2] {
    [(); 2].map(|()| gateway(backend, server, PATIENCE))
}

fn post(gateway: &Gateway, version: u32, more: &str) -> Answer {
    let headers = format!("If-Match: v{version}\r\n{more}");
    gateway.call("POST", SYNC, &["finance_admin"], &headers, BODY)
}

/// Another version: the current one is told.
#[track_caller]
fn is_told(answer: &Answer, version: u32) {
    refused(answer, 412, "version_mismatch");
    assert_eq!(answer.field("etag"), Some(&*format!("\"v{version}\"")));
}

/// Many clients of two gateways send a write for one version at once.
fn one_of_many_is_sent(server: &impl Kind) {
    let (backend, ledger) = Ledger::backend();
    let gateways = pair(&backend, server);
    for round in 0..5 {
        let barrier = Barrier::new(16);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let clients: Vec<_> = (0..16)
                .map(|client| {
                    let (gateway, barrier) = (&gateways[client % 2], &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        post(gateway, round, "")
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!((ledger.version(), writes(&backend)), (round + 1, round as usize + 1));
        let (sent, told): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(sent.len(), 1);
        for answer in told {
            is_told(&answer, round + 1);
        }
    }
}

/// A gateway dies with a write under way: the other has the lock once that write can be under way no more, and sees what it did.
fn the_dead_keep_their_locks_for_a_while(server: &impl Kind) {
    let (backend, ledger) = Ledger::backend();
    let [mut dead, alive] = pair(&backend, server);
    ledger.hold(true);
    let token = dead.token(&claims(&["finance_admin"]));
    let bytes = request("POST", SYNC, &token, "If-Match: v0\r\n", BODY);
    let port = dead.port;
    let (answer, waited) = thread::scope(|scope| {
        scope.spawn(move || raw(port, &bytes));
        wait_for("the write to be at the backend", || writes(&backend) == 1);
        let second = scope.spawn(|| post(&alive, 0, ""));
        dead.kill();
        let died = Instant::now();
        ledger.hold(false);
        let answer = second.join().unwrap();
        (answer, died.elapsed())
    });
    assert!(waited >= WRITE, "the lock was given away after {waited:?}");
    is_told(&answer, 1);
    assert_eq!(post(&alive, 1, "").status, 201);
    assert_eq!(writes(&backend), 2);
}

/// The backend does not answer in time. What it does with the write nobody knows, so that the resource stays locked.
fn an_unknown_outcome_keeps_its_lock(server: &impl Kind) {
    let (backend, ledger) = Ledger::backend();
    let [one, other] = pair(&backend, server);
    let hasty = gateway(&backend, server, ", wait: 50ms");
    ledger.hold(true);
    refused(&post(&one, 0, ""), 504, "upstream_timeout");
    let given_up = Instant::now();
    refused(&post(&hasty, 0, ""), 503, "resource_busy");
    assert_eq!(backend.count(), 2, "not even the version was asked for");
    ledger.hold(false);
    let answer = post(&other, 0, "");
    // What is left of the lease when the backend's second is over.
    assert!(
        given_up.elapsed() + Duration::from_secs(1) >= WRITE,
        "{:?}",
        given_up.elapsed()
    );
    is_told(&answer, 1);
    assert_eq!(post(&one, 1, "").status, 201);
}

/// While the server is away nothing is asked of the backend; a write that is under way is finished, and its lock released later.
fn a_server_comes_and_goes(server: &mut impl Kind) {
    let (backend, ledger) = Ledger::backend();
    let [one, other] = pair(&backend, server);
    ledger.hold(true);
    thread::scope(|scope| {
        let first = scope.spawn(|| post(&one, 0, ""));
        wait_for("the write to be at the backend", || writes(&backend) == 1);
        server.crash();
        refused(&post(&other, 0, ""), 503, "store_unavailable");
        ledger.hold(false);
        assert_eq!(first.join().unwrap().status, 201);
    });
    refused(&post(&one, 1, ""), 503, "store_unavailable");
    assert_eq!(backend.count(), 2, "one question, and one write");
    let state = one.get("/api/ledger/state", &["finance_admin"]);
    assert_eq!(state.status, 200, "reads need no lock");
    server.launch();
    for gateway in [&one, &other] {
        wait_for("the store to be there", || {
            gateway.metrics().contains("tollgate_store_up 1\n")
        });
    }
    is_told(&post(&other, 0, ""), 1);
    assert_eq!(post(&one, 1, "").status, 201);
}

/// Who sends a finished write again learns what became of it, and not that its version has passed.
fn a_repeated_write_is_told_its_transaction(server: &impl Kind) {
    let (backend, ledger) = Ledger::backend();
    let gateways = pair(&backend, server);
    let key = "X-Idempotency-Key: k1\r\n";
    assert_eq!(post(&gateways[0], 0, key).status, 201);
    for gateway in &gateways {
        let again = post(gateway, 0, key);
        refused(&again, 409, "duplicate_request");
        assert_eq!(again.json()["original_transaction_id"], "T-1");
    }
    let late = "X-Idempotency-Key: k2\r\n";
    is_told(&post(&gateways[1], 0, late), 1);
    assert_eq!(post(&gateways[0], 1, late).status, 201, "its key is free");
    assert_eq!(ledger.version(), 2);
}

#[test]
fn s1_9_two_gateways_on_postgresql_send_one_write_for_a_version() {
    one_of_many_is_sent(&Postgres::start());
}

#[test]
fn s1_9_two_gateways_on_redis_send_one_write_for_a_version() {
    one_of_many_is_sent(&Redis::start());
}

#[test]
fn s1_9_a_dead_gateway_keeps_its_lock_on_postgresql_for_a_while() {
    the_dead_keep_their_locks_for_a_while(&Postgres::start());
}

#[test]
fn s1_9_a_dead_gateway_keeps_its_lock_on_redis_for_a_while() {
    the_dead_keep_their_locks_for_a_while(&Redis::start());
}

#[test]
fn s1_9_an_unknown_outcome_keeps_its_lock_on_postgresql() {
    an_unknown_outcome_keeps_its_lock(&Postgres::start());
}

#[test]
fn s1_9_an_unknown_outcome_keeps_its_lock_on_redis() {
    an_unknown_outcome_keeps_its_lock(&Redis::start());
}

#[test]
fn s1_9_nothing_is_sent_by_version_without_postgresql() {
    a_server_comes_and_goes(&mut Postgres::start());
}

#[test]
fn s1_9_nothing_is_sent_by_version_without_redis() {
    a_server_comes_and_goes(&mut Redis::start());
}

#[test]
fn s1_9_a_repeated_write_by_version_on_postgresql_is_told_its_transaction() {
    a_repeated_write_is_told_its_transaction(&Postgres::start());
}

#[test]
fn s1_9_a_repeated_write_by_version_on_redis_is_told_its_transaction() {
    a_repeated_write_is_told_its_transaction(&Redis::start());
}
