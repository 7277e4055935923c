//! The store as its users meet it: claims, limits, lives.

use redb::Database;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Barrier, mpsc};
use std::thread;

use super::failing::Failing;
use super::*;

pub(super) const KEEP: Duration = Duration::from_secs(100);
pub(super) const NOW: u64 = 1000;

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn key(of: usize) -> RecordKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&of.to_be_bytes());
    RecordKey::from_bytes(bytes)
}

pub(super) fn fingerprint(of: u8) -> Fingerprint {
    Fingerprint::from_bytes([of; 32])
}

fn claim(store: &Store, of: usize, now: u64) -> Claim {
    wait(store.reserve(key(of), None, fingerprint(1), KEEP, now)).unwrap()
}

pub(super) fn granted(store: &Store, of: usize, now: u64) -> Reservation {
    match claim(store, of, now) {
        Claim::Granted(reservation) => reservation,
        Claim::Refused(verdict) => panic!("{verdict:?}"),
    }
}

pub(super) fn refused(store: &Store, of: usize, now: u64) -> Verdict {
    match claim(store, of, now) {
        Claim::Granted(_) => Verdict::Proceed,
        Claim::Refused(verdict) => verdict,
    }
}

pub(super) fn duplicate(id: &str, completed_at: u64) -> Verdict {
    Verdict::Duplicate {
        status: Some(201),
        transaction_id: Some(id.into()),
        completed_at,
        answer: None,
    }
}

/// An operator's word on what stands under a key now.
pub(super) fn ruled(store: &Store, key: RecordKey, ruling: Ruling, now: u64) -> Result<bool, StoreFault> {
    match wait(store.show(key))? {
        Some(seen) => wait(store.rule(key, seen, ruling, now)),
        None => Ok(false),
    }
}

fn complete(reservation: Reservation, id: &str, now: u64) {
    wait(reservation.complete(201, Some(id.into()), now)).unwrap();
}

fn in_memory() -> Embedded {
    Failing::default().open()
}

pub(super) fn started(engine: Embedded, queue: Queue) -> Store {
    Store::start(engine, Box::new(|| Err(StoreFault::Closed)), PathBuf::new(), queue).unwrap()
}

fn reserve(of: usize, now: u64) -> Request {
    Request::Reserve {
        key: key(of),
        owner: None,
        fingerprint: fingerprint(1),
        keep: KEEP,
        now,
    }
}

/// Reserves and completes keys, a batch at a time.
fn finish(engine: &mut Embedded, keys: std::ops::Range<usize>, now: u64) {
    let answers = engine
        .run(&keys.map(|of| reserve(of, now)).collect::<Vec<_>>())
        .unwrap()
        .answers;
    let settle = |answer| match answer {
        Answer::Reserved(reserved) => Request::Settle {
            reserved,
            settlement: Settlement::Complete {
                status: 201,
                transaction_id: None,
                answer: None,
                now,
            },
        },
        other => panic!("{other:?}"),
    };
    engine
        .run(&answers.into_iter().map(settle).collect::<Vec<_>>())
        .unwrap();
}

#[test]
fn a_key_is_granted_once_and_remembered_as_long_as_asked() {
    let store = started(in_memory(), Queue::default());
    let first = granted(&store, 1, NOW);
    assert_eq!(refused(&store, 1, NOW), Verdict::InProgress);
    let other = wait(store.reserve(key(1), None, fingerprint(2), KEEP, NOW)).unwrap();
    assert!(matches!(other, Claim::Refused(Verdict::Reused)));
    complete(first, "t1", NOW + 5);
    assert_eq!(refused(&store, 1, NOW + 104), duplicate("t1", NOW + 5));
    complete(granted(&store, 1, NOW + 105), "t2", NOW + 105);
    assert_eq!(refused(&store, 1, NOW + 105), duplicate("t2", NOW + 105));
}

#[test]
fn what_was_surely_not_sent_is_free_and_what_may_have_been_is_unknown() {
    let store = started(in_memory(), Queue::default());
    wait(granted(&store, 1, NOW).release()).unwrap();
    wait(granted(&store, 1, NOW).unknown(NOW + 1)).unwrap();
    assert_eq!(refused(&store, 1, u64::MAX), Verdict::Unknown { since: NOW + 1 });
    drop(granted(&store, 2, NOW));
    assert_eq!(
        refused(&store, 2, NOW + 1),
        Verdict::Unknown { since: NOW },
        "dropped without a word"
    );
    // Not even begun: the reservation is in the future that is dropped.
    drop(granted(&store, 3, NOW).complete(201, None, NOW));
    assert_eq!(refused(&store, 3, NOW + 1), Verdict::Unknown { since: NOW });
}

#[test]
fn a_reservation_that_does_not_arrive_is_released() {
    let store = started(in_memory(), Queue::default());
    let arrived = wait(store.0.queue.ask(reserve(1, NOW)).unwrap()).unwrap().unwrap();
    drop(arrived);
    assert_eq!(wait(store.show(key(1))), Ok(None));
    drop(store.0.queue.ask(reserve(2, NOW)).unwrap());
    // The first look may share a commit with the reservation; when it is answered, the release waits.
    wait(store.show(key(2))).unwrap();
    assert_eq!(wait(store.show(key(2))), Ok(None));
}

#[test]
fn one_of_64_runtimes_gets_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let barrier = Barrier::new(64);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..64 {
            let (store, tell, barrier) = (store.clone(), tell.clone(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                tell.send(claim(&store, 1, NOW)).unwrap();
            });
        }
    });
    let claims: Vec<Claim> = told.try_iter().collect();
    let granted = claims.iter().filter(|claim| matches!(claim, Claim::Granted(_))).count();
    let running = |claim: &&Claim| matches!(claim, Claim::Refused(Verdict::InProgress));
    assert_eq!((granted, claims.iter().filter(running).count()), (1, 63));
    assert_eq!(store.stats().commits, 1, "who is refused costs no commit");
}

#[test]
fn what_waits_shares_a_commit() {
    for (count, commits) in [(1, 1), (MAX_BATCH, 1), (MAX_BATCH + 1, 2)] {
        let queue = Queue::default();
        let replies: Vec<_> = (0..count).map(|of| queue.ask(reserve(of, NOW)).unwrap()).collect();
        let store = started(in_memory(), queue);
        let arrived: Vec<_> = replies.into_iter().map(|reply| wait(reply).unwrap().unwrap()).collect();
        let stats = store.stats();
        assert_eq!((stats.commits, stats.keys, stats.waiting), (commits, count as u64, 0));
        drop(arrived);
    }
}

#[test]
fn the_queue_is_bounded_but_not_for_settlements() {
    let queue = Queue::with_limits(2, 3);
    let _waiting = [queue.ask(reserve(1, NOW)).unwrap(), queue.ask(reserve(2, NOW)).unwrap()];
    assert_eq!(queue.ask(reserve(3, NOW)).unwrap_err(), StoreFault::Busy);
    let record = Record::running(fingerprint(1), None, NOW, KEEP);
    let reserved = Reserved::on_disk(key(4), record).unwrap();
    let settlement = Settlement::Release;
    assert!(queue.settle(Request::Settle { reserved, settlement }).is_ok());
    assert_eq!(
        queue.take_within(Duration::from_secs(10)).map(|jobs| jobs.len()),
        Some(3)
    );
    // The two are not done yet, so there is place for one.
    assert!(queue.ask(reserve(3, NOW)).is_ok());
    assert_eq!(queue.ask(reserve(4, NOW)).unwrap_err(), StoreFault::Busy);
    queue.done(&[Answer::Full], (0, 0), false);
    assert!(queue.ask(reserve(4, NOW)).is_ok());
}

#[test]
fn reservations_are_bounded_until_they_are_settled() {
    let store = started(in_memory(), Queue::with_limits(8, 2));
    let (one, two) = (granted(&store, 1, NOW), granted(&store, 2, NOW));
    let third = wait(store.reserve(key(3), None, fingerprint(1), KEEP, NOW));
    assert_eq!(third.unwrap_err(), StoreFault::Busy);
    complete(one, "t", NOW);
    wait(granted(&store, 3, NOW).release()).unwrap();
    drop(two);
    assert!(store.is_healthy());
}

#[test]
fn keys_on_disk_are_bounded() {
    let store = started(in_memory().limit_keys(2), Queue::default());
    complete(granted(&store, 1, NOW), "t", NOW);
    let two = granted(&store, 2, NOW);
    let third = wait(store.reserve(key(3), None, fingerprint(1), KEEP, NOW));
    assert_eq!(third.unwrap_err(), StoreFault::Full);
    assert_eq!(refused(&store, 1, NOW), duplicate("t", NOW));
    wait(two.release()).unwrap();
    drop(granted(&store, 3, NOW));
    assert!(store.is_healthy());
}

#[test]
fn what_has_expired_is_swept_a_bounded_number_at_a_time() {
    let mut engine = in_memory();
    for batch in 0..3 {
        finish(&mut engine, batch * 200..(batch + 1) * 200, NOW);
    }
    assert_eq!(engine.keys(), 600);
    let mut carried = |of, now| {
        engine.run(&[reserve(of, now)]).unwrap();
        engine.carry_all().unwrap();
        engine.keys()
    };
    assert_eq!(carried(1000, NOW + 99), 601, "not before its time");
    assert_eq!(carried(1001, NOW + 100), 602 - MAX_SWEEP as u64);
    assert_eq!(carried(1002, NOW + 100), 3);
    assert_eq!(carried(1003, u64::MAX), 4, "what runs stays");
    let look = vec![Request::Show { key: key(1) }];
    assert!(!engine.run(&look).unwrap().committed);
}

#[test]
fn nothing_is_swept_that_somebody_in_the_batch_still_sees() {
    let mut engine = in_memory();
    finish(&mut engine, 0..1, NOW);
    engine.run(&[reserve(1, NOW + 500), reserve(2, NOW + 50)]).unwrap();
    engine.carry_all().unwrap();
    assert_eq!(engine.keys(), 3);
}

#[test]
fn keys_that_come_again_after_their_time_are_right_in_whatever_run_they_are() {
    let disk = Failing::default();
    let mut engine = disk.open();
    for round in 0..40 {
        let now = NOW + round as u64 * KEEP.as_secs();
        // Some come again as soon as they have expired; others later, and are swept before.
        let (each, some) = (0..50, (1 + round % 3) * 100..(1 + round % 3) * 100 + 50);
        finish(&mut engine, each.clone(), now);
        finish(&mut engine, some.clone(), now);
        engine.carry_all().unwrap();
        if round % 4 == 3 {
            drop(engine);
            engine = disk.open();
        }
        assert_eq!(engine.keys(), 100, "{round}");
        let again: Vec<_> = each.chain(some).map(|of| reserve(of, now)).collect();
        for answer in engine.run(&again).unwrap().answers {
            let Answer::Refused(Verdict::Duplicate { completed_at, .. }) = answer else {
                panic!("{answer:?} in {round}");
            };
            assert_eq!(completed_at, now);
        }
    }
}

#[test]
fn a_clock_that_went_back_shortens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    complete(granted(&store, 1, NOW), "t1", NOW);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(refused(&store, 1, 0), duplicate("t1", NOW));
    complete(granted(&store, 2, 10), "t2", 20);
    assert_eq!(refused(&store, 2, NOW + 99), duplicate("t2", 20));
}

#[test]
fn more_than_the_daybook_takes_is_carried_and_found_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Embedded::open(folder.path()).unwrap();
    // Half of them have an end that only the daybook knows, whatever is carried in the meantime.
    for batch in 0..40 {
        let keys = batch * 50..(batch + 1) * 50;
        engine
            .run(&keys.clone().map(|of| reserve(of, NOW)).collect::<Vec<_>>())
            .unwrap();
        finish(&mut engine, keys.start + 100_000..keys.end + 100_000, NOW);
    }
    assert_eq!((engine.keys(), engine.unknown()), (4000, 0));
    let store = started(engine, Queue::default());
    let counted = |store: &Store, filter: Filter| {
        let (mut after, mut names) = (None, Vec::new());
        loop {
            let page = wait(store.list(filter.clone(), after, NOW)).unwrap();
            names.extend(page.records.into_iter().map(|(name, _)| name));
            after = page.next;
            if after.is_none() {
                assert!(names.is_sorted(), "in the order of their names");
                return names.len();
            }
        }
    };
    assert_eq!(counted(&store, Filter::Of(Kind::Done)), 2000);
    assert_eq!(counted(&store, Filter::Unsettled), 2000);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((store.stats().keys, store.stats().unknown), (4000, 2000));
    assert_eq!(counted(&store, Filter::Of(Kind::Unknown)), 2000);
    assert_eq!(counted(&store, Filter::Of(Kind::Done)), 2000);
}

#[test]
fn what_ran_in_an_earlier_life_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    complete(granted(&store, 1, NOW), "t1", NOW);
    std::mem::forget(granted(&store, 2, NOW));
    let image = tempfile::tempdir().unwrap();
    for file in [embedded::FILE].into_iter().chain(daybook::FILES) {
        std::fs::copy(folder.path().join(file), image.path().join(file)).unwrap();
    }

    let store = Store::open(image.path()).unwrap();
    assert_eq!(refused(&store, 1, NOW), duplicate("t1", NOW));
    assert_eq!(refused(&store, 2, NOW), Verdict::Unknown { since: NOW });
    assert_eq!(store.stats().keys, 2);
}

#[test]
fn an_operator_lists_and_rules() {
    let mut engine = in_memory();
    finish(&mut engine, 0..10, NOW);
    for first in [100, 300] {
        engine
            .run(&(first..first + 200).map(|of| reserve(of, NOW)).collect::<Vec<_>>())
            .unwrap();
    }
    let store = started(engine, Queue::default());
    let list = |filter, after| wait(store.list(filter, after, NOW)).unwrap();
    let first = list(Filter::Unsettled, None);
    assert_eq!(first.records.len(), MAX_LISTED);
    assert_eq!((first.records[0].0, first.next), (key(100), Some(key(99 + MAX_LISTED))));
    let rest = list(Filter::Of(Kind::InProgress), first.next);
    assert_eq!(rest.records[0].0, key(100 + MAX_LISTED));
    assert_eq!((rest.records.len(), rest.next), (400 - MAX_LISTED, None));
    assert_eq!(list(Filter::Of(Kind::Unknown), None), Page::default());
    assert_eq!(list(Filter::Of(Kind::Done), None).records.len(), 10);
    let later = wait(store.list(Filter::Of(Kind::Done), None, NOW + 100)).unwrap();
    assert_eq!(later, Page::default(), "what has expired is absent");

    assert_eq!(ruled(&store, key(100), Ruling::Free, NOW), Ok(false), "it runs");
    assert_eq!(ruled(&store, key(0), Ruling::Free, NOW), Ok(false), "it is done");
    assert_eq!(ruled(&store, key(999), Ruling::Free, NOW), Ok(false), "there is none");
    for of in [1000, 1001] {
        wait(granted(&store, of, NOW).unknown(NOW)).unwrap();
    }
    assert_eq!(store.stats().unknown, 2);
    assert_eq!(list(Filter::Of(Kind::Unknown), None).records.len(), 2);
    let done = Ruling::Done {
        status: Some(201),
        transaction_id: Some("t".into()),
    };
    assert_eq!(ruled(&store, key(1000), done, NOW + 9), Ok(true));
    assert_eq!(refused(&store, 1000, NOW + 108), duplicate("t", NOW + 9));
    assert_eq!(ruled(&store, key(1001), Ruling::Free, NOW), Ok(true));
    assert_eq!(wait(store.show(key(1001))), Ok(None));
    assert_eq!(store.stats().unknown, 0);
}

#[test]
fn a_page_looks_at_a_bounded_number_of_records_and_says_where_to_go_on() {
    let mut engine = in_memory();
    for batch in 0..MAX_SCANNED / MAX_BATCH {
        finish(&mut engine, batch * MAX_BATCH..(batch + 1) * MAX_BATCH, NOW);
    }
    let owner = owner("k1");
    let named = Request::Reserve {
        key: key(MAX_SCANNED),
        owner: Some(Arc::clone(&owner)),
        fingerprint: fingerprint(1),
        keep: KEEP,
        now: NOW,
    };
    engine.run(&[named]).unwrap();
    let store = started(engine, Queue::default());
    let find = |after| wait(store.list(Filter::Key("k1".into()), after, NOW)).unwrap();
    let first = find(None);
    assert_eq!((first.records.len(), first.next), (0, Some(key(MAX_SCANNED - 1))));
    let rest = find(first.next);
    assert_eq!((rest.records.len(), rest.next), (1, None));
    assert_eq!(rest.records[0].1.owner, Some(owner));
}

fn owner(key: &str) -> Arc<Owner> {
    Arc::new(Owner {
        issuer: "i".into(),
        user: "u1".into(),
        module: "ledger".into(),
        route: "/api/ledger/sync".into(),
        key: key.into(),
    })
}

#[test]
fn who_waits_for_a_key_is_woken_by_whatever_settles_it() {
    let store = started(in_memory(), Queue::default());
    let ask = async || store.reserve(key(1), None, fingerprint(1), KEEP, NOW).await;
    let waiting = || async {
        match store.wait_for(key(1), Duration::from_secs(20), ask).await {
            Ok(Claim::Refused(verdict)) => verdict,
            Ok(Claim::Granted(reservation)) => {
                reservation.release().await.unwrap();
                Verdict::Proceed
            }
            Err(fault) => panic!("{fault:?}"),
        }
    };
    let settle = |how: u8| {
        let first = granted(&store, 1, NOW);
        wait(async {
            tokio::join!(waiting(), waiting(), async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                match how {
                    0 => first.release().await.unwrap(),
                    1 => first.unknown(NOW).await.unwrap(),
                    _ => drop(first),
                }
            })
        })
    };
    assert_eq!(
        settle(0),
        (Verdict::Proceed, Verdict::Proceed, ()),
        "one after the other"
    );
    for how in [1, 2] {
        let unknown = Verdict::Unknown { since: NOW };
        assert_eq!(settle(how), (unknown.clone(), unknown, ()));
        assert_eq!(ruled(&store, key(1), Ruling::Free, NOW), Ok(true));
    }
}

#[test]
fn a_folder_has_one_user_and_tells_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let store = Store::open(&inner).unwrap();
    assert_eq!(Store::open(&inner).unwrap_err(), StoreFault::InUse);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for file in [embedded::FILE].iter().chain(&daybook::FILES) {
        assert_eq!(mode(&inner.join(file)), 0o600);
    }
    assert!(store.stats().file_bytes > 2 * daybook::BYTES as u64);
    drop(store);
    assert!(Store::open(&inner).is_ok());
}

#[test]
fn a_folder_that_cannot_be_used_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Store::open(&file), Err(StoreFault::Io(_))));
    std::fs::create_dir(folder.path().join("lock")).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreFault::Io(_))));
}

#[test]
fn a_newer_or_nameless_format_is_refused() {
    for (format, expected) in [
        (Some(6), StoreFault::Newer { found: 6, known: 5 }),
        (Some(0), StoreFault::Corrupt("there is no format 0".to_owned())),
        (None, StoreFault::Corrupt("the file does not say its format".to_owned())),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let database = Database::open(folder.path().join(embedded::FILE)).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut facts = write.open_table(file::FACTS).unwrap();
            match format {
                Some(format) => facts.insert(file::FORMAT, format).unwrap(),
                None => facts.remove(file::FORMAT).unwrap(),
            };
        }
        write.commit().unwrap();
        drop(database);
        assert_eq!(Store::open(folder.path()).unwrap_err(), expected);
    }
}

#[test]
fn a_copy_is_a_store_as_of_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    complete(granted(&store, 1, NOW), "t1", NOW);
    let running = granted(&store, 2, NOW);
    for _ in 0..2 {
        // The second takes the place of the first.
        assert_eq!(wait(store.back_up()).unwrap().keys, 2);
    }
    complete(running, "t2", NOW);
    let copy = folder.path().join(BACKUP);
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let other = tempfile::tempdir().unwrap();
    std::fs::rename(&copy, other.path().join(embedded::FILE)).unwrap();
    let copied = Store::open(other.path()).unwrap();
    assert_eq!(refused(&copied, 1, NOW), duplicate("t1", NOW));
    assert_eq!(refused(&copied, 2, NOW), Verdict::Unknown { since: NOW });
    assert_eq!(refused(&store, 2, NOW), duplicate("t2", NOW));
    std::fs::create_dir(folder.path().join(BACKUP)).unwrap();
    assert!(matches!(wait(store.back_up()), Err(StoreFault::Io(_))));
    assert!(store.is_healthy(), "a copy that fails is nobody else's trouble");
}

#[test]
fn an_answer_is_kept_with_its_outcome_and_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let sealed: Arc<[u8]> = vec![7; 4000].into();
    let first = granted(&store, 1, NOW);
    wait(first.complete_with(201, Some("t1".into()), Some(Arc::clone(&sealed)), NOW)).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let kept = |verdict| match verdict {
        Verdict::Duplicate { answer, .. } => answer,
        other => panic!("{other:?}"),
    };
    assert_eq!(kept(refused(&store, 1, NOW)), Some(Arc::clone(&sealed)));
    let page = wait(store.list(Filter::Of(Kind::Done), None, NOW)).unwrap();
    assert_eq!(page.records[0].1.answer_bytes(), 0, "operators see no answers");
    let again = granted(&store, 1, NOW + KEEP.as_secs());
    let too_large = vec![7; crate::ledger::MAX_SEALED_ANSWER + 1].into();
    wait(again.complete_with(201, None, Some(too_large), NOW)).unwrap();
    assert_eq!(kept(refused(&store, 1, NOW)), None);
}

#[test]
fn answers_beyond_their_room_are_not_kept_but_their_outcomes_are() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let engine = Embedded::open(folder.path()).unwrap().limit_answers(250).patient();
        started(engine, Queue::default())
    };
    let answers = |store: &Store, keys: std::ops::Range<usize>, now| -> Vec<bool> {
        let kept = |of| matches!(refused(store, of, now), Verdict::Duplicate { answer: Some(_), .. });
        keys.map(kept).collect()
    };
    let store = open();
    for of in 1..4 {
        let reservation = granted(&store, of, NOW);
        wait(reservation.complete_with(201, None, Some(vec![7; 100].into()), NOW)).unwrap();
    }
    assert_eq!(answers(&store, 1..4, NOW), [true, true, false]);
    drop(store);
    // What is on disk counts after a start, too, and what is swept makes room.
    let store = open();
    let later = NOW + KEEP.as_secs();
    let fourth = granted(&store, 4, NOW);
    wait(fourth.complete_with(201, None, Some(vec![7; 100].into()), NOW)).unwrap();
    assert_eq!(answers(&store, 4..5, NOW), [false]);
    let fifth = granted(&store, 5, later);
    wait(fifth.complete_with(201, None, Some(vec![7; 200].into()), later)).unwrap();
    assert_eq!(answers(&store, 5..6, later), [true]);
}
