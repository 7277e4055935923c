//! XML 1.0 without document types: a machine that stops at any byte and goes on with the next chunk.
//!
//! Read `machine` (bytes in, bytes out), then `walk` (what text and markup are), `element` (what is written of
//! elements) over `tag` (what is in a tag), `verdict` (what becomes of an element or an attribute) and `sealing` (what is hashed or encrypted).
//!
//! What a document type could change (entities, attributes by default, what white space counts) is refused with it, so
//! that every reader sees the same elements. Comments, processing instructions and CDATA sections are not searched: they
//! pass with the text they stand in, and go with it.

mod chars;
mod element;
mod fault;
mod machine;
mod sealing;
mod tag;
mod verdict;
mod walk;

pub use fault::XmlFault;
pub(super) use machine::Machine;
