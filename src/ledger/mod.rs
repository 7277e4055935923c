//! A payment is posted once (S1.8; interface, section 6): what an idempotency key means, as values.
//!
//! A key is *reserved* on disk before a byte goes to the backend, and *settled* on disk before the answer goes to the
//! client. [`judge`] reads what stands under a key; [`Reserved`] is the proof that a key is on disk, and it is
//! consumed by what becomes of it:
//!
//! ```text
//!              reserve                complete
//!   (nothing) ─────────▶ Running ───────────────▶ Done ──── expires ───▶ (nothing)
//!       ▲                 │   │                     ▲
//!       └──── release ────┘   │ unknown, crash      │ an operator's ruling
//!       ▲                     ▼                     │
//!       └───── ruling ────── Unknown ───────────────┘
//! ```
//!
//! A `Running` or `Unknown` record never expires: the write may have happened, and the age of a doubt does not make it
//! smaller. Only a backend that was surely not asked, or an operator who looked, sets such a key free.
//!
//! No clock, no files: `now` is an argument in unix seconds, and the store below floor 3 keeps the bytes.

mod answer;
mod decimal;
mod deltas;
mod fingerprint;
mod key;
mod owner;
mod record;
mod reserved;
pub mod schema;
mod store_keys;
#[cfg(test)]
mod tests;
mod version;

use std::sync::Arc;

use crate::reason::Reason;

pub use answer::{AnswerFault, KeptAnswer, MAX_ANSWER, MAX_ANSWER_FIELDS};
pub use decimal::{Decimal, DecimalFault, MAX_EXPONENT, Sum};
pub use deltas::{BalanceFault, DEFAULT_ENTRIES, Delta, Deltas, EntryRules, Expected, MAX_ENTRIES};
pub use fingerprint::{Fingerprint, FingerprintBuilder};
pub use key::{IdempotencyKey, KeyFault, MAX_KEY, RecordKey};
pub use owner::{MAX_OWNER_TEXT, Owner};
pub use record::{MAX_TRANSACTION_ID, Record, RecordFault, State, is_transaction_id};
pub use reserved::{Change, Latest, Reserved, Ruling, rule};
pub use store_keys::{MAX_SEALED_ANSWER, MAX_STORE_KEYS, NotOpened, STORE_SECRET_BYTES, StoreKeys};
pub use version::{IfMatch, MAX_TAGS, MAX_VERSION, NoTags, Version};

/// What a key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands under the key: reserve it and forward.
    Proceed,
    /// The key came with another request.
    Reused,
    /// The first request still runs.
    InProgress,
    /// The first request is done.
    Duplicate {
        /// The status of the backend's answer; absent when an operator's word is all that is known.
        status: Option<u16>,
        /// What the backend called the transaction.
        transaction_id: Option<Box<str>>,
        /// When the answer was complete, unix seconds.
        completed_at: u64,
        /// The answer, sealed, if it was kept.
        answer: Option<Arc<[u8]>>,
    },
    /// The first request was sent and nobody knows what became of it.
    Unknown {
        /// Since when, unix seconds.
        since: u64,
    },
}

/// Judges a request by what stands under its key.
///
/// A finished record past its time counts as absent; then another fingerprint speaks before any state, so that nothing
/// about the first request is told to a different one.
#[must_use]
pub fn judge(existing: Option<&Record>, fingerprint: &Fingerprint, now: u64) -> Verdict {
    let Some(record) = existing.filter(|record| !record.is_expired(now)) else {
        return Verdict::Proceed;
    };
    if record.fingerprint != *fingerprint {
        return Verdict::Reused;
    }
    match &record.state {
        State::Running { .. } => Verdict::InProgress,
        State::Done {
            status,
            transaction_id,
            completed_at,
            answer,
            ..
        } => Verdict::Duplicate {
            status: *status,
            transaction_id: transaction_id.clone(),
            completed_at: *completed_at,
            answer: answer.clone(),
        },
        State::Unknown { since, .. } => Verdict::Unknown { since: *since },
    }
}

impl Verdict {
    /// Why the request is refused; none for [`Verdict::Proceed`].
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Proceed => None,
            Self::Reused => Some(Reason::IdempotencyKeyReused),
            Self::InProgress => Some(Reason::RequestInProgress),
            Self::Duplicate { .. } => Some(Reason::DuplicateRequest),
            Self::Unknown { .. } => Some(Reason::OutcomeUnknown),
        }
    }
}
