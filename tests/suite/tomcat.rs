//! A real Tomcat behind it, which decodes in its own way, must never be reached outside policy.
//!
//! What Tomcat itself says it was reached by is compared with what the policy decided on. The same spellings sent to
//! Tomcat directly do reach what is out of bounds.

use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::harness::*;

/// From Debian's package.
const JAR: &str = "/usr/share/java/tomcat10-embed-core.jar";

/// Where a spelling begins, and how many steps up from there is the root.
const STARTS: [(&str, usize); 5] = [
    ("", 0),
    ("/public", 1),
    ("/public/open", 2),
    ("/public;a=b/open", 2),
    ("/public/open;jsessionid=1", 2),
];

/// What somebody may read as a step up, or as nothing.
const STEPS: [&str; 28] = [
    "/..",
    "/%2e%2e",
    "/.%2E",
    "/..;",
    "/..;a=b",
    "/%2e%2e;",
    "/..%3b",
    "/%2e%2e%3ba",
    "/;/..",
    "/%3b/../..",
    "//..",
    "/./..",
    "/%2e/%2e%2e",
    "/..%2f.",
    "%2f..",
    "%252f..",
    "/%252e%252e",
    "/%25252e%25252e",
    "\\..",
    "%5c..",
    "/%c0%ae%c0%ae",
    "/%e0%80%ae%e0%80%ae",
    "/\u{ff0e}\u{ff0e}",
    "/%ef%bc%8e%ef%bc%8e",
    "/%u002e%u002e",
    "/..%00",
    "/..%20",
    "/..\t",
];

/// What is not to be reached, in this and that spelling.
const ENDS: [&str; 22] = [
    "/secret",
    "//secret",
    "/./secret",
    "/;/secret",
    "/;a=b/secret/x",
    "\\secret",
    "%2fsecret",
    "%5csecret",
    "%c0%afsecret",
    "%252fsecret",
    "/%73ecret",
    "/%2573ecret",
    "/secret;jsessionid=1",
    "/secret%3bx",
    "/secret/",
    "/secret.",
    "/secret%20",
    "/secret%00",
    "/SECRET",
    "/public/closed",
    "/public/%63losed;a",
    "/public/open/../closed",
];

/// Whole targets.
const TARGETS: [&str; 26] = [
    "/public/open",
    "/public/open/",
    "/public/open/a%20b;c=d",
    "/public/open/%e2%82%ac",
    "/public/open/%41;jsessionid=1/b",
    "/public/open%3bx",
    "/public;x/open",
    "/public/open?/../../secret",
    "/public/open?a=/secret&b=..%2f..%2fsecret",
    "/public/open%3f/../../secret",
    "/public/open#/../../secret",
    "/public/open%23/../../secret",
    "/secret?/public/open",
    "/secret#/public/open",
    "?/public/open",
    "/Public/open",
    "/PUBLIC/../secret",
    "/public./open",
    "/public\0/open",
    "http://gw.example/secret",
    "http://gw.example/public/open/../../secret",
    "http://gw.example//public/open/..;/..;/secret",
    "http://gw.example/secret/public/open",
    "http://gw.example?/public/open",
    "http://public/open/secret",
    "secret",
];

/// Everything that is asked for.
fn spellings() -> Vec<String> {
    let mut all: Vec<String> = TARGETS.map(str::to_owned).into();
    for (start, depth) in STARTS {
        for end in ENDS {
            all.push(format!("{start}{end}"));
            if depth > 0 {
                all.extend(STEPS.map(|step| format!("{start}{}{end}", step.repeat(depth))));
            }
        }
    }
    all
}

/// A Tomcat of its own, ended when it is dropped.
struct Container {
    /// As it ships, and with all loosened.
    ports: [u16; 2],
    child: Child,
    words: ChildStdin,
    told: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Container {
    fn start() -> Self {
        assert!(
            Path::new(JAR).exists(),
            "this test needs Tomcat: apt-get install libtomcat10-embed-java"
        );
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/tomcat/Container.java");
        let compiled = Command::new("javac")
            .args(["-cp", JAR, "-d"])
            .args([folder.path(), &source])
            .output()
            .expect("this test starts javac: apt-get install default-jdk-headless");
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let mut child = Command::new("java")
            .arg("-cp")
            .arg(format!("{JAR}:{}", folder.path().display()))
            .arg("Container")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (words, told) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut container = Self {
            ports: [0; 2],
            child,
            words,
            told: BufReader::new(told),
            _folder: folder,
        };
        let told = container.told();
        let ports: Vec<u16> = told.split(' ').map(|port| port.parse().unwrap()).collect();
        container.ports = ports.try_into().unwrap();
        container
    }

    fn told(&mut self) -> String {
        let mut line = String::new();
        assert!(self.told.read_line(&mut line).unwrap() > 0, "Tomcat ended");
        line.trim().to_owned()
    }

    /// What was reached since it was asked last.
    fn reached(&mut self) -> Vec<Value> {
        writeln!(self.words, "reached").unwrap();
        serde_json::from_str(&self.told()).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for each spelling. The id of a request is its place in the list.
fn ask_all(port: u16, spellings: &[String], token: &str) {
    for (place, target) in spellings.iter().enumerate() {
        let id = format!("X-Request-Id: {place}\r\n");
        raw(port, &request("GET", target, token, &id, ""));
    }
}

/// A gateway before one module: all that Tomcat has besides is unrouted, or for somebody else. A caller may do what has no
/// route of its own.
fn gateway(port: u16, path_parameters: &str) -> Gateway {
    let identity = &POLICY[..POLICY.find("\nroles:").unwrap()];
    let policy = format!(
        "{identity}\nroles:\n  clerk: {{ scopes: [open:read] }}\n  keeper: {{ scopes: [closed:read] }}\nmodules:\n  public:\n    prefix: \
         /public\n    upstream: billing\n    path_parameters: {path_parameters}\n    unmaskable: [text/html]\n    routes:\n      - {{ \
         methods: [GET], scope: open:read }}\n      - {{ path: /closed, methods: [GET], scope: closed:read }}\n      \
         - {{ path: \"/own/{{who}}\", methods: [GET], scope: open:read, when: 'path.who != \"other\"' }}\n"
    );
    let mut setup = Setup::new(&Backend::start()).policy(&policy);
    setup.backend = port;
    setup.start()
}

/// The path that Tomcat makes of one that the policy allowed: without what follows a `;` as such. An encoded one stays.
fn as_servlets_see(decoded: &str, raw: &str) -> String {
    let pairs = decoded.split('/').zip(raw.split('/'));
    let names = pairs.map(|(name, raw)| name.split(';').next().filter(|_| raw.contains(';')).unwrap_or(name));
    names.collect::<Vec<&str>>().join("/")
}

/// Whether a path of Tomcat's is for our caller.
fn in_bounds(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    segments.next() == Some("public") && segments.next() != Some("closed")
}

/// What is wrong with one of the requests that reached Tomcat through the gateway, given the gateway's own line about it.
fn fault(reached: &Value, line: &Value, spelling: &str, bytes_are_letters: bool) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (path, uri) = (text(&reached["path"]), text(&reached["uri"]));
    let mut decided = as_servlets_see(&text(&line["endpoint"]), &uri);
    if bytes_are_letters {
        decided = decided.bytes().map(char::from).collect();
    }
    let origin = spelling.strip_prefix("http://gw.example").unwrap_or(spelling);
    let sent = match reached["query"].as_str() {
        Some(query) => format!("{uri}?{query}"),
        None => uri,
    };
    let as_decided = line["decision"] == "ALLOWED"
        && line["module"] == "public"
        && reached["servlet"] == "public"
        && in_bounds(&path)
        && path == decided
        && Some(sent.as_str()) == origin.split('#').next();
    (!as_decided).then(|| format!("{spelling:?} was decided as {line} and reached {reached}"))
}

/// How many requests reach Tomcat through the gateway. None may reach what the policy did not decide on.
fn reached_in_bounds(container: &mut Container, at: usize, path_parameters: &str, spellings: &[String]) -> usize {
    let gateway = gateway(container.ports[at], path_parameters);
    let token = gateway.token(&claims(&["clerk"]));
    ask_all(gateway.port, spellings, &token);
    let reached = container.reached();
    let lines: HashMap<String, Value> = gateway
        .audit(spellings.len())
        .into_iter()
        .map(|line| (line["request_id"].as_str().unwrap().to_owned(), line))
        .collect();
    let faults: Vec<String> = reached
        .iter()
        .filter_map(|reached| {
            let id = reached["request"].as_str().unwrap();
            fault(reached, &lines[id], &spellings[id.parse::<usize>().unwrap()], at == 1)
        })
        .collect();
    assert!(faults.is_empty(), "{} of them:\n{}", faults.len(), faults.join("\n"));
    reached.len()
}

#[test]
fn tomcat_is_reached_by_no_path_that_the_policy_did_not_decide_on() {
    let spellings = spellings();
    let mut container = Container::start();
    for at in [0, 1] {
        // Sent directly, many reach what is out of bounds: the spellings are worth asking.
        ask_all(container.ports[at], &spellings, "");
        let direct = container.reached();
        let secret = direct.iter().filter(|reached| reached["servlet"] == "secret").count();
        let closed = direct
            .iter()
            .filter(|reached| reached["path"] == "/public/closed")
            .count();
        assert!(secret >= 300 && closed >= 100, "{secret}, {closed}");
        let refused = reached_in_bounds(&mut container, at, "refuse", &spellings);
        let allowed = reached_in_bounds(&mut container, at, "allow", &spellings);
        assert!(refused >= 20 && allowed >= refused + 20, "{refused}, {allowed}");
    }
}

/// Names of what is somebody else's, as Tomcat takes them.
const OTHERS: [&str; 8] = [
    "other",
    "other;",
    "other;x",
    "other;a=b;c",
    "other%3b",
    "%6fther;x",
    "other/;x",
    "other;x/",
];

#[test]
fn tomcat_acts_on_no_name_that_the_condition_did_not_compare() {
    let is_others = |reached: &Value| {
        let mut names = reached["path"].as_str().unwrap().split('/').skip(1);
        (names.next(), names.next(), names.next()) == (Some("public"), Some("own"), Some("other"))
    };
    let others: Vec<String> = OTHERS.map(|name| format!("/public/own/{name}")).into();
    let own: Vec<String> = ["/public/own/mine", "/public/own;x/mine", "/public/own/mine/a;x"]
        .map(str::to_owned)
        .into();
    let mut container = Container::start();
    for at in [0, 1] {
        ask_all(container.ports[at], &others, "");
        let direct = container.reached();
        assert!(
            direct.iter().filter(|reached| is_others(reached)).count() >= 5,
            "{direct:?}"
        );
        let gateway = gateway(container.ports[at], "allow");
        let token = gateway.token(&claims(&["clerk"]));
        ask_all(gateway.port, &others, &token);
        assert_eq!(container.reached(), Vec::<Value>::new());
        for line in gateway.audit(others.len()) {
            let decision = line["decision"].as_str().unwrap();
            assert!(matches!(decision, "DENIED_CONDITION" | "DENIED_REQUEST"), "{line}");
        }
        ask_all(gateway.port, &own, &token);
        let paths: Vec<Value> = container
            .reached()
            .into_iter()
            .map(|reached| reached["path"].clone())
            .collect();
        assert_eq!(paths, ["/public/own/mine", "/public/own/mine/a"]);
    }
}
