//! A real OpenID provider: its keys by https, its tokens, and its keys changed under load (S1.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use super::harness::*;

const ACCOUNT_PATH: &str = "/api/accounts/A1";

/// How many tokens with made-up key ids are shown.
const FLOOD: usize = 10_000;

/// A provider of its own, ended when it is dropped.
struct Provider {
    port: u16,
    folder: tempfile::TempDir,
    child: Child,
    words: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Provider {
    fn start(pki: &Pki) -> Self {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/provider");
        assert!(
            modules.join("node_modules/oidc-provider").exists(),
            "this test needs an OpenID provider from npm: run deploy/packages.sh"
        );
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pki.issue("localhost");
        write(folder.path(), "ca.pem", &pki.authority());
        write(folder.path(), "server.crt", &certificate);
        write(folder.path(), "server.key", &key);
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/provider/provider.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(modules)
            .arg(port.to_string())
            .args([folder.path().join("server.crt"), folder.path().join("server.key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test starts node: apt-get install nodejs");
        let (words, told) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut provider = Self {
            port,
            folder,
            child,
            words,
            told: BufReader::new(told),
        };
        assert_eq!(provider.told(), "ready");
        provider
    }

    fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn say(&mut self, word: &str) -> String {
        writeln!(self.words, "{word}").unwrap();
        self.told()
    }

    fn told(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.told.read_line(&mut line).unwrap() > 0, "the provider ended");
            if let Some(told) = line.strip_prefix("told ") {
                return told.trim().to_owned();
            }
        }
    }

    fn fetches(&mut self) -> usize {
        self.say("fetches").parse().unwrap()
    }

    /// An access token, as a client gets one.
    fn token(&self) -> String {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "10", "-u", "etl-1:only-for-tests", "--cacert"])
            .arg(self.folder.path().join("ca.pem"))
            .args([
                "-d",
                "grant_type=client_credentials&scope=accounts:read&resource=https://billing.city.example",
            ])
            .arg(format!("{}/token", self.issuer()))
            .output()
            .expect("this test starts curl: apt-get install curl");
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&output.stderr)));
        answer["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gateway(backend: &Backend, provider: &Provider, pki: &Pki) -> Gateway {
    let policy = POLICY
        .replace(
            "issuer: https://idp.city.example",
            &format!("issuer: {}", provider.issuer()),
        )
        .replace(
            "public_key: ../keys/public.pem",
            &format!("jwks: \"{}/jwks\"\n      jwks_ca: ../tls/ca.crt", provider.issuer()),
        )
        .replace("[ES256]", "[RS256]");
    let mut setup = Setup::new(backend).policy(&policy);
    setup.extra = "limits: { failed_tokens: { requests: 1000000, per: 1s } }".into();
    setup.files = vec![("tls/ca.crt", pki.authority())];
    setup.start()
}

fn line(token: &str) -> Vec<u8> {
    format!("GET {ACCOUNT_PATH} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

fn key_id(token: &str) -> String {
    let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&head).unwrap()["kid"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_providers_tokens_are_taken_and_its_keys_change_without_a_failed_request() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let mut provider = Provider::start(&pki);
    let gateway = gateway(&backend, &provider, &pki);
    let first = provider.token();
    assert_eq!(gateway.call_as("GET", ACCOUNT_PATH, &first, "", "").status, 200);
    assert_eq!(backend.last().field("x-municipal-user"), Some("etl-1"));
    assert_eq!(provider.fetches(), 1, "once, at the start");

    let (current, ended, served) = (Mutex::new(first.clone()), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::open(gateway.port);
                while !ended.load(Ordering::SeqCst) {
                    let token = current.lock().unwrap().clone();
                    let answer = client.send(&line(&token));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let more = |count| {
            let before = served.load(Ordering::SeqCst);
            wait_for("requests", || served.load(Ordering::SeqCst) >= before + count);
        };
        more(100);
        let key = provider.say("rotate");
        more(100);
        let second = provider.token();
        assert_eq!(key_id(&second), key);
        current.lock().unwrap().clone_from(&second);
        more(100);
        // What was signed with the old key is good as long as that is published.
        current.lock().unwrap().clone_from(&first);
        more(100);
        ended.store(true, Ordering::SeqCst);
    });
    assert_eq!(provider.fetches(), 2, "a new key is fetched once, whoever asks");
}

#[test]
fn made_up_key_ids_cost_one_fetch_a_window_and_good_tokens_nothing() {
    let (backend, pki) = (Backend::start(), Pki::new());
    let mut provider = Provider::start(&pki);
    let gateway = gateway(&backend, &provider, &pki);
    let good = provider.token();
    assert_eq!(gateway.call_as("GET", ACCOUNT_PATH, &good, "", "").status, 200);
    let (before, started) = (provider.fetches(), Instant::now());
    let (_, rest) = good.split_once('.').unwrap();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::open(gateway.port);
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at >= FLOOD {
                        return;
                    }
                    let head = json!({ "alg": "RS256", "typ": "at+jwt", "kid": format!("made-up-{at}") }).to_string();
                    let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(head));
                    assert_eq!(client.send(&line(&token)).status, 401);
                    if at.is_multiple_of(100) {
                        assert_eq!(client.send(&line(&good)).status, 200);
                    }
                }
            });
        }
    });
    let windows = usize::try_from(started.elapsed().as_secs() / 10).unwrap() + 1;
    let fetched = provider.fetches() - before;
    assert!(
        (1..=windows).contains(&fetched),
        "{fetched} fetches in {windows} windows"
    );
    assert_eq!(backend.count(), 1 + FLOOD / 100);
}
