//! TLS to a backend: who is trusted, what we show, and what happens when either changes.

use super::harness::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A backend that speaks TLS only.
struct Vault {
    port: u16,
    seen: Arc<Seen>,
}

/// What a vault has seen.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    /// Connections with at least one request.
    connections: AtomicUsize,
    /// While a test holds it, what is asked at [`HELD`] waits.
    held: Mutex<()>,
}

const HELD: &str = "/api/accounts/held";

impl Vault {
    /// With a certificate for `name`; `clients` vouches for whoever may ask.
    fn start(pki: &Pki, name: &str, clients: Option<&Pki>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Seen>::default();
        let (config, count) = (Arc::new(configuration(pki, name, clients)), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, count) = (Arc::clone(&config), Arc::clone(&count));
                thread::spawn(move || {
                    let stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream.unwrap());
                    serve(stream, &count)
                });
            }
        });
        Self { port, seen }
    }

    fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// A gateway before it, with these files for its `tls`.
    fn behind(&self, tls: &str, files: Vec<(&'static str, String)>) -> Gateway {
        let backend = Backend::start();
        let mut setup = Setup::new(&backend).policy(&POLICY.replace("upstream: billing", "upstream: vault"));
        setup.extra = format!(
            "  vault: {{ url: \"https://127.0.0.1:{}\", connect_timeout: 2s, tls: {tls} }}",
            self.port
        );
        setup.files = files;
        setup.start()
    }
}

fn configuration(pki: &Pki, name: &str, clients: Option<&Pki>) -> ServerConfig {
    let (chain, key) = pki.issue(name);
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(clients.authority().as_bytes()).unwrap())
                .unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    builder
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap()
}

/// Answers until the other side has had enough, or is not let in.
fn serve(stream: StreamOwned<ServerConnection, std::net::TcpStream>, seen: &Seen) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    for served in 0.. {
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            head.push_str(&line);
        }
        seen.requests.fetch_add(1, Ordering::SeqCst);
        seen.connections.fetch_add(usize::from(served == 0), Ordering::SeqCst);
        if head.contains(HELD) {
            drop(seen.held.lock());
        }
        let body = r#"{"account_id":"A1001","ssn":"CANARY-7f3a"}"#;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
        write!(stream.get_mut(), "{head}: {}\r\n\r\n{body}", body.len())?;
    }
    Ok(())
}

fn ask_once(gateway: &Gateway) -> Answer {
    gateway.get("/api/accounts/A1001", &["clerk"])
}

#[test]
fn an_answer_that_came_by_tls_is_masked() {
    let pki = Pki::new();
    let vault = Vault::start(&pki, "127.0.0.1", None);
    let gateway = vault.behind("{ ca: ca.pem }", vec![("ca.pem", pki.authority())]);
    for _ in 0..3 {
        let answer = ask_once(&gateway);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, r#"{"account_id":"A1001","ssn":"[REDACTED]"}"#)
        );
    }
    assert_eq!(vault.requests(), 3);
}

#[test]
fn a_backend_that_nobody_vouches_for_is_not_asked() {
    let (pki, other) = (Pki::new(), Pki::new());
    let cases = [
        ("another authority", "127.0.0.1", "{ ca: ca.pem }", other.authority()),
        ("another name", "elsewhere.example", "{ ca: ca.pem }", pki.authority()),
        (
            "another name is asked for",
            "127.0.0.1",
            "{ ca: ca.pem, server_name: billing.internal }",
            pki.authority(),
        ),
        ("no authority of the system's", "127.0.0.1", "{}", pki.authority()),
    ];
    for (what, name, tls, authority) in cases {
        let vault = Vault::start(&pki, name, None);
        let gateway = vault.behind(tls, vec![("ca.pem", authority)]);
        let answer = ask_once(&gateway);
        assert_eq!((answer.status, vault.requests()), (503, 0), "{what}");
        assert!(
            answer.text().contains("upstream_unavailable"),
            "{what}: {}",
            answer.text()
        );
    }
    let vault = Vault::start(&pki, "billing.internal", None);
    let gateway = vault.behind(
        "{ ca: ca.pem, server_name: billing.internal }",
        vec![("ca.pem", pki.authority())],
    );
    assert_eq!(ask_once(&gateway).status, 200);
}

#[test]
fn the_backend_may_ask_who_we_are() {
    let (pki, clients) = (Pki::new(), Pki::new());
    let vault = Vault::start(&pki, "127.0.0.1", Some(&clients));
    let files = |issuer: &Pki| {
        let (certificate, key) = issuer.issue("tollgate");
        vec![("ca.pem", pki.authority()), ("us.crt", certificate), ("us.key", key)]
    };
    let tls = "{ ca: ca.pem, certificate: us.crt, key: us.key }";
    assert_eq!(ask_once(&vault.behind(tls, files(&clients))).status, 200);
    assert_eq!(vault.requests(), 1);
    for (tls, issuer) in [(tls, &pki), ("{ ca: ca.pem }", &clients)] {
        let answer = ask_once(&vault.behind(tls, files(issuer)));
        assert!(matches!(answer.status, 502 | 503), "{}", answer.status);
    }
    assert_eq!(vault.requests(), 1);
}

#[test]
fn a_changed_authority_is_in_force_for_the_next_connection() {
    let (pki, other) = (Pki::new(), Pki::new());
    let vault = Vault::start(&pki, "127.0.0.1", None);
    let gateway = vault.behind("{ ca: ca.pem }", vec![("ca.pem", other.authority())]);
    assert_eq!(ask_once(&gateway).status, 503);
    write(gateway.path("").as_path(), "ca.pem", &pki.authority());
    wait_for("the new authority", || ask_once(&gateway).status == 200);
    // What is no certificate leaves the last good one.
    write(gateway.path("").as_path(), "ca.pem", "nothing");
    wait_for("the fault in the log", || {
        gateway.log().contains("certificates for a backend do not load")
    });
    assert_eq!(ask_once(&gateway).status, 200);
}

/// Connections that stay open, and how often the gateway has said that other files are in force.
struct Held {
    client: Client,
    token: String,
}

impl Held {
    fn open(gateway: &Gateway) -> Self {
        let token = gateway.token(&claims(&["clerk"]));
        let client = Client::open(gateway.port);
        Self { client, token }
    }

    /// On the one connection, so that one worker and its pool are asked.
    fn request(&self, path: &str) -> Vec<u8> {
        let Self { token, .. } = self;
        format!("GET {path} HTTP/1.1\r\nHost: gw.example\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
    }

    fn status(&mut self) -> u16 {
        let request = self.request("/api/accounts/A1001");
        self.client.send(&request).status
    }
}

fn wait_for_files(gateway: &Gateway, times: usize) {
    wait_for("the other files", || {
        gateway.log().matches("certificates for a backend are in force").count() == times
    });
}

#[test]
fn an_open_connection_carries_nothing_more_once_nobody_vouches_for_it() {
    let (pki, other) = (Pki::new(), Pki::new());
    let vault = Vault::start(&pki, "127.0.0.1", None);
    let gateway = vault.behind("{ ca: ca.pem }", vec![("ca.pem", pki.authority())]);
    let (mut free, mut busy) = (Held::open(&gateway), Held::open(&gateway));
    for _ in 0..3 {
        assert_eq!((free.status(), busy.status()), (200, 200));
    }
    let before = vault.connections();
    assert!(before <= 2, "connections are kept: {before}");
    let hold = vault.seen.held.lock().unwrap();
    let request = busy.request(HELD);
    busy.client.write(&request);
    wait_for("the request that is held", || vault.requests() == 7);
    assert_eq!(free.status(), 200);
    let asked = vault.requests();

    write(gateway.path("").as_path(), "ca.pem", &other.authority());
    wait_for_files(&gateway, 1);
    assert_eq!(free.status(), 503);
    drop(hold);
    let answer = busy.client.read(false);
    assert_eq!(
        (answer.status, answer.whole),
        (200, true),
        "what was under way is finished"
    );
    for _ in 0..3 {
        assert_eq!((free.status(), busy.status()), (503, 503));
    }
    assert_eq!(vault.requests(), asked, "nothing more came");

    write(gateway.path("").as_path(), "ca.pem", &pki.authority());
    wait_for_files(&gateway, 2);
    let before = vault.connections();
    for _ in 0..3 {
        assert_eq!((free.status(), busy.status()), (200, 200));
    }
    assert!(vault.connections() > before, "by new connections");
}

#[test]
fn who_we_are_changes_for_the_next_request() {
    let (pki, clients) = (Pki::new(), Pki::new());
    let vault = Vault::start(&pki, "127.0.0.1", Some(&clients));
    let both = || {
        let (certificate, key) = clients.issue("tollgate");
        format!("{certificate}{key}")
    };
    let tls = "{ ca: ca.pem, certificate: us.pem, key: us.pem }";
    let gateway = vault.behind(tls, vec![("ca.pem", pki.authority()), ("us.pem", both())]);
    let mut held = Held::open(&gateway);
    for _ in 0..3 {
        assert_eq!(held.status(), 200);
    }
    assert_eq!(vault.connections(), 1);
    write(gateway.path("").as_path(), "us.pem", &both());
    wait_for_files(&gateway, 1);
    for _ in 0..3 {
        assert_eq!(held.status(), 200);
    }
    assert_eq!(vault.connections(), 2);
}

#[test]
fn what_does_not_fit_is_a_problem_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "policy.yaml", POLICY);
    write(folder.path(), "ca.pem", "no certificate");
    for (upstream, problem) in [
        (
            r#"{ url: "http://127.0.0.1:9000", tls: { ca: ca.pem } }"#,
            "`tls` is for a backend whose `url` starts with `https://`",
        ),
        (
            r#"{ url: "https://127.0.0.1:9000", tls: { ca: missing.pem } }"#,
            "missing.pem",
        ),
        (
            r#"{ url: "https://127.0.0.1:9000", tls: { certificate: ca.pem } }"#,
            "`certificate` and `key` go together",
        ),
        (
            r#"{ url: "https://127.0.0.1:9000", tls: { server_name: "a b" } }"#,
            "is no host name or address",
        ),
        (
            r#"{ url: "https://127.0.0.1:9000", tls: { ca: ca.pem } }"#,
            "no authority can be read",
        ),
    ] {
        let file = format!(
            "listen: [{{ address: 127.0.0.1:8080 }}]\npolicy: policy.yaml\nupstreams:\n  billing: {upstream}\n"
        );
        write(folder.path(), "tollgate.yaml", &file);
        write(folder.path(), "policy.yaml", &POLICY.replace("../keys/", "keys/"));
        write(folder.path(), "keys/public.pem", key_pair().1);
        let (code, out, err) = run(&["check", "--config", "tollgate.yaml"], folder.path());
        assert_eq!(code, 1, "{upstream}: {out}{err}");
        assert!(format!("{out}{err}").contains(problem), "{upstream}: {out}{err}");
    }
}
