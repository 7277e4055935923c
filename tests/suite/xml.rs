//! Answers in XML: what a role may not see in JSON it may not see in a SOAP answer either (S1.7, S2.5).

use serde_json::json;
use std::io::Write;

use super::harness::*;

const SOAP: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
<soap:Envelope xmlns:soap=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:b='urn:billing'>\r\n\
  <soap:Body><b:Account id=\"A1\" phone='CANARY-7f3a'>\r\n\
    <b:SSN verified=\"yes\">CANARY-7f3a<!-- CANARY-7f3a --></b:SSN>\r\n\
    <b:name>O&apos;Neill &amp; <![CDATA[<Li>]]></b:name>\r\n\
    <b:subsidyTier code='CANARY-7f3a'/>\r\n\
    <b:balance>12.50</b:balance>\r\n\
  </b:Account></soap:Body>\r\n\
</soap:Envelope>\r\n";

/// The suite's policy, with a class of paths alone and a module with another charset.
fn policy() -> String {
    let modules = r#"
  latin:
    prefix: /latin
    upstream: billing
    charset: windows-1252
    routes:
      - { methods: [GET], scope: accounts:read }
  trees:
    prefix: /trees
    upstream: billing
    routes:
      - { methods: [GET], scope: accounts:read }
"#;
    let fields = "  address:
    paths: [/accounts/*/customer/address, /accounts/account/zone]
    visible_to: [customer:pii_read]
    modules: [trees]
";
    POLICY
        .replace("  portal:\n", &format!("{}  portal:\n", &modules[1..]))
        .replace("fields:\n", &format!("fields:\n{fields}"))
        .replace("    names: [ssn, phone]\n", "    names: [ssn, phone, straße]\n")
}

fn typed(kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The answer as a caller without any of the hidden classes sees it.
fn masked() -> String {
    SOAP.replace("phone='CANARY-7f3a'", "phone='[REDACTED]'")
        .replace(
            "<b:SSN verified=\"yes\">CANARY-7f3a<!-- CANARY-7f3a --></b:SSN>",
            "<b:SSN>[REDACTED]</b:SSN>",
        )
        .replace("<b:subsidyTier code='CANARY-7f3a'/>", "")
}

#[test]
fn s2_5_a_soap_answer_shows_each_role_what_it_may_see() {
    const TYPE: &str = "application/soap+xml; charset=utf-8; action=\"urn:get\"";
    let backend = Backend::bytes(typed(TYPE, SOAP.as_bytes()));
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let hidden = masked();
    for (at, (role, want, counts)) in [
        ("clerk", hidden.as_str(), json!({ "pii": 2, "subsidy": 1 })),
        ("caseworker", SOAP, json!({})),
        ("billing_analyst", &hidden, json!({ "pii": 2, "subsidy": 1 })),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = gateway.get("/api/accounts/A1", &[role]);
        assert_eq!((answer.status, answer.text().as_str()), (200, want), "{role}");
        assert_eq!(answer.field("content-type"), Some(TYPE));
        let length = want.len().to_string();
        assert_eq!(answer.field("content-length"), Some(&*length), "{role}");
        let line = gateway.audit(at + 1).pop().unwrap();
        assert_eq!(line["masked_fields"], counts, "{role}");
    }
}

#[test]
fn a_coded_answer_is_decoded_and_masked() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(SOAP.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let backend = Backend::bytes(typed("text/xml\r\nContent-Encoding: gzip", &body));
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    assert_eq!((answer.status, answer.text()), (200, masked()));
    assert_eq!(answer.field("content-encoding"), None);
}

#[test]
fn what_is_not_well_formed_is_refused_with_its_reason() {
    for (kind, body, why) in [
        (
            "text/xml",
            &b"{\"ssn\":\"CANARY-7f3a\"}"[..],
            "outside the root element",
        ),
        ("text/xml", b"<a><ssn>CANARY-7f3a</a>", "does not belong to the element"),
        ("text/xml", b"<a><b>CANARY-7f3a</b>", "before its root element does"),
        ("application/xml", b"<!DOCTYPE a><a>CANARY-7f3a</a>", "a document type"),
        ("application/xml", b"<a>CANARY-7f3a&nbsp;</a>", "no reference"),
        ("application/xml", b"<a>CANARY-7f3a\xe9</a>", "not UTF-8"),
        ("application/xml", b" ", "no root element"),
        (
            "text/xml",
            b"<?xml version='1.0' encoding='iso-8859-1'?><a>CANARY-7f3a</a>",
            "another charset",
        ),
        ("text/xml", b"<ssn>CANARY-7f3a</ssn><ssn/>", "a second root"),
        (
            "text/xml",
            b"<subsidyTier>CANARY-7f3a</subsidyTier>",
            "the root element is to be removed",
        ),
        (
            "text/xml; charset=utf-16",
            b"<a>CANARY-7f3a</a>",
            "text/xml cannot be masked",
        ),
        (
            "application/xml-dtd",
            b"<!-- CANARY-7f3a -->",
            "application/xml-dtd cannot be masked",
        ),
    ] {
        let backend = Backend::bytes(typed(kind, body));
        let gateway = Setup::new(&backend).policy(&policy()).start();
        let answer = gateway.get("/api/accounts/A1", &["clerk"]);
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
fn a_large_answer_that_breaks_later_is_cut() {
    let mut text = "<accounts>\n".to_owned();
    for at in 0..20_000 {
        text.push_str(&format!(
            "<account id='{at}'><ssn>CANARY-7f3a</ssn><name>x</name></account>\n"
        ));
    }
    text.push_str("<account><name>Doe<ssn>CANARY-7f3a</name></account></accounts>");
    let backend = Backend::bytes(typed("application/xml", text.as_bytes()));
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    assert_eq!((answer.status, answer.whole), (200, false));
    let (got, want) = (answer.text(), text.replace(CANARY, "[REDACTED]"));
    assert!(got.len() > 64 * 1024 && want.starts_with(&got) && !got.contains("</accounts>"));
    let line = gateway.audit(1).pop().unwrap();
    assert_eq!(
        (&line["error"], &line["masked_fields"]),
        (&json!("unmaskable_response"), &json!({ "pii": 20_001 }))
    );
}

#[test]
fn a_module_says_the_charset_of_its_documents() {
    let body = b"<?xml version='1.0' encoding='Windows-1252'?><a><STRA\xdfE>CANARY-7f3a\xe9</STRA\xdfE>\x80</a>";
    let hidden = b"<?xml version='1.0' encoding='Windows-1252'?><a><STRA\xdfE>[REDACTED]</STRA\xdfE>\x80</a>";
    for (path, kind, status) in [
        ("/latin/A1", "text/xml", 200),
        ("/latin/A1", "application/soap+xml; charset=cp1252", 200),
        ("/latin/A1", "text/xml; charset=utf-8", 502),
        ("/api/accounts/A1", "text/xml", 502),
        ("/api/accounts/A1", "text/xml; charset=windows-1252", 502),
    ] {
        let backend = Backend::bytes(typed(kind, body));
        let gateway = Setup::new(&backend).policy(&policy()).start();
        let answer = gateway.get(path, &["clerk"]);
        assert_eq!(answer.status, status, "{path} {kind}");
        if status == 200 {
            assert_eq!(answer.body, hidden, "{kind}");
        }
        assert!(!String::from_utf8_lossy(&answer.body).contains(CANARY));
    }
}

#[test]
fn a_path_leads_through_elements_to_an_element_or_an_attribute() {
    let body = "<accounts><account zone='CANARY-7f3a'><customer><address>CANARY-7f3a</address></customer>\
                <address>public</address></account></accounts>";
    let backend = Backend::bytes(typed("application/vnd.city+xml", body.as_bytes()));
    let gateway = Setup::new(&backend).policy(&policy()).start();
    let answer = gateway.get("/trees/A1", &["clerk"]);
    let want = "<accounts><account><customer></customer><address>public</address></account></accounts>";
    assert_eq!((answer.status, answer.text().as_str()), (200, want));
    assert_eq!(gateway.get("/trees/A1", &["caseworker"]).text(), body);
}
