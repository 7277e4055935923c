//! Tokens and users that are refused although their tokens are good: by the policy, and by operators at once.

use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::harness::*;

const ACCOUNT_PATH: &str = "/api/accounts/A1";

fn token(gateway: &Gateway, user: &str, id: Option<&str>) -> String {
    let mut claims = claims(&["clerk"]);
    claims["sub"] = user.into();
    if let Some(id) = id {
        claims["jti"] = id.into();
    }
    gateway.token(&claims)
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.call_as("GET", ACCOUNT_PATH, token, "", "").status
}

/// A word to the admin port.
fn say(gateway: &Gateway, method: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let head = format!(
        "{method} /-/revoked HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(gateway.admin, head.as_bytes());
    (answer.status, answer.json())
}

fn command(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    let all: Vec<&str> = ["revoke"]
        .into_iter()
        .chain(arguments.iter().copied())
        .chain(["--config", "tollgate.yaml"])
        .collect();
    run(&all, &gateway.path(""))
}

fn events(gateway: &Gateway, name: &str) -> Vec<Value> {
    let lines = audit_lines(&gateway.path("audit/audit.jsonl")).into_iter();
    lines.filter(|line| line["event"] == name).collect()
}

#[track_caller]
fn is_revoked(answer: &Answer) {
    assert_eq!(
        (answer.status, &*answer.error()),
        (401, "invalid_token"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.field("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    assert!(
        !answer.text().contains("revoked"),
        "a client learns no more: {}",
        answer.text()
    );
}

#[test]
fn a_policy_revokes_tokens_and_users() {
    let backend = Backend::start();
    let more = "revoked:\n  tokens: [t-1]\n  users: [mallory]\n  issued_before: { ops7: \"2020-01-01T00:00:00Z\", ops8: \"2999-01-01T00:00:00Z\" }\n";
    let gateway = Setup::new(&backend).policy(&format!("{POLICY}{more}")).start();
    for (user, id, expected) in [
        ("u1", Some("t-2"), 200),
        ("u1", Some("t-1"), 401),
        ("mallory", Some("t-2"), 401),
        ("mallory", None, 401),
        ("Mallory", None, 200),
        ("t-1", None, 200),
        ("ops7", None, 200),
        ("ops8", None, 401),
    ] {
        assert_eq!(status(&gateway, &token(&gateway, user, id)), expected, "{user} {id:?}");
    }
    is_revoked(&gateway.call_as("GET", ACCOUNT_PATH, &token(&gateway, "mallory", None), "", ""));
    let lines = gateway.audit(9);
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["decision"], &last["error"]),
        (&json!("DENIED_TOKEN"), &json!("invalid_token"))
    );
    assert_eq!(last["detail"], "revoked by the policy; user mallory");
    assert_eq!(backend.count(), 4);
    let explained = run(
        &[
            "explain",
            "--config",
            "tollgate.yaml",
            "--claims",
            r#"{"sub":"mallory","roles":["clerk"]}"#,
            "GET",
            ACCOUNT_PATH,
        ],
        &gateway.path(""),
    );
    assert!(
        explained.0 == 3 && explained.1.contains("revoked by the policy"),
        "{explained:?}"
    );
}

#[test]
fn a_policy_that_revokes_holds_for_tokens_that_were_good_a_moment_ago() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let good = token(&gateway, "mallory", None);
    let mut client = Client::open(gateway.port);
    let again = format!("GET {ACCOUNT_PATH} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {good}\r\n\r\n");
    assert_eq!(client.send(again.as_bytes()).status, 200);
    fs::write(
        gateway.path("policy/more.yaml"),
        "version: 1\nrevoked: { users: [mallory] }\n",
    )
    .unwrap();
    wait_for("the policy", || client.send(again.as_bytes()).status == 401);
    fs::remove_file(gateway.path("policy/more.yaml")).unwrap();
    wait_for("the policy", || client.send(again.as_bytes()).status == 200);
}

#[test]
fn an_operators_word_is_in_force_at_once_on_open_connections_and_for_known_tokens() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let (bad, good) = (
        token(&gateway, "mallory", Some("t-1")),
        token(&gateway, "alice", Some("t-2")),
    );
    // Both are known: to the connection, and to the gateway.
    let mut open: Vec<Client> = (0..4).map(|_| Client::open(gateway.port)).collect();
    let line =
        |token: &str| format!("GET {ACCOUNT_PATH} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    for client in &mut open {
        assert_eq!(client.send(line(&bad).as_bytes()).status, 200);
    }
    for word in [json!({ "token": "t-1" }), json!({ "user": "mallory" })] {
        let (code, told) = say(&gateway, "POST", &word);
        assert_eq!(code, 201, "{told}");
        for client in &mut open {
            is_revoked(&client.send(line(&bad).as_bytes()));
            assert_eq!(client.send(line(&good).as_bytes()).status, 200);
            // The connection remembers the other one now; this one the gateway knows.
            is_revoked(&client.send(line(&bad).as_bytes()));
        }
        assert_eq!(status(&gateway, &good), 200);
        assert_eq!(say(&gateway, "DELETE", &word).0, 200);
        for client in &mut open {
            assert_eq!(client.send(line(&bad).as_bytes()).status, 200);
        }
    }
    let (revoked, lifted) = (events(&gateway, "revoked"), events(&gateway, "revocation_lifted"));
    assert_eq!((revoked.len(), lifted.len()), (2, 2));
    assert_eq!(
        (&revoked[0]["token"], &revoked[1]["of_user"]),
        (&json!("t-1"), &json!("mallory"))
    );
    assert_eq!(revoked[0]["via"], "admin");
}

#[test]
fn requests_that_run_meanwhile_are_answered_by_the_old_list_or_the_new() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let (bad, good) = (token(&gateway, "mallory", None), token(&gateway, "alice", None));
    let told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::open(gateway.port);
                let line = |token: &str| {
                    format!("GET {ACCOUNT_PATH} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n")
                };
                loop {
                    let before = told.load(Ordering::SeqCst);
                    let status = client.send(line(&bad).as_bytes()).status;
                    assert!(
                        status == 401 || (status == 200 && !before),
                        "{status} after the word was told"
                    );
                    assert_eq!(client.send(line(&good).as_bytes()).status, 200);
                    if before {
                        return;
                    }
                }
            });
        }
        gateway_is_busy(&backend);
        assert_eq!(say(&gateway, "POST", &json!({ "user": "mallory" })).0, 201);
        told.store(true, Ordering::SeqCst);
    });
}

fn gateway_is_busy(backend: &Backend) {
    wait_for("some requests", || backend.count() > 50);
}

#[test]
fn what_is_revoked_stays_so_through_crashes_and_the_command_works_on_both_sides() {
    let backend = Backend::start();
    let mut gateway = Setup::new(&backend).start();
    let (bad, id) = (token(&gateway, "mallory", None), token(&gateway, "u1", Some("t-9")));
    let (code, out, err) = command(&gateway, &["user", "mallory", "--reason", "left the city"]);
    assert!(
        code == 0 && out.contains("revoked: user mallory") && err.contains("a gateway runs"),
        "{out}{err}"
    );
    assert_eq!(status(&gateway, &bad), 401);
    gateway.kill();
    gateway.launch();
    assert_eq!(status(&gateway, &bad), 401, "a restart forgets nothing");
    gateway.kill();
    let (code, out, err) = command(
        &gateway,
        &["token", "t-9", "--issuer", ISSUER, "--until", "2999-01-01T00:00:00Z"],
    );
    assert!(code == 0 && err.contains("no gateway runs"), "{out}{err}");
    assert_eq!(command(&gateway, &["user", "mallory", "--lift"]).0, 0);
    assert_eq!(
        command(&gateway, &["user", "mallory", "--lift"]).0,
        1,
        "there is none any more"
    );
    gateway.launch();
    assert_eq!((status(&gateway, &bad), status(&gateway, &id)), (200, 401));
    let (code, out, _) = command(&gateway, &["list", "--format", "json"]);
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    let entries = listed["revoked"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["token"], &entries[0]["issuer"]),
        (&json!("t-9"), &json!(ISSUER))
    );
    assert_eq!(entries[0]["until"], "2999-01-01T00:00:00Z");
    assert_eq!(listed["room"], 9_999);
    let said = events(&gateway, "revoked");
    assert_eq!(said[0]["reason"], "left the city");
    assert!(
        said[0]["operator"].is_string() && said[1]["via"] == "command",
        "{said:?}"
    );
    let (code, out, err) = run(&["audit", "verify", "audit/audit.jsonl"], &gateway.path(""));
    assert_eq!(code, 0, "{out}{err}");
    // A list that cannot be read stops the start: forgotten, it would let them in.
    gateway.kill();
    write(&gateway.path(""), "state/revoked.json", "{");
    let (code, _, err) = run(&["serve", "--config", "tollgate.yaml"], &gateway.path(""));
    assert!(code == 1 && err.contains("revoked.json"), "{err}");
}

#[test]
fn only_tokens_from_before_a_time_are_refused_where_one_is_named() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let at = |ago: u64| {
        let mut claims = claims(&["clerk"]);
        claims["iat"] = (unix_now() - ago).into();
        claims["exp"] = (unix_now() + 300).into();
        gateway.token(&claims)
    };
    let (old, new) = (at(100), at(0));
    assert_eq!((status(&gateway, &old), status(&gateway, &new)), (200, 200));
    let time = jiff::Timestamp::from_second(i64::try_from(unix_now() - 50).unwrap()).unwrap();
    let word = json!({ "user": "u1", "issued_before": time.to_string() });
    assert_eq!(say(&gateway, "POST", &word).0, 201);
    assert_eq!((status(&gateway, &old), status(&gateway, &new)), (401, 200));
    // The same user again is the same entry, with other terms.
    let (code, told) = say(&gateway, "POST", &json!({ "user": "u1", "issuer": null }));
    assert!(code == 200 && told["replaced"] == true, "{told}");
    assert_eq!((status(&gateway, &old), status(&gateway, &new)), (401, 401));
    // For an issuer is another entry.
    assert_eq!(
        say(
            &gateway,
            "POST",
            &json!({ "user": "u1", "issuer": "https://other.example" })
        )
        .0,
        201
    );
    assert_eq!(say(&gateway, "DELETE", &json!({ "user": "u1" })).0, 200);
    assert_eq!((status(&gateway, &old), status(&gateway, &new)), (200, 200));
}

#[test]
fn a_word_that_could_mean_another_thing_changes_nothing() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for (method, word, expected) in [
        ("POST", json!({}), 400),
        ("POST", json!({ "user": "a", "token": "b" }), 400),
        ("POST", json!({ "user": "" }), 400),
        ("POST", json!({ "user": "a\nb" }), 400),
        ("POST", json!({ "user": "x".repeat(513) }), 400),
        ("POST", json!({ "user": 7 }), 400),
        ("POST", json!({ "usr": "a" }), 400),
        ("POST", json!({ "user": "a", "until": "yesterday" }), 400),
        ("POST", json!({ "user": "a", "until": "2020-01-01T00:00:00Z" }), 400),
        (
            "POST",
            json!({ "token": "a", "issued_before": "2020-01-01T00:00:00Z" }),
            400,
        ),
        ("DELETE", json!({ "user": "a", "until": "2999-01-01T00:00:00Z" }), 400),
        ("DELETE", json!({ "user": "nobody" }), 404),
        ("PUT", json!({ "user": "a" }), 405),
    ] {
        let (code, told) = say(&gateway, method, &word);
        assert_eq!(code, expected, "{method} {word}: {told}");
    }
    assert_eq!(
        gateway.admin("PUT", "/-/revoked").field("allow"),
        Some("GET, POST, DELETE")
    );
    assert_eq!(gateway.admin("GET", "/-/revoked?user=a").status, 400);
    let (code, told) = say(&gateway, "GET", &Value::Null);
    assert_eq!((code, told), (200, json!({ "revoked": [], "room": 10_000 })));
    assert!(events(&gateway, "revoked").is_empty() && events(&gateway, "revocation_lifted").is_empty());
}
