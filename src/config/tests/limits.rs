//! Each limit, at it and one past it; and files that are none.

use super::*;
use crate::config::Severity;
use crate::config::files::{MAX_FILE_BYTES, MAX_FOLDER_BYTES, MAX_FOLDER_FILES};
use crate::config::yaml::{MAX_DEPTH, MAX_NODES};
use std::time::{Duration, Instant};

fn errors(result: Result<LoadedPolicy, Vec<Problem>>) -> String {
    let problems = result.err().unwrap_or_default();
    let errors: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    said(&errors)
}

/// A policy of exactly so many bytes.
fn padded(bytes: u64) -> String {
    let head = "version: 1\n#";
    format!("{head}{}", "x".repeat(usize::try_from(bytes).unwrap() - head.len()))
}

#[test]
fn a_file_has_a_largest_size() {
    assert_eq!(errors(policy(&padded(MAX_FILE_BYTES))), "");
    assert_eq!(
        errors(policy(&padded(MAX_FILE_BYTES + 1))),
        "p.yaml:1:1: error: is larger than 1 MiB\n"
    );
}

#[test]
fn a_folder_has_a_largest_size() {
    let folder = folder();
    let p = folder.path().join("p");
    let full = MAX_FOLDER_BYTES / MAX_FILE_BYTES;
    for at in 0..full {
        write(&p, &format!("{at:02}.yaml"), &padded(MAX_FILE_BYTES));
    }
    assert_eq!(errors(policy_at(&p)), "");
    write(&p, "z.yaml", "version: 1\n");
    assert_eq!(errors(policy_at(&p)), "p:1:1: error: is larger than 16 MiB in all\n");
}

#[test]
fn a_folder_has_a_largest_number_of_files() {
    let folder = folder();
    let p = folder.path().join("p");
    for at in 0..MAX_FOLDER_FILES {
        write(&p, &format!("{at:03}.yaml"), "version: 1\n");
    }
    assert_eq!(errors(policy_at(&p)), "");
    write(&p, "z.yaml", "version: 1\n");
    assert_eq!(
        errors(policy_at(&p)),
        "p:1:1: error: has more than 256 `*.yaml` files\n"
    );
}

#[test]
fn nesting_has_a_limit() {
    // The file's map is one level.
    let nested = |levels: usize| format!("version: {}{}\n", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(
        errors(policy(&nested(MAX_DEPTH))),
        "p.yaml:1:10: error: expected a number, found a list\n"
    );
    for levels in [MAX_DEPTH + 1, MAX_DEPTH + 2, MAX_DEPTH + 3, 50_000] {
        let said = errors(policy(&nested(levels)));
        assert!(
            said.starts_with("p.yaml:1:4") && said.ends_with("nested deeper than 32 levels\n"),
            "{levels}: {said}"
        );
    }
    let block: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let said = errors(policy(&block));
    assert!(said.contains("nested deeper than 32 levels"), "{said}");
}

#[test]
fn a_file_has_a_largest_number_of_values() {
    // `version`, its value, `x` and the two collections are five.
    let list = |count: usize| format!("version: 1\nx: [{}]\n", "a,".repeat(count));
    let said = errors(policy(&list(MAX_NODES - 5)));
    assert!(said.starts_with("p.yaml:2:1: error: unknown key `x`"), "{said}");
    let said = errors(policy(&list(MAX_NODES - 4)));
    assert!(said.contains("the file has more than 100000 values"), "{said}");
}

#[test]
fn growing_aliases_are_refused_at_once() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for at in 1..=30 {
        let before = format!("*a{}", at - 1);
        text.push_str(&format!("a{at}: &a{at} [{}]\n", vec![before; 10].join(", ")));
    }
    let start = Instant::now();
    assert!(policy(&text).is_err());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_is_no_regular_file_is_refused() {
    for path in ["/dev/zero", "/dev/null"] {
        assert_eq!(
            render(&policy_at(Path::new(path)).unwrap_err()),
            format!("{path}:1:1: error: is not a regular file\n")
        );
    }
    let folder = folder();
    let p = folder.path().join("p");
    assert_eq!(errors(policy_at(&p)), "p:1:1: error: is not there\n");
    fs::create_dir(&p).unwrap();
    assert_eq!(errors(policy_at(&p)), "p:1:1: error: has no `*.yaml` file\n");
    fs::create_dir(p.join("a.yaml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", p.join("b.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", p.join("c.yaml")).unwrap();
    std::os::unix::fs::symlink("d.yaml", p.join("d.yaml")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(p.join("e.yaml")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(p.join("f.yaml")).status();
    assert!(fifo.unwrap().success());
    let said = errors(policy_at(&p));
    drop(socket);
    let expected = [
        "a.yaml:1:1: error: is a folder, not a file",
        "b.yaml:1:1: error: is not a regular file",
        "c.yaml:1:1: error: is not there",
        "d.yaml:1:1: error: cannot be read: ",
        "e.yaml:1:1: error: is not a regular file",
        "f.yaml:1:1: error: is not a regular file",
    ];
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    for (line, expected) in said.lines().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn bytes_that_are_no_text_are_found() {
    let folder = folder();
    fs::write(folder.path().join("p.yaml"), b"version: 1\n\xc3\xa9: \xff\n").unwrap();
    insta::assert_snapshot!(errors(policy_at(&folder.path().join("p.yaml"))), @r"
    p.yaml:2:4: error: the file is not UTF-8
      hint: save it as UTF-8 in your editor
    ");
    fs::write(folder.path().join("p.yaml"), b"\xef\xbb\xbfversion: 1\n").unwrap();
    assert_eq!(errors(policy_at(&folder.path().join("p.yaml"))), "");
    fs::write(folder.path().join("p.yaml"), b"version: 1\0\n").unwrap();
    assert_ne!(errors(policy_at(&folder.path().join("p.yaml"))), "");
}

#[test]
fn texts_and_names_have_a_longest_length() {
    let class = |length: usize| {
        policy(&format!(
            "version: 1\nfields:\n  {}: {{ names: [a] }}\n",
            "n".repeat(length)
        ))
    };
    assert!(class(64).is_ok());
    assert!(errors(class(65)).contains("is longer than 64 characters"));
    let role = |length: usize| {
        policy(&format!(
            "version: 1\nroles:\n  {}: {{ scopes: [a] }}\n",
            "n".repeat(length)
        ))
    };
    assert!(role(128).is_ok());
    assert!(errors(role(129)).contains("is longer than 128 characters"));
    let field = |length: usize| {
        policy(&format!(
            "version: 1\nfields:\n  a: {{ names: [{}] }}\n",
            "n".repeat(length)
        ))
    };
    assert!(field(1024).is_ok());
    assert!(errors(field(1025)).contains("is longer than 1024 bytes"));
    let socket = |length: usize| {
        let path = format!("/{}", "s".repeat(length - 1));
        gateway(&format!(
            "listen: [{{ address: \"unix:{}\" }}]\npolicy: policies\nupstreams: {{ b: {{ url: \"http://h:1\" }} }}\n",
            path
        ))
    };
    assert!(socket(107).is_ok());
    assert!(socket(108).is_err());
}

#[test]
fn many_problems_are_found_in_bearable_time() {
    let mut text = String::from("version: 1\nroles:\n");
    for at in 0..8_000 {
        text.push_str(&format!("  role{at}: {{ inherits: [rolf{at}x] }}\n"));
    }
    let start = Instant::now();
    assert_eq!(
        policy(&text).unwrap_err().len(),
        crate::config::problem::MAX_PROBLEMS + 1
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}
