//! Web pages of other origins (THREATS P10-P13): what their browsers are told, and what a real browser makes of it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::harness::*;

const PAGE: &str = "https://billing.city.example";

/// The suite's policy with these pages.
fn policy(origins: &str) -> String {
    format!(
        "{POLICY}cors:\n  origins: [{origins}]\n  methods: [GET, POST, PUT]\n  headers: [Authorization, X-Idempotency-Key, Content-Type]\n  \
         expose: [X-Request-Id]\n  max_age: 10m\n"
    )
}

fn setup(backend: &Backend) -> Setup {
    Setup::new(backend).policy(&policy(&format!("{PAGE}, \"https://*.town.example\"")))
}

/// What an answer says to browsers, sorted.
fn told(answer: &Answer) -> Vec<String> {
    let mut lines: Vec<String> = answer
        .fields
        .iter()
        .filter(|(name, _)| name.starts_with("access-control-"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort();
    lines
}

/// All of `Vary`, in one.
fn vary(answer: &Answer) -> String {
    let values = answer.fields.iter().filter(|(name, _)| name == "vary");
    values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_preflight_is_answered_without_token_and_without_backend() {
    let backend = Backend::start();
    let gateway = setup(&backend).start();
    let ask = |path: &str, headers: &str| ask(gateway.port, &request("OPTIONS", path, "", headers, ""));
    let paths = ["/api/accounts/A1", "/api/ledger/sync", "/nowhere", "/"];
    for path in paths {
        let answer = ask(
            path,
            "Origin: https://billing.city.example\r\nAccess-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: authorization,x-idempotency-key\r\n",
        );
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(
            told(&answer),
            [
                "access-control-allow-headers: authorization, x-idempotency-key, content-type",
                "access-control-allow-methods: GET, POST, PUT, HEAD",
                "access-control-allow-origin: https://billing.city.example",
                "access-control-expose-headers: x-request-id",
                "access-control-max-age: 600",
            ],
            "the same whatever is at the path"
        );
        assert_eq!(
            vary(&answer),
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        );
        assert!(answer.field("x-request-id").is_some());
    }
    let refused = [
        ("Origin: https://evil.example\r\n", "GET", ""),
        ("Origin: null\r\n", "GET", ""),
        ("Origin: https://billing.city.example.evil\r\n", "GET", ""),
        ("Origin: https://a.b.town.example\r\n", "GET", ""),
        ("Origin: https://billing.city.example\r\n", "DELETE", ""),
        ("Origin: https://billing.city.example\r\n", "put", ""),
        (
            "Origin: https://billing.city.example\r\n",
            "GET",
            "Access-Control-Request-Headers: x-other\r\n",
        ),
        (
            "Origin: https://billing.city.example\r\n",
            "GET",
            "Access-Control-Request-Private-Network: true\r\n",
        ),
        (
            "Origin: https://billing.city.example\r\n",
            "GET",
            "Access-Control-Request-Local-Network: true\r\n",
        ),
    ];
    for (origin, method, more) in refused {
        let headers = format!("{origin}Access-Control-Request-Method: {method}\r\n{more}");
        let answer = ask("/api/accounts", &headers);
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (403, "origin_not_allowed"),
            "{headers}"
        );
        assert_eq!(answer.json()["decision"], "DENIED_ORIGIN");
        assert!(answer.field("access-control-allow-methods").is_none(), "{headers}");
        assert!(vary(&answer).contains("Origin"));
    }
    // Before a preflight is looked at, its path is.
    let preflight = "Origin: https://billing.city.example\r\nAccess-Control-Request-Method: GET\r\n";
    assert_eq!(ask("/api/%2e%2e/x", preflight).error(), "ambiguous_path");
    for twice in [
        "Origin: https://billing.city.example\r\n",
        "Access-Control-Request-Method: GET\r\n",
    ] {
        assert_eq!(ask("/api", &format!("{preflight}{twice}")).error(), "ambiguous_request");
    }
    assert_eq!(backend.count(), 0);
    let lines = gateway.audit(paths.len() + refused.len() + 3);
    for (line, path) in lines.iter().zip(paths) {
        assert_eq!(
            (&line["decision"], &line["endpoint"]),
            (&"ALLOWED".into(), &path.into())
        );
        assert_eq!(
            (&line["method"], &line["response_status_code"]),
            (&"OPTIONS".into(), &204.into())
        );
    }
    let details: Vec<_> = lines[paths.len()..][..refused.len()]
        .iter()
        .map(|line| line["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        details.iter().filter(|text| text.contains("the origin is not")).count(),
        4
    );
    assert_eq!(
        details.iter().filter(|text| text.contains("the method is not")).count(),
        2
    );
    assert_eq!(
        details.iter().filter(|text| text.contains("a header is not")).count(),
        1
    );
    assert_eq!(
        details.iter().filter(|text| text.contains("private network")).count(),
        2
    );
}

#[test]
fn every_answer_to_an_admitted_page_can_be_read_by_it() {
    let backend = Backend::script(|request, stream| {
        let _ = match request.target.as_str() {
            "/api/accounts/broken" => stream.write_all(answer("200 OK", "text/html", "<p>").as_bytes()),
            "/api/accounts/gone" => return false,
            _ => stream.write_all(answer("200 OK", "application/json", "{}").as_bytes()),
        };
        true
    });
    let gateway = setup(&backend)
        .extra("limits: { header_bytes: 4KiB, uri_bytes: 1KiB, body_bytes: 1KiB }")
        .start();
    let token = gateway.token(&claims(&["clerk"]));
    let long = "x".repeat(2000);
    let large = format!("X-Large: {}\r\n", "x".repeat(5000));
    let cases: [(&str, &str, &str, &str, &str, u16); 12] = [
        ("GET", "/api/accounts/A1", &token, "", "", 200),
        ("GET", "/api/accounts/help", "", "", "", 200),
        ("GET", "/api/accounts", "", "", "", 401),
        ("GET", "/api/accounts", "a.b.c", "", "", 401),
        ("GET", "/api/tariffs", &token, "", "", 403),
        ("GET", "/nowhere", &token, "", "", 404),
        ("PUT", "/api/accounts", &token, "", "", 405),
        ("POST", "/api/accounts", &token, "", &long, 413),
        ("GET", &format!("/api/accounts?{long}"), &token, "", "", 414),
        ("GET", "/api/accounts", &token, &large, "", 431),
        ("GET", "/api/accounts/broken", &token, "", "", 502),
        ("GET", "/api/%2fx", &token, "", "", 400),
    ];
    for (method, path, token, headers, body, status) in cases {
        for (origin, admitted) in [
            (Some(PAGE), true),
            (Some("https://a.town.example"), true),
            (Some("https://evil.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let line = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
            let bytes = request(method, path, token, &format!("{line}{headers}"), body);
            let answer = ask(gateway.port, &bytes);
            assert_eq!(answer.status, status, "{method} {path:.40} {origin:?}");
            let expected: Vec<String> = match origin.filter(|_| admitted) {
                Some(origin) => vec![
                    format!("access-control-allow-origin: {origin}"),
                    "access-control-expose-headers: x-request-id".into(),
                ],
                None => Vec::new(),
            };
            assert_eq!(told(&answer), expected, "{method} {path:.40} {origin:?}");
            assert!(vary(&answer).contains("Origin"), "{method} {path:.40} {origin:?}");
        }
    }
    // A head that cannot be read names no origin that could be believed.
    let unread = ask(
        gateway.port,
        b"GET / HTTP/1.1\r\nHost: gw\r\nOrigin: https://billing.city.example\r\nbad line\r\n\r\n",
    );
    assert_eq!((unread.status, vary(&unread).as_str()), (400, "Origin"));
    assert!(told(&unread).is_empty());
    drop(gateway);
    let gateway = Setup {
        backend: 1,
        ..setup(&backend)
    }
    .start();
    let bytes = request(
        "GET",
        "/api/accounts",
        &gateway.token(&claims(&["clerk"])),
        &format!("Origin: {PAGE}\r\n"),
        "",
    );
    let answer = ask(gateway.port, &bytes);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("access-control-allow-origin"), Some(PAGE));
}

#[test]
fn only_tollgate_speaks_to_browsers() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n\
                 Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: X-Customer-Name\r\n\
                 Access-Control-Allow-Private-Network: true\r\nVary: Accept-Encoding\r\nContent-Length: 2\r\n\r\n{}";
    let backend = Backend::bytes(reply);
    let gateway = setup(&backend).start();
    let headers = format!("Origin: {PAGE}\r\n");
    let answer = gateway.call("GET", "/api/accounts", &["clerk"], &headers, "");
    assert_eq!(
        told(&answer),
        [
            "access-control-allow-origin: https://billing.city.example",
            "access-control-expose-headers: x-request-id"
        ]
    );
    assert_eq!(vary(&answer), "Accept-Encoding, Authorization, Origin");
    let answer = gateway.call(
        "GET",
        "/api/accounts",
        &["clerk"],
        "Origin: https://evil.example\r\n",
        "",
    );
    assert_eq!((answer.status, told(&answer)), (200, Vec::new()));
    drop(gateway);

    let gateway = Setup::new(&backend).start();
    let answer = gateway.call("GET", "/api/accounts", &["clerk"], &headers, "");
    assert_eq!(
        (answer.status, told(&answer)),
        (200, Vec::new()),
        "without `cors` nobody speaks"
    );
    assert_eq!(vary(&answer), "Accept-Encoding, Authorization");
    let preflight = format!("{headers}Access-Control-Request-Method: GET\r\n");
    let answer = ask(gateway.port, &request("OPTIONS", "/api/accounts", "", &preflight, ""));
    assert_eq!((answer.status, told(&answer)), (401, Vec::new()));
}

#[test]
fn pages_change_with_the_policy() {
    let backend = Backend::start();
    let gateway = setup(&backend).start();
    let preflight = |origin: &str| {
        let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n");
        ask(gateway.port, &request("OPTIONS", "/api/accounts", "", &headers, "")).status
    };
    assert_eq!((preflight(PAGE), preflight("https://new.example")), (204, 403));
    write(&gateway.path(""), "policy/policy.yaml", &policy("https://new.example"));
    assert_eq!(gateway.admin("POST", "/-/reload").status, 200);
    assert_eq!((preflight(PAGE), preflight("https://new.example")), (403, 204));
    write(&gateway.path(""), "policy/policy.yaml", &policy("https://new.example/"));
    assert_eq!(gateway.admin("POST", "/-/reload").status, 422);
    assert_eq!(
        (preflight(PAGE), preflight("https://new.example")),
        (403, 204),
        "the last good one stays"
    );
}

#[test]
fn explain_says_what_a_page_may_do() {
    let backend = Backend::start();
    let gateway = setup(&backend).start();
    let explain = |arguments: &[&str]| {
        let output = Command::new(PROGRAM)
            .args(["explain", "--config"])
            .arg(gateway.path("tollgate.yaml"))
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let origin = format!("Origin: {PAGE}");
    let method = "Access-Control-Request-Method: GET";
    let (code, text) = explain(&["--header", &origin, "--header", method, "OPTIONS", "/api/accounts"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("the page may ask; no backend hears of a preflight"),
        "{text}"
    );
    let (code, text) = explain(&[
        "--header",
        "Origin: null",
        "--header",
        method,
        "OPTIONS",
        "/api/accounts",
    ]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("the origin is not one that the policy names"), "{text}");
    let (_, text) = explain(&["--header", "Origin: https://evil.example", "GET", "/api/accounts/help"]);
    assert!(text.contains("`https://evil.example` is not in `cors`"), "{text}");
    let (_, text) = explain(&["--header", &origin, "GET", "/api/accounts/help"]);
    assert!(text.contains("may read the answer"), "{text}");
}

/// A page that asks the gateway and tells what it could read, by asking its own server for a path that says it.
const ASKING: &str = r#"<!doctype html><title>asking</title><script>
const gateway = "http://127.0.0.1:PORT";
const token = "TOKEN";
async function one(path, init) {
  try {
    const answer = await fetch(gateway + path, init);
    const body = await answer.text();
    return [answer.status, body, answer.headers.get("x-request-id") !== null];
  } catch (fault) {
    return [0, fault.name, false];
  }
}
(async () => {
  const bearer = { headers: { Authorization: "Bearer " + token } };
  const told = [
    await one("/api/accounts/A1", bearer),
    await one("/api/tariffs", bearer),
    await one("/api/accounts/help", {}),
    await one("/api/accounts/A1", { headers: { "X-Other": "1" } }),
    await one("/api/accounts/A1", { method: "DELETE", headers: bearer.headers }),
  ];
  await fetch("/told", { method: "POST", body: JSON.stringify(told) });
})();
</script>"#;

/// Serves the page on a port of its own, and passes on what it tells.
struct Pages {
    server: Backend,
    page: Arc<Mutex<String>>,
    told: mpsc::Receiver<Vec<u8>>,
}

impl Pages {
    fn new() -> Self {
        let page = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&page);
        let (tell, told) = mpsc::channel();
        let server = Backend::script(move |request, stream| {
            if request.target == "/told" {
                let _ = tell.send(request.body.clone());
            }
            let page = shown.lock().unwrap().clone();
            stream
                .write_all(answer("200 OK", "text/html", &page).as_bytes())
                .is_ok()
        });
        Self { server, page, told }
    }
}

/// What a page of this server could read of the gateway.
fn browse(gateway: &Gateway, pages: &Pages) -> serde_json::Value {
    let script = ASKING
        .replace("PORT", &gateway.port.to_string())
        .replace("TOKEN", &gateway.token(&claims(&["clerk"])));
    *pages.page.lock().unwrap() = script;
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ])
        .arg("--disable-background-networking")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--remote-debugging-port=0")
        .arg(format!("http://127.0.0.1:{}/", pages.server.port()))
        .env("HOME", profile.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test starts a browser: apt-get install chromium");
    // A browser takes its time to start on a busy machine.
    let told = pages.told.recv_timeout(Duration::from_secs(60));
    browser.kill().unwrap();
    browser.wait().unwrap();
    serde_json::from_slice(&told.expect("the page told nothing")).unwrap()
}

#[test]
fn a_real_browser_lets_its_pages_read_what_the_policy_says() {
    let backend = Backend::json("{\"account_id\":\"A1\"}");
    let (own, foreign) = (Pages::new(), Pages::new());
    let gateway = Setup::new(&backend)
        .policy(&policy(&format!("\"http://127.0.0.1:{}\"", own.server.port())))
        .start();
    let told = browse(&gateway, &own);
    assert_eq!(
        told[0],
        serde_json::json!([200, "{\"account_id\":\"A1\"}", true]),
        "{told}"
    );
    assert_eq!(told[1][0], 403, "a refusal can be read too: {told}");
    assert!(
        told[1][1].as_str().unwrap().contains("\"error\":\"denied_scope\""),
        "{told}"
    );
    assert_eq!(told[2][0], 200, "{told}");
    for (at, what) in [(3, "a header that is not named"), (4, "a method that is not named")] {
        assert_eq!(told[at], serde_json::json!([0, "TypeError", false]), "{what}: {told}");
    }
    let asked = backend.count();
    let told = browse(&gateway, &foreign);
    for at in 0..5 {
        assert_eq!(told[at], serde_json::json!([0, "TypeError", false]), "{told}");
    }
    assert_eq!(
        backend.count(),
        asked + 1,
        "only what needs no leave was asked, and its answer kept from the page"
    );
}
