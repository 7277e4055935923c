//! The desk as operators meet it, on a store and an audit log in a folder.

use super::*;
use crate::audit::verify::verify;
use crate::edge::journal::Target;
use crate::edge::store::Claim;
use crate::ledger::{Fingerprint, IdempotencyKey, MAX_TRANSACTION_ID, Owner};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn desk(folder: &Path) -> (Desk, Journal) {
    let (journal, _) = Journal::open(Target::File(folder.join("audit.jsonl"))).unwrap();
    let store = Store::open(&folder.join("state")).unwrap();
    (Desk::new(store, Some(journal.clone())), journal)
}

fn ask(desk: &Desk, method: &Method, target: &str, body: &str) -> (u16, Value) {
    let who = Who {
        via: "admin",
        from: "127.0.0.1:4711".into(),
    };
    let told = wait(desk.answer(Asked {
        method,
        target: &format!("{PATH}{target}"),
        body: body.as_bytes(),
        who: &who,
    }));
    (told.status.as_u16(), told.body)
}

fn get(desk: &Desk, target: &str) -> (u16, Value) {
    ask(desk, &Method::GET, target, "")
}

fn settle(desk: &Desk, key: &str, body: &str) -> (u16, Value) {
    ask(desk, &Method::POST, &format!("/{}/settle", encode(key)), body)
}

#[derive(Clone, Copy, PartialEq)]
enum Became {
    Unknown,
    Done,
    Running,
}

/// Uses a key as a user; gives the record's name.
fn used(desk: &Desk, user: &str, key: &str, became: Became) -> String {
    let mut headers = http::HeaderMap::new();
    headers.insert("idempotency-key", key.parse().unwrap());
    let key = IdempotencyKey::parse(&headers).unwrap().unwrap();
    let name = RecordKey::new("i", user, "ledger", "/api/ledger/sync", &key);
    let owner = Arc::new(Owner::new("i", user, "ledger", "/api/ledger/sync", &key));
    let keep = Duration::from_secs(1000);
    let claim = desk
        .store
        .reserve(name, Some(owner), Fingerprint::from_bytes([1; 32]), keep, unix_now());
    let Claim::Granted(reservation) = wait(claim).unwrap() else {
        panic!("not granted");
    };
    match became {
        Became::Unknown => wait(reservation.unknown(unix_now())).unwrap(),
        Became::Done => wait(reservation.complete(201, Some("T-1".into()), unix_now())).unwrap(),
        Became::Running => std::mem::forget(reservation),
    }
    name.to_string()
}

#[test]
fn a_word_is_about_what_the_operator_saw_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, journal) = desk(folder.path());
    let key: RecordKey = used(&desk, "u1", "k", Became::Unknown).parse().unwrap();
    let seen = wait(desk.store.show(key)).unwrap().unwrap();
    // Somebody else, at another gateway, says that it is free; it is sent again, and is unknown again.
    assert_eq!(settle(&desk, "k", r#"{"as":"free"}"#).0, 200);
    let fingerprint = Fingerprint::from_bytes([2; 32]);
    let claim = wait(
        desk.store
            .reserve(key, None, fingerprint, Duration::from_secs(1000), unix_now()),
    );
    let Ok(Claim::Granted(reservation)) = claim else {
        panic!("{claim:?}");
    };
    wait(reservation.unknown(unix_now())).unwrap();
    let who = Who {
        via: "admin",
        from: "127.0.0.1:4711".into(),
    };
    let Ok(Question::Settle(_, word)) = Question::read(&Method::POST, &format!("{PATH}/k/settle"), br#"{"as":"done"}"#)
    else {
        panic!("not read");
    };
    let told = wait(desk.record_and_rule(&journal, key, &seen, &word, &who)).unwrap_err();
    assert_eq!(
        (told.status, &told.body["error"]),
        (StatusCode::CONFLICT, &json!("changed_meanwhile"))
    );
    let stands = wait(desk.store.show(key)).unwrap().unwrap();
    assert_eq!((Kind::of(&stands), stands.fingerprint), (Kind::Unknown, fingerprint));
}

#[test]
fn a_record_tells_whose_it_is_and_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, _journal) = desk(folder.path());
    let odd = "a/b?c%2F\"settle";
    let unknown = used(&desk, "u1", odd, Became::Unknown);
    let running = used(&desk, "u1", "k2", Became::Running);
    used(&desk, "u2", "k3", Became::Done);
    let (status, shown) = get(&desk, &format!("/{}", encode(odd)));
    assert_eq!(status, 200);
    assert_eq!(get(&desk, &format!("/{unknown}")), (200, shown.clone()));
    for (name, value) in [
        ("record", json!(unknown)),
        ("state", json!("unknown")),
        ("issuer", json!("i")),
        ("user", json!("u1")),
        ("module", json!("ledger")),
        ("route", json!("/api/ledger/sync")),
        ("key", json!(odd)),
        ("keep_seconds", json!(1000)),
    ] {
        assert_eq!(shown[name], value, "{shown}");
    }
    let (_, done) = get(&desk, "/k3");
    assert_eq!(
        (&done["state"], &done["original_status"], &done["transaction_id"]),
        (&json!("done"), &json!(201), &json!("T-1"))
    );
    let names = |query: &str| -> Vec<String> {
        let (status, page) = get(&desk, query);
        assert_eq!((status, &page["next"]), (200, &Value::Null), "{page}");
        let records = page["records"].as_array().unwrap().iter();
        records
            .map(|record| record["record"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut both = vec![unknown.clone(), running.clone()];
    both.sort();
    assert_eq!(names(""), both);
    assert_eq!(names("?state=unknown"), std::slice::from_ref(&unknown));
    assert_eq!(names("?state=in_progress"), [running]);
    assert_eq!(names("?state=done").len(), 1);
    assert_eq!(names(&format!("?state=unknown&after={unknown}")).len(), 0);
}

#[test]
fn only_what_is_unknown_is_settled_and_each_word_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, journal) = desk(folder.path());
    let first = used(&desk, "u1", "k1", Became::Unknown);
    used(&desk, "u1", "k2", Became::Unknown);
    used(&desk, "u1", "k3", Became::Running);
    used(&desk, "u1", "k4", Became::Done);
    let word = r#"{"as":"done","transaction_id":"T-9","reason":"seen in the ledger","operator":"maria"}"#;
    let (status, told) = settle(&desk, "k1", word);
    assert_eq!((status, &told["settled"]), (200, &json!("done")));
    assert_eq!(told["record"]["transaction_id"], "T-9");
    assert_eq!(told["record"]["original_status"], Value::Null);
    let (status, told) = settle(&desk, "k2", r#"{"as":"free"}"#);
    assert_eq!(
        (status, &told["settled"], &told["record"]),
        (200, &json!("free"), &Value::Null)
    );
    for (key, status, error) in [
        ("k1", 409, "already_done"),
        ("k2", 404, "not_found"),
        ("k3", 409, "in_progress"),
        ("k4", 409, "already_done"),
        ("k5", 404, "not_found"),
    ] {
        let (got, told) = settle(&desk, key, r#"{"as":"free"}"#);
        assert_eq!((got, &told["error"]), (status, &json!(error)), "{key}");
    }
    assert_eq!(desk.store.stats().unknown, 0);
    journal.close();
    let path = folder.path().join("audit.jsonl");
    assert!(verify(std::slice::from_ref(&path)).unwrap().is_whole());
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (name, value) in [
        ("event", "idempotency_settled"),
        ("record", &*first),
        ("as", "done"),
        ("via", "admin"),
        ("from", "127.0.0.1:4711"),
        ("of_user", "u1"),
        ("module", "ledger"),
        ("route", "/api/ledger/sync"),
        ("transaction_id", "T-9"),
        ("operator", "maria"),
        ("reason", "seen in the ledger"),
    ] {
        assert_eq!(lines[0][name], value, "{text}");
    }
    assert_eq!((&lines[1]["as"], lines[1].get("reason")), (&json!("free"), None));
}

#[test]
fn a_key_of_several_users_is_named_by_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, _journal) = desk(folder.path());
    let names: Vec<String> = (0..=MAX_CANDIDATES)
        .map(|user| {
            let name = used(&desk, &format!("u{user}"), "k", Became::Unknown);
            if user > 0 {
                let (status, told) = settle(&desk, "k", r#"{"as":"free"}"#);
                assert_eq!((status, &told["error"]), (409, &json!("ambiguous_key")));
                let shown = told["candidates"].as_array().unwrap().len();
                assert_eq!(shown, (user + 1).min(MAX_CANDIDATES));
                let more = told["detail"].as_str().unwrap().contains("more than");
                assert_eq!(more, user == MAX_CANDIDATES, "{told}");
            }
            name
        })
        .collect();
    assert_eq!(settle(&desk, &names[3], r#"{"as":"free"}"#).0, 200);
    assert_eq!(usize::try_from(desk.store.stats().unknown), Ok(MAX_CANDIDATES));
}

#[test]
fn what_cannot_be_recorded_is_not_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(Target::File("/dev/full".into())).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let full = Desk::new(store.clone(), Some(journal));
    used(&full, "u1", "k", Became::Unknown);
    for desk in [full, Desk::new(store.clone(), None)] {
        let (status, told) = settle(&desk, "k", r#"{"as":"free"}"#);
        assert_eq!((status, &told["error"]), (503, &json!("audit_unavailable")), "{told}");
        assert_eq!(store.stats().unknown, 1);
    }
}

#[test]
fn what_is_misspelt_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, _journal) = desk(folder.path());
    used(&desk, "u1", "k", Became::Unknown);
    for (target, status) in [
        ("?state=lost", 400),
        ("?stat=unknown", 400),
        ("?after=k", 400),
        ("?after", 400),
        ("/", 404),
        ("/k/", 404),
        ("/k/settled", 404),
        ("/%zz", 400),
        ("/%6", 400),
        ("/%20", 400),
        ("/%ff", 400),
        ("/k/settle", 405),
    ] {
        assert_eq!(get(&desk, target).0, status, "{target}");
    }
    assert_eq!(ask(&desk, &Method::POST, "", "").0, 405);
    assert_eq!(ask(&desk, &Method::DELETE, "/k", "").0, 405);
    let text = |length: usize| "x".repeat(length);
    for (body, status) in [
        (String::new(), 400),
        ("{}".into(), 400),
        (r#"{"as":"lost"}"#.into(), 400),
        (r#"{"as":"free","reson":"x"}"#.into(), 400),
        (r#"{"as":"free","transaction_id":"T"}"#.into(), 400),
        (r#"{"as":"done","transaction_id":""}"#.into(), 400),
        (r#"{"as":"done","transaction_id":"a\r\nb"}"#.into(), 400),
        (
            format!(r#"{{"as":"done","transaction_id":"{}"}}"#, text(MAX_TRANSACTION_ID + 1)),
            400,
        ),
        (format!(r#"{{"as":"done","reason":"{}"}}"#, text(MAX_REASON + 1)), 400),
        (
            format!(r#"{{"as":"done","operator":"{}"}}"#, text(MAX_OPERATOR + 1)),
            400,
        ),
        (
            format!(
                r#"{{"as":"done","transaction_id":"{}","reason":"{}","operator":"{}"}}"#,
                text(MAX_TRANSACTION_ID),
                text(MAX_REASON),
                text(MAX_OPERATOR)
            ),
            200,
        ),
    ] {
        assert_eq!(settle(&desk, "k", &body).0, status, "{body}");
    }
}
