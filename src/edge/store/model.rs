//! The whole store against a naive model: requests, outcomes, operators, clocks, crashes and full disks in any order.
//!
//! The ledger has a model of its own, which knows no disk. Here it is the disk that is played with.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::failing::{Failing, until};
use super::tests::{fingerprint, key, ruled, started, wait};
use super::*;

const KEEP: u64 = 100;

#[derive(Clone, Debug)]
enum Event {
    Request {
        of: usize,
        by: u8,
    },
    Complete {
        of: usize,
    },
    Release {
        of: usize,
    },
    /// The reservation is dropped without a word.
    Drop {
        of: usize,
    },
    Rule {
        of: usize,
        free: bool,
    },
    Clock {
        by: i64,
    },
    /// The store ends in order, and begins anew.
    Restart,
    /// The power goes, with all or nothing of what was not synced.
    Crash {
        keeps: bool,
    },
    /// The disk is full after so many steps; meanwhile somebody comes and something ends.
    Full {
        steps: u64,
        of: usize,
        ends: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let of = 0..3_usize;
    prop_oneof![
        6 => (of.clone(), 0..2_u8).prop_map(|(of, by)| Event::Request { of, by }),
        3 => of.clone().prop_map(|of| Event::Complete { of }),
        1 => of.clone().prop_map(|of| Event::Release { of }),
        1 => of.clone().prop_map(|of| Event::Drop { of }),
        1 => (of.clone(), any::<bool>()).prop_map(|(of, free)| Event::Rule { of, free }),
        3 => (-150..150_i64).prop_map(|by| Event::Clock { by }),
        1 => Just(Event::Restart),
        1 => any::<bool>().prop_map(|keeps| Event::Crash { keeps }),
        1 => (0..12_u64, of.clone(), of).prop_map(|(steps, of, ends)| Event::Full { steps, of, ends }),
    ]
}

/// What is naively known of a key: who may have done it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Running(u8),
    Done { by: u8, until: u64 },
    Doubt(u8),
}

/// The store under test, and what is known.
struct World {
    disk: Failing,
    store: Store,
    held: BTreeMap<usize, Reservation>,
    known: BTreeMap<usize, Known>,
    now: u64,
    latest: u64,
}

impl World {
    fn new() -> Self {
        let disk = Failing::default();
        Self {
            store: Self::start(&disk),
            disk,
            held: BTreeMap::new(),
            known: BTreeMap::new(),
            now: 1000,
            latest: 0,
        }
    }

    fn start(disk: &Failing) -> Store {
        Store::start(disk.open(), disk.reopening(), PathBuf::new(), Queue::default()).unwrap()
    }

    /// The store hears the time.
    fn tick(&mut self) -> u64 {
        self.latest = self.latest.max(self.now);
        self.now
    }

    fn is_gone(&self, of: usize) -> bool {
        let record = wait(self.store.show(key(of))).unwrap();
        record.is_none_or(|record| record.is_expired(self.now))
    }

    fn expected(&self, of: usize, by: u8) -> &'static str {
        match self.known.get(&of) {
            None => "granted",
            // It is kept at least so long by the clock that it ended by; longer if a later one was seen and not forgotten.
            Some(Known::Done { until, .. }) if self.now.max(self.latest) >= *until && self.is_gone(of) => "granted",
            Some(Known::Running(first) | Known::Doubt(first) | Known::Done { by: first, .. }) if *first != by => {
                "reused"
            }
            Some(Known::Running(_)) => "running",
            Some(Known::Doubt(_)) => "unknown",
            Some(Known::Done { .. }) => "duplicate",
        }
    }

    /// Asks for a key; what comes of it, and none when the disk is full.
    fn request(&mut self, of: usize, by: u8) -> Option<&'static str> {
        let now = self.tick();
        match wait(
            self.store
                .reserve(key(of), None, fingerprint(by), Duration::from_secs(KEEP), now),
        ) {
            Ok(Claim::Granted(reservation)) => {
                // Whoever held it before a full disk was overruled by an operator.
                self.held.insert(of, reservation);
                self.known.insert(of, Known::Running(by));
                Some("granted")
            }
            Ok(Claim::Refused(verdict)) => Some(match verdict {
                Verdict::Reused => "reused",
                Verdict::InProgress => "running",
                Verdict::Duplicate { .. } => "duplicate",
                Verdict::Unknown { .. } => "unknown",
                Verdict::Proceed => "proceed",
            }),
            Err(StoreFault::NoRoom) => None,
            Err(fault) => panic!("{fault:?}"),
        }
    }

    fn complete(&mut self, of: usize) -> Option<Result<(), StoreFault>> {
        let held = self.held.remove(&of)?;
        let now = self.tick();
        let settled = wait(held.complete(200, None, now));
        if let (Ok(()) | Err(StoreFault::NoRoom), Some(Known::Running(by) | Known::Doubt(by))) =
            (&settled, self.known.get(&of).copied())
        {
            let until = now + KEEP;
            self.known.insert(of, Known::Done { by, until });
        }
        Some(settled)
    }

    /// What ran is in doubt.
    fn doubt(&mut self) {
        for known in self.known.values_mut() {
            if let Known::Running(by) = *known {
                *known = Known::Doubt(by);
            }
        }
    }

    fn restart(&mut self) {
        self.held.clear();
        // Let go of before the same disk is opened again.
        self.store = Self::start(&Failing::default());
        self.store = Self::start(&self.disk);
        self.doubt();
    }

    fn crash(&mut self, keeps: bool) {
        self.disk = self.disk.crashed(keeps);
        // What the old life still writes goes nowhere.
        self.held.clear();
        self.store = Self::start(&self.disk);
        self.doubt();
    }
}

impl World {
    fn step(&mut self, event: &Event) {
        match *event {
            Event::Clock { by } => self.now = self.now.saturating_add_signed(by),
            Event::Crash { keeps } => self.crash(keeps),
            Event::Restart => self.restart(),
            Event::Request { of, by } => {
                let expected = self.expected(of, by);
                assert_eq!(self.request(of, by), Some(expected));
            }
            Event::Complete { of } => {
                let is_overruled = !matches!(self.known.get(&of), Some(Known::Running(_) | Known::Doubt(_)));
                let expected = if is_overruled {
                    Err(StoreFault::Overtaken)
                } else {
                    Ok(())
                };
                if let Some(settled) = self.complete(of) {
                    assert_eq!(settled, expected);
                }
            }
            Event::Release { of } => {
                if let Some(held) = self.held.remove(&of) {
                    match (wait(held.release()), self.known.get(&of)) {
                        (Ok(()), Some(Known::Running(_) | Known::Doubt(_))) => drop(self.known.remove(&of)),
                        (Err(StoreFault::Overtaken), None | Some(Known::Done { .. })) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
            Event::Drop { of } => {
                if self.held.remove(&of).is_some()
                    && let Some(Known::Running(by)) = self.known.get(&of).copied()
                {
                    self.known.insert(of, Known::Doubt(by));
                }
            }
            Event::Rule { of, free } => self.rule(of, free),
            Event::Full { steps, of, ends } => self.fill(steps, of, ends),
        }
    }

    fn rule(&mut self, of: usize, free: bool) {
        // An operator takes longer than a second: no request of the same second is mistaken for the one that was freed.
        self.now = self.latest.max(self.now) + 1;
        let now = self.tick();
        let ruling = if free {
            Ruling::Free
        } else {
            Ruling::Done {
                status: None,
                transaction_id: None,
            }
        };
        let done = ruled(&self.store, key(of), ruling, now).unwrap();
        let Some(Known::Doubt(by)) = self.known.get(&of).copied() else {
            return assert!(!done);
        };
        assert!(done);
        if free {
            self.known.remove(&of);
        } else {
            let until = now + KEEP;
            self.known.insert(of, Known::Done { by, until });
        }
    }

    fn fill(&mut self, steps: u64, of: usize, ends: usize) {
        let expected = self.expected(of, 0);
        self.disk.is_full_after(steps);
        let answer = self.request(of, 0);
        assert!(answer.is_none_or(|answer| answer == expected), "{answer:?}");
        // Only what holds by itself: a stale reservation has nothing to say.
        if matches!(self.known.get(&ends), Some(Known::Running(_) | Known::Doubt(_))) {
            let settled = self.complete(ends);
            assert!(
                matches!(settled, None | Some(Ok(()) | Err(StoreFault::NoRoom))),
                "{settled:?}"
            );
        }
        let suspended = !self.store.is_healthy();
        self.disk.is_full_after(u64::MAX);
        until(|| self.store.is_healthy());
        if suspended {
            self.doubt();
        }
        if answer.is_none() && expected == "granted" {
            // The commit may be on disk though it failed. What was finished long ago may still be there, too.
            let record = wait(self.store.show(key(of))).unwrap();
            if record.is_some_and(|record| !record.is_done()) {
                self.known.insert(of, Known::Doubt(0));
            }
        }
    }

    /// What operators and metrics see is what is known.
    fn check(&self) {
        let filter = Filter::Unsettled;
        let listed = wait(self.store.list(filter, None, self.now)).unwrap().records.len();
        let unsettled = self.known.values().filter(|known| !matches!(known, Known::Done { .. }));
        assert_eq!(listed, unsettled.count());
        let doubts = self
            .known
            .values()
            .filter(|known| matches!(known, Known::Doubt(_)))
            .count();
        assert_eq!(self.store.stats().unknown, doubts as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_payment_is_granted_once_whatever_happens_to_the_disk(events in proptest::collection::vec(event(), 1..60)) {
        let mut world = World::new();
        for event in &events {
            world.step(event);
            world.check();
        }
        let World { disk, store, held, known, now, latest } = world;
        // As another life finds it.
        held.into_values().for_each(std::mem::forget);
        let after = started(disk.crashed(true).open(), Queue::default());
        for (of, known) in known {
            let record = wait(after.show(key(of))).unwrap();
            let is_there = record.is_some_and(|record| !record.is_expired(now));
            prop_assert!(is_there || matches!(known, Known::Done { until, .. } if now.max(latest) >= until), "{of}: {known:?}");
        }
        drop(store);
    }
}
