//! The journal's promises: continued chains, torn lines, limits, full disks, and crashes.

use super::*;
use crate::audit::verify::verify;
use crate::reason::Outcome;
use std::process::{Command, Stdio};

fn entry(id: &str) -> Box<Entry> {
    Box::new(Entry {
        at: jiff::Timestamp::now(),
        request_id: http::HeaderValue::from_str(id).unwrap(),
        caller: None,
        method: Some(http::Method::POST),
        endpoint: Some("/api/ledger/sync".into()),
        module: None,
        route: None,
        requested_scope: None,
        source: [127, 0, 0, 1].into(),
        outcome: Outcome::Allowed,
        would_deny: None,
        detail: None,
        status: Some(200),
        upstream: None,
        masked: smallvec::SmallVec::new(),
        duration: Duration::ZERO,
        policy_version: "v".into(),
    })
}

fn file(path: &Path) -> Target {
    Target::File(path.to_owned())
}

fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn a_chain_goes_on_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit/audit.jsonl");
    for life in 0..3 {
        let (journal, recovered) = Journal::open(file(&path)).unwrap();
        assert_eq!(recovered, Recovered::default());
        for line in 0..10 {
            let filed = journal
                .slot()
                .unwrap()
                .file(entry(&format!("{life}-{line}")), line == 5);
            assert_eq!(filed.is_some(), line == 5);
            if let Some(filed) = filed {
                now(filed).unwrap();
            }
        }
        journal.close();
        assert_eq!(journal.records(), 10);
    }
    let verdict = verify(&[path]).unwrap();
    assert!(verdict.is_whole(), "{verdict}");
    assert_eq!(verdict.records, 30);
}

#[test]
fn a_torn_last_line_is_cut_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (journal, _) = Journal::open(file(&path)).unwrap();
    for line in 0..3 {
        journal.slot().unwrap().file(entry(&line.to_string()), false);
    }
    journal.close();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    for torn in last + 1..whole.len() {
        std::fs::write(&path, &whole[..torn]).unwrap();
        let (journal, recovered) = Journal::open(file(&path)).unwrap();
        assert_eq!(recovered.cut_bytes, (torn - last) as u64);
        journal.close();
        drop(journal);
        let verdict = verify(std::slice::from_ref(&path)).unwrap();
        assert!(verdict.is_whole() && verdict.records == 3, "torn at {torn}: {verdict}");
        assert!(std::fs::read_to_string(&path).unwrap().contains("audit_recovered"));
    }
}

#[test]
fn a_log_whose_end_was_edited_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    for content in ["hello\n", "{\"seq\":1}\n"] {
        std::fs::write(&path, content).unwrap();
        assert!(
            matches!(Journal::open(file(&path)), Err(JournalFault::Broken(..))),
            "{content}"
        );
    }
}

#[test]
fn two_gateways_do_not_share_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (journal, _) = Journal::open(file(&path)).unwrap();
    assert!(matches!(Journal::open(file(&path)), Err(JournalFault::InUse(_))));
    journal.close();
}

#[test]
fn room_is_given_up_to_the_limit_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(file(&folder.path().join("audit.jsonl"))).unwrap();
    let slots: Vec<Slot> = (0..MAX_QUEUED).map(|_| journal.slot().unwrap()).collect();
    assert!(matches!(journal.slot(), Err(JournalFault::Full)));
    let rooms: Vec<Slot> = (0..MAX_EVENTS)
        .map(|_| journal.take(MAX_QUEUED + MAX_EVENTS).unwrap())
        .collect();
    assert!(matches!(journal.event(Event::new("start")), Err(JournalFault::Full)));
    drop(rooms);
    assert!(
        journal.event(Event::new("start")).is_ok(),
        "events have room of their own"
    );
    drop(slots);
    assert!(journal.slot().is_ok());
    journal.close();
}

#[test]
fn a_full_disk_refuses_and_keeps_nobody_waiting() {
    let (journal, _) = Journal::open(file(Path::new("/dev/full"))).unwrap();
    let filed = journal.slot().unwrap().file(entry("1"), true).unwrap();
    assert!(now(filed).is_err());
    assert!(!journal.healthy());
    assert!(matches!(journal.slot(), Err(JournalFault::Unwritable)));
    assert!(
        journal.event(Event::new("policy_reload")).is_ok(),
        "kept until it can be written"
    );
    journal.close();
}

#[test]
fn a_log_that_was_moved_away_goes_on_in_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.1"));
    let (mut sink, _) = Sink::open(file(&path)).unwrap();
    let write = |sink: &mut Sink, id: &str| {
        let mut out = Vec::new();
        audit::write_entry(&entry(id), &mut sink.link, &mut out);
        sink.write(&out).unwrap();
    };
    write(&mut sink, "1");
    std::fs::rename(&path, &old).unwrap();
    sink.follow_rotation().unwrap();
    write(&mut sink, "2");
    let verdict = verify(&[old, path.clone()]).unwrap();
    assert!(verdict.is_whole() && verdict.records == 2, "{verdict}");
    assert!(!verify(&[path]).unwrap().is_whole(), "the older file is missed");
}

const CRASH_LOG: &str = "TOLLGATE_TEST_JOURNAL";

/// The child of the crash test: files lines and says which are on disk, until it is killed.
#[test]
fn crash_child() {
    let Ok(path) = std::env::var(CRASH_LOG) else { return };
    let (journal, _) = Journal::open(file(Path::new(&path))).unwrap();
    for number in 0.. {
        let filed = journal
            .slot()
            .unwrap()
            .file(entry(&format!("n{number}")), true)
            .unwrap();
        now(filed).unwrap();
        println!("on disk n{number}.");
    }
}

#[test]
fn no_acknowledged_line_is_lost_in_a_crash() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "edge::journal::tests::crash_child", "--nocapture"])
            .env(CRASH_LOG, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = Vec::new();
        while seen.len() < 5 + round {
            let line = lines.next().expect("the child ended").unwrap();
            seen.extend(
                line.strip_prefix("on disk ")
                    .map(|id| id.trim_end_matches('.').to_owned()),
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        for id in seen {
            assert!(before.contains(&format!("\"request_id\":\"{id}\"")), "{id} was lost");
        }
        let (journal, _) = Journal::open(file(&path)).unwrap();
        journal.close();
        assert!(verify(std::slice::from_ref(&path)).unwrap().is_whole());
    }
}
