//! A gateway that is killed (THREATS H11, H12): what it acknowledged is there when it starts again.
//!
//! The test runs its own binary as the victim, which says on its output what the store has acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::tests::{KEEP, NOW, fingerprint, key, refused};
use super::*;

const FOLDER: &str = "TOLLGATE_CRASH_FOLDER";
const FIRST: &str = "TOLLGATE_CRASH_FIRST";
const ROUNDS: usize = 20;

/// Requests at once in the victim, so that commits have company.
const TASKS: usize = 8;

/// Keys that a round may use.
const KEYS: usize = 100_000;

/// Does nothing unless it is the victim.
#[test]
fn victim() {
    let (Ok(folder), Ok(first)) = (env::var(FOLDER), env::var(FIRST)) else {
        return;
    };
    let store = Store::open(Path::new(&folder)).unwrap();
    let first: usize = first.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(pay(store.clone(), (first + task..first + KEYS).step_by(TASKS)));
        }
        tasks.join_all().await;
    });
}

/// Pays one key after the other; every third backend was not reached.
async fn pay(store: Store, keys: impl Iterator<Item = usize>) {
    for of in keys {
        let Claim::Granted(reservation) = store.reserve(key(of), None, fingerprint(1), KEEP, NOW).await.unwrap() else {
            panic!("key {of} is not new");
        };
        say("reserved", of);
        if of.is_multiple_of(3) {
            // Said before it is done: once it is asked for, either is right.
            say("releasing", of);
            reservation.release().await.unwrap();
        } else {
            let id = Some(format!("t{of}").into_boxed_str());
            reservation.complete(201, id, NOW).await.unwrap();
            say("done", of);
        }
    }
}

fn say(what: &str, of: usize) {
    writeln!(std::io::stdout().lock(), "ack {what} {of}").unwrap();
}

fn start(folder: &Path, first: usize) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "edge::store::crash::victim", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the victim after some lines; everything that it said until it was dead.
fn acknowledged(mut victim: Child, lines: usize) -> Vec<(String, usize)> {
    let mut heard = Vec::new();
    for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The harness writes lines of its own, and the last one may be cut.
        if let ["ack", what, of] = line.split(' ').collect::<Vec<_>>()[..] {
            heard.push((what.to_owned(), of.parse().unwrap_or(usize::MAX)));
        }
        if heard.len() == lines {
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    heard
}

#[test]
fn a_killed_gateway_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut done = BTreeSet::new();
    for round in 0..ROUNDS {
        let heard = acknowledged(start(folder.path(), round * KEYS), 1 + round * 4);
        assert!(heard.len() > round * 4, "the victim lived too short: {heard:?}");
        let mut last: BTreeMap<usize, &str> = BTreeMap::new();
        for (what, of) in &heard {
            last.insert(*of, what);
        }
        let store = Store::open(folder.path()).unwrap();
        for (of, what) in last {
            let verdict = refused(&store, of, NOW);
            match what {
                "reserved" => assert!(
                    matches!(verdict, Verdict::Unknown { .. } | Verdict::Duplicate { .. }),
                    "{of} reserved, then {verdict:?}"
                ),
                "releasing" => assert!(
                    matches!(verdict, Verdict::Unknown { .. } | Verdict::Proceed),
                    "{of} releasing, then {verdict:?}"
                ),
                _ => {
                    done.insert(of);
                }
            }
        }
        for of in &done {
            match refused(&store, *of, NOW) {
                Verdict::Duplicate { transaction_id, .. } => assert_eq!(transaction_id, Some(format!("t{of}").into())),
                other => panic!("{of} done, then {other:?}"),
            }
        }
    }
    assert!(!done.is_empty());
}
