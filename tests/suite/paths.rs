//! Paths that somebody else could read differently, and paths that only look so (interface, section 5).

use super::harness::*;
use super::requests::{ask_http2, on_http2};

/// `path status error`, by tabs; `#` begins a remark.
const CASES: &str = include_str!("../cases/paths.tsv");

#[test]
fn a_path_is_read_in_one_way_or_refused_and_passes_byte_for_byte() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let clerk = gateway.token(&claims(&["clerk", "driver"]));
    let admin = gateway.token(&claims(&["finance_admin", "dispatcher"]));
    let mut failures = Vec::new();
    let mut asked = 0;
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [path, status, error] = cells[..] else {
            panic!("{line}")
        };
        for (who, token) in [("clerk", &clerk), ("admin", &admin)] {
            let before = backend.count();
            let answer = gateway.call_as("GET", path, token, "", "");
            asked += 1;
            // Who may do more is refused the same when it is the path that is wrong.
            if who == "admin" && matches!(status, "200" | "403") {
                continue;
            }
            let seen = backend.seen().split_off(before);
            let targets: Vec<&str> = seen.iter().map(|request| request.target.as_str()).collect();
            let expected: Vec<&str> = if error == "-" {
                path.split('#').take(1).collect()
            } else {
                Vec::new()
            };
            let said = if answer.status == 200 {
                "-".to_owned()
            } else {
                answer.error()
            };
            if (answer.status.to_string().as_str(), said.as_str(), &targets) != (status, error, &expected) {
                failures.push(format!(
                    "{line} as {who}: {} {said}, the backend saw {targets:?}",
                    answer.status
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(asked >= 180, "the table is not read");
    assert_eq!(gateway.audit(asked).len(), asked, "each has its line");
}

#[test]
fn a_path_of_many_segments_or_bytes_is_refused_soon() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let deep = |count| format!("/api/accounts{}", "/a".repeat(count));
    for (path, status, error) in [
        (deep(254), 200, ""),
        (deep(255), 400, "ambiguous_path"),
        (deep(3000), 400, "ambiguous_path"),
        (format!("/api/accounts/{}", "a".repeat(8000)), 200, ""),
        (format!("/api/accounts/{}", "a".repeat(8192)), 414, "uri_too_long"),
        (format!("/api/accounts/1?{}", "a".repeat(8192)), 414, "uri_too_long"),
        (format!("/api/accounts/{}", "%2e/".repeat(2000)), 400, "ambiguous_path"),
    ] {
        let started = std::time::Instant::now();
        let answer = gateway.get(&path, &["clerk"]);
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (status, error),
            "{} bytes",
            path.len()
        );
        assert!(
            started.elapsed().as_millis() < 1000,
            "{} bytes took {:?}",
            path.len(),
            started.elapsed()
        );
    }
    assert_eq!(backend.count(), 2);
}

#[test]
fn a_target_longer_than_any_head_is_too_long_a_target() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for length in [10_000, 60_000, 70_000, 300_000] {
        let answer = gateway.get(&format!("/api/accounts/{}", "a".repeat(length)), &["clerk"]);
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (414, "uri_too_long"),
            "{length} bytes"
        );
    }
    assert_eq!(backend.count(), 0);
}

#[test]
fn the_most_specific_wins_whatever_the_order_of_lines() {
    let backend = Backend::start();
    let identity = &POLICY[..POLICY.find("\nroles:").unwrap()];
    let general = "  root:\n    prefix: /\n    upstream: billing\n    routes: [{ methods: [GET], scope: any:read }]\n";
    let special = "  tools:\n    prefix: /tools\n    upstream: billing\n    routes: [{ path: /open, methods: [GET], scope: any:read }, { methods: \
                   [GET], scope: tools:use }]\n";
    for modules in [[general, special], [special, general]] {
        let policy = format!(
            "{identity}\nroles:\n  clerk: {{ scopes: [any:read] }}\n  smith: {{ scopes: [tools:use] }}\nmodules:\n{}",
            modules.concat()
        );
        let gateway = Setup::new(&backend).policy(&policy).start();
        for (path, status) in [
            ("/", 200),
            ("/x/y", 200),
            ("/toolsx", 200),
            ("/tools", 403),
            ("/tools/x", 403),
            ("/tools/openx", 403),
            ("/tools/open", 200),
            ("/tools/open/x", 200),
        ] {
            assert_eq!(gateway.get(path, &["clerk"]).status, status, "{path}");
        }
    }
}

#[test]
fn http2_reads_a_path_in_the_same_way() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let clerk = gateway.token(&claims(&["clerk", "driver"]));
    let mut asked = 0;
    on_http2(&gateway, async |sender| {
        for line in CASES.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split('\t').collect();
            let (path, status, error) = (cells[0], cells[1], cells[2]);
            // What the client's own library would read otherwise cannot be sent with it.
            let as_sent = format!("http://gw.example{path}").parse::<http::Uri>();
            if !as_sent.is_ok_and(|uri| uri.path_and_query().is_some_and(|target| target.as_str() == path)) {
                continue;
            }
            asked += 1;
            let before = backend.count();
            let (got, text) = ask_http2(&sender, &clerk, path, &[]).await;
            assert_eq!(got.to_string(), status, "{line}: {text}");
            assert!(
                error == "-" || text.contains(&format!("\"error\":\"{error}\"")),
                "{line}: {text}"
            );
            let targets: Vec<String> = backend
                .seen()
                .split_off(before)
                .into_iter()
                .map(|seen| seen.target)
                .collect();
            assert_eq!(targets, if error == "-" { vec![path] } else { vec![] }, "{line}");
        }
    });
    assert!(asked >= 60, "{asked} of the table");
    gateway.audit(asked);
}
