//! What the one who writes is asked, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use super::daybook::MAX_ENTRY;
use super::leases::{Grip, LockName, Step};
use super::listing::{Filter, Page};
use super::snapshot::Snapshot;
use crate::ledger::{Fingerprint, MAX_SEALED_ANSWER, Owner, Record, RecordKey, Reserved, Ruling, Verdict};

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Request {
    Reserve {
        key: RecordKey,
        owner: Option<Arc<Owner>>,
        fingerprint: Fingerprint,
        keep: Duration,
        now: u64,
    },
    Settle {
        reserved: Reserved,
        settlement: Settlement,
    },
    Show {
        key: RecordKey,
    },
    List {
        filter: Filter,
        after: Option<RecordKey>,
        now: u64,
    },
    Rule {
        key: RecordKey,
        /// What the operator was shown: the word is about that and nothing else.
        seen: Record,
        ruling: Ruling,
        now: u64,
    },
    /// About a lock that gateways share.
    Lock {
        name: LockName,
        step: Step,
    },
    Snapshot,
}

/// What became of a reservation.
#[derive(Clone, Debug)]
pub(super) enum Settlement {
    Complete {
        status: u16,
        transaction_id: Option<Box<str>>,
        answer: Option<Arc<[u8]>>,
        now: u64,
    },
    Release,
    Unknown {
        now: Option<u64>,
    },
}

/// What the writer answers, once it is on disk.
#[derive(Debug)]
pub(super) enum Answer {
    Reserved(Reserved),
    Refused(Verdict),
    Full,
    Settled,
    /// An operator settled it first.
    Overtaken,
    Shown(Option<Record>),
    Listed(Page),
    Ruled(bool),
    Locked(Grip),
    /// Another turn has the lock.
    Taken,
    /// Whether the lock is still this turn's.
    Extended(bool),
    Snapshot(Snapshot),
}

/// A batch that is on disk, or needed not be.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) answers: Vec<Answer>,
    pub(super) committed: bool,
}

impl Request {
    /// Whether it gives up what was held, which is written however long that takes.
    pub(super) const fn is_settlement(&self) -> bool {
        matches!(
            self,
            Self::Settle { .. }
                | Self::Lock {
                    step: Step::Release(_),
                    ..
                }
        )
    }

    /// The key that is no longer in progress once this is done.
    pub(super) const fn settles(&self) -> Option<RecordKey> {
        match self {
            Self::Settle { reserved, .. } => Some(*reserved.key()),
            _ => None,
        }
    }

    /// What takes it back if it may have been carried out and its answer was lost; none if that is left to others.
    pub(super) const fn taken_back(&self, turn: u64) -> Option<Self> {
        match self {
            Self::Lock {
                name,
                step: Step::Take(_),
            } => Some(Self::Lock {
                name: *name,
                step: Step::Release(turn),
            }),
            _ => None,
        }
    }

    /// The key, or the lock, that it is about, if it is about one.
    pub(super) const fn key(&self) -> Option<RecordKey> {
        match self {
            Self::Reserve { key, .. } | Self::Show { key } | Self::Rule { key, .. } => Some(*key),
            Self::Settle { reserved, .. } => Some(*reserved.key()),
            Self::Lock { name, .. } => Some(RecordKey::from_bytes(*name)),
            Self::List { .. } | Self::Snapshot => None,
        }
    }

    /// How many bytes of the daybook it needs at most.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Show { .. } | Self::List { .. } | Self::Lock { .. } | Self::Snapshot => 0,
            // A longer answer is not kept.
            _ => MAX_ENTRY + self.answer_bytes().min(MAX_SEALED_ANSWER),
        }
    }

    /// How many bytes of an answer shall be kept.
    pub(super) fn answer_bytes(&self) -> usize {
        match self {
            Self::Settle {
                settlement: Settlement::Complete {
                    answer: Some(answer), ..
                },
                ..
            } => answer.len(),
            _ => 0,
        }
    }

    pub(super) const fn now(&self) -> Option<u64> {
        match self {
            Self::Reserve { now, .. }
            | Self::Rule { now, .. }
            | Self::Settle {
                settlement: Settlement::Complete { now, .. },
                ..
            } => Some(*now),
            Self::Settle {
                settlement: Settlement::Unknown { now },
                ..
            } => *now,
            Self::Settle { .. } | Self::Show { .. } | Self::List { .. } | Self::Lock { .. } | Self::Snapshot => None,
        }
    }
}
