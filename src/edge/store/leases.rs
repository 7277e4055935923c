//! Locks that gateways share, in the server of a shared store. Each has a lease: whoever holds one and is not heard of any
//! more loses it once that is over, by the server's clock, and not before.
//!
//! A lock stands under its holder and one of its turns, as a reservation does. A question whose answer was lost is followed
//! by one that takes it back: nothing was sent by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::embedded::{Answer, Request};
use super::queue::{Parcel, Queue};
use super::{Place, SETTLE_PATIENCE, Shared, Store, StoreFault};

/// What a lock is known by: the SHA-256 of the resource's name.
pub type LockName = [u8; 32];

/// What the server is asked about a lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// To have it for so long, if nobody has it.
    Take(Duration),
    /// To have it for so long from now, if it is still this turn's.
    Extend(u64, Duration),
    /// To have it no more.
    Release(u64),
}

/// A lock that was just taken.
#[derive(Debug)]
pub(super) struct Grip {
    pub(super) name: LockName,
    pub(super) turn: u64,
}

/// For how long something is held for sure, counted from before the server was asked. One clock stands still while the
/// machine sleeps, the other can be set: the earlier end counts.
#[derive(Clone, Copy, Debug)]
pub struct Sure {
    at: Instant,
    by_the_wall: SystemTime,
    good_for: Duration,
}

impl Sure {
    /// Good for so long from now.
    #[must_use]
    pub fn from_now(good_for: Duration) -> Self {
        Self::since((Instant::now(), SystemTime::now()), good_for)
    }

    pub(super) const fn since(at: (Instant, SystemTime), good_for: Duration) -> Self {
        Self {
            at: at.0,
            by_the_wall: at.1,
            good_for,
        }
    }

    /// How much of it is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        let by_the_wall = self.by_the_wall.elapsed().unwrap_or_default();
        self.good_for.saturating_sub(self.at.elapsed().max(by_the_wall))
    }
}

/// A lock in the server. Dropped without [`Lease::release`], it stands until its lease is over.
#[derive(Debug)]
#[must_use = "a lease that is dropped blocks its resource until it is over"]
pub struct Lease {
    grip: Grip,
    shared: Arc<Shared>,
    released: AtomicBool,
}

/// The server's word that a lock is free again.
#[derive(Debug)]
pub struct Released(oneshot::Receiver<Result<Parcel, StoreFault>>);

impl Released {
    /// Waits for it, but not for long: the lock is released all the same, as soon as it can be.
    pub async fn heard(self) {
        let _ = timeout(SETTLE_PATIENCE, self.0).await;
    }
}

impl Store {
    /// Takes a lock for `lease`; none if another turn has it. A caller that goes away meanwhile has not taken it.
    ///
    /// # Errors
    /// As [`Store::reserve`]; [`StoreFault::Refused`] for a store that nobody shares.
    pub async fn lock(&self, name: LockName, lease: Duration) -> Result<Option<Lease>, StoreFault> {
        if matches!(self.0.place, Place::File(_)) {
            return Err(StoreFault::Refused("nobody shares it, so nobody locks it".to_owned()));
        }
        let step = Step::Take(lease);
        match self.ask(Request::Lock { name, step }).await? {
            Answer::Locked(grip) => Ok(Some(Lease {
                grip,
                shared: Arc::clone(&self.0),
                released: AtomicBool::new(false),
            })),
            Answer::Taken => Ok(None),
            _ => Err(StoreFault::Closed),
        }
    }
}

impl Lease {
    /// Makes it last for `lease` from now; false if it is lost.
    ///
    /// # Errors
    /// As [`Store::reserve`]; nothing is known then.
    pub async fn extend(&self, lease: Duration) -> Result<bool, StoreFault> {
        let (name, step) = (self.grip.name, Step::Extend(self.grip.turn, lease));
        match Store(Arc::clone(&self.shared))
            .ask(Request::Lock { name, step })
            .await?
        {
            Answer::Extended(done) => Ok(done),
            _ => Err(StoreFault::Closed),
        }
    }

    /// Nothing is under way by it any more: it is released as soon as the server can be told. None if it was before, or if
    /// the store has closed.
    pub fn release(&self) -> Option<Released> {
        if self.released.swap(true, Ordering::SeqCst) {
            return None;
        }
        release(&self.shared.queue, &self.grip).map(Released)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.released.load(Ordering::SeqCst) {
            self.shared.queue.given_back();
        }
    }
}

/// Has a lock released that has its place in the queue.
pub(super) fn release(queue: &Queue, grip: &Grip) -> Option<oneshot::Receiver<Result<Parcel, StoreFault>>> {
    let (name, step) = (grip.name, Step::Release(grip.turn));
    queue.settle(Request::Lock { name, step }).ok()
}
