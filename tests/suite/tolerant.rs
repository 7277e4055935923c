//! `json: tolerant` (interface, section 5): what legacy programs write for JSON is masked byte for byte, and counted.

use serde_json::json;
use std::io::Write;

use super::harness::*;

const JSON: &str = "application/json";

/// One answer with every deviation there is.
const ODD: &[u8] = b"{\"ssn\":\"900\t\xe9\",\"a\":0001234.5000,\"phone\":[+1,.5,],\"b\":-.5,\"subsidy_tier\":007,\
    \"street\":\"Rue du Pr\xe9\t\",\"c\":+.50,\"ssn\":-00,}\r\n   ";
const MASKED: &[u8] = b"{\"ssn\":\"[REDACTED]\",\"a\":0001234.5000,\"phone\":\"[REDACTED]\",\"b\":-.5,\
    \"street\":\"Rue du Pr\xe9\t\",\"c\":+.50,\"ssn\":\"[REDACTED]\",}\r\n   ";

/// The suite's policy, whose accounts and schedules are not quite JSON.
fn tolerant() -> String {
    let policy = POLICY
        .replace(
            "    prefix: /api/accounts\n",
            "    prefix: /api/accounts\n    json: tolerant\n",
        )
        .replace(
            "    prefix: /api/tariffs\n",
            "    prefix: /api/tariffs\n    json: strict\n",
        )
        .replace("    path_parameters: allow\n", "    json: tolerant\n")
        .replace(
            "- { path: /schedule, methods: [GET], scope: view_schedule }",
            "- { path: /schedule, methods: [GET], scope: view_schedule, rows: { at: /rows, when: 'row.driver_id == \
             caller.user' } }",
        );
    assert_eq!(policy.matches("json: tolerant").count(), 2);
    assert!(policy.contains("json: strict") && policy.contains("rows: {"));
    policy
}

fn answering(kind: &str, body: &[u8]) -> Backend {
    let mut bytes = answer("200 OK", kind, "")
        .replace("Content-Length: 0", &format!("Content-Length: {}", body.len()))
        .into_bytes();
    bytes.extend_from_slice(body);
    Backend::bytes(bytes)
}

/// What the metric says, by kind.
fn tolerated(gateway: &Gateway, module: &str) -> Vec<(String, u64)> {
    let text = gateway.metrics();
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("tollgate_tolerated_total{kind=\"")?;
            let (kind, rest) = rest.split_once("\",module=\"")?;
            let count = rest.strip_prefix(module)?.strip_prefix("\"} ")?;
            Some((kind.to_owned(), count.parse().unwrap()))
        })
        .collect()
}

fn counts(list: [(&str, u64); 6]) -> Vec<(String, u64)> {
    list.map(|(kind, count)| (kind.to_owned(), count)).into()
}

#[test]
fn a_module_that_tolerates_masks_what_is_not_quite_json() {
    let backend = answering(JSON, ODD);
    let gateway = Setup::new(&backend).policy(&tolerant()).start();
    let none = [
        ("leading_zeros", 0),
        ("no_leading_digit", 0),
        ("plus_sign", 0),
        ("raw_byte", 0),
        ("raw_tab", 0),
        ("trailing_comma", 0),
    ];
    assert_eq!(tolerated(&gateway, "accounts"), counts(none));
    let masked = gateway.get("/api/accounts/1", &["billing_analyst"]);
    assert_eq!(masked.status, 200, "{}", masked.text());
    assert_eq!(
        masked.body.escape_ascii().to_string(),
        MASKED.escape_ascii().to_string()
    );
    let once = [
        ("leading_zeros", 3),
        ("no_leading_digit", 3),
        ("plus_sign", 2),
        ("raw_byte", 2),
        ("raw_tab", 2),
        ("trailing_comma", 2),
    ];
    assert_eq!(tolerated(&gateway, "accounts"), counts(once));
    let whole = gateway.get("/api/accounts/1", &["caseworker"]);
    assert_eq!((whole.status, whole.body.as_slice()), (200, ODD));
    // From whom nothing is hidden, nothing is read.
    assert_eq!(tolerated(&gateway, "accounts"), counts(once));

    // One that does not refuses the same, whether it says so or not, and counts nothing.
    for path in ["/api/tariffs", "/api/ledger/state"] {
        let answer = gateway.get(path, &["finance_admin"]);
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (502, "unmaskable_response"),
            "{path}"
        );
    }
    for module in ["tariffs", "ledger"] {
        assert_eq!(tolerated(&gateway, module), []);
    }
    let lines = gateway.audit(4);
    assert_eq!(lines[0]["masked_fields"], json!({"pii": 3, "subsidy": 1}));
    assert_eq!(
        lines[2]["detail"],
        "byte 11: a control character stands unescaped in a string"
    );
}

#[test]
fn what_could_be_read_two_ways_is_refused_all_the_same() {
    for (body, detail) in [
        (
            &b"{\"ss\xe9n\":\"CANARY-7f3a\"}"[..],
            "byte 5: not UTF-8, and what it says depends on what it is instead",
        ),
        (
            b"{\"a\":\"\x95\\\",\",\"ssn\":\"CANARY-7f3a\"}",
            "byte 7: not UTF-8, and what it says depends on what it is instead",
        ),
        (
            b"{\"s\tsn\":\"CANARY-7f3a\"}",
            "byte 3: a control character stands unescaped in a string",
        ),
        (b"{\"a\":5.}", "byte 7: more of a number is expected here"),
        (
            b"{\"a\":1,,\"ssn\":\"CANARY-7f3a\"}",
            "byte 7: a member name is expected here",
        ),
        (b"{\"a\":NaN}", "byte 5: a value is expected here"),
        (
            b"{'ssn':\"CANARY-7f3a\"}",
            "byte 1: a member name or `}` is expected here",
        ),
        (b"{\"a\":1}/**/", "byte 7: the end of the body is expected here"),
    ] {
        let backend = answering(JSON, body);
        let gateway = Setup::new(&backend).policy(&tolerant()).start();
        let answer = gateway.get("/api/accounts/1", &["billing_analyst"]);
        let case = body.escape_ascii().to_string();
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (502, "unmaskable_response"),
            "{case}"
        );
        assert!(!answer.text().contains(CANARY), "{case}");
        assert_eq!(gateway.audit(1)[0]["detail"], detail, "{case}");
    }
}

#[test]
fn lines_problems_and_coded_bodies_are_tolerated_too() {
    let lines = b"{\"ssn\":.5,}\n\n{\"a\":\"\xe9\"}\n";
    let backend = answering("application/x-ndjson", lines);
    let gateway = Setup::new(&backend).policy(&tolerant()).start();
    let answer = gateway.get("/api/accounts/1", &["billing_analyst"]);
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, &b"{\"ssn\":\"[REDACTED]\",}\n\n{\"a\":\"\xe9\"}\n"[..])
    );

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(ODD).unwrap();
    let coded = encoder.finish().unwrap();
    let kind = "application/problem+json\r\nContent-Encoding: gzip";
    let backend = answering(kind, &coded);
    let gateway = Setup::new(&backend).policy(&tolerant()).start();
    let answer = gateway.get("/api/accounts/1", &["billing_analyst"]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, MASKED));
}

#[test]
fn a_large_body_flows_and_is_cut_where_it_is_no_longer_tolerable() {
    let row = b"{\"ssn\":\"CANARY-7f3a\",\"street\":\"Rue du Pr\xe9\",\"n\":+.5,},";
    let shown = b"{\"ssn\":\"[REDACTED]\",\"street\":\"Rue du Pr\xe9\",\"n\":+.5,},";
    let rows = 20_000;
    for (end, whole) in [(&b"]"[..], true), (b"{\"\xe9\":\"CANARY-7f3a\"}]", false)] {
        let body = [b"[".as_slice(), &row.repeat(rows), end].concat();
        let gateway = Setup::new(&answering(JSON, &body)).policy(&tolerant()).start();
        let answer = gateway.get("/api/accounts/1", &["billing_analyst"]);
        assert_eq!((answer.status, answer.whole), (200, whole));
        let expected = [b"[".as_slice(), &shown.repeat(rows), if whole { end } else { b"{\"" }].concat();
        assert!(expected.starts_with(&answer.body) && (!whole || expected.len() == answer.body.len()));
        let lines = gateway.audit(1);
        assert_eq!(lines[0]["decision"] == "ALLOWED", whole, "{}", lines[0]);
        let of_kind = |wanted: &str| {
            tolerated(&gateway, "accounts")
                .into_iter()
                .find(|(kind, _)| kind == wanted)
        };
        assert_eq!(of_kind("plus_sign"), Some(("plus_sign".into(), rows as u64)));
        assert_eq!(
            of_kind("trailing_comma"),
            Some(("trailing_comma".into(), (rows + usize::from(whole)) as u64))
        );
    }
}

#[test]
fn a_row_that_is_not_quite_json_is_nobodys() {
    let body = b"{\"rows\":[{\"driver_id\":\"u1\",\"n\":1},{\"driver_id\":\"u1\",\"n\":+1},{\"driver_id\":\"u1\",},\
        {\"driver_id\":\"u1\",\"x\":\"\xe9\"},{\"driver_id\":\"u1\",\"n\":2},],\"n\":007,}";
    let backend = answering(JSON, body);
    let gateway = Setup::new(&backend).policy(&tolerant()).start();
    let answer = gateway.get("/portal/schedule", &["driver"]);
    assert_eq!(
        answer.text(),
        "{\"rows\":[{\"driver_id\":\"u1\",\"n\":1},{\"driver_id\":\"u1\",\"n\":2},],\"n\":007,}"
    );
    assert_eq!(gateway.audit(1)[0]["masked_fields"], json!({"(rows)": 3}));
}
