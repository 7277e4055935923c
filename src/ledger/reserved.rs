//! What may become of a reserved key. Each step consumes the proof of the one before, so a key is settled once.

use std::sync::Arc;
use std::time::Duration;

use super::{Fingerprint, MAX_SEALED_ANSWER, MAX_TRANSACTION_ID, Owner, Record, RecordKey, State};

/// The latest time that was ever seen, unix seconds. Deadlines count from it and never from a clock that went back
/// (THREATS H20): whatever is kept is kept too long rather than too short. After a clock that was far ahead, new records
/// stay that much longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Latest(u64);

impl Latest {
    /// The time that was stored.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Takes note of the time.
    #[must_use]
    pub fn seen(self, now: u64) -> Self {
        Self(self.0.max(now))
    }

    /// Unix seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Until when something finished `now` is kept for `keep` seconds.
    fn until(self, now: u64, keep: u64) -> u64 {
        self.seen(now).0.saturating_add(keep)
    }
}

/// Proof that a key stands on disk as running, and that whoever holds this is the one who runs it.
#[derive(Debug)]
pub struct Reserved {
    key: RecordKey,
    record: Record,
    since: u64,
    keep: u64,
    /// Which of its holder's reservations it is, where several gateways share a store.
    turn: u64,
}

/// What the store has to do with a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Write this record in place of the running one.
    Write(Record),
    /// Remove the running record: the key is free again.
    Forget,
}

impl Change {
    /// The change with a sealed answer in its finished record, for whoever sends the request again. One longer than
    /// [`MAX_SEALED_ANSWER`] is left out, as is the answer of what is not finished.
    #[must_use]
    pub fn keeping(mut self, sealed: Option<Arc<[u8]>>) -> Self {
        if let Self::Write(Record {
            state: State::Done { answer, .. },
            ..
        }) = &mut self
        {
            *answer = sealed.filter(|sealed| (1..=MAX_SEALED_ANSWER).contains(&sealed.len()));
        }
        self
    }
}

impl Record {
    /// The record to put on disk before a byte is sent. A part of a second of `keep` counts as a whole one.
    #[must_use]
    pub fn running(fingerprint: Fingerprint, owner: Option<Arc<Owner>>, now: u64, keep: Duration) -> Self {
        let keep = keep.as_secs().saturating_add(u64::from(keep.subsec_nanos() > 0));
        Self {
            fingerprint,
            owner,
            state: State::Running { since: now, keep },
        }
    }
}

impl Reserved {
    /// To be called by the store alone, once `record` is on disk; `None` unless it is running.
    pub(crate) fn on_disk(key: RecordKey, record: Record) -> Option<Self> {
        match record.state {
            State::Running { since, keep } => Some(Self {
                key,
                record,
                since,
                keep,
                turn: 0,
            }),
            _ => None,
        }
    }

    /// Which key.
    #[must_use]
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }

    /// The same, as one of many that a gateway has made in a shared store.
    #[must_use]
    pub(crate) fn in_turn(self, turn: u64) -> Self {
        Self { turn, ..self }
    }

    /// Which of its holder's reservations this is; 0 where there is one holder only.
    #[must_use]
    pub const fn turn(&self) -> u64 {
        self.turn
    }

    /// Whether this is what stands on disk, as it was written or as a store that was opened again since has it. The store
    /// changes nothing that is not.
    #[must_use]
    pub fn stands(&self, existing: Option<&Record>) -> bool {
        existing.is_some_and(|existing| *existing == self.record || *existing == self.record.clone().orphaned())
    }

    /// The same proof once more, for the store alone: a settlement whose commit failed is tried again, and only what
    /// [stands](Self::stands) is settled.
    pub(crate) fn again(&self) -> Self {
        Self {
            key: self.key,
            record: self.record.clone(),
            ..*self
        }
    }

    /// The backend gave a whole answer. An id longer than [`MAX_TRANSACTION_ID`] is left out: that the payment was made
    /// must be known even if not what it is called.
    #[must_use]
    pub fn complete(self, status: u16, transaction_id: Option<Box<str>>, now: u64, latest: Latest) -> Change {
        let until = latest.until(now, self.keep);
        finished(self.record, Some(status), transaction_id, now, until)
    }

    /// Which request it is.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.record.fingerprint
    }

    /// Surely nothing was sent: the key is free.
    #[must_use]
    pub fn release(self) -> Change {
        Change::Forget
    }

    /// Something may have been sent, and no whole answer came. Without a time of its own the doubt dates from the reservation.
    #[must_use]
    pub fn unknown(self, now: Option<u64>) -> Change {
        Change::Write(Record {
            state: State::Unknown {
                since: now.unwrap_or(self.since),
                keep: self.keep,
            },
            ..self.record
        })
    }
}

/// An operator's word on an unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The backend did it.
    Done {
        /// The status to tell of, 100-999, if it is known.
        status: Option<u16>,
        /// What the backend calls the transaction.
        transaction_id: Option<Box<str>>,
    },
    /// The backend did not: the key may be used again.
    Free,
}

/// Applies a ruling; `None` unless the outcome is unknown, for what runs or is finished needs none.
#[must_use]
pub fn rule(record: &Record, ruling: Ruling, now: u64, latest: Latest) -> Option<Change> {
    let State::Unknown { keep, .. } = record.state else {
        return None;
    };
    Some(match ruling {
        Ruling::Free => Change::Forget,
        Ruling::Done { status, transaction_id } => {
            finished(record.clone(), status, transaction_id, now, latest.until(now, keep))
        }
    })
}

fn finished(
    record: Record,
    status: Option<u16>,
    transaction_id: Option<Box<str>>,
    completed_at: u64,
    keep_until: u64,
) -> Change {
    Change::Write(Record {
        state: State::Done {
            status: status.map(|status| status.clamp(100, 999)),
            transaction_id: transaction_id.filter(|id| id.len() <= MAX_TRANSACTION_ID),
            completed_at,
            keep_until,
            answer: None,
        },
        ..record
    })
}
