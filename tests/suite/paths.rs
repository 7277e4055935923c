//! Paths that somebody else could read differently, and paths that only look so (interface, section 5).

use super::harness::*;

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
