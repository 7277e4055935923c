//! Starts the program and what it needs, and takes it down again.
//!
//! Every wait is for a condition and has a deadline. What is secret in a test (tokens, planted values) is looked for in
//! every audit line and in the log when the gateway ends.

mod backend;
mod client;
mod disks;
pub mod frames;
mod pki;
mod policy;
mod tunnel;

pub use backend::{Backend, Request, answer};
pub use client::{Answer, Client, ask, raw};
pub use pki::{Pki, Shown};
pub use policy::{ACCOUNT, CANARY, ISSUER, POLICY, claims};

pub use disks::Disks;
pub use tunnel::tunnel;

use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Longest wait for anything.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

struct Keys {
    private: String,
    public: String,
}

static KEYS: LazyLock<Keys> = LazyLock::new(fresh_keys);

fn fresh_keys() -> Keys {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    Keys {
        private: pair.serialize_pem(),
        public: pair.public_key_pem(),
    }
}

/// A gateway to be started.
pub struct Setup {
    pub policy: String,
    /// More lines of the gateway file.
    pub extra: String,
    /// More lines of its first listener.
    pub listener: String,
    /// Where the keys that were used are kept.
    pub state: String,
    pub sync: &'static str,
    pub audit: Option<String>,
    pub backend: u16,
    /// How long the backend may take.
    pub timeout: &'static str,
    /// More keys of the backend, each with a comma before it.
    pub upstream: &'static str,
    /// What the program logs, as `RUST_LOG` says it; as it does by itself if empty.
    pub log: &'static str,
    /// Names and contents of more files.
    pub files: Vec<(&'static str, String)>,
    /// Folders that are small disks of their own, each with its size as `mount` takes it.
    pub disks: &'static [(&'static str, &'static str)],
}

impl Setup {
    /// The suite's policy before a backend.
    pub fn new(backend: &Backend) -> Self {
        Self {
            policy: POLICY.into(),
            extra: String::new(),
            listener: String::new(),
            state: "state/".into(),
            sync: "writes",
            audit: None,
            backend: backend.port(),
            timeout: "5s",
            upstream: "",
            log: "",
            files: Vec::new(),
            disks: &[],
        }
    }

    pub fn policy(self, policy: &str) -> Self {
        Self {
            policy: policy.into(),
            ..self
        }
    }

    pub fn extra(self, extra: &str) -> Self {
        Self {
            extra: extra.into(),
            ..self
        }
    }

    /// Has the first listener ask for certificates that `pki` vouches for, and a second one, whose port comes too, take
    /// plain HTTP.
    pub fn asking_for_certificates(self, pki: &Pki) -> (Self, u16) {
        let (certificate, key) = pki.issue("localhost");
        let plain = free_port();
        let setup = Self {
            listener: format!(
                "    tls: {{ certificate: tls/server.crt, key: tls/server.key, client_ca: tls/ca.crt }}\n  - address: 127.0.0.1:{plain}"
            ),
            files: vec![
                ("tls/server.crt", certificate),
                ("tls/server.key", key),
                ("tls/ca.crt", pki.authority()),
            ],
            ..self
        };
        (setup, plain)
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        let (port, admin) = (free_port(), free_port());
        let Self {
            policy,
            extra,
            listener,
            state,
            sync,
            audit,
            backend,
            timeout,
            upstream,
            log,
            files,
            disks,
        } = self;
        let audit = audit.unwrap_or_else(|| "audit/audit.jsonl".into());
        write(folder.path(), "keys/public.pem", &KEYS.public);
        write(folder.path(), "keys/private.pem", &KEYS.private);
        write(folder.path(), "policy/policy.yaml", &policy);
        for (name, content) in files {
            write(folder.path(), name, &content);
        }
        write(
            folder.path(),
            "tollgate.yaml",
            &format!(
                "listen:\n  - address: 127.0.0.1:{port}\n{listener}\nadmin: {{ address: 127.0.0.1:{admin} }}\npolicy: policy\n\
                 state: {state}\naudit: {{ path: {audit}, sync: {sync} }}\nworkers: 2\nupstreams:\n  billing: {{ url: \
                 \"http://127.0.0.1:{backend}\", connect_timeout: 1s, timeout: {timeout}, max_connections: 64{upstream} }}\n{extra}\n"
            ),
        );
        let mut gateway = Gateway {
            disks: (!disks.is_empty()).then(|| Disks::with(folder.path(), disks)),
            folder,
            port,
            admin,
            level: log,
            child: None,
        };
        gateway.launch();
        gateway
    }
}

/// A running gateway. Ended, and its traces searched for secrets, when dropped.
pub struct Gateway {
    folder: TempDir,
    /// Where it runs, if it has disks of its own.
    pub disks: Option<Disks>,
    pub port: u16,
    pub admin: u16,
    /// `RUST_LOG`, if not empty.
    level: &'static str,
    child: Option<Child>,
}

impl Gateway {
    /// Starts the program (again) and waits until it is ready.
    pub fn launch(&mut self) {
        self.spawn();
        assert!(self.is_up(), "the gateway ended: {}", self.log());
    }

    /// Starts the program (again) and waits until it is ready or has ended; whether it is ready.
    pub fn launch_if_possible(&mut self) -> bool {
        self.spawn();
        self.is_up()
    }

    /// Starts the program (again).
    pub fn spawn(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log.jsonl"))
            .unwrap();
        let mut command = self
            .disks
            .as_ref()
            .map_or_else(|| Command::new(PROGRAM), |disks| disks.command(PROGRAM));
        let child = command
            .args(["serve", "--config"])
            .arg(self.path("tollgate.yaml"))
            .envs((!self.level.is_empty()).then_some(("RUST_LOG", self.level)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Waits until the program is ready, or has ended.
    fn is_up(&mut self) -> bool {
        let admin = self.admin;
        let mut ended = false;
        wait_for("the gateway to be up", || {
            if let Some(child) = &mut self.child
                && child.try_wait().unwrap().is_some()
            {
                ended = true;
                return true;
            }
            Client::try_open(admin)
                .is_some_and(|mut client| client.is_answered(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        });
        // What answered was this program and not another that had taken its port.
        !ended
            && self
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log.jsonl")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Memory that the program holds, in bytes.
    pub fn memory(&self) -> u64 {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        resident * 4096
    }

    /// A caller's token, good for a quarter of an hour.
    pub fn token(&self, claims: &Value) -> String {
        mint(&KEYS.private, claims, 900)
    }

    /// `GET` with the token of these roles.
    pub fn get(&self, path: &str, roles: &[&str]) -> Answer {
        self.call("GET", path, roles, "", "")
    }

    /// A request with the token of these roles, more header lines (each with its `\r\n`), and a body.
    pub fn call(&self, method: &str, path: &str, roles: &[&str], headers: &str, body: &str) -> Answer {
        let token = self.token(&claims(roles));
        self.call_as(method, path, &token, headers, body)
    }

    pub fn call_as(&self, method: &str, path: &str, token: &str, headers: &str, body: &str) -> Answer {
        ask(self.port, &request(method, path, token, headers, body))
    }

    /// A plain request to the admin port.
    pub fn admin(&self, method: &str, path: &str) -> Answer {
        ask(
            self.admin,
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    }

    pub fn metrics(&self) -> String {
        self.admin("GET", "/metrics").text()
    }

    /// The audit lines of requests, once there are `count`.
    pub fn audit(&self, count: usize) -> Vec<Value> {
        let path = self.path("audit/audit.jsonl");
        let mut lines = Vec::new();
        wait_for(&format!("{count} audit lines"), || {
            lines = audit_lines(&path)
                .into_iter()
                .filter(|line| line.get("event").is_none())
                .collect();
            lines.len() >= count
        });
        assert_eq!(lines.len(), count, "more lines than requests: {lines:#?}");
        lines
    }

    /// Sends a signal to the program.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the program to end by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let mut status = None;
        wait_for("the gateway to end", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends the program at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway ---\n{}", self.log());
            return;
        }
        let audit = fs::read_to_string(self.path("audit/audit.jsonl")).unwrap_or_default();
        for (name, text) in [("audit line", &audit), ("log", &self.log())] {
            assert!(!text.contains(CANARY), "a planted secret is in the {name}: {text}");
            assert!(!text.contains("eyJ"), "a token is in the {name}: {text}");
        }
    }
}

/// The lines of an audit log.
pub fn audit_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}")))
        .collect()
}

/// A whole request, for one connection.
pub fn request(method: &str, path: &str, token: &str, headers: &str, body: &str) -> Vec<u8> {
    let authorization = if token.is_empty() {
        String::new()
    } else {
        format!("Authorization: Bearer {token}\r\n")
    };
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nHost: gw.example\r\nConnection: close\r\n{authorization}{length}{headers}\r\n{body}")
        .into_bytes()
}

/// Signs claims, adding times unless they have them.
pub fn mint(private: &str, claims: &Value, ttl: u64) -> String {
    let claims = claims.as_object().unwrap();
    tollgate::identity::mint::with_key(
        private.as_bytes(),
        claims,
        None,
        Some(Duration::from_secs(ttl)),
        unix_now(),
    )
    .unwrap()
}

/// A private key that no gateway knows.
pub fn strangers_key() -> String {
    fresh_keys().private
}

/// The key pair of the suite, in PEM: private, public.
pub fn key_pair() -> (&'static str, &'static str) {
    (&KEYS.private, &KEYS.public)
}

pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Looks again and again until the condition holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes a file below a folder.
pub fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A port that nobody listens at. Below the range from which the kernel gives ports to outgoing connections, so that none
/// of the many that tests make takes it meanwhile.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + (std::process::id() % 16_000) as u16;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs the program to its end: status code, standard output, standard error.
pub fn run(arguments: &[&str], folder: &Path) -> (i32, String, String) {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
