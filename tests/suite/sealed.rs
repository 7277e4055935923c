//! Fields that go out hashed, encrypted, or as the policy's own text, and the commands for those who hold the key.

use super::harness::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
const OTHER: &str = "6162636465666768696a6b6c6d6e6f707172737475767778797a303132333435";
const BODY: &str = r#"{"list":[{"customer":"CANARY-7f3a","ssn" : "CANARY-7f3a-\u00e9","n":1.50}],"customer":17}"#;

/// The suite's policy with these classes.
fn sealed(fields: &str) -> String {
    let (policy, _) = POLICY.split_once("fields:\n").unwrap();
    format!("{policy}field_keys: {{ k1: {{ file: ../keys/fields.key }} }}\nfields:\n{fields}")
}

fn gateway(backend: &Backend, fields: &str) -> Gateway {
    let mut setup = Setup::new(backend).policy(&sealed(fields));
    setup.files = vec![("keys/fields.key", KEY.into()), ("keys/other.key", OTHER.into())];
    setup.start()
}

/// The program with something on its standard input.
fn piped(gateway: &Gateway, arguments: &[&str], input: &str) -> (bool, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(gateway.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn one_customer_is_one_hash_in_every_module() {
    let backend = Backend::json(BODY);
    let gateway = gateway(
        &backend,
        "  c: { names: [customer], mask: hash, key: k1, visible_to: [customer:pii_read] }\n",
    );
    let hash = |value: &str| {
        let (code, out, err) = run(
            &["field", "hash", "--key", "k1=keys/fields.key", value],
            &gateway.path(""),
        );
        assert_eq!((code, err.as_str()), (0, ""));
        out.trim_end().to_owned()
    };
    let expected = BODY
        .replace(
            "\"customer\":\"CANARY-7f3a\"",
            &format!("\"customer\":\"{}\"", hash("CANARY-7f3a")),
        )
        .replace("\"customer\":17", &format!("\"customer\":\"{}\"", hash("17")));
    for path in ["/api/accounts/A1", "/api/tariffs"] {
        let answer = gateway.get(path, &["finance_admin"]);
        assert_eq!((answer.status, answer.text()), (200, expected.clone()), "{path}");
    }
    let seen = gateway.get("/api/accounts/A1", &["caseworker"]);
    assert_eq!(seen.text(), BODY, "who may see it sees it");
}

#[test]
fn an_envelope_opens_for_who_holds_the_key() {
    let backend = Backend::json(BODY);
    let gateway = gateway(
        &backend,
        "  s: { names: [ssn], mask: encrypt, key: k1 }\n  c: { names: [customer], mask: redact, redact_as: '\"withheld\"' }\n",
    );
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    let text = answer.text();
    assert_eq!(answer.status, 200);
    assert!(
        !text.contains("CANARY") && text.contains(r#""customer":"\"withheld\"""#),
        "{text}"
    );
    assert_ne!(
        gateway.get("/api/accounts/A1", &["clerk"]).text(),
        text,
        "sealed anew each time"
    );

    let key = [
        "field",
        "decrypt",
        "--key",
        "k1=keys/fields.key",
        "--module",
        "accounts",
        "--route",
        "/api/accounts",
    ];
    let (fine, out, err) = piped(&gateway, &key, &text);
    let redacted = BODY.replace("\"customer\":\"CANARY-7f3a\"", r#""customer":"\"withheld\"""#);
    assert!(fine, "{err}");
    assert_eq!(out, redacted.replace("\"customer\":17", r#""customer":"\"withheld\"""#));

    let envelope = text.split('"').find(|part| part.starts_with("enc:")).unwrap();
    let at = |path| [&key[..], &["--path", path, envelope]].concat();
    assert_eq!(piped(&gateway, &at("/list/*/ssn"), "").1, "\"CANARY-7f3a-\\u00e9\"\n");
    let other_route = [
        "field",
        "decrypt",
        "--key",
        "k1=keys/fields.key",
        "--module",
        "accounts",
        "--route",
        "/api/tariffs",
    ];
    let other_key = [
        "field",
        "decrypt",
        "--key",
        "k1=keys/other.key",
        "--module",
        "accounts",
        "--route",
        "/api/accounts",
    ];
    let other_module = [&key[..4], &["--module", "tariffs"], &key[6..]].concat();
    for (arguments, input) in [
        (other_module, text.as_str()),
        (at("/list/0/ssn"), ""),
        (at("/ssn"), ""),
        (other_route.to_vec(), text.as_str()),
        (other_key.to_vec(), text.as_str()),
    ] {
        let (fine, out, err) = piped(&gateway, &arguments, input);
        assert!(
            !fine && out.is_empty() && err.contains("does not open"),
            "{arguments:?}: {out}{err}"
        );
    }
}

#[test]
fn a_changed_key_is_in_force_at_once() {
    let backend = Backend::json(BODY);
    let gateway = gateway(&backend, "  c: { names: [customer], mask: hash, key: k1 }\n");
    let before = gateway.get("/api/accounts/A1", &["clerk"]).text();
    write(gateway.path("").as_path(), "keys/fields.key", OTHER);
    wait_for("the new key", || {
        gateway.get("/api/accounts/A1", &["clerk"]).text() != before
    });
    let (_, hash, _) = run(
        &["field", "hash", "--key", "k1=keys/fields.key", "17"],
        &gateway.path(""),
    );
    assert!(
        gateway
            .get("/api/accounts/A1", &["clerk"])
            .text()
            .contains(hash.trim_end())
    );
}

#[test]
fn a_key_that_is_none_changes_nothing() {
    let backend = Backend::json(BODY);
    let gateway = gateway(&backend, "  c: { names: [customer], mask: hash, key: k1 }\n");
    let before = gateway.get("/api/accounts/A1", &["clerk"]).text();
    write(gateway.path("").as_path(), "keys/fields.key", "no key");
    wait_for("a key that is none to be refused", || {
        gateway.log().contains("does not hold 32 random bytes")
    });
    assert_eq!(gateway.get("/api/accounts/A1", &["clerk"]).text(), before);
}

#[test]
fn a_tag_of_what_is_encrypted_is_weak() {
    let backend = Backend::script(|request, stream| {
        let fields = "Content-Type: application/json\r\nETag: \"v1\"\r\nX-Customer-Name: CANARY-7f3a\r\n";
        let text = match request.field("if-none-match") {
            Some("W/\"v1\"") => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
            _ => format!(
                "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{BODY}",
                BODY.len()
            ),
        };
        stream.write_all(text.as_bytes()).is_ok()
    });
    let classes = "  s: { names: [ssn, customer], headers: [X-Customer-Name], mask: encrypt, key: k1 }\n";
    let gateway = gateway(&backend, classes);
    let first = gateway.get("/api/accounts", &["clerk"]);
    let tag = first.field("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\"v"), "{tag}");
    assert_eq!(first.field("x-customer-name"), None, "a header goes, whatever the mask");
    assert_ne!(gateway.get("/api/accounts", &["clerk"]).text(), first.text());
    let again = gateway.call(
        "GET",
        "/api/accounts",
        &["clerk"],
        &format!("If-None-Match: {tag}\r\n"),
        "",
    );
    assert_eq!((again.status, again.field("etag")), (304, Some(tag.as_str())));
}

#[test]
fn a_long_value_is_hashed_as_it_comes() {
    let value = "x".repeat(1 << 20);
    let backend = Backend::json(&format!("{{\"customer\":\"{value}\"}}"));
    let gateway = gateway(&backend, "  c: { names: [customer], mask: hash, key: k1 }\n");
    let answer = gateway.get("/api/accounts", &["clerk"]);
    assert_eq!(
        (answer.status, answer.text().len()),
        (200, "{\"customer\":\"hmac:k1:\"}".len() + 43)
    );
}

#[test]
fn a_customer_is_one_hash_in_json_in_a_table_and_in_xml() {
    const XML: &str = "<c:list xmlns:c='urn:c'><c:a customer='O&#39;Neill &amp; Li' n='1'/><c:a n='2'>\
        <c:Customer since='CANARY-7f3a'>O'Neill <!-- CANARY-7f3a -->&amp;<![CDATA[ Li]]></c:Customer></c:a></c:list>";
    const ROWS: [(&str, &str, &str); 3] = [
        ("json", "application/json", r#"{"customer":"O'Neill \u0026 Li"}"#),
        ("csv", "text/csv", "id,Customer\r\n1,\"O'Neill & Li\"\r\n"),
        ("xml", "application/xml", XML),
    ];
    let backend = Backend::script(|request, stream| {
        let name = request.target.rsplit('/').next().unwrap();
        let (_, kind, body) = ROWS.iter().find(|(own, ..)| *own == name).unwrap();
        stream.write_all(answer("200 OK", kind, body).as_bytes()).is_ok()
    });
    let gateway = gateway(&backend, "  c: { names: [customer], mask: hash, key: k1 }\n");
    let arguments = ["field", "hash", "--key", "k1=keys/fields.key", "O'Neill & Li"];
    let (_, hash, _) = run(&arguments, &gateway.path(""));
    let hash = hash.trim_end();
    for (name, want) in [
        ("json", format!("{{\"customer\":\"{hash}\"}}")),
        ("csv", format!("id,Customer\r\n1,{hash}\r\n")),
        (
            "xml",
            format!(
                "<c:list xmlns:c='urn:c'><c:a customer='{hash}' n='1'/><c:a n='2'>\
                 <c:Customer>{hash}</c:Customer></c:a></c:list>"
            ),
        ),
    ] {
        let answer = gateway.get(&format!("/api/accounts/{name}"), &["clerk"]);
        assert_eq!((answer.status, answer.text()), (200, want), "{name}");
    }
}

#[test]
fn an_envelope_of_xml_opens_for_who_holds_the_key() {
    const BODY: &str =
        "<c:list xmlns:c='urn:c'><c:a ssn='CANARY-7f3a &lt;'/><c:SSN>CANARY-7f3a<b/>&#67;</c:SSN></c:list>";
    let backend = Backend::bytes(answer("200 OK", "application/xml", BODY));
    let gateway = gateway(&backend, "  s: { names: [ssn], mask: encrypt, key: k1 }\n");
    let answer = gateway.get("/api/accounts/A1", &["clerk"]);
    let mut text = answer.text();
    assert!(answer.status == 200 && !text.contains(CANARY), "{text}");
    for path in ["/list/a/ssn", "/list/SSN"] {
        let (before, rest) = text.split_once("enc:").unwrap();
        let (envelope, after) = rest.split_at(rest.find(['<', '\'']).unwrap());
        let envelope = format!("enc:{envelope}");
        let open = |route, path| {
            let key = "k1=keys/fields.key";
            let place = ["--module", "accounts", "--route", route, "--path", path];
            run(
                &[&["field", "decrypt", "--key", key], &place[..], &[&envelope]].concat(),
                &gateway.path(""),
            )
        };
        assert!(open("/api/accounts", "/list").2.contains("does not open"));
        let (code, value, error) = open("/api/accounts", path);
        assert_eq!((code, error.as_str()), (0, ""));
        text = format!("{before}{}{after}", value.trim_end_matches('\n'));
    }
    assert_eq!(text, BODY);
    let line = gateway.audit(1).pop().unwrap();
    assert_eq!(
        (&line["module"], &line["route"]),
        (&"accounts".into(), &"/api/accounts".into())
    );
}
