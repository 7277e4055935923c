//! Exports in CSV: what a role may not see in JSON it may not see in a table either (S1.7, S2.5).

use serde_json::json;
use std::io::Write;

use super::harness::*;

const EXPORT: &str = "id,SSN,name,\"Subsidy Tier\",phone_no,subsidy_tier\r\n\
    1,CANARY-7f3a,\"O'Neill, D.\",x,1,\"CANARY-7f3a\"\r\n\
    2,\"CANARY-7f3a\r\n\"\"x\"\"\",Li,,2,\r\n";

/// The suite's policy, and where its tables are.
fn policy() -> String {
    let modules = r#"
  latin:
    prefix: /latin
    upstream: billing
    csv: { delimiter: ";" }
    charset: windows-1252
    routes:
      - { methods: [GET], scope: accounts:read }
  trees:
    prefix: /trees
    upstream: billing
    unmaskable: [text/csv]
    routes:
      - { methods: [GET], scope: accounts:read }
"#;
    let fields = "  address:
    paths: [/customer/address]
    visible_to: [customer:pii_read]
    modules: [trees]
";
    POLICY
        .replace("  portal:\n", &format!("{}  portal:\n", &modules[1..]))
        .replace("fields:\n", &format!("fields:\n{fields}"))
        .replace(
            "    names: [ssn, phone]\n",
            "    names: [ssn, phone]\n    columns: [Phone No, stra\u{df}e]\n",
        )
}

fn typed(kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn s2_5_an_export_shows_each_role_what_it_may_see() {
    let backend = Backend::bytes(typed("text/csv; charset=utf-8", EXPORT.as_bytes()));
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let clerk = "id,SSN,name,\"Subsidy Tier\",phone_no\r\n\
        1,[REDACTED],\"O'Neill, D.\",x,1\r\n\
        2,[REDACTED],Li,,2\r\n";
    let caseworker = EXPORT;
    let analyst = clerk;
    for (at, (role, want, masked)) in [
        ("clerk", clerk, json!({ "pii": 2, "subsidy": 2 })),
        ("caseworker", caseworker, json!({})),
        ("billing_analyst", analyst, json!({ "pii": 2, "subsidy": 2 })),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = gateway.get("/api/accounts/export", &[role]);
        assert_eq!((answer.status, answer.text().as_str()), (200, want), "{role}");
        assert_eq!(answer.field("content-type"), Some("text/csv; charset=utf-8"));
        let length = want.len().to_string();
        assert_eq!(answer.field("content-length"), Some(&*length), "{role}");
        let line = gateway.audit(at + 1).pop().unwrap();
        assert_eq!(line["masked_fields"], masked, "{role}");
    }
}

#[test]
fn a_column_of_its_own_name_is_masked_where_json_has_none() {
    for (kind, body, want) in [
        (
            "text/csv",
            "id, PHONE_NO \n1,CANARY-7f3a\n",
            "id, PHONE_NO \n1,CANARY-7f3a\n",
        ),
        (
            "text/csv",
            "id, Phone No \n1,CANARY-7f3a\n",
            "id, Phone No \n1,[REDACTED]\n",
        ),
        (
            "text/tab-separated-values",
            "id\tPhone No\n1\tCANARY-7f3a\n",
            "id\tPhone No\n1\t[REDACTED]\n",
        ),
        (
            "application/json",
            r#"{"Phone No":"CANARY-7f3a"}"#,
            r#"{"Phone No":"CANARY-7f3a"}"#,
        ),
    ] {
        let backend = Backend::bytes(typed(kind, body.as_bytes()));
        let gateway = Setup::new(&backend).policy(&policy()).start();
        let answer = gateway.get("/api/accounts/export", &["clerk"]);
        assert_eq!((answer.status, answer.text().as_str()), (200, want), "{kind}: {body}");
    }
}

#[test]
fn a_coded_export_is_decoded_and_masked() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(EXPORT.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let kind = "text/csv\r\nContent-Encoding: gzip";
    let backend = Backend::bytes(typed(kind, &body));
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let answer = gateway.get("/api/accounts/export", &["clerk"]);
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains(CANARY) && answer.text().contains("\r\n2,[REDACTED],Li,,2\r\n"));
    assert_eq!(answer.field("content-encoding"), None);
}

#[test]
fn what_cannot_be_read_in_one_way_is_refused_with_its_reason() {
    for (kind, body, why) in [
        (
            "text/csv",
            &b"id,ssn,name\nLi,CANARY-7f3a\n"[..],
            "another number of fields",
        ),
        ("text/csv", b"id;ssn\n1;CANARY-7f3a\n", "another delimiter"),
        ("text/csv", b"id,ssn\n1\"x,CANARY-7f3a\n", "a quote stands"),
        ("text/csv", b"id,ssn\n1,\"CANARY-7f3a", "in the middle of a field"),
        ("text/csv", b"id,ssn\n1,CANARY-7f3a\xe9\n", "not UTF-8"),
        (
            "text/csv; header=absent",
            b"1,CANARY-7f3a\n",
            "text/csv cannot be masked",
        ),
        (
            "text/csv; charset=windows-1252",
            b"id,ssn\n1,CANARY-7f3a\n",
            "text/csv cannot be masked",
        ),
        (
            "text/csv; charset=utf-16",
            b"id,ssn\n1,CANARY-7f3a\n",
            "text/csv cannot be masked",
        ),
    ] {
        let backend = Backend::bytes(typed(kind, body));
        let gateway = Setup::new(&backend).policy(&policy()).start();
        let answer = gateway.get("/api/accounts/export", &["clerk"]);
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (502, "unmaskable_response"),
            "{kind} {why}"
        );
        assert!(!answer.text().contains(CANARY), "{why}");
        let line = gateway.audit(1).pop().unwrap();
        assert!(line["detail"].as_str().unwrap().contains(why), "{why}: {line}");
    }
}

#[test]
fn a_large_export_that_breaks_later_is_cut() {
    let mut text = "id,ssn,name\n".to_owned();
    for at in 0..20_000 {
        text.push_str(&format!("{at},CANARY-7f3a,\"somebody, {at}\"\n"));
    }
    text.push_str("Doe, Jane,CANARY-7f3a,x\n9,CANARY-7f3a,y\n");
    let backend = Backend::bytes(typed("text/csv", text.as_bytes()));
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let answer = gateway.get("/api/accounts/export", &["clerk"]);
    assert_eq!((answer.status, answer.whole), (200, false));
    let (got, want) = (answer.text(), text.replace(CANARY, "[REDACTED]"));
    assert!(got.len() > 64 * 1024 && want.starts_with(&got) && !got.contains("Doe"));
    let line = gateway.audit(1).pop().unwrap();
    assert_eq!(
        (&line["error"], &line["masked_fields"]),
        (&json!("unmaskable_response"), &json!({ "pii": 20_000 }))
    );
}

#[test]
fn a_module_says_the_charset_and_the_delimiter_of_its_tables() {
    let body = b"id;STRA\xdfE;na\xefve\n1,5;CANARY-7f3a\xe9;\x80\n";
    let masked = b"id;STRA\xdfE;na\xefve\n1,5;[REDACTED];\x80\n";
    for (path, kind, status) in [
        ("/latin/export", "text/csv", 200),
        ("/latin/export", "text/csv; charset=Windows-1252", 200),
        ("/latin/export", "text/csv; charset=cp1252", 200),
        ("/latin/export", "text/csv; charset=utf-8", 502),
        ("/latin/export", "application/json; charset=windows-1252", 502),
        ("/api/accounts/export", "text/csv", 502),
        ("/api/accounts/export", "text/csv; charset=windows-1252", 502),
    ] {
        let backend = Backend::bytes(typed(kind, body));
        let gateway = Setup::new(&backend).policy(&policy()).start();
        let answer = gateway.get(path, &["clerk"]);
        assert_eq!(answer.status, status, "{path} {kind}");
        if status == 200 {
            assert_eq!(answer.body, masked, "{kind}");
        }
        assert!(!String::from_utf8_lossy(&answer.body).contains(CANARY));
    }
}

#[test]
fn a_hidden_class_of_paths_alone_closes_tables_and_nothing_else() {
    let table = Backend::bytes(typed("text/csv", b"id,address\n1,CANARY-7f3a\n"));
    let gateway = Setup::new(&table).policy(&policy()).start();
    let answer = gateway.get("/trees/export", &["clerk"]);
    assert_eq!((answer.status, answer.error().as_str()), (502, "unmaskable_response"));
    let detail = gateway.audit(1).pop().unwrap()["detail"].clone();
    let why = "class `address` is hidden from the caller and has `paths` alone, which say nothing of columns";
    assert_eq!(detail, why);
    assert_eq!(gateway.get("/trees/export", &["caseworker"]).status, 200);
    let tree = Backend::json(r#"{"customer":{"address":"CANARY-7f3a"}}"#);
    let gateway = Setup::new(&tree).policy(&policy()).start();
    assert_eq!(gateway.get("/trees/A1", &["clerk"]).text(), r#"{"customer":{}}"#);
}
