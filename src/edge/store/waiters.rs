//! Who waits for the request that has their key to be settled.
//!
//! No wake-up is lost: a waiter puts its name down first and asks the store then. Whatever is settled later wakes it, and
//! what was settled before is in the store's answer.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Claim, StoreFault};
use crate::ledger::{RecordKey, Verdict};

/// Most requests that wait for one key; one more is told at once that the first still runs.
pub const MAX_WAITERS_PER_KEY: usize = 64;

/// Most requests that wait for any key, each with its body in memory.
pub const MAX_WAITERS: usize = 1024;

/// The waiting list.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    by_key: HashMap<RecordKey, Vec<(u64, oneshot::Sender<()>)>>,
    count: usize,
    /// Tells waiters of one key apart.
    last: u64,
    closed: bool,
}

/// A place on the list; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Arc<Waiters>,
    key: RecordKey,
    number: u64,
    woken: oneshot::Receiver<()>,
}

impl Waiters {
    /// Puts a name down; none when there is no place or the store has ended.
    pub(super) fn join(self: &Arc<Self>, key: RecordKey) -> Option<Waiter> {
        let mut list = self.lock();
        let waiting = list.by_key.get(&key).map_or(0, Vec::len);
        if list.closed || list.count >= MAX_WAITERS || waiting >= MAX_WAITERS_PER_KEY {
            return None;
        }
        list.count += 1;
        list.last += 1;
        let number = list.last;
        let (wake, woken) = oneshot::channel();
        list.by_key.entry(key).or_default().push((number, wake));
        drop(list);
        Some(Waiter {
            waiters: Arc::clone(self),
            key,
            number,
            woken,
        })
    }

    /// A key is settled.
    pub(super) fn wake(&self, key: &RecordKey) {
        let mut list = self.lock();
        let waiting = list.by_key.remove(key).unwrap_or_default();
        list.count = list.count.saturating_sub(waiting.len());
        drop(list);
        for (_, wake) in waiting {
            let _ = wake.send(());
        }
    }

    /// The store has ended: nobody is woken any more, so nobody may wait.
    pub(super) fn close(&self) {
        let mut list = self.lock();
        list.closed = true;
        list.count = 0;
        let waiting = std::mem::take(&mut list.by_key);
        drop(list);
        drop(waiting);
    }

    /// Nothing under the lock can leave it half-done, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut list = self.waiters.lock();
        let Some(waiting) = list.by_key.get_mut(&self.key) else {
            return;
        };
        let before = waiting.len();
        waiting.retain(|(number, _)| *number != self.number);
        let (left, gone) = (waiting.len(), before - waiting.len());
        if left == 0 {
            list.by_key.remove(&self.key);
        }
        list.count = list.count.saturating_sub(gone);
    }
}

/// Asks for a key again each time that it is settled, until it is not in progress or `wait` is over; also `every` so
/// often, where others than this process may settle it.
pub(super) async fn patiently(
    waiters: &Arc<Waiters>,
    key: RecordKey,
    wait: Duration,
    every: Option<Duration>,
    ask: impl AsyncFn() -> Result<Claim, StoreFault>,
) -> Result<Claim, StoreFault> {
    let in_progress = Ok(Claim::Refused(Verdict::InProgress));
    let until = Instant::now() + wait;
    loop {
        let Some(mut waiter) = waiters.join(key) else {
            return in_progress;
        };
        let claim = ask().await;
        if !matches!(claim, Ok(Claim::Refused(Verdict::InProgress))) {
            return claim;
        }
        // A sender that is gone means that the store has ended, which the next question will say.
        let look = every.map_or(until, |every| until.min(Instant::now() + every));
        let woken = tokio::time::timeout_at(look, pin!(&mut waiter.woken)).await;
        if woken.is_err() && look == until {
            return in_progress;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    fn key(of: usize) -> RecordKey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&of.to_be_bytes());
        RecordKey::from_bytes(bytes)
    }

    fn count(waiters: &Waiters) -> (usize, usize) {
        let list = waiters.lock();
        assert_eq!(list.count, list.by_key.values().map(Vec::len).sum::<usize>());
        (list.count, list.by_key.len())
    }

    const DONE: Verdict = Verdict::Unknown { since: 7 };
    const WAIT: Duration = Duration::from_secs(2);

    fn verdict(claim: Result<Claim, StoreFault>) -> Verdict {
        match claim {
            Ok(Claim::Refused(verdict)) => verdict,
            other => panic!("{other:?}"),
        }
    }

    /// A first request that is settled after a while.
    fn settling(waiters: &Arc<Waiters>, after: Duration) -> Rc<Cell<bool>> {
        let (settled, waiters) = (Rc::new(Cell::new(false)), Arc::clone(waiters));
        let told = Rc::clone(&settled);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(after).await;
            told.set(true);
            waiters.wake(&key(1));
        });
        settled
    }

    async fn wait_for(waiters: &Arc<Waiters>, settled: &Cell<bool>) -> Verdict {
        let ask = async || {
            let verdict = if settled.get() { DONE } else { Verdict::InProgress };
            Ok(Claim::Refused(verdict))
        };
        verdict(patiently(waiters, key(1), WAIT, None, ask).await)
    }

    fn run(future: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(future);
    }

    #[test]
    fn whoever_waits_is_woken_when_the_first_is_settled_and_not_later_than_its_patience() {
        for (after, expected, waited) in [
            (Duration::from_millis(1500), DONE, Duration::from_millis(1500)),
            (Duration::from_secs(3), Verdict::InProgress, WAIT),
        ] {
            run(async {
                let waiters = Arc::default();
                let settled = settling(&waiters, after);
                let started = Instant::now();
                let (one, two) = tokio::join!(wait_for(&waiters, &settled), wait_for(&waiters, &settled));
                assert_eq!((one, two), (expected.clone(), expected.clone()));
                // A timer ticks in whole milliseconds.
                assert!(started.elapsed().abs_diff(waited) <= Duration::from_millis(2));
                assert_eq!(count(&waiters), (0, 0));
            });
        }
    }

    #[test]
    fn what_is_settled_between_the_name_and_the_question_wakes_nobody_too_late() {
        run(async {
            let waiters: Arc<Waiters> = Arc::default();
            let asked = Cell::new(0);
            let ask = async || {
                asked.set(asked.get() + 1);
                // The answer of a store that settles the key while its answer is on its way.
                if asked.get() == 1 {
                    waiters.wake(&key(1));
                    return Ok(Claim::Refused(Verdict::InProgress));
                }
                Ok(Claim::Refused(DONE))
            };
            let started = Instant::now();
            assert_eq!(verdict(patiently(&waiters, key(1), WAIT, None, ask).await), DONE);
            assert_eq!((asked.get(), started.elapsed()), (2, Duration::ZERO));
        });
    }

    #[test]
    fn who_gives_up_gives_its_place_back() {
        run(async {
            let waiters: Arc<Waiters> = Arc::default();
            let settled = Cell::new(false);
            let gone = tokio::time::timeout(Duration::from_millis(10), wait_for(&waiters, &settled)).await;
            assert!(gone.is_err());
            assert_eq!(count(&waiters), (0, 0));
        });
    }

    #[test]
    fn places_are_bounded_for_a_key_and_in_all() {
        let waiters: Arc<Waiters> = Arc::default();
        let mut held: Vec<Waiter> = (0..MAX_WAITERS_PER_KEY)
            .map(|_| waiters.join(key(1)).unwrap())
            .collect();
        assert!(waiters.join(key(1)).is_none());
        let others = (MAX_WAITERS_PER_KEY..MAX_WAITERS).map(|of| waiters.join(key(of)).unwrap());
        held.extend(others);
        assert!(waiters.join(key(5000)).is_none());
        assert_eq!(count(&waiters).0, MAX_WAITERS);
        held.pop();
        let last = waiters.join(key(5000));
        assert!(last.is_some());
        waiters.wake(&key(1));
        assert_eq!(count(&waiters).0, MAX_WAITERS - MAX_WAITERS_PER_KEY);
        drop(held);
        assert_eq!(count(&waiters), (1, 1));
    }

    #[test]
    fn a_store_that_ends_wakes_everybody_and_takes_nobody() {
        run(async {
            let waiters: Arc<Waiters> = Arc::default();
            let mut waiter = waiters.join(key(1)).unwrap();
            waiters.close();
            assert!((&mut waiter.woken).await.is_err());
            assert!(waiters.join(key(1)).is_none());
            drop(waiter);
            assert_eq!(count(&waiters), (0, 0));
        });
    }
}
