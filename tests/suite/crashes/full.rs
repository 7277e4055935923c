//! A disk that is full (THREATS H14): what cannot be written down is not forwarded, and room is all that it takes to go on.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};

use crate::harness::*;

const DONE: &str = r#"{"transaction_id":"T-1"}"#;

fn post(gateway: &Gateway, key: &str) -> Answer {
    let headers = format!("Content-Type: application/json\r\nX-Idempotency-Key: {key}\r\n");
    let body = format!(r#"{{"county":"County_A","for":"{key}"}}"#);
    gateway.call("POST", "/api/ledger/sync", &["finance_admin"], &headers, &body)
}

fn fill(gateway: &Gateway, folder: &str) -> PathBuf {
    gateway.disks.as_ref().unwrap().fill(&gateway.path(folder))
}

fn is_ready(gateway: &Gateway) -> bool {
    gateway.admin("GET", "/readyz").status == 200
}

/// Why no requests should be sent here.
#[track_caller]
fn unready(gateway: &Gateway) -> Value {
    let answer = gateway.admin("GET", "/readyz");
    assert_eq!(answer.status, 503, "{}", answer.text());
    answer.json()["reasons"].clone()
}

/// How often the backend was sent each key.
fn sent(backend: &Backend) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for request in backend.seen().iter().filter(|request| request.method == "POST") {
        *sent
            .entry(request.field("X-Idempotency-Key").unwrap().to_owned())
            .or_default() += 1;
    }
    sent
}

#[test]
fn s1_8_a_full_store_forwards_nothing_and_recovers() {
    // Answers that are kept, for a store that is soon full.
    let large = format!(r#"{{"transaction_id":"T-1","note":"{}"}}"#, "n".repeat(60_000));
    let backend = Backend::bytes(answer("201 Created", "application/json", &large));
    let policy = POLICY
        .replace("on_duplicate: conflict", "on_duplicate: replay")
        .replace("\nmodules:", "\nstore_keys: [../keys/store.key]\nmodules:");
    let setup = Setup {
        // Twice the daybook's 32 MiB, and a tree.
        disks: &[("state", "100m")],
        files: vec![("keys/store.key", "6162636465666768".repeat(4))],
        ..Setup::new(&backend).policy(&policy)
    };
    let mut gateway = setup.start();
    assert_eq!(post(&gateway, "k0").status, 201);
    let filled = fill(&gateway, "state");
    // The daybook has its place. When half of it is written, the tree gets it, and has no room.
    let mut keys = Vec::new();
    wait_for("the store to be full", || {
        let key = format!("k{}", keys.len() + 1);
        let answer = post(&gateway, &key);
        assert!(matches!(answer.status, 201 | 503), "{}", answer.text());
        keys.push((key, answer.status));
        answer.status == 503
    });
    let before = backend.count();
    for key in ["k0", "new-1", "new-2"] {
        let answer = post(&gateway, key);
        assert_eq!((answer.status, &*answer.error()), (503, "store_unavailable"), "{key}");
        assert!(answer.field("retry-after").is_some());
    }
    assert_eq!(backend.count(), before, "nothing is forwarded");
    assert_eq!(gateway.get("/api/accounts/A1", &["clerk"]).status, 201, "reads go on");
    assert_eq!(unready(&gateway), json!(["the store cannot be written"]));

    fs::remove_file(filled).unwrap();
    wait_for("the store to recover", || is_ready(&gateway));
    for crash in [false, true] {
        if crash {
            gateway.kill();
            gateway.launch();
        }
        for (key, status) in &keys {
            let answer = post(&gateway, key);
            // The last one may have met the full disk with its key or with its outcome.
            let is_new = *status == 503 && !crash && answer.status == 201;
            let is_known = answer.field("idempotency-replayed") == Some("true");
            assert!(is_new || is_known, "{key}: {}", answer.text());
        }
        assert!(sent(&backend).values().all(|times| *times == 1), "{:?}", sent(&backend));
    }
    assert_eq!(post(&gateway, "new-1").status, 201);
}

#[test]
fn a_full_audit_disk_forwards_nothing_and_recovers() {
    let backend = Backend::bytes(answer("201 Created", "application/json", DONE));
    let setup = Setup {
        disks: &[("audit", "24m")],
        ..Setup::new(&backend)
    };
    let mut gateway = setup.start();
    assert_eq!(post(&gateway, "k0").status, 201);
    gateway.signal("TERM");
    assert!(gateway.ended().success(), "what was allocated ahead is given back");
    let filled = fill(&gateway, "audit");
    gateway.launch();
    for key in ["k0", "k1", "k2"] {
        let answer = post(&gateway, key);
        assert_eq!((answer.status, &*answer.error()), (503, "audit_unavailable"), "{key}");
    }
    assert_eq!(gateway.get("/api/accounts/A1", &["clerk"]).status, 503);
    assert_eq!(unready(&gateway), json!(["the audit log cannot be written"]));
    assert_eq!(backend.count(), 1);
    fs::remove_file(filled).unwrap();
    wait_for("the audit log to recover", || is_ready(&gateway));
    assert_eq!(post(&gateway, "k1").status, 201);
}

#[test]
fn a_write_that_was_forwarded_has_its_line_though_the_disk_is_full_meanwhile() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        let created = answer("201 Created", "application/json", DONE);
        held.lock().unwrap().recv().is_ok() && stream.write_all(created.as_bytes()).is_ok()
    });
    let setup = Setup {
        disks: &[("audit", "24m")],
        ..Setup::new(&backend)
    };
    let gateway = setup.start();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| post(&gateway, "k1"));
        backend.wait_for(1);
        fill(&gateway, "audit");
        release.send(()).unwrap();
        assert_eq!(first.join().unwrap().status, 201);
    });
    let path = gateway.disks.as_ref().unwrap().path(&gateway.path("audit/audit.jsonl"));
    let lines = audit_lines(&path);
    assert!(
        lines.iter().any(|line| line["response_status_code"] == 201),
        "{lines:?}"
    );
    assert!(is_ready(&gateway));
}
