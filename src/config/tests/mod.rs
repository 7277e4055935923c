//! What is said about files, held as text: the cases stand in `*.txt` beside this file. After a change of wording,
//! `UPDATE_CASES=1 cargo test --lib config` writes what is said now; read the difference before it is committed.

mod cases;
mod good;
mod limits;
mod properties;
mod schema;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

use super::{Gateway, LoadedPolicy, Problem, load_gateway, load_policy, render};

/// A folder with the files that cases name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    for (name, text) in [
        ("keys/jwks.json", "{\"keys\":[]}"),
        (
            "keys/key.pem",
            "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n",
        ),
        (
            "keys/private.pem",
            "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
        ),
        (
            "keys/ca.pem",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        ),
        ("keys/secret", &format!("{secret}\n")),
        ("keys/short", &format!("{}\n", secret.trim_start_matches('0'))),
        ("keys/empty", ""),
        ("keys/open.key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"),
        ("keys/typed.key", secret),
        ("schemas/sync.json", "{}"),
        ("keys/field.key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"),
        ("tls/server.crt", "x"),
        ("tls/server.key", "x"),
        ("policies/p.yaml", "version: 1\n"),
    ] {
        write(folder.path(), name, text);
    }
    for (name, mode) in [("keys/field.key", 0o600), ("keys/open.key", 0o644)] {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn upstreams() -> Vec<Arc<str>> {
    vec!["billing".into(), "archive".into()]
}

fn policy_at(path: &Path) -> Result<LoadedPolicy, Vec<Problem>> {
    load_policy(path, &upstreams())
}

fn policy(text: &str) -> Result<LoadedPolicy, Vec<Problem>> {
    let folder = folder();
    write(folder.path(), "p.yaml", text);
    policy_at(&folder.path().join("p.yaml"))
}

/// Variables that gateway cases name.
fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9000".to_owned()),
        "SECRET" => Some("hunter2 hunter2".to_owned()),
        "NESTED" => Some("${PORT}".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn gateway(text: &str) -> Result<(Gateway, Vec<Problem>), Vec<Problem>> {
    let folder = folder();
    write(folder.path(), "t.yaml", text);
    load_gateway(&folder.path().join("t.yaml"), &env)
}

/// What is said, with the file's name alone in place of its path.
fn said(problems: &[Problem]) -> String {
    let problems: Vec<Problem> = problems
        .iter()
        .map(|problem| {
            let folder = Path::new(&*problem.file).parent().unwrap().display().to_string();
            let short = |text: &str| text.replace(&format!("{folder}/"), "");
            Problem {
                file: short(&problem.file).into(),
                message: short(&problem.message),
                hint: problem.hint.as_deref().map(short),
                ..problem.clone()
            }
        })
        .collect();
    render(&problems)
}
