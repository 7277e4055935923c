//! Client certificates: tokens that are bound to one (RFC 8705), and conditions on what one says.

use serde_json::{Value, json};
use std::process::Command;

use super::harness::*;

const ACCOUNT_PATH: &str = "/api/accounts/A1";
const ETL: &str = "spiffe://city.example/etl";

/// A gateway with a listener that asks for certificates and one that does not.
struct Both {
    gateway: Gateway,
    plain: u16,
}

/// A certificate on disk.
struct Held {
    name: &'static str,
    shown: Shown,
}

impl Both {
    fn start(backend: &Backend, pki: &Pki, policy: &str) -> Self {
        let (setup, plain) = Setup::new(backend).policy(policy).asking_for_certificates(pki);
        Self {
            gateway: setup.start(),
            plain,
        }
    }

    fn holds(&self, name: &'static str, shown: Shown) -> Held {
        write(&self.gateway.path(""), &format!("{name}.crt"), &shown.certificate);
        write(&self.gateway.path(""), &format!("{name}.key"), &shown.key);
        Held { name, shown }
    }

    /// `GET`s of one connection with a certificate, a token for each: their statuses.
    fn statuses(&self, with: &Held, flag: &str, tokens: &[&str]) -> Vec<String> {
        let url = format!("https://localhost:{}{ACCOUNT_PATH}", self.gateway.port);
        let mut curl = Command::new("curl");
        for (at, token) in tokens.iter().enumerate() {
            if at > 0 {
                curl.arg("--next");
            }
            curl.args(["-s", "--max-time", "10", flag, "--cacert"])
                .arg(self.gateway.path("tls/ca.crt"))
                .arg("--cert")
                .arg(self.gateway.path(&format!("{}.crt", with.name)))
                .arg("--key")
                .arg(self.gateway.path(&format!("{}.key", with.name)))
                .args(["-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", "-H"])
                .arg(format!("Authorization: Bearer {token}"))
                .arg(&url);
        }
        let output = curl.output().expect("this test starts curl: apt-get install curl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<(&str, &str)> = lines.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert!(
            lines.iter().skip(1).all(|(_, connects)| *connects == "0"),
            "one connection: {lines:?}"
        );
        lines.iter().map(|(status, _)| (*status).to_owned()).collect()
    }

    fn status(&self, with: &Held, token: &str) -> String {
        self.statuses(with, "--http1.1", &[token]).remove(0)
    }

    fn plainly(&self, token: &str) -> Answer {
        ask(self.plain, &request("GET", ACCOUNT_PATH, token, "", ""))
    }

    fn token(&self, cnf: &Value) -> String {
        let mut claims = claims(&["clerk"]);
        if !cnf.is_null() {
            claims["cnf"] = cnf.clone();
        }
        self.gateway.token(&claims)
    }
}

fn to(held: &Held) -> Value {
    json!({ "x5t#S256": held.shown.thumbprint })
}

#[test]
fn a_bound_token_is_good_with_its_certificate_and_without_it_nowhere() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let both = Both::start(&backend, &pki, POLICY);
    let own = both.holds("own", pki.client("etl-1", ETL));
    let other = both.holds("other", pki.client("etl-2", ETL));
    let (bound, free) = (both.token(&to(&own)), both.token(&Value::Null));
    for flag in ["--http1.1", "--http2"] {
        // Twice on one connection, which remembers its token, then on the others, for which the gateway knows it.
        let statuses = both.statuses(&own, flag, &[&bound, &bound, &free, &bound]);
        assert_eq!(statuses, ["200", "200", "200", "200"]);
        let statuses = both.statuses(&other, flag, &[&bound, &free, &bound]);
        assert_eq!(statuses, ["401", "200", "401"]);
    }
    let answer = both.plainly(&bound);
    assert_eq!((answer.status, &*answer.error()), (401, "invalid_token"));
    assert!(!answer.text().contains("certificate"), "{}", answer.text());
    assert_eq!(both.plainly(&free).status, 200);
    // What a client says of a certificate is no certificate.
    let lies = format!(
        "X-Client-Cert: {}\r\nX-Forwarded-Client-Cert: Hash={}\r\n",
        own.shown.thumbprint, own.shown.fingerprint
    );
    assert_eq!(
        ask(both.plain, &request("GET", ACCOUNT_PATH, &bound, &lies, "")).status,
        401
    );
    let lines = both.gateway.audit(17);
    let details: Vec<&str> = lines.iter().filter_map(|line| line["detail"].as_str()).collect();
    let said = |what: &str| details.iter().filter(|detail| detail.contains(what)).count();
    assert_eq!(
        (said("the certificate is another"), said("no certificate was shown")),
        (4, 2),
        "{details:?}"
    );
}

#[test]
fn an_issuer_may_ask_that_all_its_tokens_are_bound() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let policy = POLICY.replace(
        "max_lifetime: 30m",
        "max_lifetime: 30m\n      require_bound_tokens: true",
    );
    let both = Both::start(&backend, &pki, &policy);
    let own = both.holds("own", pki.client("etl-1", ETL));
    assert_eq!(both.status(&own, &both.token(&to(&own))), "200");
    assert_eq!(both.status(&own, &both.token(&Value::Null)), "401");
    assert_eq!(
        both.status(&own, &both.token(&json!({ "jkt": own.shown.thumbprint }))),
        "401"
    );
    assert_eq!(both.plainly(&both.token(&Value::Null)).status, 401);
    let lines = both.gateway.audit(4);
    assert_eq!(
        lines[1]["detail"],
        "the claim `cnf` does not bind the token to a client certificate"
    );
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_condition_asks_for_the_certificates_names() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let with = |when: &str| {
        POLICY.replace(
            "      - { methods: [GET], scope: accounts:read }\n",
            &format!("      - {{ methods: [GET], scope: accounts:read, when: '{when}' }}\n"),
        )
    };
    let both = Both::start(
        &backend,
        &pki,
        &with(&format!("caller.certificate.spiffe_id == \"{ETL}\"")),
    );
    let etl = both.holds("etl", pki.client("etl-1", ETL));
    let web = both.holds("web", pki.client("etl-1", "https://city.example/etl"));
    let token = both.token(&Value::Null);
    assert_eq!(both.statuses(&etl, "--http2", &[&token, &token]), ["200", "200"]);
    assert_eq!(both.status(&web, &token), "403");
    assert_eq!(both.plainly(&token).error(), "denied_condition");
    for (when, etls, webs, nobodys) in [
        ("caller.certificate.common_name == \"etl-1\"", "200", "200", 403),
        (
            &*format!("caller.certificate.sha256 == \"{}\"", etl.shown.fingerprint),
            "200",
            "403",
            403,
        ),
        (
            "has(caller.certificate.spiffe_id) || !has(caller.certificate.sha256)",
            "200",
            "403",
            200,
        ),
    ] {
        write(&both.gateway.path(""), "policy/policy.yaml", &with(when));
        let (code, _) = {
            let answer = both.gateway.admin("POST", "/-/reload");
            (answer.status, answer.text())
        };
        assert_eq!(code, 200, "{when}");
        assert_eq!(
            (&*both.status(&etl, &token), &*both.status(&web, &token)),
            (etls, webs),
            "{when}"
        );
        assert_eq!(both.plainly(&token).status, nobodys, "{when}");
    }
}

#[test]
fn certificates_can_be_asked_about_offline() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let policy = POLICY.replace(
        "      - { methods: [GET], scope: accounts:read }\n",
        &format!(
            "      - {{ methods: [GET], scope: accounts:read, when: 'caller.certificate.spiffe_id == \"{ETL}\"' }}\n"
        ),
    );
    let both = Both::start(&backend, &pki, &policy);
    let own = both.holds("own", pki.client("etl-1", ETL));
    let bound = json!({ "sub": "u1", "roles": ["clerk"], "cnf": to(&own) }).to_string();
    let explain = |more: &[&str]| {
        let all: Vec<&str> = ["explain", "--config", "tollgate.yaml", "--claims", &bound]
            .into_iter()
            .chain(more.iter().copied())
            .chain(["GET", ACCOUNT_PATH])
            .collect();
        run(&all, &both.gateway.path(""))
    };
    let (code, out, _) = explain(&[]);
    assert!(code == 3 && out.contains("no certificate was shown"), "{out}");
    assert_eq!(explain(&["--certificate", "own.crt"]).0, 0);
    assert_eq!(explain(&["--certificate", "own.key"]).0, 1);
    let cases = format!(
        "- name: with its certificate\n  claims: {{ sub: u1, roles: [clerk] }}\n  request: {{ method: GET, url: {ACCOUNT_PATH}, certificate: \
         {{ spiffe_id: \"{ETL}\" }} }}\n  expect: {{ decision: ALLOWED }}\n\
         - name: without\n  claims: {{ sub: u1, roles: [clerk] }}\n  request: {{ method: GET, url: {ACCOUNT_PATH} }}\n  expect: {{ decision: DENIED_CONDITION }}\n"
    );
    write(&both.gateway.path(""), "cases.yaml", &cases);
    let (code, out, err) = run(
        &["test", "--config", "tollgate.yaml", "cases.yaml"],
        &both.gateway.path(""),
    );
    assert_eq!(code, 0, "{out}{err}");
    write(
        &both.gateway.path(""),
        "cases.yaml",
        &cases.replace(ETL, "https://city.example"),
    );
    let (code, out, err) = run(
        &["test", "--config", "tollgate.yaml", "cases.yaml"],
        &both.gateway.path(""),
    );
    assert!(code != 0 && err.contains("is no SPIFFE id"), "{out}{err}");
    let question = json!({
        "claims": { "sub": "u1", "roles": ["clerk"] }, "method": "GET", "url": ACCOUNT_PATH, "certificate": { "spiffe_id": ETL },
    })
    .to_string();
    let head = format!(
        "POST /-/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{question}",
        question.len()
    );
    assert_eq!(ask(both.gateway.admin, head.as_bytes()).json()["decision"], "ALLOWED");
}
