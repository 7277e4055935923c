//! Tollgate: an authorization gateway for billing backends that cannot be changed.
//!
//! It stands in front of one such backend as its sidecar. It verifies the caller's token, decides by a policy that
//! operators edit in YAML, forwards what is allowed, cuts out of the answer what this caller may not see, keeps writes
//! from happening twice, and writes one line into a tamper-evident log for every request, whatever became of it.
//!
//! # The life of a request
//!
//! [`server`] accepts a connection on one of its workers and stays with it there. For each request
//! [`gateway::Gateway::answer`] takes a snapshot of the rules and room for one audit line, and walks the spine:
//!
//! 1. *accept*: small enough, one target, one host, one framing;
//! 2. *normalize*: a [`call::Call`], whose path and query can be read in one way only;
//! 3. *identify*: the token's [`policy::Authority`], verified once and then known by its hash; and its pace,
//!    if a role has a limit;
//! 4. *decide*: [`policy::evaluate()`] gives a [`policy::Permit`], or says why not;
//! 5. *rehearse*: a dry run is answered, and goes no further;
//! 6. *guard*: a write's body is what it must be, and a keyed write has its key on disk, or is one that came before, whose
//!    answer may have been kept;
//! 7. *forward*: the backend is asked, at most once; a write that names a version, only while the resource still has it;
//! 8. *mask*: only here a backend's reply becomes an answer that may be returned;
//! 9. *record*: the audit line is filed, and counted under the same reason.
//!
//! # Floors
//!
//! Imports only go down; `tests/tidy.rs` says so.
//!
//! | floor | modules | may |
//! |---|---|---|
//! | 0 words | [`reason`], [`call`] | nothing |
//! | 1 core | [`identity`], [`policy`], [`masking`], [`ledger`] | compute; the time is an argument |
//! | 2 shapes | [`config`], [`audit`] | read and write formats, and the files that authors write |
//! | 3 edge | [`edge`] | wait for the network, the disk, the clock |
//! | 4 gateway | [`gateway`] | put a request through all of it |
//! | 5 process | [`server`], [`cli`] | own sockets, threads, signals |
//!
//! # Invariants, and what holds them
//!
//! 1. A request meets exactly one snapshot of the rules (`tests/suite/reload.rs`).
//! 2. After *normalize* there is one path; routing, audit and the backend see the same (`tests/suite/paths.rs`).
//! 3. Nothing below floor 3 waits, sleeps, or asks for the time (`tests/tidy.rs`).
//! 4. Nothing is forwarded without a [`policy::Permit`], which only [`policy::evaluate()`] makes (it does not compile).
//! 5. Every request makes exactly one audit line and one count, from one [`reason::Outcome`] (`tests/suite/audit.rs`).
//! 6. A policy that does not compile never replaces one that did (`tests/suite/reload.rs`).
//! 7. A masked answer that cannot be finished is cut, never completed; a selected byte never leaves
//!    (`masking`'s own tests cut every input at every byte; `tests/suite/masking.rs`).
//! 8. Every queue, map, buffer and wait has a named limit (constants beside what they limit).
//! 9. A keyed write reaches the backend at most once, through any crash (`ledger`'s model, `edge::store`'s crash test,
//!    `tests/suite/idempotency.rs`).
//! 10. Nothing of a dry run is forwarded: what is must be an `Earnest` call, which no dry run makes, or a `Lookup` of
//!     Tollgate's own, a `GET` without a query or a body (it does not compile; `tests/suite/dryruns.rs`).
//! 11. Between a version that was compared and the write that it let through nobody else writes (`edge::locks`,
//!     `tests/suite/versions.rs`).
//! 12. A backend's answer is in the store sealed, or not at all (`tests/suite/replays.rs`).

pub mod reason;

pub mod call;

pub mod identity;
pub mod ledger;
pub mod masking;
pub mod policy;

pub mod audit;
pub mod config;

pub mod edge;

pub mod gateway;

pub mod cli;
pub mod server;
