//! Rate limits of roles (S3.5): each user has its own, of several roles the strictest holds, and a reload forgets nothing.

use serde_json::json;

use super::harness::*;
use super::servers::{Redis, Restarts};

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

/// Gateways that share a Redis share a user's limit, and each says what is left of it. Without the server each goes by what
/// it knows: who had nothing left has nothing left, and who was never seen has the whole of it.
#[test]
fn gateways_that_share_a_redis_share_a_limit() {
    let mut server = Redis::start();
    let backend = Backend::json("{}");
    let gateways = [0, 1].map(|_| {
        let setup = Setup::new(&backend).policy(&limited());
        let state = format!("redis:///0?socket={}", server.socket().display());
        Setup { state, ..setup }.start()
    });
    let shares = |up: u8| {
        wait_for("the limits to be where they are counted", || {
            gateways.iter().all(|gateway| {
                gateway
                    .metrics()
                    .contains(&format!("tollgate_rate_limits_shared {up}\n"))
            })
        });
    };
    let ask = |at: usize, user: &str| {
        let mut who = claims(&["clerk"]);
        who["sub"] = json!(user);
        let gateway: &Gateway = &gateways[at];
        gateway.call_as("GET", "/api/accounts", &gateway.token(&who), "", "")
    };
    let left = |answer: &Answer| {
        answer
            .field("ratelimit")
            .unwrap()
            .split(";t=")
            .next()
            .unwrap()
            .to_owned()
    };
    shares(1);
    for (at, rest) in [(0, 2), (1, 1), (0, 0)] {
        let answer = ask(at, "u1");
        assert_eq!((answer.status, left(&answer)), (200, format!("\"role\";r={rest}")));
        assert_eq!(answer.field("ratelimit-policy"), Some("\"role\";q=1;w=3600"));
    }
    for at in [1, 0, 1] {
        let refused = ask(at, "u1");
        assert_eq!((refused.status, refused.error().as_str()), (429, "rate_limited"));
        assert_eq!(left(&refused), "\"role\";r=0");
        let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
        assert!((3500..=3600).contains(&wait), "{wait}");
    }
    assert_eq!(ask(1, "u2").status, 200);
    assert_eq!(server.said(&["FLUSHALL"]), "+OK");
    assert_eq!(
        [ask(0, "u1").status, ask(1, "u1").status],
        [429, 429],
        "it is not asked again for who is too fast"
    );

    server.crash();
    shares(0);
    for at in [0, 1] {
        assert_eq!(ask(at, "u1").status, 429, "what the server said is not forgotten");
        let statuses = [0; 4].map(|_| ask(at, "u3").status);
        assert_eq!(statuses, [200, 200, 200, 429], "each gateway by itself");
        let metrics = gateways[at].metrics();
        assert!(metrics.contains("tollgate_rate_limits_alone_total 3\n"), "{metrics}");
        assert!(
            gateways[at]
                .admin("GET", "/readyz")
                .text()
                .contains("rate limits are counted by this gateway alone")
        );
        assert!(gateways[at].log().contains("this gateway counts for itself"));
    }
    server.launch();
    shares(1);
    assert_eq!([ask(0, "u4").status, ask(1, "u4").status], [200, 200]);
}

/// An address that has shown as many bad tokens as it may, at whichever gateway, shows one more at each of the others and is
/// not listened to then. Without the server each gateway counts for itself, and forgets nothing.
#[test]
fn gateways_that_share_a_redis_share_what_an_address_has_shown() {
    let mut server = Redis::start();
    let backend = Backend::json("{}");
    let gateways = [0, 1].map(|_| {
        let limits = "limits: { failed_tokens: { requests: 3, per: 1h } }\ntrusted_proxies: [127.0.0.1]";
        let setup = Setup::new(&backend).extra(limits);
        let state = format!("redis:///0?socket={}", server.socket().display());
        Setup { state, ..setup }.start()
    });
    let shares = |up: u8| {
        let line = format!("tollgate_rate_limits_shared {up}\n");
        wait_for("bad tokens to be where they are counted", || {
            gateways.iter().all(|gateway| gateway.metrics().contains(&line))
        });
    };
    let ask = |at: usize, from: &str, token: &str| {
        let from = format!("X-Forwarded-For: {from}\r\n");
        gateways[at].call_as("GET", "/api/accounts/A1", token, &from, "").status
    };
    // Each a token that its gateway does not know yet.
    let good = |number: usize| {
        let mut who = claims(&["clerk"]);
        who["sub"] = json!(format!("u{number}"));
        gateways[0].token(&who)
    };
    shares(1);
    let (one, two, three) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
    assert_eq!([0, 1, 0].map(|at| ask(at, one, "bad")), [401; 3]);
    assert_eq!(ask(0, one, &good(1)), 429, "it knows of all three");
    assert_eq!(ask(1, one, &good(2)), 200, "it knows of two");
    assert_eq!(ask(1, one, "bad"), 401, "and hears of the third with this one");
    assert_eq!((ask(1, one, &good(3)), ask(1, one, "bad")), (429, 429));
    assert_eq!([0, 1].map(|at| ask(at, two, &good(4))), [200; 2], "another address");
    assert_eq!(server.said(&["FLUSHALL"]), "+OK");
    assert_eq!(
        [0, 1].map(|at| ask(at, one, &good(5))),
        [429; 2],
        "a server that forgets opens nothing"
    );

    server.crash();
    shares(0);
    for at in [0, 1] {
        assert_eq!(ask(at, one, &good(6)), 429);
        assert_eq!(
            [0; 4].map(|_| ask(at, three, "bad")),
            [401, 401, 401, 429],
            "each by itself"
        );
    }
}
