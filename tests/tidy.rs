//! The rules of the house that a compiler does not know.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// From the words at the bottom to the process at the top: a file imports from its own floor and from below.
const FLOORS: [(&str, usize); 13] = [
    ("reason", 0),
    ("call", 0),
    ("identity", 1),
    ("policy", 1),
    ("masking", 1),
    ("ledger", 1),
    ("config", 2),
    ("audit", 2),
    ("edge", 3),
    ("gateway", 4),
    ("server", 5),
    ("cli", 5),
    ("main", 5),
];

/// What the core and the words may not name: they neither wait nor ask for the time.
const NOT_IN_THE_CORE: [&str; 8] = [
    "tokio::",
    "hyper::",
    "tracing::",
    "std::fs",
    "std::net::Tcp",
    "SystemTime::now",
    "Instant::now",
    "thread::sleep",
];

/// Longest file, in lines: a sitting.
const MAX_LINES: usize = 620;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the repository below a folder, as git knows them (also those that are new).
fn files(below: &str, ending: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", below])
        .current_dir(root())
        .output()
        .expect("this test asks git: apt-get install git");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut files: Vec<PathBuf> = text
        .lines()
        .filter(|name| name.ends_with(ending))
        .map(|name| root().join(name))
        .filter(|path| path.exists())
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A file's text without its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn floor(path: &Path) -> usize {
    let below = path.strip_prefix(root().join("src")).unwrap();
    let module = below.components().next().unwrap().as_os_str().to_str().unwrap();
    let module = module.trim_end_matches(".rs");
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map_or(usize::MAX, |(_, floor)| *floor)
}

#[test]
fn imports_go_down_only() {
    for path in files("src", ".rs").into_iter().filter(|path| !path.ends_with("lib.rs")) {
        let own = floor(&path);
        assert_ne!(own, usize::MAX, "{} is on no floor", path.display());
        let text = read(&path);
        for (name, floor) in FLOORS {
            if floor > own {
                let up = format!("crate::{name}::");
                let named = without_tests(&text).contains(&up);
                assert!(!named || is_test(&path), "{} reaches up to `{name}`", path.display());
            }
        }
    }
}

#[test]
fn the_core_waits_for_nothing() {
    for path in files("src", ".rs") {
        if is_test(&path) || path.ends_with("lib.rs") || floor(&path) > 1 {
            continue;
        }
        let text = read(&path);
        for word in NOT_IN_THE_CORE {
            assert!(
                !without_tests(&text).contains(word),
                "{} names `{word}`",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_is_a_sitting() {
    for path in files("src", ".rs").into_iter().chain(files("tests", ".rs")) {
        let text = read(&path);
        assert!(
            text.starts_with("//!"),
            "{} does not say what it is for",
            path.display()
        );
        let lines = text.lines().count();
        assert!(
            lines <= MAX_LINES || is_test(&path),
            "{} has {lines} lines",
            path.display()
        );
    }
}

#[test]
fn nothing_is_left_for_later_in_the_source() {
    for path in files("src", ".rs") {
        let text = read(&path);
        for mark in ["TODO", "FIXME", "todo!(", "unimplemented!(", "dbg!("] {
            assert!(!text.contains(mark), "{} has {mark}", path.display());
        }
    }
}

#[test]
fn each_dependency_says_what_it_is_for() {
    let text = read(&root().join("Cargo.toml"));
    let mut in_dependencies = false;
    for line in text.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && line.contains(" = ") && !line.starts_with('#') {
            assert!(line.contains(" # "), "no reason beside `{line}`");
        }
    }
}

#[test]
fn the_top_level_stays_small() {
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "Makefile",
        "README.md",
        "clippy.toml",
        "deploy",
        "policies",
        "rustfmt.toml",
        "src",
        "tests",
    ]
    .into();
    for path in files(".", "") {
        let top = path.strip_prefix(root()).unwrap().components().next().unwrap();
        let name = top.as_os_str().to_str().unwrap().to_owned();
        assert!(
            allowed.contains(&*name) || name.starts_with('.'),
            "{name} is at the top level"
        );
    }
}

/// The YAML documents of a file: the whole of it, its parts between `---`, or the fenced blocks of a README.
fn documents(path: &Path) -> Vec<String> {
    let text = read(path);
    if path.extension().is_some_and(|ending| ending == "md") {
        return text
            .split("```yaml\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap().to_owned())
            .collect();
    }
    text.split("\n---").map(str::to_owned).collect()
}

#[test]
fn every_yaml_that_we_ship_can_be_read() {
    let paths = files("deploy", ".yaml")
        .into_iter()
        .chain(files("deploy", ".yml"))
        .chain(files("policies", ".yaml"))
        .chain([root().join("README.md")]);
    for path in paths {
        for document in documents(&path) {
            let read = serde_yaml::from_str::<serde_json::Value>(&document);
            assert!(read.is_ok(), "{}: {}\n{document}", path.display(), read.unwrap_err());
        }
    }
}

fn tollgate(arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn check(folder: &Path) -> (bool, String) {
    tollgate(&["check", "--config", "tollgate.yaml"], folder)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The policies that ship load without a word, and so does the README's, which is a page long and complete.
#[test]
fn shipped_policies_load() {
    let readme = documents(&root().join("README.md"));
    let policy_of_readme = readme.iter().find(|text| text.contains("\nroles:")).unwrap();
    for name in ["municipal", "fleet", "readme"] {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy");
        if name == "readme" {
            fs::create_dir(&policy).unwrap();
            fs::write(policy.join("policy.yaml"), policy_of_readme).unwrap();
        } else {
            copy(&root().join("policies").join(name), &policy);
        }
        if name == "fleet" {
            fs::write(policy.join("keys/portal.secret"), "x".repeat(48)).unwrap();
        }
        let upstreams: String = ["billing", "rates", "archive", "portal"]
            .iter()
            .enumerate()
            .map(|(at, name)| format!("  {name}: {{ url: \"http://127.0.0.1:{}\" }}\n", 9000 + at))
            .collect();
        fs::write(
            folder.path().join("tollgate.yaml"),
            format!("listen:\n  - address: 127.0.0.1:8080\npolicy: policy\nupstreams:\n{upstreams}"),
        )
        .unwrap();
        let (good, text) = check(folder.path());
        assert!(good && text.contains("warnings: 0"), "{name}: {text}");
    }
}

/// Every policy and gateway file is what the published schemas say, as far as keys go: an editor shows no false alarm.
#[test]
fn schemas_know_every_key_of_the_shipped_files() {
    let folder = tempfile::tempdir().unwrap();
    let (good, schema) = tollgate(&["schema", "policy"], folder.path());
    assert!(good);
    let tests = |path: &PathBuf| path.to_string_lossy().ends_with("-tests.yaml");
    for path in files("policies", ".yaml").into_iter().filter(|path| !tests(path)) {
        let value: serde_json::Value = serde_yaml::from_str(&read(&path)).unwrap();
        for key in value.as_object().unwrap().keys() {
            assert!(schema.contains(&format!("\"{key}\"")), "{}: `{key}`", path.display());
        }
    }
}

/// What Kubernetes, systemd and Prometheus are given mentions only metrics that there are.
#[test]
fn alerts_ask_for_metrics_that_exist() {
    let source = read(&root().join("src/edge/metrics.rs"));
    for path in files("deploy/prometheus", ".yml") {
        for word in read(&path).split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("tollgate_") {
                let base = word
                    .trim_end_matches("_bucket")
                    .trim_end_matches("_count")
                    .trim_end_matches("_sum");
                assert!(source.contains(&format!("\"{base}\"")), "{}: {word}", path.display());
            }
        }
    }
}

/// The service's files as they are, and the sidecar's as its ConfigMaps are mounted.
#[test]
fn gateways_that_are_deployed_load() {
    let (good, text) = check(&root().join("deploy/systemd"));
    assert!(good && text.contains("warnings: 0"), "{text}");

    let mounts = tempfile::tempdir().unwrap();
    for document in documents(&root().join("deploy/kubernetes/sidecar.yaml")) {
        let value: serde_json::Value = serde_yaml::from_str(&document).unwrap();
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        let Some(place) = name.strip_prefix("tollgate-").filter(|_| value["kind"] == "ConfigMap") else {
            continue;
        };
        let folder = mounts.path().join(place);
        fs::create_dir(&folder).unwrap();
        for (file, text) in value["data"].as_object().unwrap() {
            fs::write(folder.join(file), text.as_str().unwrap()).unwrap();
        }
    }
    let tls = mounts.path().join("tls");
    fs::create_dir(&tls).unwrap();
    let made = rcgen::generate_simple_self_signed(["billing.city.example".to_owned()]).unwrap();
    fs::write(tls.join("tls.crt"), made.cert.pem()).unwrap();
    fs::write(tls.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let (good, text) = check(&mounts.path().join("gateway"));
    // The one warning: the admin port is open to the kubelet.
    assert!(good && text.contains("warnings: 1"), "{text}");
}

/// What a lock file says of a crate: its version, and the crates that it needs.
struct Locked {
    name: String,
    version: String,
    needs: Vec<String>,
}

fn locked(path: &str) -> Vec<Locked> {
    let text = read(&root().join(path));
    let entries = text.split("[[package]]").skip(1);
    entries
        .map(|entry| {
            let value = |key: &str| {
                let line = entry.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap().trim_matches('"').to_owned()
            };
            // A crate of which there are two versions is needed as `name version`.
            let needs = entry
                .lines()
                .filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
            Locked {
                name: value("name = "),
                version: value("version = "),
                needs: needs.map(str::to_owned).collect(),
            }
        })
        .collect()
}

/// What is wrong with the lock file of the fuzz targets beside the gateway's: it has to know all that the gateway needs, in
/// the gateway's versions, or what is fuzzed is not what runs.
fn stale(own: &[Locked], fuzz: &[Locked], needed: &BTreeSet<String>) -> Vec<String> {
    let gateway = fuzz.iter().find(|package| package.name == "tollgate").unwrap();
    let missing = needed.iter().filter(|name| !gateway.needs.contains(name));
    let unneeded = gateway.needs.iter().filter(|name| !needed.contains(*name));
    let others = fuzz.iter().filter(|package| {
        let mut versions = own.iter().filter(|other| other.name == package.name).peekable();
        versions.peek().is_some() && versions.all(|other| other.version != package.version)
    });
    missing
        .map(|name| format!("`{name}` is missing"))
        .chain(unneeded.map(|name| format!("`{name}` is no longer needed")))
        .chain(others.map(|package| format!("`{} {}` is another version", package.name, package.version)))
        .collect()
}

/// The crates under `[dependencies]`, by the names that lock files have.
fn needed() -> BTreeSet<String> {
    let text = read(&root().join("Cargo.toml"));
    let section = text.split("\n[dependencies]\n").nth(1).unwrap();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, rest)| match rest.split_once("package = \"") {
            Some((_, renamed)) => renamed.split('"').next().unwrap().to_owned(),
            None => name.to_owned(),
        })
        .collect()
}

#[test]
fn fuzz_targets_are_built_from_what_the_gateway_is() {
    let (own, mut fuzz, needed) = (locked("Cargo.lock"), locked("tests/fuzz/Cargo.lock"), needed());
    let faults = stale(&own, &fuzz, &needed);
    assert!(
        faults.is_empty(),
        "tests/fuzz/Cargo.lock is stale: {}\ncp Cargo.lock tests/fuzz/ && (cd tests/fuzz && cargo metadata >/dev/null)",
        faults.join(", ")
    );
    // The comparison sees what it is there for.
    for package in &mut fuzz {
        match &*package.name {
            "tollgate" => package.needs.retain(|name| name != "hyper"),
            "http" => "0.0.1".clone_into(&mut package.version),
            _ => {}
        }
    }
    assert_eq!(
        stale(&own, &fuzz, &needed),
        ["`hyper` is missing", "`http 0.0.1` is another version"]
    );
}
