//! What dashboards are built on (interface, section 11; THREATS K13): labels from the policy and closed lists, in a text that
//! Prometheus' own tool finds nothing to mend in.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::harness::*;

/// Every series by name and labels.
fn series(gateway: &Gateway) -> BTreeSet<String> {
    let text = gateway.metrics();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

fn value(gateway: &Gateway, name: &str) -> String {
    let text = gateway.metrics();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{name} is not in {text}")).to_owned()
}

#[test]
fn labels_never_come_from_a_request() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let round = |number: usize| {
        let mut own = claims(&["clerk", &format!("role-{number}")]);
        own["sub"] = format!("sub-{number}").into();
        let token = gateway.token(&own);
        let id = format!("X-Request-Id: id-{number}\r\nUser-Agent: agent-{number}\r\n");
        for (method, path) in [
            ("GET", format!("/api/accounts/path-{number}?query-{number}")),
            ("GET", format!("/nowhere/path-{number}")),
            (&format!("METHOD{number}"), "/api/accounts/1".into()),
            ("DELETE", format!("/api/accounts/path-{number}")),
            ("GET", format!("/api/tariffs/path-{number}")),
        ] {
            gateway.call_as(method, &path, &token, &id, "");
        }
        ask(gateway.port, format!("BROKEN-{number}\r\n\r\n").as_bytes());
    };
    round(0);
    gateway.audit(6);
    let before = series(&gateway);
    (1..10).for_each(round);
    gateway.audit(60);
    assert_eq!(series(&gateway), before);
    let text = gateway.metrics();
    for word in ["path-", "query-", "METHOD", "role-", "sub-", "id-", "agent-", "BROKEN"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

#[test]
fn an_upstream_is_up_or_down() {
    let port = free_port();
    let gateway = Setup {
        backend: port,
        ..Setup::new(&Backend::start())
    }
    .start();
    let up = "tollgate_upstream_up{upstream=\"billing\"}";
    assert_eq!(gateway.get("/api/accounts/1", &["clerk"]).status, 503);
    assert_eq!(value(&gateway, up), "0");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let _backend = Backend::on(listener, |_, stream| {
        stream
            .write_all(answer("200 OK", "application/json", "{}").as_bytes())
            .is_ok()
    });
    assert_eq!(gateway.get("/api/accounts/1", &["clerk"]).status, 200);
    assert_eq!(value(&gateway, up), "1");
}

#[test]
fn connections_are_counted_up_and_down() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let bytes = b"GET /api/accounts/help HTTP/1.1\r\nHost: gw\r\n\r\n";
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(gateway.port)).collect();
    for client in &mut clients {
        assert_eq!(client.send(bytes).status, 200);
    }
    assert_eq!(value(&gateway, "tollgate_connections"), "3");
    drop(clients);
    wait_for("no connection", || value(&gateway, "tollgate_connections") == "0");
}

#[test]
fn promtool_finds_nothing_to_mend() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    gateway.get("/api/accounts/1", &["clerk"]);
    gateway.call(
        "POST",
        "/api/ledger/sync",
        &["finance_admin"],
        "X-Idempotency-Key: k\r\n",
        r#"{"county":"County_A"}"#,
    );
    gateway.audit(2);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test starts promtool: apt-get install prometheus");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(gateway.metrics().as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{text}");
    assert_eq!(text, "");
}
