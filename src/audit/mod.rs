//! The audit log as a format: what one line says, how lines are chained, and whether a chain is whole.
//!
//! A line is one JSON object (interface, section 10). Its last two members are `prev`, the hash of the line before, and
//! `hash`, the SHA-256 of this line without that member. To check a line by hand: cut it at `,"hash":"`, put `}` after
//! what stands before the cut, and hash that.
//!
//! ```text
//! head=${line%,\"hash\":\"*}; printf '%s}' "$head" | sha256sum
//! ```
//!
//! What the chain cannot show by itself is that whole lines were cut off its end; signed checkpoints will.
//!
//! Opens no file for writing; the journal does that.

pub mod chain;
mod entry;
mod line;
pub mod read;
pub mod replay;
pub mod verify;

pub use chain::{Hash, Link};
pub use entry::{Entry, Event};
pub use line::{MAX_FIELD, write_entry, write_event};
