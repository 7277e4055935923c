//! A lock that gateways share: this gateway's own, and a lease on one in the server of the shared store.
//!
//! Another gateway may have the lock once its lease is over, and a write that is under way cannot be called back. So the
//! lease lasts as long as a write may take and a margin beside; it is renewed as long as the lock is held; a write is not
//! begun with a lease that might end before it, and is given up when its lease ends. What became of a write that was given
//! up, or that was not answered whole, nobody knows: its lock is not released and stands until the lease is over.
//!
//! All of this counts on clocks that go equally fast, here and at the server, but for a third of the margin, and on a process
//! that is not stopped for as long between its look at the clock and its first byte.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::{NotLocked, Place, Turn};
use crate::edge::store::{LOOK_EVERY, Lease, LockName, Released, Store, StoreFault, Sure};

/// How often a lease is renewed before it could end.
const RENEWALS: u32 = 3;

/// How soon a renewal is tried again that was not heard.
const AGAIN: Duration = Duration::from_millis(500);

/// How long the leases of a lock are.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// Longest time from the beginning of a write to its answer.
    write: Duration,
    margin: Duration,
}

impl Terms {
    /// What the server is asked for.
    fn lease(self) -> Duration {
        self.write + self.margin
    }

    /// What is counted on here. The rest is for clocks, and for what is on its way when the lease ends.
    fn sure(self) -> Duration {
        self.write + self.margin * 2 / 3
    }
}

/// The lease, shared by who holds the lock and who renews it.
#[derive(Debug)]
struct Renewed {
    lease: Lease,
    terms: Terms,
    sure: watch::Sender<Sure>,
}

impl Renewed {
    /// Makes it last anew.
    async fn renew(&self) -> Result<(), StoreFault> {
        let sure = Sure::from_now(self.terms.sure());
        if self.lease.extend(self.terms.lease()).await? {
            self.sure.send_replace(sure);
            Ok(())
        } else {
            self.sure.send_replace(Sure::from_now(Duration::ZERO));
            Err(StoreFault::Unavailable("the lock is lost".to_owned()))
        }
    }

    fn left(&self) -> Duration {
        self.sure.borrow().left()
    }
}

/// A shared lock that is held until this is dropped, or longer ([`Leased::begin`]).
#[derive(Debug)]
pub(super) struct Leased {
    renewed: Arc<Renewed>,
    /// Whether a write may be under way.
    begun: bool,
    /// Tells who renews the lease that nobody needs it any more.
    end: Option<oneshot::Sender<Option<Released>>>,
}

impl Leased {
    /// Takes the lock in the server for who has this gateway's own. It is looked at [`LOOK_EVERY`] so often until then.
    pub(super) async fn take(
        (store, margin): (&Store, Duration),
        name: LockName,
        (place, turn): (Place, Turn),
        write: Duration,
        until: Instant,
    ) -> Result<Self, NotLocked> {
        let terms = Terms { write, margin };
        let (lease, sure) = loop {
            let sure = Sure::from_now(terms.sure());
            match store.lock(name, terms.lease()).await.map_err(NotLocked::Away)? {
                Some(lease) => break (lease, sure),
                None => match until.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return Err(NotLocked::TooLong),
                    left => sleep(left.min(LOOK_EVERY)).await,
                },
            }
        };
        let renewed = Arc::new(Renewed {
            lease,
            terms,
            sure: watch::Sender::new(sure),
        });
        let (end, ended) = oneshot::channel();
        tokio::spawn(keep(Arc::clone(&renewed), ended, place, turn));
        Ok(Self {
            renewed,
            begun: false,
            end: Some(end),
        })
    }

    /// Makes sure that a write that is begun now ends before the lease does.
    pub(super) async fn ready(&self) -> Result<(), StoreFault> {
        if self.renewed.left() < self.renewed.terms.write {
            self.renewed.renew().await?;
        }
        Ok(())
    }

    /// A write is begun.
    pub(super) const fn begin(&mut self) {
        self.begun = true;
    }

    /// No write is under way any more.
    pub(super) const fn finish(&mut self) {
        self.begun = false;
    }

    /// Waits for the end of the lease, which may be put off meanwhile.
    pub(super) async fn is_over(&self) {
        let mut sure = self.renewed.sure.subscribe();
        loop {
            let left = sure.borrow_and_update().left();
            if left.is_zero() {
                return;
            }
            let _ = timeout(left, sure.changed()).await;
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        let released = if self.begun { None } else { self.renewed.lease.release() };
        if let Some(end) = self.end.take() {
            let _ = end.send(released);
        }
    }
}

/// Renews the lease until the lock is not needed any more; who is next in this gateway waits until the server has heard of it.
async fn keep(renewed: Arc<Renewed>, mut ended: oneshot::Receiver<Option<Released>>, place: Place, turn: Turn) {
    let pause = renewed.terms.sure() / RENEWALS;
    let mut next = pause;
    loop {
        tokio::select! {
            biased;
            end = &mut ended => {
                match end {
                    Ok(Some(released)) => released.heard().await,
                    _ => place.stands_for(renewed.terms.lease()),
                }
                break;
            }
            () = sleep(next) => {}
        }
        next = match renewed.renew().await {
            Ok(()) => pause,
            Err(fault) => {
                tracing::warn!(%fault, "the lease of a resource's lock could not be renewed");
                AGAIN
            }
        };
    }
    // First the turn: who is next finds the entry that it has counted itself in.
    drop(turn);
    drop(place);
}
