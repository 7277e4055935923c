//! JSON (RFC 8259), one text or one per line: a machine that stops at any byte and goes on with the next chunk.
//!
//! Read `machine` (bytes in, bytes out), then `walk` (the grammar) over `lexeme` (its words), `stride` (the usual way, fast),
//! `rows`, and `tolerance` (what is taken that is not quite JSON).

mod lexeme;
mod machine;
mod rows;
mod sealing;
mod stride;
mod tolerance;
mod walk;

pub(super) use machine::{Machine, Texts};
pub use rows::{RowJudge, RowPath, Rows};
pub use tolerance::{Deviation, Tolerated};
