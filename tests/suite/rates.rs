//! Rate limits of roles (S3.5): each user has its own, of several roles the strictest holds, and a reload forgets nothing.

use serde_json::json;

use super::harness::*;

/// The suite's policy, in which a clerk may ask three times at once and then once an hour.
fn limited() -> String {
    let (from, to) = (
        "  clerk: { ",
        "  clerk: { rate_limit: { requests: 1, per: 1h, burst: 3 }, ",
    );
    assert!(POLICY.contains(from));
    POLICY.replacen(from, to, 1)
}

#[test]
fn s3_5_each_user_has_its_own_limit() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).policy(&limited()).start();
    let ask = |user: &str, roles: &[&str], path: &str| {
        let mut who = claims(roles);
        who["sub"] = json!(user);
        gateway.call_as("GET", path, &gateway.token(&who), "", "")
    };
    for _ in 0..3 {
        assert_eq!(ask("u1", &["clerk"], "/api/accounts").status, 200);
    }
    let refused = ask("u1", &["clerk"], "/api/accounts");
    assert_eq!((refused.status, refused.error().as_str()), (429, "rate_limited"));
    assert_eq!(refused.json()["decision"], "DENIED_RATE");
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"role\";q=1;w=3600"));
    assert_eq!(
        refused.field("ratelimit"),
        Some(format!("\"role\";r=0;t={wait}").as_str())
    );
    assert_eq!(backend.count(), 3, "nothing of it is forwarded");

    assert_eq!(
        ask("u2", &["clerk"], "/api/accounts").status,
        200,
        "another user has a limit of its own"
    );
    assert_eq!(
        ask("u1", &["caseworker", "clerk"], "/api/accounts").status,
        429,
        "another role beside does not lift it"
    );
    assert_eq!(
        ask("u1", &["caseworker"], "/api/accounts").status,
        200,
        "a role without a limit has none"
    );
    assert_eq!(
        ask("u1", &["clerk"], "/nowhere").status,
        429,
        "it is asked before the route: looking around counts too"
    );
    let refused: Vec<_> = gateway
        .audit(8)
        .into_iter()
        .filter(|line| line["decision"] == "DENIED_RATE")
        .collect();
    assert_eq!(refused.len(), 3);
    assert_eq!(refused[0]["user_id"], "u1");
    assert_eq!(refused[0]["module"], "accounts");
    assert!(
        gateway
            .metrics()
            .contains("tollgate_decisions_total{decision=\"DENIED_RATE\",module=\"accounts\"} 2")
    );
}

#[test]
fn a_reload_forgets_nothing() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).policy(&limited()).start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/api/accounts", &["clerk"]).status, 200);
    }
    write(
        &gateway.path(""),
        "policy/policy.yaml",
        &limited().replace("max_lifetime: 30m", "max_lifetime: 29m"),
    );
    assert_eq!(gateway.admin("POST", "/-/reload").status, 200);
    assert_eq!(gateway.get("/api/accounts", &["clerk"]).status, 429);
}

#[test]
fn every_answer_says_what_is_left() {
    let reply =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRateLimit: \"own\";r=9\r\nContent-Length: 2\r\n\r\n{}";
    let backend = Backend::bytes(reply);
    let gateway = Setup::new(&backend).policy(&limited()).start();
    let left = |answer: &Answer| {
        let limit = answer.field("ratelimit").unwrap().to_owned();
        let (left, next) = limit.strip_prefix("\"role\";r=").unwrap().split_once(";t=").unwrap();
        let next: u64 = next.parse().unwrap();
        assert!((3590..=3600).contains(&next), "{limit}");
        assert_eq!(answer.field("ratelimit-policy"), Some("\"role\";q=1;w=3600"));
        left.parse::<u32>().unwrap()
    };
    let answers = [
        (gateway.get("/api/accounts", &["clerk"]), 200, 2),
        (gateway.get("/api/tariffs", &["clerk"]), 403, 1),
        (gateway.get("/nowhere", &["clerk"]), 404, 0),
        (gateway.get("/api/accounts", &["clerk"]), 429, 0),
    ];
    for (answer, status, expected) in &answers {
        assert_eq!((answer.status, left(answer)), (*status, *expected));
    }
    let others = [
        gateway.call_as("GET", "/api/accounts/help", "", "", ""),
        gateway.call_as("GET", "/api/accounts", "", "", ""),
    ];
    for answer in others {
        assert_eq!(
            answer.field("ratelimit-policy"),
            None,
            "who has no limit is told of none"
        );
    }
    let free = gateway.get("/api/accounts", &["caseworker"]);
    assert_eq!(
        free.field("ratelimit"),
        Some("\"own\";r=9"),
        "and may be told of the backend's"
    );
}

#[test]
fn another_limit_counts_what_was_before() {
    let backend = Backend::json("{}");
    let gateway = Setup::new(&backend).policy(&limited()).start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/api/accounts", &["clerk"]).status, 200);
    }
    write(
        &gateway.path(""),
        "policy/policy.yaml",
        &limited().replace("burst: 3", "burst: 4"),
    );
    assert_eq!(gateway.admin("POST", "/-/reload").status, 200);
    assert_eq!(
        gateway.get("/api/accounts", &["clerk"]).status,
        200,
        "one more than before"
    );
    assert_eq!(gateway.get("/api/accounts", &["clerk"]).status, 429);
}
