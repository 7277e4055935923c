//! The verdicts as a table, and the whole machine against a model that knows only what the backend was asked.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const KEEP: u64 = 100;

fn fingerprint(of: u8) -> Fingerprint {
    Fingerprint::from_bytes([of; 32])
}

fn key(of: u8) -> RecordKey {
    RecordKey::from_bytes([of; 32])
}

fn record(state: State) -> Record {
    Record {
        fingerprint: fingerprint(1),
        owner: None,
        state,
    }
}

fn sealed() -> Arc<[u8]> {
    Arc::from(&b"sealed"[..])
}

#[test]
fn a_key_is_judged_by_what_stands_under_it() {
    let done = record(State::Done {
        status: Some(500),
        transaction_id: Some("t".into()),
        completed_at: 150,
        keep_until: 200,
        answer: Some(sealed()),
    });
    let duplicate = Verdict::Duplicate {
        status: Some(500),
        transaction_id: Some("t".into()),
        completed_at: 150,
        answer: Some(sealed()),
    };
    let running = record(State::Running { since: 100, keep: 100 });
    let unknown = record(State::Unknown { since: 100, keep: 100 });
    for (existing, request, now, expected) in [
        (None, 1, 0, Verdict::Proceed),
        (Some(&done), 1, 199, duplicate.clone()),
        (Some(&done), 1, 0, duplicate),
        (Some(&done), 1, 200, Verdict::Proceed),
        (Some(&done), 2, 199, Verdict::Reused),
        (Some(&done), 2, 200, Verdict::Proceed),
        (Some(&running), 1, 199, Verdict::InProgress),
        (Some(&running), 1, u64::MAX, Verdict::InProgress),
        (Some(&running), 2, u64::MAX, Verdict::Reused),
        (Some(&unknown), 1, u64::MAX, Verdict::Unknown { since: 100 }),
        (Some(&unknown), 2, u64::MAX, Verdict::Reused),
    ] {
        assert_eq!(
            judge(existing, &fingerprint(request), now),
            expected,
            "{existing:?} {now}"
        );
    }
}

#[test]
fn every_refusal_has_its_reason() {
    let duplicate = Verdict::Duplicate {
        status: Some(200),
        transaction_id: None,
        completed_at: 0,
        answer: None,
    };
    for (verdict, reason) in [
        (Verdict::Proceed, None),
        (Verdict::Reused, Some(Reason::IdempotencyKeyReused)),
        (Verdict::InProgress, Some(Reason::RequestInProgress)),
        (duplicate, Some(Reason::DuplicateRequest)),
        (Verdict::Unknown { since: 0 }, Some(Reason::OutcomeUnknown)),
    ] {
        assert_eq!(verdict.reason(), reason);
    }
}

#[test]
fn only_a_running_record_is_a_reservation() {
    for (state, granted) in [
        (State::Running { since: 1, keep: 100 }, true),
        (State::Unknown { since: 1, keep: 100 }, false),
    ] {
        assert_eq!(Reserved::on_disk(key(1), record(state)).is_some(), granted);
    }
}

fn deadline(change: Change) -> u64 {
    match change {
        Change::Write(record) => record.deadline(),
        Change::Forget => panic!("forgotten"),
    }
}

#[test]
fn what_is_finished_is_kept_from_the_latest_time_seen() {
    let keep = Duration::from_secs(KEEP);
    let kept_until = |began: u64, ended: u64, latest: u64| {
        let running = Record::running(fingerprint(1), None, began, keep);
        let reserved = Reserved::on_disk(key(1), running).unwrap();
        deadline(reserved.complete(200, None, ended, Latest::new(latest).seen(began)))
    };
    assert_eq!(kept_until(10, 20, 0), 120);
    assert_eq!(kept_until(50, 20, 0), 150, "the clock went back while it ran");
    assert_eq!(kept_until(10, 20, 1000), 1100, "the clock is behind");
    assert_eq!(kept_until(0, u64::MAX, 0), u64::MAX);
    let running = Record::running(fingerprint(1), None, 0, Duration::from_millis(1001));
    assert_eq!(running.state, State::Running { since: 0, keep: 2 });
}

#[test]
fn an_outcome_is_recorded_whatever_the_id() {
    let complete = |status, id: &str| {
        let running = Record::running(fingerprint(1), None, 0, Duration::ZERO);
        let reserved = Reserved::on_disk(key(1), running).unwrap();
        match reserved.complete(status, Some(id.into()), 7, Latest::default()) {
            Change::Write(record) => Record::decode(&record.encode()).unwrap().state,
            Change::Forget => panic!("forgotten"),
        }
    };
    for (status, id, stored) in [
        (200, "t".repeat(MAX_TRANSACTION_ID), true),
        (999, "t".repeat(MAX_TRANSACTION_ID + 1), false),
    ] {
        let transaction_id = stored.then(|| id.clone().into_boxed_str());
        let expected = State::Done {
            status: Some(status),
            transaction_id,
            completed_at: 7,
            keep_until: 7,
            answer: None,
        };
        assert_eq!(complete(status, &id), expected);
    }
}

#[test]
fn an_operator_rules_on_what_is_unknown_only() {
    let ruling = Ruling::Done {
        status: Some(200),
        transaction_id: None,
    };
    let unknown = record(State::Unknown { since: 100, keep: 100 });
    assert_eq!(rule(&unknown, Ruling::Free, 0, Latest::default()), Some(Change::Forget));
    let ruled = rule(&unknown, ruling.clone(), 5000, Latest::default()).unwrap();
    assert_eq!(deadline(ruled), 5100, "kept as long as it would have been");
    let word = Ruling::Done {
        status: None,
        transaction_id: Some("t".into()),
    };
    let Some(Change::Write(told)) = rule(&unknown, word, 5000, Latest::default()) else {
        panic!("not written");
    };
    let duplicate = Verdict::Duplicate {
        status: None,
        transaction_id: Some("t".into()),
        completed_at: 5000,
        answer: None,
    };
    let read = Record::decode(&told.encode()).unwrap();
    assert_eq!(judge(Some(&read), &fingerprint(1), 5001), duplicate);
    assert_eq!(
        rule(
            &record(State::Running { since: 0, keep: 100 }),
            ruling,
            0,
            Latest::default()
        ),
        None
    );
}

/// One event in the life of a few keys.
#[derive(Clone, Debug)]
enum Event {
    Request { key: u8, fingerprint: u8 },
    Complete { key: u8 },
    Release { key: u8 },
    Lose { key: u8 },
    Crash,
    Clock { by: i64 },
    Rule { key: u8, free: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let key = 0..3_u8;
    prop_oneof![
        6 => (key.clone(), 0..2_u8).prop_map(|(key, fingerprint)| Event::Request { key, fingerprint }),
        3 => key.clone().prop_map(|key| Event::Complete { key }),
        1 => key.clone().prop_map(|key| Event::Release { key }),
        1 => key.clone().prop_map(|key| Event::Lose { key }),
        1 => Just(Event::Crash),
        3 => (-150..150_i64).prop_map(|by| Event::Clock { by }),
        1 => (key, any::<bool>()).prop_map(|(key, free)| Event::Rule { key, free }),
    ]
}

/// What is naively known of a key: the request that the backend may have done, and when it may be done again.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    Running(u8),
    Done { by: u8, at: u64, until: u64 },
    Doubt(u8),
}

/// The machine under test: bytes on a disk, reservations in memory.
#[derive(Default)]
struct World {
    disk: BTreeMap<u8, Vec<u8>>,
    held: BTreeMap<u8, Reserved>,
    now: u64,
    latest: Latest,
}

impl World {
    fn read(&self, of: u8) -> Option<Record> {
        self.disk.get(&of).map(|bytes| Record::decode(bytes).unwrap())
    }

    fn request(&mut self, of: u8, by: u8) -> Verdict {
        self.latest = self.latest.seen(self.now);
        let verdict = judge(self.read(of).as_ref(), &fingerprint(by), self.now);
        if verdict == Verdict::Proceed {
            let keep = Duration::from_secs(KEEP);
            let record = Record::running(fingerprint(by), None, self.now, keep);
            self.disk.insert(of, record.encode());
            self.held.insert(of, Reserved::on_disk(key(of), record).unwrap());
        }
        verdict
    }

    fn settle(&mut self, of: u8, how: impl FnOnce(Reserved, u64, Latest) -> Change) -> bool {
        self.latest = self.latest.seen(self.now);
        let Some(reserved) = self.held.remove(&of) else {
            return false;
        };
        assert!(
            reserved.stands(self.read(of).as_ref()),
            "somebody else touched a running key"
        );
        let change = how(reserved, self.now, self.latest);
        self.apply(of, change);
        true
    }

    fn apply(&mut self, of: u8, change: Change) {
        match change {
            Change::Write(record) => self.disk.insert(of, record.encode()),
            Change::Forget => self.disk.remove(&of),
        };
    }

    fn crash(&mut self) {
        self.held.clear();
        for bytes in self.disk.values_mut() {
            *bytes = Record::decode(bytes).unwrap().orphaned().encode();
        }
    }

    fn rule(&mut self, of: u8, ruling: Ruling) -> bool {
        self.latest = self.latest.seen(self.now);
        let change = self
            .read(of)
            .and_then(|record| rule(&record, ruling, self.now, self.latest));
        change.map(|change| self.apply(of, change)).is_some()
    }
}

/// What the model expects of a request.
fn expected(known: Option<&Known>, by: u8, now: u64) -> &'static str {
    match known {
        None => "proceed",
        Some(Known::Done { until, .. }) if now >= *until => "proceed",
        Some(Known::Running(first) | Known::Doubt(first) | Known::Done { by: first, .. }) if *first != by => "reused",
        Some(Known::Running(_)) => "running",
        Some(Known::Doubt(_)) => "unknown",
        Some(Known::Done { .. }) => "duplicate",
    }
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Proceed => "proceed",
        Verdict::Reused => "reused",
        Verdict::InProgress => "running",
        Verdict::Duplicate { .. } => "duplicate",
        Verdict::Unknown { .. } => "unknown",
    }
}

proptest! {
    #[test]
    fn the_backend_is_asked_once(events in proptest::collection::vec(event(), 1..120)) {
        let mut world = World { now: 1000, ..World::default() };
        let mut model: BTreeMap<u8, Known> = BTreeMap::new();
        let mut highest = 0;
        for event in events {
            if !matches!(event, Event::Clock { .. } | Event::Crash) {
                highest = highest.max(world.now);
            }
            let done = |by, now| Known::Done { by, at: now, until: highest + KEEP };
            match event {
                Event::Clock { by } => world.now = world.now.saturating_add_signed(by),
                Event::Request { key, fingerprint: by } => {
                    let verdict = world.request(key, by);
                    prop_assert_eq!(name(&verdict), expected(model.get(&key), by, world.now));
                    match (&verdict, model.get(&key)) {
                        (Verdict::Proceed, _) => {
                            model.insert(key, Known::Running(by));
                        }
                        (Verdict::Duplicate { completed_at, .. }, Some(Known::Done { at, .. })) => {
                            prop_assert_eq!(completed_at, at);
                        }
                        _ => {}
                    }
                }
                Event::Complete { key } => {
                    let settled = world.settle(key, |held, now, latest| held.complete(200, None, now, latest));
                    match model.get(&key).cloned() {
                        Some(Known::Running(by)) => {
                            prop_assert!(settled);
                            model.insert(key, done(by, world.now));
                        }
                        _ => prop_assert!(!settled),
                    }
                }
                Event::Release { key } => {
                    if world.settle(key, |held, _, _| held.release()) {
                        prop_assert!(matches!(model.remove(&key), Some(Known::Running(_))));
                    }
                }
                Event::Lose { key } => {
                    if world.settle(key, |held, now, _| held.unknown(Some(now))) {
                        let Some(Known::Running(by)) = model.get(&key).cloned() else { panic!("not running") };
                        model.insert(key, Known::Doubt(by));
                    }
                }
                Event::Crash => {
                    world.crash();
                    for known in model.values_mut() {
                        if let Known::Running(by) = *known {
                            *known = Known::Doubt(by);
                        }
                    }
                }
                Event::Rule { key, free } => {
                    let ruling = if free { Ruling::Free } else { Ruling::Done { status: Some(200), transaction_id: None } };
                    let ruled = world.rule(key, ruling);
                    match model.get(&key).cloned() {
                        Some(Known::Doubt(by)) => {
                            prop_assert!(ruled);
                            if free { model.remove(&key) } else { model.insert(key, done(by, world.now)) };
                        }
                        _ => prop_assert!(!ruled),
                    }
                }
            }
        }
    }
}
