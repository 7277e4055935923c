//! One write at a time to each resource (S1.9; interface, section 7).
//!
//! Who reads a version and writes by it holds the resource's lock meanwhile. It is held in memory: one gateway with its
//! embedded store is the only writer. Gateways that share a store have a lock in that store beside ([`leased`]), which one
//! write of each gateway asks for at a time.

mod leased;

use aws_lc_rs::digest::{SHA256, digest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

use self::leased::Leased;
use super::store::{LockName, Store, StoreFault};

/// Most writes that wait for one resource, beside the one that holds it.
pub const MAX_LOCK_WAITERS: usize = 64;

/// Most writes that hold a lock or wait for one, so most resources that are locked. Their bodies are in memory.
pub const MAX_LOCK_USERS: usize = 2048;

/// The locks of a gateway. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    table: Arc<Mutex<Table>>,
    /// The store in which other gateways lock too, and how much longer a lease lasts than a write may.
    beside: Option<(Store, Duration)>,
}

#[derive(Debug, Default)]
struct Table {
    locks: HashMap<Resource, Lock>,
    /// Of all of them.
    users: usize,
    /// Until when locks stand in a shared store that nobody here holds any more.
    standing: Vec<Instant>,
}

/// What is locked: a backend, and the path of a resource in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource(Arc<str>);

#[derive(Debug, Default)]
struct Lock {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Who holds it or waits for it.
    users: usize,
}

/// The lock is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLocked {
    /// Others held it for all the time.
    #[error("other writes to the resource took too long")]
    TooLong,
    /// [`MAX_LOCK_WAITERS`] wait already.
    #[error("too many writes to the resource wait already")]
    TooManyWaiters,
    /// [`MAX_LOCK_USERS`] hold locks or wait already.
    #[error("too many writes hold locks or wait already")]
    TooManyUsers,
    /// The store that the lock is in does not give it.
    #[error("{0}")]
    Away(StoreFault),
}

/// A lock that is held until this is dropped, unless a write is under way by it then.
#[derive(Debug)]
#[must_use = "the lock is released at once"]
pub struct Held(Hold);

#[derive(Debug)]
enum Hold {
    // Released in this order: who is next finds the entry that it has counted itself in.
    Here(
        #[expect(dead_code, reason = "held for its drop")] Turn,
        #[expect(dead_code, reason = "held for its drop")] Place,
    ),
    Shared(Leased),
}

/// The right to go on, among the users of a lock in this gateway.
type Turn = OwnedMutexGuard<()>;

/// A place among the users of a lock, from asking until release.
#[derive(Debug)]
struct Place {
    locks: Locks,
    resource: Resource,
}

impl Resource {
    /// A resource of a backend, by the name that gateways know the backend by. Paths that differ in case, in a slash at the
    /// end, in `;` parameters or in how they are escaped may be one to a backend, so they are one here: two that are not only
    /// wait for each other.
    #[must_use]
    pub fn new(backend: &str, decoded_path: &str) -> Self {
        let segments = decoded_path.trim_end_matches('/').split('/');
        let names = segments.map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name));
        let path = names.collect::<Vec<_>>().join("/").to_lowercase();
        Self(format!("{backend}\n{path}").into())
    }

    fn name(&self) -> LockName {
        let mut name = LockName::default();
        for (to, from) in name.iter_mut().zip(digest(&SHA256, self.0.as_bytes()).as_ref()) {
            *to = *from;
        }
        name
    }
}

impl Locks {
    /// Locks that other gateways see, in the store that they share. Their leases last for `margin` longer than a write may
    /// take.
    #[must_use]
    pub fn beside(store: &Store, margin: Duration) -> Self {
        Self {
            beside: Some((store.clone(), margin)),
            ..Self::default()
        }
    }

    /// Takes the lock for a write that takes up to `write`, waiting for up to `wait`. In one gateway it is had in the order in
    /// which it was asked for.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub async fn take(&self, resource: Resource, write: Duration, wait: Duration) -> Result<Held, NotLocked> {
        let asked = Instant::now();
        let name = self.beside.is_some().then(|| resource.name());
        let (place, turn) = self.queue(resource)?;
        let turn = tokio::time::timeout(wait, turn.lock_owned());
        let turn = turn.await.map_err(|_| NotLocked::TooLong)?;
        let (Some((store, margin)), Some(name)) = (&self.beside, name) else {
            return Ok(Held(Hold::Here(turn, place)));
        };
        let leased = Leased::take((store, *margin), name, (place, turn), write, asked + wait);
        leased.await.map(|leased| Held(Hold::Shared(leased)))
    }

    fn queue(&self, resource: Resource) -> Result<(Place, Arc<tokio::sync::Mutex<()>>), NotLocked> {
        let mut table = self.table();
        if table.users + table.standing.len() >= MAX_LOCK_USERS {
            let now = Instant::now();
            table.standing.retain(|end| *end > now);
        }
        if table.users + table.standing.len() >= MAX_LOCK_USERS {
            return Err(NotLocked::TooManyUsers);
        }
        let lock = table.locks.entry(resource.clone()).or_default();
        if lock.users > MAX_LOCK_WAITERS {
            return Err(NotLocked::TooManyWaiters);
        }
        lock.users += 1;
        let turn = Arc::clone(&lock.turn);
        table.users += 1;
        drop(table);
        let locks = self.clone();
        Ok((Place { locks, resource }, turn))
    }

    /// No step of what is done to the table panics, so that it is whole whatever a thread did before.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Makes sure that a write that is begun now ends before anybody else can have the lock.
    ///
    /// # Errors
    /// It might not.
    pub async fn ready(&self) -> Result<(), StoreFault> {
        match &self.0 {
            Hold::Here(..) => Ok(()),
            Hold::Shared(leased) => leased.ready().await,
        }
    }

    /// Does a write, of which `is_under_way` says at its end whether it may go on all the same: then the lock stands for as
    /// long as its lease. None if somebody else could have the lock before the end; the write is given up.
    pub async fn during<T>(mut self, write: impl Future<Output = T>, is_under_way: impl FnOnce() -> bool) -> Option<T> {
        let Hold::Shared(leased) = &mut self.0 else {
            return Some(write.await);
        };
        leased.begin();
        let done = tokio::select! {
            biased;
            () = leased.is_over() => return None,
            done = write => done,
        };
        if !is_under_way() {
            leased.finish();
        }
        Some(done)
    }
}

impl Place {
    /// The lock stands in the shared store although nobody here holds it.
    fn stands_for(&self, lease: Duration) {
        self.locks.table().standing.push(Instant::now() + lease);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.locks.table();
        table.users = table.users.saturating_sub(1);
        if let Some(lock) = table.locks.get_mut(&self.resource) {
            lock.users = lock.users.saturating_sub(1);
            if lock.users == 0 {
                table.locks.remove(&self.resource);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::yield_now;

    const WAIT: Duration = Duration::from_secs(5);
    const WRITE: Duration = Duration::from_secs(30);

    fn resource(path: &str) -> Resource {
        Resource::new("billing", path)
    }

    fn is_empty(locks: &Locks) -> bool {
        let table = locks.table();
        table.locks.is_empty() && table.users == 0
    }

    async fn held(locks: &Locks, path: &str) -> Held {
        locks.take(resource(path), WRITE, WAIT).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_in_order() {
        let locks = Locks::default();
        let first = held(&locks, "/a").await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let (locks, order) = (locks.clone(), Arc::clone(&order));
                tokio::spawn(async move {
                    let _held = held(&locks, "/a").await;
                    order.lock().unwrap().push(number);
                })
            })
            .collect();
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(order.lock().unwrap().is_empty());
        // Another resource is another lock.
        drop(held(&locks, "/b").await);
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
        assert!(is_empty(&locks), "nothing is left of a lock");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_and_leaves_nothing() {
        let locks = Locks::default();
        let first = held(&locks, "/a").await;
        let late = locks.take(resource("/a"), WRITE, WAIT).await;
        assert_eq!(late.unwrap_err(), NotLocked::TooLong);
        // Who goes away while it waits is out of the queue.
        let mut gone = Box::pin(locks.take(resource("/a"), WRITE, WAIT));
        tokio::select! {
            biased;
            _ = &mut gone => panic!("it is held"),
            () = yield_now() => {}
        }
        drop(gone);
        assert_eq!(locks.table().users, 1);
        drop(first);
        drop(held(&locks, "/a").await);
        assert!(is_empty(&locks));
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_and_resources_have_their_limits() {
        let locks = Locks::default();
        let first = held(&locks, "/a").await;
        let places: Vec<_> = (0..MAX_LOCK_WAITERS)
            .map(|_| locks.queue(resource("/a")).unwrap())
            .collect();
        assert_eq!(
            locks.take(resource("/a"), WRITE, WAIT).await.unwrap_err(),
            NotLocked::TooManyWaiters
        );
        let mut others = Vec::new();
        for number in 1 + MAX_LOCK_WAITERS..MAX_LOCK_USERS {
            others.push(held(&locks, &format!("/{number}")).await);
        }
        let one_more = locks.take(resource("/more"), WRITE, WAIT).await;
        assert_eq!(one_more.unwrap_err(), NotLocked::TooManyUsers);
        drop((first, places, others));
        assert!(is_empty(&locks));
    }

    #[tokio::test]
    async fn a_task_that_panics_lets_go() {
        let locks = Locks::default();
        let theirs = locks.clone();
        let task = tokio::spawn(async move {
            let _held = held(&theirs, "/a").await;
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        drop(held(&locks, "/a").await);
    }

    #[test]
    fn spellings_of_one_path_are_one_resource() {
        assert_eq!(resource("/api/Ledger/"), resource("/api/ledger"));
        assert_ne!(resource("/api/ledger"), resource("/api/ledgers"));
        assert_eq!(resource("/a;x/b;"), resource("/a/b"));
        assert_ne!(Resource::new("other", "/a"), resource("/a"));
    }
}
