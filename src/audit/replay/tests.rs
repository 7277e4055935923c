//! Lines of a log, one by one: what is decided again, and what cannot be.

use super::*;
use crate::config::load_policy;

const OLD: &str = "
version: 1
roles:
  clerk: { scopes: [accounts:read] }
  boss: { scopes: [accounts:read, reports:read], allow_from: [10.0.0.0/8] }
modules:
  accounts:
    prefix: /accounts
    upstream: billing
    routes:
      - { methods: [GET], scope: accounts:read, jurisdiction: { from: \"query:county\" } }
      - { path: \"/{id}/open\", methods: [GET], scope: accounts:read }
  reports:
    prefix: /reports
    upstream: billing
    routes:
      - { methods: [GET], scope: reports:read }
      - { path: /help, methods: [GET], public: true }
";

fn policy(text: &str) -> Arc<Policy> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    std::fs::write(&path, text).unwrap();
    let loaded = load_policy(&path, &["billing".into()]);
    Arc::new(loaded.unwrap_or_else(|problems| panic!("{problems:?}")).policy)
}

/// A line that the old policy wrote, with some of its members changed.
fn line(old: &Policy, changes: &[(&str, serde_json::Value)]) -> Vec<u8> {
    let mut line = serde_json::json!({
        "seq": 7, "timestamp": "t", "user_id": "u1", "roles": ["clerk"], "method": "GET", "endpoint": "/accounts/A/open",
        "jurisdiction_scope": [], "ip_address": "10.0.0.1", "decision": "ALLOWED", "error": null,
        "policy_version": &*old.version,
    });
    for (name, value) in changes {
        line[*name] = value.clone();
    }
    serde_json::to_vec(&line).unwrap()
}

#[test]
fn each_line_is_decided_again_or_says_why_not() {
    use serde_json::json;
    let old = policy(OLD);
    let new = OLD
        .replace(
            "clerk: { scopes: [accounts:read] }",
            "clerk: { scopes: [reports:read] }",
        )
        .replace(
            "    routes:\n      - { methods: [GET], scope: reports:read }",
            "    routes:\n      - { methods: [GET], scope: accounts:read }",
        );
    let new = policy(&format!("{new}revoked: {{ users: [u9] }}\n"));
    let request = |endpoint: &str, decision: &str, error: &str| {
        vec![
            ("endpoint", json!(endpoint)),
            ("decision", json!(decision)),
            ("error", json!(error)),
        ]
    };
    let with = |mut changes: Vec<(&'static str, serde_json::Value)>, more: (&'static str, serde_json::Value)| {
        changes.push(more);
        changes
    };
    let reports = request("/reports", "DENIED_SCOPE", "denied_scope");
    for (changes, expected) in [
        (vec![], "denied"),
        (vec![("decision", json!("ERROR_UPSTREAM"))], "denied"),
        (
            vec![("user_id", json!("u9"))],
            "tokens of the user are revoked, and which one it was is not in the line",
        ),
        (vec![("decision", json!("DENIED_IDEMPOTENCY"))], "denied"),
        (vec![("endpoint", json!("/reports/help"))], "same"),
        (
            vec![
                ("endpoint", json!("/reports/help")),
                ("user_id", json!(null)),
                ("roles", json!([])),
            ],
            "same",
        ),
        (
            with(vec![("roles", json!(["boss"]))], ("endpoint", json!("/reports"))),
            "same",
        ),
        (with(reports.clone(), ("roles", json!(["clerk"]))), "same"),
        (request("/nowhere", "DENIED_ROUTE", "no_route"), "same"),
        // Without a token nothing is open, before and after.
        (
            with(
                request("/reports", "DENIED_TOKEN", "missing_token"),
                ("user_id", json!(null)),
            ),
            "same",
        ),
        // The query is not in the line; where both policies read it in the same place, it was the caller's then.
        (
            vec![("endpoint", json!("/accounts")), ("roles", json!(["boss"]))],
            "same",
        ),
        (
            with(
                request("/accounts", "DENIED_JURISDICTION", "jurisdiction_mismatch"),
                ("roles", json!(["boss"])),
            ),
            "same",
        ),
        (
            vec![
                ("endpoint", json!("/accounts")),
                ("roles", json!(["boss"])),
                ("policy_version", json!("x")),
            ],
            "a jurisdiction or condition is not in the line, and another policy decided it",
        ),
        // The old policy would have allowed it: the token had fewer scopes than its roles.
        (
            request("/accounts/A/open", "DENIED_SCOPE", "denied_scope"),
            "the decision depended on more than the line holds, such as the token's scopes",
        ),
        (
            request("/reports", "DENIED_TOKEN", "expired_token"),
            "the token was bad, and its claims are not in the line",
        ),
        (
            request("/reports", "DENIED_ROLE", "no_role"),
            "the token's roles were refused, and are not in the line",
        ),
        (
            request("/reports", "DENIED_REQUEST", "ambiguous_path"),
            "the request was refused before the policy was asked",
        ),
        (
            vec![("method", json!("OPTIONS")), ("user_id", json!(null))],
            "a web page asked what it may ask, and its origin is not in the line",
        ),
        (
            with(
                request("/reports", "DENIED_ORIGIN", "origin_not_allowed"),
                ("method", json!("OPTIONS")),
            ),
            "a web page asked what it may ask, and its origin is not in the line",
        ),
        (
            request("/reports", "SOMETHING_NEW", "x"),
            "the decision was none of the policy's",
        ),
        (
            vec![("endpoint", json!("/a... cut, sha256 00"))],
            "the path is too long for the line",
        ),
        (vec![("ip_address", json!("here"))], "the line's request cannot be read"),
        (vec![("endpoint", json!("/accounts/B\u{e9}/open"))], "denied"),
    ] {
        let mut replay = Replay::new(Arc::clone(&old), Arc::clone(&new));
        replay.line(&line(&old, &changes));
        let report = replay.finish();
        let got = match (report.newly_allowed, report.newly_denied, report.replayed) {
            (1, 0, 1) => "allowed",
            (0, 1, 1) => "denied",
            (0, 0, 1) => "same",
            _ => report.not_replayed.keys().next().copied().unwrap_or("nothing"),
        };
        assert_eq!(got, expected, "{changes:?}");
    }
}

#[test]
fn what_is_denied_and_would_be_allowed_is_counted_by_role_and_route() {
    use serde_json::json;
    let old = policy(OLD);
    let new = policy(&OLD.replace(
        "clerk: { scopes: [accounts:read] }",
        "clerk: { scopes: [accounts:read, reports:read] }",
    ));
    let mut replay = Replay::new(Arc::clone(&old), new);
    let denied = [
        ("endpoint", json!("/reports")),
        ("decision", json!("DENIED_SCOPE")),
        ("error", json!("denied_scope")),
    ];
    let count = MAX_EXAMPLES + 5;
    for _ in 0..count {
        replay.line(&line(&old, &denied));
    }
    replay.line(br#"{"seq":1,"timestamp":"t","event":"start"}"#);
    let report = replay.finish();
    assert_eq!(report.newly_allowed, count as u64);
    assert_eq!(report.examples.len(), MAX_EXAMPLES);
    assert_eq!(report.events, 1);
    let [(group, number)] = report.groups.as_slice() else {
        panic!("{:?}", report.groups)
    };
    assert_eq!(*number, count as u64);
    assert_eq!(
        (&*group.roles, &*group.method, &*group.route, group.decision),
        ("clerk", "GET", "/reports", "ALLOWED")
    );
}

/// More callers than are kept: they are forgotten and found again.
#[test]
fn callers_are_bounded() {
    use serde_json::json;
    let old = policy(OLD);
    let mut replay = Replay::new(Arc::clone(&old), Arc::clone(&old));
    let count = MAX_CALLERS + 10;
    for number in 0..count {
        replay.line(&line(&old, &[("jurisdiction_scope", json!([format!("c{number}")]))]));
    }
    assert_eq!(replay.finish().replayed, count as u64);
}

#[test]
fn a_condition_is_not_evaluated_but_holds_as_it_did_while_it_is_the_same() {
    use serde_json::json;
    let with = |when: &str| {
        policy(&OLD.replace(
            "      - { path: \"/{id}/open\", methods: [GET], scope: accounts:read }",
            &format!("      - {{ path: \"/{{id}}/open\", methods: [GET], scope: accounts:read{when} }}"),
        ))
    };
    let (bare, own, other) = (
        with(""),
        with(", when: 'path.id == caller.user'"),
        with(", when: 'path.id != caller.user'"),
    );
    let denied = [
        ("decision", json!("DENIED_CONDITION")),
        ("error", json!("denied_condition")),
    ];
    for (old, new, changes, replayed, newly_allowed, newly_denied) in [
        (&own, &own, &[][..], 1, 0, 0),
        (&own, &own, &denied, 1, 0, 0),
        (&own, &bare, &denied, 1, 1, 0),
        (&own, &other, &[], 0, 0, 0),
        (&own, &other, &denied, 0, 0, 0),
        (&bare, &own, &[], 0, 0, 0),
    ] {
        let mut replay = Replay::new(Arc::clone(old), Arc::clone(new));
        replay.line(&line(old, changes));
        let report = replay.finish();
        let got = (report.replayed, report.newly_allowed, report.newly_denied);
        assert_eq!(
            got,
            (replayed, newly_allowed, newly_denied),
            "{:?}",
            report.not_replayed
        );
    }
}
