//! The admin port: probes, metrics, and nothing for browsers.

use super::harness::*;

#[test]
fn probes_and_unknown_paths() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/healthz", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/metrics", 200),
        ("GET", "/-/policy", 200),
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "//metrics", 404),
        ("GET", "/-/reload", 405),
        ("POST", "/metrics", 405),
        ("POST", "/-/policy", 405),
    ] {
        assert_eq!(gateway.admin(method, path).status, status, "{method} {path}");
    }
    let ready = gateway.admin("GET", "/readyz").json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["policy"]["reload_failed"], false);
}

#[test]
fn browsers_are_refused() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for (fields, status) in [
        ("Host: localhost\r\n", 200),
        ("Host: 127.0.0.1:9901\r\n", 200),
        ("Host: [::1]:9901\r\n", 200),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("", 403),
    ] {
        let request = format!("GET /livez HTTP/1.1\r\nConnection: close\r\n{fields}\r\n");
        assert_eq!(ask(gateway.admin, request.as_bytes()).status, status, "{fields}");
    }
}

#[test]
fn metrics_are_named_as_the_interface_says() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    gateway.get("/api/accounts/A1001", &["clerk"]);
    gateway.get("/api/tariffs", &["clerk"]);
    let text = gateway.metrics();
    for line in [
        r#"tollgate_requests_total{method="GET",module="accounts",route="/api/accounts",status="200"} 1"#,
        r#"tollgate_requests_total{method="GET",module="tariffs",route="/api/tariffs",status="403"} 1"#,
        r#"tollgate_decisions_total{decision="ALLOWED",module="accounts"} 1"#,
        r#"tollgate_decisions_total{decision="DENIED_SCOPE",module="tariffs"} 1"#,
        r#"tollgate_request_duration_seconds_count{module="accounts"} 1"#,
        r#"tollgate_upstream_duration_seconds_count{upstream="billing"} 1"#,
        r#"tollgate_upstream_up{upstream="billing"} 1"#,
        r#"tollgate_masked_fields_total{class="subsidy"} 2"#,
        r#"tollgate_masked_fields_total{class="pii"} 2"#,
        r#"tollgate_policy_reload_failed 0"#,
        "tollgate_policy_info{version=",
        "tollgate_policy_loaded_timestamp_seconds ",
        "tollgate_policy_reloads_total{result=\"success\"} 1",
        "tollgate_audit_records_total ",
        "tollgate_connections ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("A1001"), "a label came from a request");
}

/// A real Prometheus scrapes the gateway and answers queries about it.
#[test]
fn prometheus_scrapes_it() {
    use std::process::{Command, Stdio};
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    gateway.get("/api/accounts/A1001", &["clerk"]);
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "prometheus.yml",
        &format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: tollgate\n    static_configs:\n      - targets: \
             [\"127.0.0.1:{}\"]\n",
            gateway.admin
        ),
    );
    let port = free_port();
    let mut prometheus = Command::new("prometheus")
        .arg(format!(
            "--config.file={}",
            folder.path().join("prometheus.yml").display()
        ))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test starts Prometheus: apt-get install prometheus");
    let query =
        b"GET /api/v1/query?query=tollgate_requests_total HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut text = String::new();
    let started = std::time::Instant::now();
    while !text.contains("\"route\":\"/api/accounts\"") && started.elapsed().as_secs() < 30 {
        if let Some(mut client) = Client::try_open(port) {
            text = String::from_utf8_lossy(&client.send(query).body).into_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    assert!(text.contains("\"route\":\"/api/accounts\""), "{text}");
    assert!(text.contains("\"status\":\"200\""), "{text}");
}

#[test]
fn it_is_alive_before_it_is_ready() {
    let backend = Backend::start();
    // A key server that does not answer: no key, so no token is believed.
    let policy = POLICY.replace("public_key: ../keys/public.pem", "jwks: https://127.0.0.1:9/jwks.json");
    let gateway = Setup::new(&backend).policy(&policy).start();
    let ready = gateway.admin("GET", "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.json()["reasons"].to_string().contains("key"), "{}", ready.text());
    assert_eq!(gateway.admin("GET", "/livez").status, 200);
    let answer = gateway.get("/api/accounts/1", &["clerk"]);
    assert!(matches!(answer.status, 401 | 503), "{}", answer.text());
    assert_eq!(gateway.call_as("GET", "/api/accounts/help", "", "", "").status, 200);
}

#[test]
fn it_tells_neither_secrets_nor_places() {
    let backend = Backend::start();
    let secret = "a secret of at least thirty-two bytes: CANARY-7f3a";
    let policy = POLICY
        .replace("public_key: ../keys/public.pem", "secret_file: ../keys/secret")
        .replace("algorithms: [ES256]", "algorithms: [HS256]");
    let mut setup = Setup::new(&backend).policy(&policy);
    setup.files = vec![("keys/secret", secret.into())];
    let gateway = setup.start();
    let folder = gateway.path("").display().to_string();
    for path in ["/livez", "/readyz", "/healthz", "/metrics", "/-/policy"] {
        let text = gateway.admin("GET", path).text();
        assert!(!text.contains(CANARY), "{path}: {text}");
        assert!(!text.contains(&folder), "{path}: {text}");
    }
}

#[test]
fn it_is_not_given_to_other_machines() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let config = std::fs::read_to_string(gateway.path("tollgate.yaml")).unwrap();
    let own = format!("address: 127.0.0.1:{}", gateway.admin);
    for (address, code) in [
        ("address: 0.0.0.0:9901", 1),
        ("address: 192.0.2.1:9901", 1),
        ("address: \"[::]:9901\"", 1),
        ("address: 127.0.0.1:9901", 0),
        ("address: \"[::1]:9901\"", 0),
        ("address: 0.0.0.0:9901, insecure_admin_exposed: true", 0),
    ] {
        write(&gateway.path(""), "other.yaml", &config.replace(&own, address));
        let (ended, out, err) = run(&["check", "--config", "other.yaml"], &gateway.path(""));
        assert_eq!(ended, code, "{address}: {out}{err}");
        let warned = format!("{out}{err}").contains("insecure_admin_exposed");
        assert_eq!(
            warned,
            address.contains("insecure") || code == 1,
            "{address}: {out}{err}"
        );
    }
}
