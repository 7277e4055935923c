//! Links in headers say nothing that the body may not.

use serde_json::json;

use super::harness::*;

fn moved(status: &str, fields: &str) -> Backend {
    Backend::bytes(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: 2\r\n\r\n{{}}"
    ))
}

const FIELDS: &str = "Location: /new?a=%41+b&s%53n=CANARY-7f3a&b=2#x\r\n\
                      Content-Location: /api/accounts/A1?SSN=CANARY-7f3a\r\n\
                      Refresh: 5; url=\"/r?next=%2Fb%3Fssn%3DCANARY-7f3a\"\r\n\
                      Link: </p?page=2&s_s_n=CANARY-7f3a>; rel=\"next\", </q>; anchor=\"/z?ssn=CANARY-7f3a\"\r\n\
                      Link: </plain?page=1>; rel=prev\r\n";

#[test]
fn a_classified_parameter_of_a_link_does_not_leave() {
    for (action, location, counted) in [
        ("remove", "/new?a=%41+b&b=2#x", 5),
        ("redact", "/new?a=%41+b&s%53n=%5BREDACTED%5D&b=2#x", 5),
        ("\"null\"", "/new?a=%41+b&s%53n=&b=2#x", 5),
    ] {
        let policy = POLICY.replace("mask: redact", &format!("mask: {action}"));
        for (method, status) in [
            ("GET", "201 Created"),
            ("GET", "303 See Other"),
            ("HEAD", "200 OK"),
            ("GET", "404 Not Found"),
        ] {
            let backend = moved(status, FIELDS);
            let gateway = Setup::new(&backend).policy(&policy).start();
            let answer = gateway.call(method, "/api/accounts/A1", &["clerk"], "", "");
            assert_eq!(answer.field("location"), Some(location), "{action} {method} {status}");
            let fields = format!("{:?}", answer.fields);
            assert!(!fields.contains(CANARY), "{fields}");
            let links: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "link").collect();
            assert_eq!((links.len(), links[1].1.as_str()), (2, "</plain?page=1>; rel=prev"));
            assert_eq!(
                gateway.audit(1)[0]["masked_fields"],
                json!({ "pii": counted }),
                "{action} {method} {status}"
            );
            let all = gateway.call(method, "/api/accounts/A1", &["caseworker"], "", "");
            assert!(FIELDS.contains(all.field("location").unwrap()) && FIELDS.contains(all.field("refresh").unwrap()));
        }
    }
}

#[test]
fn a_link_that_cannot_be_read_in_one_way_does_not_leave() {
    let fields = "Location: https://CANARY-7f3a@h.example/\r\nContent-Location: /a?b=%zzCANARY-7f3a\r\n\
                  Refresh: CANARY-7f3a\r\nLink: </a?ssn=CANARY-7f3a\r\nLink: </b>\r\nX-Other: kept\r\n";
    let backend = moved("302 Found", fields);
    let gateway = Setup::new(&backend).start();
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    for name in ["location", "content-location", "refresh"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_eq!(
        (answer.field("link"), answer.field("x-other")),
        (Some("</b>"), Some("kept"))
    );
    assert!(
        gateway
            .get("/api/accounts/A1", &["caseworker"])
            .field("location")
            .is_some()
    );
}
