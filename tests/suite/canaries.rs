//! What is secret stays secret (THREATS K10): planted in all that goes through the gateway, and then looked for in all that
//! it says: log (at its most talkative), audit, metrics, admin answers, answers to those who may not see it.

use super::harness::*;

/// Something that a client sends in a header, in a query, in a body, and as a token that is none.
const SENT: [&str; 4] = [
    "PLANTED-HEADER-1",
    "PLANTED-QUERY-2",
    "PLANTED-BODY-3",
    "PLANTED-TOKEN-4",
];

#[test]
fn nothing_planted_is_said_anywhere() {
    let [header, query, body, token] = SENT;
    let backend = Backend::start();
    let mut setup = Setup::new(&backend);
    setup.log = "info,tollgate=trace";
    let gateway = setup.start();
    let good = gateway.token(&claims(&["finance_admin", "billing_analyst"]));
    let mut told = Vec::new();
    let fields = format!("X-Note: {header}\r\nCookie: session={header}\r\n");
    let bad = format!("a.{token}.c");
    let write = format!(r#"{{"county":"County_A","ssn":"{body}"}}"#);
    let elsewhere = format!(r#"{{"county":"County_B","ssn":"{body}"}}"#);
    for round in 0..3 {
        let key = format!("X-Idempotency-Key: key-{round}\r\n{fields}");
        for (method, path, token, fields, body) in [
            ("GET", format!("/api/accounts/A1?q={query}"), &*good, &*fields, ""),
            ("GET", format!("/api/accounts/A1?q={query}"), &bad, &fields, ""),
            ("GET", format!("/api/accounts/A1?q={query}"), "", &fields, ""),
            ("GET", format!("/api/accounts/%2e%2e/x?q={query}"), &good, &fields, ""),
            ("GET", format!("/api/nowhere?q={query}"), &good, &fields, ""),
            ("BREW", format!("/api/accounts/A1?q={query}"), &good, &fields, ""),
            ("POST", format!("/api/ledger/sync?q={query}"), &good, &key, &write),
            ("POST", format!("/api/ledger/sync?q={query}"), &good, &key, &write),
            (
                "POST",
                format!("/api/ledger/sync?q={query}"),
                &good,
                &key,
                &format!("{write} "),
            ),
            ("POST", format!("/api/ledger/sync?q={query}"), &good, &key, &elsewhere),
            ("POST", format!("/api/ledger/sync?q={query}"), &good, &key, body),
            (
                "POST",
                format!("/api/ledger/sync?dry_run=maybe&q={query}"),
                &good,
                &key,
                &write,
            ),
        ] {
            told.push(gateway.call_as(method, &path, token, fields, body).text());
        }
        // Heads that cannot be read, and a body that breaks off.
        told.push(raw(
            gateway.port,
            format!("GET /{query} HTTP/1.1\r\n{header} x: y\r\n\r\n").as_bytes(),
        ));
        told.push(raw(gateway.port, format!("{token}\r\n\r\n").as_bytes()));
        let broken = format!("Transfer-Encoding: chunked\r\n{fields}");
        let mut request = request("POST", "/api/ledger/sync", &good, &broken, "");
        request.extend(format!("zz\r\n{body}\r\n").bytes());
        told.push(raw(gateway.port, &request));
        // A policy that does not load, and the good one again.
        write_policy(&gateway, &format!("{POLICY}\n  # {header}\nnonsense: {header}\n"));
        told.push(gateway.admin("POST", "/-/reload").text().replace(header, ""));
        write_policy(&gateway, POLICY);
        told.push(gateway.admin("POST", "/-/reload").text());
    }
    for path in ["/metrics", "/-/policy", "/readyz", "/-/idempotency"] {
        told.push(gateway.admin("GET", path).text());
    }
    wait_for("the log to tell", || gateway.log().lines().count() > 3);
    let audit = std::fs::read_to_string(gateway.path("audit/audit.jsonl")).unwrap();
    assert!(audit.lines().count() > 36, "{audit}");
    // What a policy says is in its own faults, whose text an operator has written.
    let log: String = gateway
        .log()
        .lines()
        .filter(|line| !line.contains("nonsense"))
        .collect();
    let (private, _) = key_pair();
    let key: Vec<&str> = private.lines().filter(|line| !line.starts_with('-')).collect();
    let secrets = SENT.into_iter().chain(key).chain([&*good, CANARY]);
    for secret in secrets {
        for (place, text) in [("log", &log), ("audit", &audit), ("answers", &told.join("\n"))] {
            assert!(!text.contains(secret), "{secret} is in the {place}: {text}");
        }
    }
}

fn write_policy(gateway: &Gateway, text: &str) {
    write(gateway.path("").as_path(), "policy/policy.yaml", text);
}
