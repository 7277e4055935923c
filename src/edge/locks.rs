//! One write at a time to each resource (S1.9; interface, section 7).
//!
//! Who reads a version and writes by it holds the resource's lock meanwhile. It is held in memory: one gateway with its
//! embedded store is the only writer. Gateways that share a store need a lock in that store, with a lease; it would be
//! taken and held through the same two types.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Most writes that wait for one resource, beside the one that holds it.
pub const MAX_LOCK_WAITERS: usize = 64;

/// Most writes that hold a lock or wait for one, so most resources that are locked. Their bodies are in memory.
pub const MAX_LOCK_USERS: usize = 2048;

/// The locks of a gateway. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Locks(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    locks: HashMap<Resource, Lock>,
    /// Of all of them.
    users: usize,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released at once"]
pub struct Held {
    // Released first: who is next finds the entry that it has counted itself in.
    _turn: OwnedMutexGuard<()>,
    _place: Place,
}

/// A place among the users of a lock, from asking until release.
#[derive(Debug)]
struct Place {
    locks: Locks,
    resource: Resource,
}

impl Resource {
    /// A resource of a backend. Paths that differ in case, in a slash at the end, in `;` parameters or in how they are escaped
    /// may be one to a backend, so they are one here: two that are not only wait for each other.
    #[must_use]
    pub fn new(backend: &str, decoded_path: &str) -> Self {
        let segments = decoded_path.trim_end_matches('/').split('/');
        let names = segments.map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name));
        let path = names.collect::<Vec<_>>().join("/").to_lowercase();
        Self(format!("{backend}\n{path}").into())
    }
}

impl Locks {
    /// Takes the lock, in the order in which it was asked for, waiting for up to `wait`.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub async fn take(&self, resource: Resource, wait: Duration) -> Result<Held, NotLocked> {
        let (place, turn) = self.queue(resource)?;
        let turn = tokio::time::timeout(wait, turn.lock_owned());
        Ok(Held {
            _turn: turn.await.map_err(|_| NotLocked::TooLong)?,
            _place: place,
        })
    }

    fn queue(&self, resource: Resource) -> Result<(Place, Arc<tokio::sync::Mutex<()>>), NotLocked> {
        let mut table = self.table();
        if table.users >= MAX_LOCK_USERS {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn resource(path: &str) -> Resource {
        Resource::new("billing", path)
    }

    fn is_empty(locks: &Locks) -> bool {
        let table = locks.table();
        table.locks.is_empty() && table.users == 0
    }

    async fn held(locks: &Locks, path: &str) -> Held {
        locks.take(resource(path), WAIT).await.unwrap()
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
        let late = locks.take(resource("/a"), WAIT).await;
        assert_eq!(late.unwrap_err(), NotLocked::TooLong);
        // Who goes away while it waits is out of the queue.
        let mut gone = Box::pin(locks.take(resource("/a"), WAIT));
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
            locks.take(resource("/a"), WAIT).await.unwrap_err(),
            NotLocked::TooManyWaiters
        );
        let mut others = Vec::new();
        for number in 1 + MAX_LOCK_WAITERS..MAX_LOCK_USERS {
            others.push(held(&locks, &format!("/{number}")).await);
        }
        let one_more = locks.take(resource("/more"), WAIT).await;
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
