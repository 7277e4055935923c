//! Conditions as data (`cases.txt`), their limits, and properties of any text.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

use super::value::Failure;
use super::*;
use crate::call::certificate::Certificate;
use crate::call::{Path, Query};
use crate::policy::bits::Bits;

mod limits;
mod properties;

/// Everything that the facts of a case borrow.
struct World {
    call: Call,
    roles: Vec<Arc<str>>,
    scopes: Vec<Arc<str>>,
    held: Bits,
    jurisdictions: Vec<String>,
    claims: serde_json::Map<String, serde_json::Value>,
    body: serde_json::Value,
}

fn names() -> Names {
    Names {
        parameters: vec![("account_id".into(), 1), ("county".into(), 3)],
        caller: true,
        body: true,
        row: false,
    }
}

impl World {
    /// The request of all cases.
    fn new() -> Self {
        let json = |text: &str| serde_json::from_str(text).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-batch", "b-7"), ("x-twice", "1"), ("x-twice", "2")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append("x-odd", HeaderValue::from_bytes(b"\xff").unwrap());
        let mut held = Bits::new(3);
        held.insert(0);
        held.insert(2);
        Self {
            call: Call {
                method: http::Method::POST,
                path: Path::parse("/api/accounts/A-17/in/County_A").unwrap(),
                query: Query::parse(Some("tier=residential&n=12&twice=1&twice=2&empty=")).unwrap(),
                host: "billing.city.example".into(),
                headers,
                source: "::ffff:10.1.2.3".parse().unwrap(),
                certificate: Some(Arc::new(Certificate::new(
                    [0xab; 32],
                    &["spiffe://city.example/etl"],
                    &["etl-1", "etl-2"],
                ))),
            },
            roles: vec!["rate_engineer".into(), "auditor".into()],
            scopes: ["ledger:read", "ledger:sync", "rates:read"].map(Arc::from).to_vec(),
            held,
            jurisdictions: vec!["County_A".into(), "County_B".into()],
            claims: json(
                r#"{"tenant":"t1","level":5,"half":0.5,"big":18446744073709551615,"wide":1e300,"none":null,
                    "classes":["commercial","industrial"],"mixed":["a",1],"nested":{"deep":{"x":1}},"on":true,
                    "since":"2026-01-01T00:00:00Z","a-b":1}"#,
            ),
            body: serde_json::json!({"county":"County_A","entries":[{"amount":10},{"amount":-3}],"note":"ünïcode","count":2,"Total":1,"total":2}),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            caller: Some(CallerFacts {
                user: "u1",
                roles: &self.roles,
                scopes: &self.scopes,
                held: &self.held,
                jurisdictions: &self.jurisdictions,
                claims: &self.claims,
            }),
            call: &self.call,
            prefix: 1,
            body: Some(&self.body),
            row: None,
            now: "2026-06-15T12:00:00Z".parse().unwrap(),
        }
    }
}

/// Whoever allows `;` parameters in paths has a condition compare what the backend acts on, or nothing.
#[test]
fn what_a_backend_may_cut_off_is_compared_with_nothing() {
    let mut world = World::new();
    for (path, source, expected) in [
        ("/api/accounts/A-17/in/County_A", "path.account_id != \"B\"", Ok(true)),
        (
            "/api/accounts/B;x/in/County_A",
            "path.account_id != \"B\"",
            Err(Failure::Unsettled),
        ),
        (
            "/api/accounts/B;/in/County_A",
            "path.account_id != \"B\"",
            Err(Failure::Unsettled),
        ),
        (
            "/api/accounts/B%3Bx/in/County_A",
            "path.account_id != \"B\"",
            Err(Failure::Unsettled),
        ),
        ("/api/accounts/A;x/in/County_A", "path.county == \"County_A\"", Ok(true)),
        ("/api/accounts;x/A/in/County_A", "path.account_id == \"A\"", Ok(true)),
        (
            "/api/accounts/A;x/in/County_A",
            "!request.path.endsWith(\"A\")",
            Err(Failure::Unsettled),
        ),
        (
            "/api/accounts/A/in/C;x",
            "!request.path.endsWith(\"C\")",
            Err(Failure::Unsettled),
        ),
        ("/api/accounts/A;x/in/C", "request.method == \"POST\"", Ok(true)),
    ] {
        world.call.path = Path::parse(path).unwrap();
        let condition = Condition::compile(source, &names()).unwrap();
        let outcome = condition.holds(&world.facts()).map_err(|fault| fault.what);
        assert_eq!(outcome, expected, "{path}: {source}");
    }
}

/// What becomes of a condition: `true`, `false` with its reasons, an error, or what is wrong with it.
fn check(source: &str) -> String {
    let world = World::new();
    let condition = match Condition::compile(source, &names()) {
        Ok(condition) => condition,
        Err(faults) => {
            return faults
                .iter()
                .map(|fault| render(source, fault))
                .collect::<Vec<_>>()
                .join("\n");
        }
    };
    let facts = world.facts();
    match condition.holds(&facts) {
        Ok(true) => {
            assert_eq!(condition.why_not(&facts), Vec::<String>::new(), "{source}");
            "true".to_owned()
        }
        Ok(false) => format!("false: {}", condition.why_not(&facts).join(" | ")),
        Err(fault) => {
            let said = condition.describe(&fault);
            assert_eq!(condition.why_not(&facts), std::slice::from_ref(&said), "{source}");
            format!("error: {said}")
        }
    }
}

/// A fault with the text that it is about, and its column.
fn render(source: &str, fault: &ConditionFault) -> String {
    let at = source.get(fault.at.start..fault.at.end).unwrap();
    let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}[{at}] {}{hint}", fault.at.start + 1, fault.message)
}

/// `cases.txt`: a condition, and on the lines after it, indented, what becomes of it.
#[test]
fn cases() {
    let text = include_str!("cases.txt");
    let mut all = String::new();
    let mut wrong = Vec::new();
    let mut lines = text.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        all.push_str(line);
        all.push('\n');
        if line.is_empty() || line.starts_with('#') || line.starts_with("  ") {
            continue;
        }
        count += 1;
        let mut expected = Vec::new();
        while let Some(next) = lines.next_if(|next| next.starts_with("  ")) {
            expected.push(next.trim_start());
        }
        let said = check(line);
        for part in said.lines() {
            all.push_str(&format!("  {part}\n"));
        }
        if expected.join("\n") != said {
            wrong.push(format!("{line}\n{said}\n-- but expected\n{}\n", expected.join("\n")));
        }
    }
    assert!(count > 100, "{count} cases");
    if std::env::var_os("UPDATE_CASES").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/condition/tests/cases.txt");
        std::fs::write(path, all).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_public_route_has_no_caller() {
    let public = Names {
        caller: false,
        ..names()
    };
    let faults = Condition::compile("caller.user == path.account_id || caller.tenant == 1", &public).unwrap_err();
    let messages: Vec<&str> = faults.iter().map(|fault| &*fault.message).collect();
    assert_eq!(
        messages,
        ["a public route has no caller", "unknown name `caller.tenant`"]
    );
    let world = World::new();
    let facts = Facts {
        caller: None,
        ..world.facts()
    };
    let condition = Condition::compile("query.tier == \"residential\"", &public).unwrap();
    assert_eq!(condition.holds(&facts), Ok(true));
    let condition = Condition::compile("caller.user == \"u1\"", &names()).unwrap();
    assert!(
        condition.holds(&facts).is_err(),
        "without a caller nothing about one is true or false"
    );
}

#[test]
fn without_a_certificate_nothing_about_one_is_true_or_false() {
    let mut world = World::new();
    world.call.certificate = None;
    for source in [
        "caller.certificate.spiffe_id == \"a\"",
        "caller.certificate.spiffe_id != \"a\"",
        "!(caller.certificate.sha256 == \"a\")",
    ] {
        let condition = Condition::compile(source, &names()).unwrap();
        assert!(condition.holds(&world.facts()).is_err(), "{source}");
    }
    let condition = Condition::compile("has(caller.certificate.spiffe_id)", &names()).unwrap();
    assert_eq!(condition.holds(&world.facts()), Ok(false));
    let public = Names {
        caller: false,
        ..names()
    };
    let faults = Condition::compile("caller.certificate.spiffe_id == \"a\"", &public).unwrap_err();
    assert_eq!(faults[0].message, "a public route has no caller");
}

#[test]
fn a_body_that_was_not_read_is_an_error() {
    let closed = Condition::compile("body.count == 2", &Names::default()).unwrap_err();
    assert_eq!(closed[0].message, "this route does not read its body");
    let world = World::new();
    let facts = Facts {
        body: None,
        ..world.facts()
    };
    let condition = Condition::compile("body.count == 2 || true", &names()).unwrap();
    assert!(condition.reads_body());
    assert_eq!(
        condition.holds(&facts).unwrap_err().to_string(),
        "it is no JSON, is too large or nested too deeply, or gives a member twice"
    );
}

#[test]
fn rows_are_known_to_filters_of_rows() {
    let filter = Names {
        row: true,
        ..Names::default()
    };
    let condition = Condition::compile("row.driver == \"u1\"", &filter).unwrap();
    let world = World::new();
    let row = serde_json::json!({"driver": "u1"});
    let facts = Facts {
        row: Some(&row),
        ..world.facts()
    };
    assert_eq!(condition.holds(&facts), Ok(true));
    assert!(Condition::compile("row.driver == \"u1\"", &names()).is_err());
}

#[test]
fn roles_and_scopes_that_are_named_are_known() {
    let condition = Condition::compile(
        "\"auditor\" in caller.roles && !(\"ledger:sync\" in caller.scopes)",
        &names(),
    )
    .unwrap();
    let named: Vec<_> = condition
        .mentions()
        .iter()
        .map(|mention| (&*mention.name, mention.of, mention.at.start))
        .collect();
    assert_eq!(
        named,
        [("auditor", Mentioned::Role, 0), ("ledger:sync", Mentioned::Scope, 31)]
    );
}
