//! One line for each request, chained, whatever became of it (interface, section 10; S1.11).

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::*;

const LOG: &str = "audit/audit.jsonl";

/// The members of a request's line, in the interface's order.
const MEMBERS: &str = "seq timestamp request_id user_id roles method endpoint module route requested_scope \
    jurisdiction_scope ip_address decision error response_status_code upstream masked_fields duration_us policy_version \
    prev hash";

/// Stops it in order.
fn stop(gateway: &mut Gateway) {
    gateway.signal("TERM");
    assert!(gateway.ended().success());
}

fn verify(folder: &Path, file: &str) -> (i32, String) {
    let (code, out, _) = run(&["audit", "verify", file], folder);
    (code, out)
}

#[track_caller]
fn whole(gateway: &Gateway) {
    let (code, out) = verify(&gateway.path(""), LOG);
    assert_eq!(code, 0, "{out}");
}

fn events(gateway: &Gateway) -> Vec<String> {
    audit_lines(&gateway.path(LOG))
        .iter()
        .filter_map(|line| line["event"].as_str().map(str::to_owned))
        .collect()
}

/// The sum of a counter over its labels.
fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    values
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

#[test]
fn s1_11_each_request_has_one_line_and_one_count() {
    let backend = Backend::script(move |request, stream| {
        if request.target.ends_with("/endless") {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[0";
            let mut going = stream.write_all(head.as_bytes()).is_ok();
            while going {
                going = stream.write_all(",1".repeat(10_000).as_bytes()).is_ok();
            }
            return false;
        }
        stream
            .write_all(answer("200 OK", "application/json", ACCOUNT).as_bytes())
            .is_ok()
    });
    let mut gateway = Setup::new(&backend).start();
    let key = "X-Idempotency-Key: k\r\nContent-Type: application/json\r\n";
    let body = r#"{"county":"County_A"}"#;
    let good = gateway.token(&claims(&["clerk"]));
    type Send<'a> = Box<dyn Fn(&Gateway) -> u16 + 'a>;
    let asked = |method: &'static str,
                 path: &'static str,
                 role: &'static str,
                 headers: &'static str,
                 body: &'static str|
     -> Send<'_> { Box::new(move |gateway| gateway.call(method, path, &[role], headers, body).status) };
    let cases: Vec<(Send<'_>, Value, &str, Value)> = vec![
        (
            asked("GET", "/api/accounts/A1", "clerk", "", ""),
            json!(200),
            "ALLOWED",
            Value::Null,
        ),
        (
            asked("GET", "/api/accounts/help", "clerk", "", ""),
            json!(200),
            "ALLOWED",
            Value::Null,
        ),
        (
            asked("HEAD", "/api/accounts/A1", "clerk", "", ""),
            json!(200),
            "ALLOWED",
            Value::Null,
        ),
        (
            asked("POST", "/api/ledger/sync", "finance_admin", key, body),
            json!(200),
            "ALLOWED",
            Value::Null,
        ),
        (
            asked("POST", "/api/ledger/sync", "finance_admin", key, body),
            json!(409),
            "DENIED_IDEMPOTENCY",
            json!("duplicate_request"),
        ),
        (
            asked("GET", "/api/tariffs", "clerk", "", ""),
            json!(403),
            "DENIED_SCOPE",
            json!("denied_scope"),
        ),
        (
            asked("GET", "/nowhere", "clerk", "", ""),
            json!(404),
            "DENIED_ROUTE",
            json!("no_route"),
        ),
        (
            asked("DELETE", "/api/accounts/A1", "clerk", "", ""),
            json!(405),
            "DENIED_ROUTE",
            json!("method_not_allowed"),
        ),
        (
            asked("GET", "/api/ledger/counties/County_B", "finance_admin", "", ""),
            json!(403),
            "DENIED_JURISDICTION",
            json!("jurisdiction_mismatch"),
        ),
        (
            asked("GET", "/api//accounts", "clerk", "", ""),
            json!(400),
            "DENIED_REQUEST",
            json!("ambiguous_path"),
        ),
        (
            asked("GET", "/api/accounts/A1", "stranger", "", ""),
            json!(401),
            "DENIED_ROLE",
            json!("no_role"),
        ),
        (
            Box::new(|gateway| gateway.call_as("GET", "/api/accounts/A1", "", "", "").status),
            json!(401),
            "DENIED_TOKEN",
            json!("missing_token"),
        ),
        (
            Box::new(|gateway| gateway.call_as("GET", "/api/accounts/A1", "x.y.z", "", "").status),
            json!(401),
            "DENIED_TOKEN",
            json!("invalid_token"),
        ),
        (
            Box::new(|gateway| ask(gateway.port, b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n").status),
            json!(400),
            "DENIED_REQUEST",
            json!("ambiguous_request"),
        ),
        (
            Box::new(|gateway| {
                // Hangs up in the middle of an answer.
                let mut client = Client::open(gateway.port);
                client.write(&request("GET", "/api/accounts/endless", &good, "", ""));
                client.head().status
            }),
            json!(200),
            "ALLOWED",
            json!("client_closed"),
        ),
    ];
    for (at, (send, status, decision, error)) in cases.iter().enumerate() {
        let got = send(&gateway);
        assert_eq!(u64::from(got), status.as_u64().unwrap_or(0), "case {at}");
        let line = gateway.audit(at + 1).pop().unwrap();
        assert_eq!(line["response_status_code"], *status, "case {at}: {line}");
        assert_eq!(
            (line["decision"].as_str().unwrap(), &line["error"]),
            (*decision, error),
            "case {at}: {line}"
        );
    }
    let metrics = gateway.metrics();
    for name in ["tollgate_requests_total", "tollgate_decisions_total"] {
        assert_eq!(sum(&metrics, name), cases.len() as f64, "{name}\n{metrics}");
    }
    stop(&mut gateway);
    assert_eq!(gateway.audit(cases.len()).len(), cases.len());
    whole(&gateway);
    assert_eq!(events(&gateway), ["start", "stop"]);
    checked_by_a_stranger(&fs::read_to_string(gateway.path(LOG)).unwrap());
}

/// The interface's own words, and no code of the program: each hash is that of its line without it.
fn checked_by_a_stranger(text: &str) {
    let mut prev = "0".repeat(64);
    for (at, line) in text.lines().enumerate() {
        let (body, end) = line.split_once(",\"hash\":\"").unwrap();
        let hash = end.strip_suffix("\"}").unwrap();
        let made: String = digest(&SHA256, format!("{body}}}").as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hash, made, "{line}");
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&value["prev"], &value["seq"]),
            (&json!(prev), &json!(at + 1)),
            "{line}"
        );
        prev = made;
        if value.get("event").is_none() {
            let mut from = 0;
            for name in MEMBERS.split_whitespace() {
                let member = format!("\"{name}\":");
                let at = line[from..]
                    .find(&member)
                    .unwrap_or_else(|| panic!("{name} is not in its place: {line}"));
                from += at + member.len();
            }
        }
    }
}

#[test]
fn a_line_says_who_did_what_where() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let answer = gateway.call(
        "GET",
        "/api/accounts/A%201?secret=CANARY-7f3a",
        &["clerk"],
        "X-Request-Id: r.1\r\n",
        "",
    );
    assert_eq!(answer.status, 200);
    let line = &gateway.audit(1)[0];
    for (member, value) in [
        ("request_id", json!("r.1")),
        ("user_id", json!("u1")),
        ("roles", json!(["clerk"])),
        ("method", json!("GET")),
        ("endpoint", json!("/api/accounts/A 1")),
        ("module", json!("accounts")),
        ("requested_scope", json!("accounts:read")),
        ("jurisdiction_scope", json!(["County_A"])),
        ("ip_address", json!("127.0.0.1")),
        ("upstream", json!("billing")),
        ("masked_fields", json!({ "pii": 2, "subsidy": 2 })),
    ] {
        assert_eq!(line[member], value, "{member}: {line}");
    }
    assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(line["duration_us"].as_u64().is_some());
}

#[test]
fn s1_11_what_was_done_to_a_log_is_found_at_its_line() {
    let backend = Backend::start();
    let mut gateway = Setup::new(&backend).start();
    for _ in 0..4 {
        gateway.get("/api/accounts/A1", &["clerk"]);
    }
    stop(&mut gateway);
    whole(&gateway);
    let text = fs::read_to_string(gateway.path(LOG)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 6, "start, four requests, stop");
    let edited = lines[2].replace("ALLOWED", "DENIED_");
    let cases: [(&str, Vec<&str>, usize); 7] = [
        ("edited", vec![lines[0], lines[1], &edited, lines[3]], 3),
        ("removed", vec![lines[0], lines[2], lines[3]], 2),
        ("its head removed", lines[1..].to_vec(), 1),
        ("swapped", vec![lines[0], lines[2], lines[1], lines[3]], 2),
        ("inserted", vec![lines[0], lines[1], "{\"seq\":3}\n", lines[2]], 3),
        ("doubled", vec![lines[0], lines[1], lines[1], lines[2]], 3),
        ("torn", vec![lines[0], lines[1], &lines[2][..40]], 3),
    ];
    for (name, lines, line) in cases {
        write(&gateway.path(""), "copy.jsonl", &lines.concat());
        let (code, out) = verify(&gateway.path(""), "copy.jsonl");
        assert_eq!(code, 1, "{name}: {out}");
        assert!(out.contains(&format!("copy.jsonl:{line}:")), "{name}: {out}");
    }
}

#[test]
fn without_a_line_nothing_is_asked() {
    let backend = Backend::start();
    let gateway = Setup {
        audit: Some("/dev/full".into()),
        ..Setup::new(&backend)
    }
    .start();
    // The line of the start is the first that cannot be written.
    wait_for("the fault to be seen", || gateway.admin("GET", "/readyz").status == 503);
    let reasons = gateway.admin("GET", "/readyz").json()["reasons"].to_string();
    assert!(reasons.contains("audit"), "{reasons}");
    for answer in [
        gateway.get("/api/accounts/A1", &["clerk"]),
        gateway.get("/api/accounts/help", &[]),
        gateway.get("/nowhere", &["clerk"]),
        gateway.call(
            "POST",
            "/api/ledger/sync",
            &["finance_admin"],
            "X-Idempotency-Key: k\r\n",
            r#"{"county":"County_A"}"#,
        ),
    ] {
        assert_eq!((answer.status, answer.error()), (503, "audit_unavailable".into()));
        assert!(answer.field("retry-after").is_some());
    }
    assert_eq!(backend.count(), 0);
    assert_eq!(gateway.admin("GET", "/livez").status, 200);
    let metrics = gateway.metrics();
    assert_eq!(sum(&metrics, "tollgate_requests_total"), 4.0, "{metrics}");
}

#[test]
fn a_torn_tail_is_cut_off_at_the_next_start() {
    let backend = Backend::start();
    let mut gateway = Setup::new(&backend).start();
    gateway.get("/api/accounts/A1", &["clerk"]);
    gateway.audit(1);
    gateway.kill();
    let path = gateway.path(LOG);
    let good = fs::read(&path).unwrap();
    let torn = &good[..90];
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(torn)
        .unwrap();
    let (code, out) = verify(&gateway.path(""), LOG);
    assert_eq!(code, 1);
    assert!(out.contains("torn"), "{out}");
    gateway.launch();
    gateway.get("/api/accounts/A1", &["clerk"]);
    gateway.audit(2);
    stop(&mut gateway);
    whole(&gateway);
    assert!(fs::read(&path).unwrap().starts_with(&good), "what was whole stays");
    assert_eq!(events(&gateway), ["start", "audit_recovered", "start", "stop"]);
    let lines = audit_lines(&path);
    let recovered = lines.iter().find(|line| line["event"] == "audit_recovered").unwrap();
    assert_eq!(recovered["cut_bytes"], "90");
    checked_by_a_stranger(&fs::read_to_string(&path).unwrap());
}

#[test]
fn a_log_that_was_tampered_with_at_its_end_is_not_continued() {
    let backend = Backend::start();
    let mut gateway = Setup::new(&backend).start();
    stop(&mut gateway);
    let path = gateway.path(LOG);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"stop\"", "\"halt\"")).unwrap();
    let (code, said) = serve(&gateway, "tollgate.yaml");
    assert_ne!(code, 0);
    assert!(said.contains("edited") && said.contains("audit.jsonl"), "{said}");
}

/// Starts the program where it must refuse to: its status and what it says.
fn serve(gateway: &Gateway, config: &str) -> (i32, String) {
    let output = Command::new(PROGRAM)
        .args(["serve", "--config", config])
        .current_dir(gateway.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn two_gateways_do_not_write_one_log() {
    let backend = Backend::start();
    let mut gateway = Setup::new(&backend).start();
    let config = fs::read_to_string(gateway.path("tollgate.yaml")).unwrap();
    let config = config
        .replace(&format!(":{}\n", gateway.port), &format!(":{}\n", free_port()))
        .replace(&format!(":{} }}", gateway.admin), &format!(":{} }}", free_port()))
        .replace("state: state/", "state: other/");
    write(&gateway.path(""), "second.yaml", &config);
    let (code, said) = serve(&gateway, "second.yaml");
    assert!(code > 0, "{code}");
    assert!(
        said.contains("audit.jsonl") && said.contains("in use by another gateway"),
        "{said}"
    );
    assert_eq!(
        gateway.get("/api/accounts/A1", &["clerk"]).status,
        200,
        "the first goes on"
    );
    gateway.audit(1);
    stop(&mut gateway);
    whole(&gateway);
}

#[test]
fn hostile_text_stays_in_its_line() {
    let backend = Backend::start();
    let mut gateway = Setup::new(&backend).start();
    let users = ["\"},{\"decision\":\"ALLOWED\"", "a\\", "\u{202e}x", "😀", "</script>"];
    for (at, user) in users.iter().enumerate() {
        let mut own = claims(&["clerk"]);
        own["sub"] = (*user).into();
        let answer = gateway.call_as(
            "GET",
            "/api/accounts/%E2%80%AE%F0%9F%98%80",
            &gateway.token(&own),
            "",
            "",
        );
        assert_eq!(answer.status, 200, "{user:?}");
        let line = gateway.audit(at + 1).pop().unwrap();
        assert_eq!(line["user_id"], *user);
        assert_eq!(line["endpoint"], "/api/accounts/\u{202e}😀");
    }
    // What does not come as far as a line's members.
    for head in [
        "GET /\u{1b}[31m HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \u{1b}[31m\r\n\r\n",
    ] {
        assert_eq!(ask(gateway.port, head.as_bytes()).status, 400);
    }
    stop(&mut gateway);
    let text = fs::read(gateway.path(LOG)).unwrap();
    assert!(
        text.iter().all(|byte| (0x20..0x7f).contains(byte) || *byte == b'\n'),
        "plain ASCII"
    );
    whole(&gateway);
}

#[test]
fn lines_wait_for_the_disk_as_they_are_told() {
    let backend = Backend::start();
    for sync in ["writes", "all", "none"] {
        let mut gateway = Setup {
            sync,
            ..Setup::new(&backend)
        }
        .start();
        for (number, method, path, role, waits) in [
            (0, "POST", "/portal/assignments", "dispatcher", sync != "none"),
            (1, "GET", "/api/accounts/1", "clerk", sync == "all"),
            (2, "GET", "/nowhere", "clerk", sync == "all"),
        ] {
            let id = format!("X-Request-Id: r{number}\r\n");
            gateway.call(method, path, &[role], &id, "");
            let lines = audit_lines(&gateway.path(LOG));
            let there = lines.iter().any(|line| line["request_id"] == format!("r{number}"));
            assert!(
                there || !waits,
                "{sync}: {method} {path} was answered before its line was in the file"
            );
        }
        stop(&mut gateway);
        gateway.audit(3);
        whole(&gateway);
    }
}

#[test]
fn many_clients_make_one_chain() {
    const CLIENTS: usize = 8;
    const EACH: usize = 40;
    let backend = Backend::json("{}");
    let mut gateway = Setup::new(&backend).start();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let gateway = &gateway;
            scope.spawn(move || {
                for number in 0..EACH {
                    let id = format!("X-Request-Id: c{client}-{number}\r\n");
                    let (method, path) = [("GET", "/portal/schedule"), ("POST", "/portal/assignments")][number % 2];
                    assert_eq!(gateway.call(method, path, &["dispatcher"], &id, "").status, 200);
                }
            });
        }
    });
    stop(&mut gateway);
    whole(&gateway);
    let lines = gateway.audit(CLIENTS * EACH);
    let ids: std::collections::BTreeSet<String> = lines.iter().map(|line| line["request_id"].to_string()).collect();
    assert_eq!(ids.len(), CLIENTS * EACH);
    checked_by_a_stranger(&fs::read_to_string(gateway.path(LOG)).unwrap());
}

#[test]
fn a_log_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for name in [LOG, "state"] {
        let mode = fs::metadata(gateway.path(name)).unwrap().permissions().mode() & 0o777;
        assert!(mode & 0o006 == 0, "{name} has {mode:o}");
    }
}
