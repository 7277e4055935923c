//! Rows of an answer (S3.4, S3.5, S1.3): each caller gets those that they may see, and no trace of the others.

use serde_json::{Value, json};
use std::io::Write;

use super::conditions::{FLEET_IDENTITY, municipal_identity, shipped};
use super::harness::*;

/// Bytes that an answer may have before it flows.
const HOLD: usize = 64 * 1024;

/// The suite's policy, whose schedule is filtered.
fn filtered() -> String {
    let policy = POLICY.replace(
        "- { path: /schedule, methods: [GET], scope: view_schedule }",
        "- { path: /schedule, methods: [GET], scope: view_schedule, rows: { at: /rows, when: 'row.driver_id == \
         caller.user' } }\n      - { path: /open, methods: [GET], public: true, rows: { at: \"\", when: 'row.line == \
         query.line' } }",
    );
    assert_ne!(policy, POLICY);
    policy
}

/// Claims of a driver of the suite's policy.
fn driver(user: &str) -> Value {
    let mut own = claims(&["driver"]);
    own["sub"] = json!(user);
    own
}

fn schedule(gateway: &Gateway, user: &str, headers: &str) -> Answer {
    gateway.call_as("GET", "/portal/schedule", &gateway.token(&driver(user)), headers, "")
}

#[test]
fn s3_4_s3_5_a_driver_gets_rows_of_their_own_from_the_list_of_all() {
    let body = concat!(
        "{\"at\": 1.50, \"deliveries\": [\n",
        "  {\"driver_id\": \"d2\", \"stop\": \"CANARY-7f3a\"},\n",
        "  {\"driver_id\": \"d1\", \"stop\": \"\\/a]},{\", \"bankAccount\": \"CANARY-7f3a\", \"n\": 1.0},\n",
        "  {\"driver_id\": \"D1\", \"stop\": \"CANARY-7f3a\"},\n",
        "  {\"driver_id\": [\"d1\"], \"stop\": \"CANARY-7f3a\"},\n",
        "  {\"driver_id\": \"d1\", \"driverId\": \"d2\", \"stop\": \"CANARY-7f3a\"},\n",
        "  {\"driver_id\": \"d2\", \"driver_id\": \"d1\", \"stop\": \"CANARY-7f3a\"},\n",
        "  {\"stop\": \"CANARY-7f3a\"}, null, \"d1\",\n",
        "  {\"\\u0064river_id\": \"d1\"}\n",
        "]}\n"
    );
    let backend = Backend::json(body);
    let gateway = shipped("fleet", FLEET_IDENTITY, &backend);
    let get = |user: &str, role: &str| {
        let own = json!({"iss": ISSUER, "aud": "billing-api", "sub": user, "role": role});
        let answer = gateway.call_as("GET", "/portal/deliveries", &gateway.token(&own), "", "");
        assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
        answer.text()
    };
    assert_eq!(
        get("d1", "driver"),
        concat!(
            "{\"at\": 1.50, \"deliveries\": [\n",
            "  {\"driver_id\": \"d1\", \"stop\": \"\\/a]},{\", \"bankAccount\": \"[REDACTED]\", \"n\": 1.0},\n",
            "  {\"\\u0064river_id\": \"d1\"}\n",
            "]}\n"
        )
    );
    assert_eq!(get("d9", "driver"), "{\"at\": 1.50, \"deliveries\": [\n]}\n");
    // Whoever manages assignments gets the whole list, without what people earn; a manager all of it. What has two readings
    // is nobody's.
    let body = body.replace(
        "  {\"driver_id\": \"d2\", \"driver_id\": \"d1\", \"stop\": \"CANARY-7f3a\"},\n",
        "",
    );
    let masked = body.replacen("\"bankAccount\": \"CANARY-7f3a\"", "\"bankAccount\": \"[REDACTED]\"", 1);
    assert_eq!(get("m1", "dispatcher"), masked);
    assert_eq!(get("m2", "manager"), body);

    let lines = gateway.audit(4);
    assert_eq!(lines[0]["masked_fields"], json!({"pay": 1, "(rows)": 8}));
    assert_eq!(lines[1]["masked_fields"], json!({"(rows)": 10}));
    assert_eq!(lines[2]["masked_fields"], json!({"pay": 1, "(rows)": 1}));
    assert_eq!(lines[3]["masked_fields"], json!({"(rows)": 1}));
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("tollgate_rows_dropped_total{module=\"portal\"} 20"),
        "{metrics}"
    );
}

#[test]
fn s1_3_an_auditor_gets_the_tiers_of_their_customer_class() {
    let body = r#"{"tiers":[{"customer_class":"residential","rate":1.10},{"customer_class":"commercial","rate":2.20},{"rate":3}]}"#;
    let backend = Backend::json(body);
    let gateway = shipped("municipal", municipal_identity(), &backend);
    for (role, expected) in [
        (
            "commercial_rate_auditor",
            r#"{"tiers":[{"customer_class":"commercial","rate":2.20}]}"#,
        ),
        (
            "residential_rate_auditor",
            r#"{"tiers":[{"customer_class":"residential","rate":1.10}]}"#,
        ),
    ] {
        let answer = gateway.get("/api/tiers", &[role]);
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{role}");
    }
    let both = gateway.get(
        "/api/tiers?x=1",
        &["commercial_rate_auditor", "residential_rate_auditor"],
    );
    assert_eq!(both.text(), body.replace(r#",{"rate":3}"#, ""));
}

#[test]
fn what_is_not_where_the_rows_should_be_does_not_leave() {
    let (ok, json_type) = ("200 OK", "application/json");
    let long = format!(
        r#"{{"rows":[{{"driver_id":"u1","pad":"{}CANARY-7f3a"}}]}}"#,
        "x".repeat(1 << 20)
    );
    for (status, kind, body, expected) in [
        (ok, json_type, r#"{"rows":{"driver_id":"u1","x":"CANARY-7f3a"}}"#, None),
        (ok, json_type, r#"{"rows":"CANARY-7f3a"}"#, None),
        (ok, json_type, r#"[{"driver_id":"u1","x":"CANARY-7f3a"}]"#, None),
        (
            ok,
            json_type,
            r#"{"rows":[{"driver_id":"u1"},{"driver_id":"u1","x":"CANARY-7f3a"]"#,
            None,
        ),
        (
            ok,
            json_type,
            r#"{"rows":[{"driver_id":"u1"},{"driver_id":"u1","x":"CANARY-7f3a""#,
            None,
        ),
        (ok, json_type, &long, None),
        // Although the module lets it pass.
        (ok, "text/plain", "CANARY-7f3a", None),
        (ok, "text/csv", "CANARY-7f3a", None),
        ("500 Internal Server Error", "text/html", "CANARY-7f3a", None),
        ("206 Partial Content", json_type, r#"{"rows":[]}"#, None),
        // An error has no rows, or fewer.
        (
            "404 Not Found",
            json_type,
            r#"{"error":"none"}"#,
            Some(r#"{"error":"none"}"#),
        ),
        (
            "409 Conflict",
            "application/problem+json",
            r#"{"rows":[{"driver_id":"u2"},{"driver_id":"u1"}]}"#,
            Some(r#"{"rows":[{"driver_id":"u1"}]}"#),
        ),
        (ok, json_type, r#"{"rows":null}"#, Some(r#"{"rows":null}"#)),
        (
            ok,
            "application/x-ndjson",
            "{\"rows\":[1]}\n{\"rows\":[{\"driver_id\":\"u1\"}]}\n",
            Some("{\"rows\":[]}\n{\"rows\":[{\"driver_id\":\"u1\"}]}\n"),
        ),
    ] {
        let backend = Backend::bytes(answer(status, kind, body));
        let gateway = Setup::new(&backend).policy(&filtered()).start();
        let got = schedule(&gateway, "u1", "");
        match expected {
            Some(text) => {
                assert_eq!(got.text(), text);
                assert!(status.starts_with(&got.status.to_string()), "{body}");
            }
            None => {
                assert_eq!(
                    (got.status, got.error().as_str()),
                    (502, "unmaskable_response"),
                    "{status} {kind}"
                );
                assert!(!got.text().contains(CANARY));
                assert_eq!(gateway.audit(1)[0]["error"], "unmaskable_response");
            }
        }
    }
}

/// Pieces of a list of rows, every third of which is `u1`'s.
fn pieces(rows: usize) -> Vec<String> {
    let mut pieces = vec![r#"{"rows":["#.to_owned()];
    for at in 0..rows {
        let (user, note) = if at % 3 == 0 { ("u1", "mine") } else { ("u2", CANARY) };
        let comma = if at == 0 { "" } else { ", " };
        let pad = "]},{".repeat(250);
        pieces.push(format!(
            r#"{comma}{{"at":{at},"note":"{note}","pad":"{pad}","driver_id":"{user}"}}"#
        ));
    }
    pieces
}

/// A backend that sends them as chunks, each cut in two, and closes the connection if they do not end.
fn sending(pieces: Vec<String>, ends: bool) -> Backend {
    Backend::script(move |_, stream| {
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut going = stream.write_all(head.as_bytes()).is_ok();
        for piece in &pieces {
            let (one, other) = piece.split_at(piece.len() / 2);
            for part in [one, other] {
                going = going && stream.write_all(chunk(part).as_bytes()).is_ok();
            }
        }
        going && ends && stream.write_all(b"0\r\n\r\n").is_ok()
    })
}

#[test]
fn a_long_list_flows_row_by_row() {
    const ROWS: usize = 30_000;
    let mut all = pieces(ROWS);
    all.push(r#"],"end":1.0}"#.into());
    let mut expected = all[0].clone() + &all[1];
    for mine in all[1..=ROWS].iter().step_by(3).skip(1) {
        expected.push_str(mine);
    }
    expected.push_str(r#"],"end":1.0}"#);
    assert!(expected.len() > 100 * HOLD);
    let backend = sending(all, true);
    let gateway = Setup::new(&backend).policy(&filtered()).start();
    let answer = schedule(&gateway, "u1", "");
    assert_eq!((answer.status, answer.whole), (200, true));
    assert!(
        answer.text() == expected,
        "{} bytes of {}",
        answer.body.len(),
        expected.len()
    );
    assert_eq!(gateway.audit(1)[0]["masked_fields"], json!({"(rows)": ROWS / 3 * 2}));
    // To whom nothing belongs, nothing goes, however long it takes.
    let nobody = schedule(&gateway, "u3", "");
    assert_eq!(
        (nobody.text().as_str(), nobody.whole),
        (r#"{"rows":[],"end":1.0}"#, true)
    );
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 40 * 1024, "{peak} KiB");
}

#[test]
fn a_list_that_breaks_off_is_cut_before_the_row_that_is_not_whole() {
    let half = r#", {"at":301,"note":"CANARY-7f3a","driver_id":"u1""#;
    let fault = r#", {"at":301,"note":"CANARY-7f3a","driver_id":"u1",}]}"#;
    let object = r#"],"ROWS":{"note":"CANARY-7f3a"}}"#;
    for (last, ends, reason) in [
        (half, false, "upstream_broken"),
        (half, true, "unmaskable_response"),
        (fault, true, "unmaskable_response"),
        (object, true, "unmaskable_response"),
    ] {
        let mut all = pieces(300);
        all.push(last.into());
        let backend = sending(all, ends);
        let gateway = Setup::new(&backend).policy(&filtered()).start();
        let answer = schedule(&gateway, "u1", "");
        assert_eq!((answer.status, answer.whole), (200, false), "{last}");
        let text = answer.text();
        assert!(text.len() > HOLD && !text.contains(CANARY), "{last}");
        // What came in one piece with the fault is not sent either.
        assert!(last == object || text.ends_with("\"driver_id\":\"u1\"}"), "{last}");
        let line = &gateway.audit(1)[0];
        assert_eq!(line["error"], reason, "{last}");
        assert_eq!(line["masked_fields"], json!({"(rows)": 200}), "{last}");
    }
}

#[test]
fn no_answer_is_taken_for_another_users() {
    let body = r#"{"rows":[{"driver_id":"u1"},{"driver_id":"u2"}]}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"v1\"\r\nLast-Modified: Mon, 02 Nov 2026 \
                08:00:00 GMT\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\nCache-Control: public, max-age=60\r\n";
    let backend = Backend::bytes(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    let gateway = Setup::new(&backend).policy(&filtered()).start();
    for (user, own) in [
        ("u1", r#"{"rows":[{"driver_id":"u1"}]}"#),
        ("u2", r#"{"rows":[{"driver_id":"u2"}]}"#),
    ] {
        let answer = schedule(&gateway, user, "");
        assert_eq!((answer.status, answer.text().as_str()), (200, own));
        for name in ["etag", "last-modified", "accept-ranges", "content-md5"] {
            assert_eq!(answer.field(name), None, "{name}");
        }
        assert_eq!(answer.field("cache-control"), Some("private"));
        assert_eq!(answer.field("vary"), Some("Authorization"));
        let head = gateway.call_as("HEAD", "/portal/schedule", &gateway.token(&driver(user)), "", "");
        assert_eq!(head.field("content-length"), None, "the length of what is not shown");
        assert_eq!(head.field("etag"), None);
    }
    // Neither the backend's own tag nor a date makes it say that nothing has changed.
    let asked = "If-None-Match: \"v1\", W/\"v1\"\r\nIf-Modified-Since: Mon, 02 Nov 2026 09:00:00 GMT\r\nRange: \
                 bytes=0-9\r\nIf-Range: \"v1\"\r\nIf-Match: \"v1\"\r\nAccept-Encoding: gzip\r\n";
    schedule(&gateway, "u1", asked);
    let seen = backend.last();
    assert_eq!(
        seen.field("if-none-match"),
        Some("\"v1.not-this-view\", W/\"v1.not-this-view\"")
    );
    assert_eq!(seen.field("if-match"), Some("\"v1.not-this-view\""));
    for name in ["if-modified-since", "range", "if-range"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.field("accept-encoding"), Some("identity"));
}

#[test]
fn a_public_route_filters_by_the_request_alone() {
    let backend = Backend::json(r#"[{"line":"7","x":1},{"line":"8"},{"line":7}]"#);
    let gateway = Setup::new(&backend).policy(&filtered()).start();
    for (query, expected) in [
        ("?line=7", r#"[{"line":"7","x":1}]"#),
        ("?line=8", r#"[{"line":"8"}]"#),
        ("?line=7&line=8", "[]"),
        ("", "[]"),
    ] {
        let answer = gateway.call_as("GET", &format!("/portal/open{query}"), "", "", "");
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{query}");
        assert_eq!(answer.field("cache-control"), Some("private"));
    }
}

#[test]
fn explain_prints_the_filter_and_where_it_stands() {
    let backend = Backend::start();
    let gateway = shipped("fleet", FLEET_IDENTITY, &backend);
    let claims = json!({"iss": ISSUER, "aud": "billing-api", "sub": "d1", "role": "driver"}).to_string();
    let arguments = [
        "explain",
        "--config",
        "tollgate.yaml",
        "--claims",
        &claims,
        "GET",
        "/portal/deliveries",
    ];
    let (code, out, err) = run(&arguments, &gateway.path(""));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let line = out.lines().find(|line| line.contains("pass  rows")).unwrap_or_default();
    let text = r#"of `/deliveries` stay those for which `"manage_assignments" in caller.scopes || row.driver_id == caller.user`"#;
    assert!(line.contains(text), "{out}");
    let policy = std::fs::read_to_string(gateway.path("policy/modules.yaml")).unwrap();
    let place = policy
        .lines()
        .position(|line| line.contains("manage_assignments\" in"))
        .unwrap()
        + 1;
    assert!(line.contains(&format!("modules.yaml:{place}")), "{out}");
}

#[test]
fn a_filter_that_does_not_load_is_named_by_its_place() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).policy(&filtered()).start();
    let broken = filtered().replace("row.driver_id ==", "rwo.driver_id ==");
    write(&gateway.path(""), "policy/policy.yaml", &broken);
    let (code, out, err) = run(&["check", "--config", "tollgate.yaml"], &gateway.path(""));
    let line = broken.lines().position(|line| line.contains("rwo")).unwrap() + 1;
    let text = format!("{out}{err}");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains(&format!("policy.yaml:{line}:")) && text.contains("unknown name `rwo`"),
        "{text}"
    );
}
