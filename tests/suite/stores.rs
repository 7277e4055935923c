//! A store that several gateways share: one key is sent once, whatever becomes of gateways and of the store's server
//! (S1.8). The same stories are told of each kind of server.

use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;

use super::harness::*;
use super::servers::{Postgres, Redis, Restarts};

const SYNC: &str = "/api/ledger/sync";
const BODY: &str = r#"{"county":"County_A","amount":"1.00"}"#;
const DONE: &str = r#"{"transaction_id":"T-1","ok":true}"#;

/// More lines of a gateway file: a gateway that dies is missed soon.
const SHORT_LEASE: &str = "shared_store: { lease: 4s }";

/// A server, and the URL that a gateway file has for it.
pub trait Kind: Restarts {
    fn url(&self) -> String;
}

impl Kind for Postgres {
    fn url(&self) -> String {
        format!("postgres://tollgate@/postgres?host={}", self.folder().display())
    }
}

impl Kind for Redis {
    fn url(&self) -> String {
        format!("redis:///0?socket={}", self.socket().display())
    }
}

fn gateway(backend: &Backend, server: &impl Kind) -> Gateway {
    gateway_at(backend, server.url(), "")
}

fn gateway_at(backend: &Backend, state: String, extra: &str) -> Gateway {
    let setup = Setup::new(backend).extra(extra);
    Setup { state, ..setup }.start()
}

fn created() -> Backend {
    Backend::bytes(answer("201 Created", "application/json", DONE))
}

/// Answers each request once the sender says so.
fn holding() -> (Backend, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel();
    let held = Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        let created = answer("201 Created", "application/json", DONE);
        held.lock().unwrap().recv().is_ok() && stream.write_all(created.as_bytes()).is_ok()
    });
    (backend, release)
}

fn bytes(gateway: &Gateway, key: &str) -> Vec<u8> {
    let headers = format!("Content-Type: application/json\r\nX-Idempotency-Key: {key}\r\n");
    request(
        "POST",
        SYNC,
        &gateway.token(&claims(&["finance_admin"])),
        &headers,
        BODY,
    )
}

fn post(gateway: &Gateway, key: &str) -> Answer {
    ask(gateway.port, &bytes(gateway, key))
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) -> Value {
    assert_eq!((answer.status, &*answer.error()), (status, error), "{}", answer.text());
    answer.json()
}

/// What somebody is told who sends a key again, once it is not in progress.
fn became(gateway: &Gateway, key: &str) -> String {
    let mut error = String::new();
    wait_for("a key not to be in progress", || {
        let answer = post(gateway, key);
        error = if answer.status == 201 {
            "sent".to_owned()
        } else {
            answer.error()
        };
        !matches!(&*error, "request_in_progress" | "store_unavailable")
    });
    error
}

#[track_caller]
fn told(gateway: &Gateway, code: i32, arguments: &[&str]) -> Value {
    let rest = ["--config", "tollgate.yaml", "--format", "json"];
    let all: Vec<&str> = ["idempotency"].iter().chain(arguments).chain(&rest).copied().collect();
    let (ended, out, err) = run(&all, &gateway.path(""));
    assert_eq!(ended, code, "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}: {out}{err}"))
}

/// Many clients send one key to two gateways at once.
fn a_race_has_one_winner(server: &impl Kind) {
    let backend = created();
    let gateways = [gateway(&backend, server), gateway(&backend, server)];
    for round in 0..4 {
        let key = format!("k{round}");
        let barrier = Barrier::new(64);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let clients: Vec<_> = (0..64)
                .map(|client| {
                    let (gateway, barrier) = (&gateways[client % 2], &barrier);
                    let bytes = bytes(gateway, &key);
                    scope.spawn(move || {
                        barrier.wait();
                        ask(gateway.port, &bytes)
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(backend.count(), round + 1, "a key was sent more than once, or never");
        let sent = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(sent, 1);
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!(answer.status, 409, "{}", answer.text());
            assert!(
                ["request_in_progress", "duplicate_request"].contains(&&*answer.error()),
                "{}",
                answer.text()
            );
        }
        for gateway in &gateways {
            let problem = refused(&post(gateway, &key), 409, "duplicate_request");
            assert_eq!(problem["original_transaction_id"], "T-1");
        }
        let other = BODY.replace("1.00", "2.00");
        let headers = format!("Content-Type: application/json\r\nX-Idempotency-Key: {key}\r\n");
        let reused = gateways[round % 2].call("POST", SYNC, &["finance_admin"], &headers, &other);
        refused(&reused, 422, "idempotency_key_reused");
    }
}

/// The server is not there when a gateway starts, comes, goes and comes again; the gateway stays.
fn a_server_comes_and_goes(server: &mut impl Kind) {
    let backend = created();
    server.crash();
    let gateway = gateway(&backend, server);
    for round in 0..2 {
        let key = format!("k{round}");
        wait_for("the store to be away", || {
            gateway.metrics().contains("tollgate_store_up 0\n")
        });
        let refusal = post(&gateway, &key);
        refused(&refusal, 503, "store_unavailable");
        assert!(refusal.field("retry-after").is_some(), "{refusal:?}");
        assert_eq!(
            gateway.get("/api/ledger/state", &["finance_admin"]).status,
            201,
            "no key is needed there"
        );
        let ready = gateway.admin("GET", "/readyz");
        assert_eq!(
            (ready.status, &ready.json()["ready"]),
            (200, &json!(true)),
            "{}",
            ready.text()
        );
        let impaired = ready.json()["impaired"].as_array().unwrap().clone();
        assert!(
            impaired[0].as_str().unwrap().contains("keyed writes are refused"),
            "{impaired:?}"
        );
        server.launch();
        wait_for("the store to be there", || {
            gateway.metrics().contains("tollgate_store_up 1\n")
        });
        wait_for("nothing to be impaired", || {
            gateway.admin("GET", "/readyz").json()["impaired"] == json!([])
        });
        let before = backend.count();
        assert_eq!(post(&gateway, &key).status, 201);
        refused(&post(&gateway, &key), 409, "duplicate_request");
        assert_eq!(backend.count(), before + 1);
        server.crash();
    }
}

/// The server is started again while three writes are on their way. None of them is forgotten, and none is sent again.
fn a_restart_loses_no_reservation(server: &mut impl Kind) {
    let (backend, release) = holding();
    let gateways = [gateway(&backend, server), gateway(&backend, server)];
    let keys = ["k0", "k1", "k2"];
    thread::scope(|scope| {
        for (at, key) in keys.iter().enumerate() {
            let (port, bytes) = (gateways[at % 2].port, bytes(&gateways[at % 2], key));
            // Its answer may be that it is not known to be written; what it is, is asked below.
            scope.spawn(move || raw(port, &bytes));
        }
        backend.wait_for(keys.len());
        server.crash();
        for key in keys {
            refused(&post(&gateways[0], key), 503, "store_unavailable");
        }
        for _ in keys {
            release.send(()).unwrap();
        }
        server.launch();
    });
    for gateway in &gateways {
        for key in keys {
            assert_eq!(became(gateway, key), "duplicate_request");
        }
    }
    assert_eq!(backend.count(), keys.len());
}

/// A gateway dies with a key that runs: the other says so, and lets an operator settle it.
fn the_dead_leave_unknown_outcomes(server: &impl Kind) {
    let (backend, release) = holding();
    let missed_soon = || gateway_at(&backend, server.url(), SHORT_LEASE);
    let (mut dead, alive) = (missed_soon(), missed_soon());
    thread::scope(|scope| {
        let (port, bytes) = (dead.port, bytes(&dead, "k0"));
        scope.spawn(move || raw(port, &bytes));
        backend.wait_for(1);
        refused(&post(&alive, "k0"), 409, "request_in_progress");
        let running = told(&alive, 0, &["list", "--state", "in_progress"]);
        assert_eq!(running["records"][0]["key"], "k0");
        assert_eq!(
            told(&alive, 1, &["settle", "k0", "--as", "free"])["error"],
            "in_progress"
        );
        dead.kill();
    });
    assert_eq!(became(&alive, "k0"), "outcome_unknown");
    assert_eq!(told(&alive, 0, &["show", "k0"])["state"], "unknown");
    wait_for("the metric", || alive.metrics().contains("tollgate_store_unknown 1\n"));
    let settled = told(&alive, 0, &["settle", "k0", "--as", "done", "--transaction-id", "T-9"]);
    assert_eq!(settled["record"]["state"], "done", "{settled}");
    assert_eq!(
        told(&alive, 1, &["settle", "k0", "--as", "done"])["error"],
        "already_done"
    );
    let problem = refused(&post(&alive, "k0"), 409, "duplicate_request");
    assert_eq!(problem["original_transaction_id"], "T-9");
    assert_eq!(told(&alive, 0, &["list"])["records"], json!([]));
    let events = audit_lines(&alive.path("audit/audit.jsonl"));
    assert!(
        events.iter().any(|line| line["event"] == "idempotency_settled"),
        "{events:?}"
    );
    // The command goes to the store itself where no gateway runs that could be asked, and writes to its audit log.
    drop(release);
    dead.launch();
    refused(&post(&dead, "k1"), 502, "upstream_broken");
    dead.signal("TERM");
    assert!(dead.ended().success());
    assert_eq!(told(&dead, 0, &["settle", "k1", "--as", "free"])["settled"], "free");
    assert_eq!(told(&dead, 1, &["show", "k1"])["error"], "not_found");
    let (code, out, err) = run(&["audit", "verify", "audit/audit.jsonl"], &dead.path(""));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(backend.count(), 2);
}

const PASSWORD: &str = "hunter2-CANARY-7f3a";

/// A gateway that goes to its store by TLS, with a password from a file, and trusts this authority.
fn secured(backend: &Backend, state: String, password: &str, authority: &str) -> Gateway {
    let extra = "shared_store: { password_file: store.password, ca: store.pem }";
    let setup = Setup::new(backend).extra(extra);
    let files = vec![
        ("store.password", format!("{password}\n")),
        ("store.pem", authority.to_owned()),
    ];
    Setup { state, files, ..setup }.start()
}

/// The right certificate and password are taken. A certificate of somebody else's is not: the password is not said to it.
fn it_is_known_who_it_is(pki: &Pki, state: &str) {
    let backend = created();
    let gateway = secured(&backend, state.to_owned(), PASSWORD, &pki.authority());
    assert_eq!(post(&gateway, "k0").status, 201);
    let strangers = secured(&backend, state.to_owned(), PASSWORD, &Pki::new().authority());
    refused(&post(&strangers, "k1"), 503, "store_unavailable");
    let impaired = strangers.admin("GET", "/readyz").text();
    assert!(impaired.contains("certificate"), "{impaired}");
    // By another name the certificate is not the server's.
    let misnamed = state.replace("localhost", "127.0.0.1");
    assert_ne!(misnamed, state);
    let elsewhere = secured(&backend, misnamed, PASSWORD, &pki.authority());
    refused(&post(&elsewhere, "k1"), 503, "store_unavailable");
    assert_eq!(backend.count(), 1);
}

/// What a gateway says that does not start.
fn does_not_start(state: &str, extra: &str, files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "policy/policy.yaml", POLICY);
    write(folder.path(), "keys/public.pem", key_pair().1);
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    let (port, admin) = (free_port(), free_port());
    let text = format!(
        "listen:\n  - address: 127.0.0.1:{port}\nadmin: {{ address: 127.0.0.1:{admin} }}\npolicy: policy\nstate: \"{state}\"\n\
         audit: {{ path: audit.jsonl }}\nupstreams:\n  billing: {{ url: \"http://127.0.0.1:9\" }}\n{extra}\n"
    );
    write(folder.path(), "tollgate.yaml", &text);
    let (code, out, err) = run(&["serve", "--config", "tollgate.yaml"], folder.path());
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        !err.contains(CANARY) && !out.contains(CANARY),
        "a password is in the log: {out}{err}"
    );
    err
}

#[test]
fn s1_8_two_gateways_on_postgresql_send_a_key_once() {
    a_race_has_one_winner(&Postgres::start());
}

#[test]
fn s1_8_postgresql_comes_and_goes_and_the_gateway_stays() {
    a_server_comes_and_goes(&mut Postgres::start());
}

#[test]
fn s1_8_postgresql_restarted_in_mid_flight_loses_no_reservation() {
    a_restart_loses_no_reservation(&mut Postgres::start());
}

#[test]
fn s1_8_what_a_dead_gateway_ran_on_postgresql_is_unknown_until_it_is_settled() {
    the_dead_leave_unknown_outcomes(&Postgres::start());
}

#[test]
fn postgresql_is_reached_by_tls_with_a_password_from_a_file() {
    let pki = Pki::new();
    let (certificate, key) = pki.issue("localhost");
    let port = free_port();
    let _server = Postgres::with_tls(port, PASSWORD, &certificate, &key);
    let state = format!("postgres://tollgate@localhost:{port}/postgres?sslmode=require");
    it_is_known_who_it_is(&pki, &state);
    let extra = "shared_store: { password_file: store.password, ca: store.pem }";
    let said = does_not_start(
        &state,
        extra,
        &[("store.password", "wrong-CANARY-7f3a"), ("store.pem", &pki.authority())],
    );
    assert!(
        said.contains("the store refuses: password authentication failed"),
        "{said}"
    );
}

#[test]
fn postgresql_that_may_forget_is_not_taken() {
    let mut server = Postgres::start();
    server.crash();
    server.launch_with("fsync=off");
    let said = does_not_start(&server.url(), "", &[]);
    assert!(
        said.contains("`fsync = off`") && said.contains("insecure_volatile"),
        "{said}"
    );
    let backend = created();
    let gateway = gateway_at(&backend, server.url(), "shared_store: { insecure_volatile: true }");
    assert_eq!(post(&gateway, "k0").status, 201);
}

#[test]
fn s1_8_two_gateways_on_redis_send_a_key_once() {
    a_race_has_one_winner(&Redis::start());
}

#[test]
fn s1_8_redis_comes_and_goes_and_the_gateway_stays() {
    a_server_comes_and_goes(&mut Redis::start());
}

#[test]
fn s1_8_redis_stopped_in_mid_flight_loses_no_reservation() {
    a_restart_loses_no_reservation(&mut Redis::start());
}

#[test]
fn s1_8_what_a_dead_gateway_ran_on_redis_is_unknown_until_it_is_settled() {
    the_dead_leave_unknown_outcomes(&Redis::start());
}

#[test]
fn redis_is_reached_by_tls_with_a_password_from_a_file() {
    let pki = Pki::new();
    let (certificate, key) = pki.issue("localhost");
    let port = free_port();
    let _server = Redis::with_tls(port, PASSWORD, &certificate, &key);
    let state = format!("rediss://localhost:{port}");
    it_is_known_who_it_is(&pki, &state);
    let extra = "shared_store: { password_file: store.password, ca: store.pem }";
    let said = does_not_start(
        &state,
        extra,
        &[("store.password", "wrong-CANARY-7f3a"), ("store.pem", &pki.authority())],
    );
    assert!(said.contains("the store refuses"), "{said}");
}

#[test]
fn redis_that_may_forget_is_not_taken() {
    let server = Redis::with(&["appendfsync everysec"]);
    let said = does_not_start(&server.url(), "", &[]);
    assert!(
        said.contains("`appendfsync everysec`") && said.contains("insecure_volatile"),
        "{said}"
    );
    let backend = created();
    let gateway = gateway_at(&backend, server.url(), "shared_store: { insecure_volatile: true }");
    assert_eq!(post(&gateway, "k0").status, 201);
}

/// A server that takes connections and says nothing keeps nobody waiting for long, and other routes not at all.
#[test]
fn s1_8_a_store_that_stands_still_is_not_waited_for_without_end() {
    let server = Redis::start();
    let backend = created();
    let gateway = gateway(&backend, &server);
    assert_eq!(post(&gateway, "k0").status, 201);
    server.freeze();
    let answer = post(&gateway, "k1");
    let other = gateway.get("/api/ledger/state", &["finance_admin"]).status;
    server.thaw();
    refused(&answer, 503, "store_unavailable");
    assert_eq!(other, 201);
    // The question may have been heard all the same, and is taken back: nothing was sent with it.
    assert_eq!(became(&gateway, "k1"), "sent");
    assert_eq!(became(&gateway, "k0"), "duplicate_request");
}

#[test]
fn what_is_revoked_is_each_gateways_own_beside_a_shared_store() {
    let server = Redis::start();
    let backend = created();
    let (mut one, two) = (gateway(&backend, &server), gateway(&backend, &server));
    let user = claims(&["finance_admin"])["sub"].as_str().unwrap().to_owned();
    let get = |gateway: &Gateway| gateway.get("/api/ledger/state", &["finance_admin"]).status;
    let revoke = |gateway: &Gateway, arguments: &[&str]| {
        let all = [&["revoke"], arguments, &["--config", "tollgate.yaml"]].concat();
        let (code, out, err) = run(&all, &gateway.path(""));
        assert_eq!(code, 0, "{out}{err}");
        out
    };
    revoke(&one, &["user", &user]);
    assert_eq!((get(&one), get(&two)), (401, 201));
    one.signal("TERM");
    assert!(one.ended().success());
    assert!(revoke(&one, &["list"]).contains(&user));
    one.launch();
    assert_eq!(get(&one), 401, "a restart forgets nothing");
    one.signal("TERM");
    assert!(one.ended().success());
    revoke(&one, &["user", &user, "--lift"]);
    one.launch();
    assert_eq!(get(&one), 201);
}

/// A write is answered once more by whichever gateway is asked, from what the other has kept.
fn an_answer_is_replayed_by_the_other_gateway(server: &impl Kind) {
    let backend = created();
    let policy = POLICY
        .replace("on_duplicate: conflict", "on_duplicate: replay")
        .replace("\nmodules:", "\nstore_keys: [../keys/store.key]\nmodules:");
    let start = || {
        let setup = Setup::new(&backend).policy(&policy);
        let files = vec![("keys/store.key", "30313233343536373839616263646566".repeat(2))];
        let state = server.url();
        Setup { state, files, ..setup }.start()
    };
    let (one, two) = (start(), start());
    assert_eq!(post(&one, "k0").status, 201);
    for gateway in [&two, &one] {
        let again = post(gateway, "k0");
        assert_eq!((again.status, again.text()), (201, DONE.to_owned()));
        assert_eq!(again.field("idempotency-replayed"), Some("true"));
    }
    assert_eq!(backend.count(), 1);
}

#[test]
fn s1_8_an_answer_in_postgresql_is_replayed_by_the_other_gateway() {
    an_answer_is_replayed_by_the_other_gateway(&Postgres::start());
}

#[test]
fn s1_8_an_answer_in_redis_is_replayed_by_the_other_gateway() {
    an_answer_is_replayed_by_the_other_gateway(&Redis::start());
}
