//! Another policy takes the place of the one in force: all of it, at once, or not at all (interface, section 11).

use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::*;

const ACCOUNT_PATH: &str = "/api/accounts/A1001";

/// The interface says one second; a busy machine gets another.
const IN_FORCE: Duration = Duration::from_secs(2);

/// The suite's policy, in which an analyst may read no account, and `pii` is cut out rather than written over.
fn other() -> String {
    let scoped = POLICY.replace(
        "billing_analyst: { scopes: [accounts:read, assistance:read] }",
        "billing_analyst: { scopes: [assistance:read] }",
    );
    let other = scoped.replace("mask: redact", "mask: remove");
    assert!(scoped != POLICY && other != scoped);
    other
}

fn status(gateway: &Gateway) -> u16 {
    gateway.get(ACCOUNT_PATH, &["billing_analyst"]).status
}

/// Waits until an analyst is answered so, and tells how long after `written` that was.
fn in_force(gateway: &Gateway, expected: u16, written: Instant, how: &str) {
    wait_for(how, || status(gateway) == expected);
    let took = written.elapsed();
    println!("{how}: in force after {took:?}");
    assert!(took < IN_FORCE, "{how}: in force after {took:?} only");
}

fn version(gateway: &Gateway) -> String {
    gateway.admin("GET", "/-/policy").json()["version"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn reloads(gateway: &Gateway) -> Vec<serde_json::Value> {
    let lines = audit_lines(&gateway.path("audit/audit.jsonl"));
    lines
        .into_iter()
        .filter(|line| line["event"] == "policy_reload")
        .collect()
}

#[test]
fn each_way_of_writing_a_file_is_in_force_within_a_second() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let at = |name: &str| gateway.path(name);
    let file = at("policy/policy.yaml");
    assert_eq!(status(&gateway), 200);
    let first = version(&gateway);

    fs::write(&file, other()).unwrap();
    in_force(&gateway, 403, Instant::now(), "written in place");
    assert_ne!(version(&gateway), first);

    fs::write(at("policy/.new"), POLICY).unwrap();
    fs::rename(at("policy/.new"), &file).unwrap();
    in_force(&gateway, 200, Instant::now(), "renamed over");
    assert_eq!(version(&gateway), first, "the same bytes are the same version");

    let mut half = fs::File::create(&file).unwrap();
    let text = other();
    let (head, tail) = text.split_at(text.len() / 2);
    half.write_all(head.as_bytes()).unwrap();
    half.sync_all().unwrap();
    half.write_all(tail.as_bytes()).unwrap();
    drop(half);
    in_force(&gateway, 403, Instant::now(), "written in two halves");

    fs::remove_file(&file).unwrap();
    fs::write(&file, POLICY).unwrap();
    in_force(&gateway, 200, Instant::now(), "removed and written anew");
}

#[test]
fn a_config_maps_link_is_followed() {
    let backend = Backend::start();
    let mut gateway = Setup::new(&backend).start();
    gateway.kill();
    let at = |name: &str| gateway.path(&format!("policy/{name}"));
    fs::remove_file(at("policy.yaml")).unwrap();
    let texts = [POLICY.to_owned(), other(), POLICY.to_owned(), other()];
    for (number, text) in texts.iter().enumerate() {
        let text = text.replace("../keys/", &format!("{}/", gateway.path("keys").display()));
        write(&at(&format!("..{number}")), "policy.yaml", &text);
    }
    symlink("..0", at("..data")).unwrap();
    symlink("..data/policy.yaml", at("policy.yaml")).unwrap();
    gateway.launch();
    assert_eq!(status(&gateway), 200);
    for (number, expected) in [(1, 403), (2, 200), (3, 403)] {
        let link = gateway.path("policy/..data");
        let new = gateway.path("policy/..data_tmp");
        symlink(format!("..{number}"), &new).unwrap();
        fs::rename(&new, &link).unwrap();
        in_force(&gateway, expected, Instant::now(), "link swapped");
        fs::remove_dir_all(gateway.path(&format!("policy/..{}", number - 1))).unwrap();
    }
    assert_eq!(status(&gateway), 403);
}

#[test]
fn a_signal_and_the_admin_port_reload() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    fs::write(gateway.path("policy/policy.yaml"), other()).unwrap();
    let answer = gateway.admin("POST", "/-/reload");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({ "result": "loaded", "version": version(&gateway) })
    );
    assert_eq!(status(&gateway), 403, "in force before the answer");

    // An order is an attempt though nothing has changed.
    let before = reloads(&gateway).len();
    gateway.signal("HUP");
    wait_for("the reload to be recorded", || {
        reloads(&gateway)[before..]
            .iter()
            .any(|line| line["cause"] == "signal" && line["result"] == "loaded")
    });
    assert_eq!(gateway.admin("GET", "/-/reload").status, 405);

    fs::write(gateway.path("policy/policy.yaml"), "version: 1\nrolls: {}\n").unwrap();
    let answer = gateway.admin("POST", "/-/reload");
    assert_eq!(answer.status, 422);
    let problems = answer.json();
    assert_eq!(problems["result"], "refused");
    assert!(problems["problems"].to_string().contains("rolls"), "{problems}");
    assert_eq!(status(&gateway), 403, "the last good policy stays");
}

#[test]
fn a_broken_policy_leaves_the_last_good_one_in_force() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let file = gateway.path("policy/policy.yaml");
    let good = version(&gateway);
    let half = POLICY.split_at(POLICY.len() / 2 + 7).0.to_owned();
    let cases = [
        (
            "an unknown key",
            POLICY.replace("roles:\n  billing", "rolls:\n  billing"),
        ),
        (
            "an unknown scope",
            POLICY.replace("visible_to: [customer:pii_read]", "visible_to: [customer:pii_raed]"),
        ),
        ("an unknown algorithm", POLICY.replace("[ES256]", "[none]")),
        ("a key twice", format!("{POLICY}roles: {{}}\n")),
        ("half a file", half),
        ("no file's worth", String::new()),
        ("no key file", POLICY.replace("public.pem", "nowhere.pem")),
        (
            "an unknown upstream",
            POLICY.replacen("upstream: billing", "upstream: biling", 1),
        ),
        (
            "an unknown class scope",
            POLICY.replace("never_to: [billing_analyst]", "never_to: [billing_analist]"),
        ),
    ];
    for (name, text) in &cases {
        assert_ne!(text, POLICY, "{name}");
        let before = reloads(&gateway).len();
        fs::write(&file, text).unwrap();
        wait_for(name, || gateway.metrics().contains("tollgate_policy_reload_failed 1\n"));
        assert_eq!(status(&gateway), 200, "{name}");
        let ready = gateway.admin("GET", "/readyz");
        assert_eq!(ready.status, 200, "{name}");
        let policy = &ready.json()["policy"];
        assert_eq!(policy["reload_failed"], true, "{name}");
        assert_eq!(policy["version"], *good, "{name}");
        assert!(!policy["problems"].as_array().unwrap().is_empty(), "{name}");
        let events = || reloads(&gateway).split_off(before);
        wait_for("the audit line", || {
            events().iter().any(|line| line["result"] == "refused")
        });
        let refused = events().into_iter().find(|line| line["result"] == "refused").unwrap();
        assert_eq!(refused["policy_version"], *good, "{name}: {refused}");
        assert!(refused["problem"].is_string(), "{name}: {refused}");

        fs::write(&file, POLICY).unwrap();
        wait_for("it to be mended", || {
            gateway.metrics().contains("tollgate_policy_reload_failed 0\n")
        });
        assert_eq!(gateway.admin("GET", "/readyz").json()["policy"]["reload_failed"], false);
        wait_for("the audit line", || {
            events().iter().any(|line| line["result"] == "loaded")
        });
    }
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("tollgate_policy_reloads_total{result=\"failure\"}"),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("tollgate_policy_info{{version=\"{good}\"}} 1\n")),
        "{metrics}"
    );
}

#[test]
fn a_replaced_key_file_ends_the_tokens_of_the_old_key() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let old = gateway.token(&claims(&["clerk"]));
    let ask = |token: &str| gateway.call_as("GET", ACCOUNT_PATH, token, "", "");
    for _ in 0..3 {
        assert_eq!(ask(&old).status, 200);
    }
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let new = mint(&pair.serialize_pem(), &claims(&["clerk"]), 900);
    assert_eq!(ask(&new).error(), "invalid_token");
    fs::write(gateway.path("keys/public.pem"), pair.public_key_pem()).unwrap();
    let written = Instant::now();
    wait_for("the new key", || ask(&new).status == 200);
    assert!(written.elapsed() < IN_FORCE, "{:?}", written.elapsed());
    let answer = ask(&old);
    assert_eq!(
        (answer.status, answer.error()),
        (401, "invalid_token".into()),
        "known tokens go with their key"
    );
}

#[test]
fn every_request_meets_exactly_one_policy() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    // Scope and mask change together: who is let in by one policy must not be shown what the other would show.
    let loose = POLICY;
    let tight = POLICY
        .replace(
            "clerk: { scopes: [accounts:read] }",
            "clerk: { scopes: [accounts:read, customer:pii_read] }",
        )
        .replace("visible_to: [assistance:read]", "visible_to: [accounts:read]")
        .replace("[accounts:read, assistance:read, customer:pii_read]", "[tariffs:read]");
    let whole = ACCOUNT.to_owned();
    let cut = gateway.get(ACCOUNT_PATH, &["clerk"]).text();
    assert_ne!(cut, whole);
    let other = {
        fs::write(gateway.path("policy/policy.yaml"), &tight).unwrap();
        assert_eq!(gateway.admin("POST", "/-/reload").status, 200);
        gateway.get(ACCOUNT_PATH, &["clerk"]).text()
    };
    assert_eq!(other, whole, "the other policy shows a clerk all");
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = gateway.get(ACCOUNT_PATH, &["clerk"]);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let text = answer.text();
                    assert!(text == whole || text == cut, "of two policies at once: {text}");
                    let caseworker = gateway.get(ACCOUNT_PATH, &["caseworker"]);
                    match caseworker.status {
                        200 => assert_eq!(caseworker.text(), whole),
                        403 => assert_eq!(caseworker.error(), "denied_scope"),
                        other => panic!("{other}: {}", caseworker.text()),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..30 {
            let text = if round % 2 == 0 { loose } else { &*tight };
            fs::write(gateway.path("policy/.new"), text).unwrap();
            fs::rename(gateway.path("policy/.new"), gateway.path("policy/policy.yaml")).unwrap();
            assert_eq!(gateway.admin("POST", "/-/reload").status, 200);
            let target = asked.load(Ordering::Relaxed) + 4;
            let started = Instant::now();
            while asked.load(Ordering::Relaxed) < target && started.elapsed() < DEADLINE {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    // What a line says agrees with the one policy that it names.
    let lines = audit_lines(&gateway.path("audit/audit.jsonl"));
    let mut seen = std::collections::BTreeMap::new();
    for line in lines.iter().filter(|line| line["roles"][0] == "clerk") {
        let version = line["policy_version"].as_str().unwrap().to_owned();
        let known = seen.entry(version).or_insert_with(|| line["masked_fields"].clone());
        assert_eq!(*known, line["masked_fields"], "{line}");
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_request_keeps_the_policy_that_it_came_under() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::script(move |_, stream| {
        let _ = held.lock().unwrap().recv();
        stream
            .write_all(answer("200 OK", "application/json", ACCOUNT).as_bytes())
            .is_ok()
    });
    let gateway = Setup::new(&backend).start();
    let old = version(&gateway);
    thread::scope(|scope| {
        let early = scope.spawn(|| gateway.get(ACCOUNT_PATH, &["billing_analyst"]));
        backend.wait_for(1);
        fs::write(gateway.path("policy/policy.yaml"), other()).unwrap();
        assert_eq!(gateway.admin("POST", "/-/reload").status, 200);
        assert_eq!(status(&gateway), 403, "who comes now meets the new one");
        let late = scope.spawn(|| gateway.get(ACCOUNT_PATH, &["clerk"]));
        backend.wait_for(2);
        for _ in 0..2 {
            release.send(()).unwrap();
        }
        let early = early.join().unwrap();
        assert_eq!(early.status, 200);
        assert!(early.text().contains(r#""ssn":"[REDACTED]""#), "{}", early.text());
        let late = late.join().unwrap();
        assert!(!late.text().contains("ssn"), "{}", late.text());
    });
    let lines = gateway.audit(3);
    let early = lines
        .iter()
        .find(|line| line["roles"][0] == "billing_analyst" && line["decision"] == "ALLOWED");
    assert_eq!(early.unwrap()["policy_version"], *old);
    assert!(lines.iter().any(|line| line["policy_version"] != *old));
}

#[test]
fn a_folder_is_one_policy() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let more = "modules:\n  extra:\n    prefix: /extra\n    upstream: billing\n    routes: [{ methods: [GET], scope: accounts:read }]\n";
    let extra = || gateway.get("/extra", &["clerk"]).status;
    assert_eq!(extra(), 404);
    fs::write(gateway.path("policy/20-extra.yaml"), more).unwrap();
    let written = Instant::now();
    wait_for("a file more", || extra() == 200);
    assert!(written.elapsed() < IN_FORCE);
    fs::remove_file(gateway.path("policy/20-extra.yaml")).unwrap();
    let written = Instant::now();
    wait_for("a file less", || extra() == 404);
    assert!(written.elapsed() < IN_FORCE);
    // What is no YAML file is no part of it.
    fs::write(gateway.path("policy/notes.txt"), "not: [a policy").unwrap();
    assert_eq!(gateway.admin("POST", "/-/reload").status, 200);
}

#[test]
fn texts_and_files_that_are_meant_to_hurt_are_refused_soon() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let file = gateway.path("policy/policy.yaml");
    let good = version(&gateway);
    let held = |name: &str| {
        let started = Instant::now();
        let answer = gateway.admin("POST", "/-/reload");
        assert_eq!(answer.status, 422, "{name}: {}", answer.text());
        assert!(started.elapsed() < IN_FORCE, "{name}: {:?}", started.elapsed());
        assert_eq!(version(&gateway), good, "{name}");
        assert_eq!(status(&gateway), 200, "{name}");
    };
    let mut laughs = "version: 1\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    for (name, text) in [
        ("J01 laughs", laughs),
        ("J02 an anchor in itself", "version: 1\nroles: &a [*a]\n".into()),
        (
            "J03 deep",
            format!("version: 1\nroles: {}{}", "[".repeat(50_000), "]".repeat(50_000)),
        ),
        ("J08 a second document", format!("{POLICY}\n---\nversion: 1\n")),
        (
            "J09 a tag",
            format!("{POLICY}\nallow_from: !!python/object [10.0.0.0/8]\n"),
        ),
        ("a scalar", "x".into()),
        ("large", format!("{POLICY}\n# {}\n", "x".repeat(64 << 20))),
    ] {
        fs::write(&file, text).unwrap();
        held(name);
    }
    // J18: what is no file at all.
    fs::remove_file(&file).unwrap();
    held("removed");
    fs::create_dir(&file).unwrap();
    held("a folder");
    fs::remove_dir(&file).unwrap();
    symlink("/dev/zero", &file).unwrap();
    held("endless");
    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    held("a pipe that nobody writes");
    fs::remove_file(&file).unwrap();
    fs::write(&file, POLICY).unwrap();
    wait_for("it to be mended", || {
        gateway.metrics().contains("tollgate_policy_reload_failed 0\n")
    });
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 100 * 1024, "{peak} KiB");
}
