//! One masker for each format, behind one face: chunks in, visible bytes out.

use std::fmt;

use super::json;
use super::{Format, Mask, Unmaskable};

/// Masks one body, fed in chunks of any size; how it is chunked never shows in what comes out.
#[derive(Debug)]
pub struct Masker(Engine);

/// Who reads the body.
enum Engine {
    Json(json::Machine),
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(machine) => machine.fmt(f),
        }
    }
}

impl Masker {
    /// A masker for one body.
    pub fn new(mask: Mask, format: Format) -> Self {
        Self(match format {
            Format::Json => Engine::Json(json::Machine::new(mask, json::Texts::One)),
            Format::JsonSequence => Engine::Json(json::Machine::new(mask, json::Texts::Sequence)),
            Format::JsonLines => Engine::Json(json::Machine::new(mask, json::Texts::Lines)),
        })
    }

    /// Reads a chunk and appends to `out` what the caller may see of it.
    ///
    /// # Errors
    /// [`Unmaskable`], from then on for every call. What was appended is what may be seen before the fault.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &mut self.0 {
            Engine::Json(machine) => machine.feed(chunk, out),
        }
    }

    /// Says that the body has ended, and appends what may be seen of what was held back.
    ///
    /// # Errors
    /// [`Unmaskable`] if it ended too early or did not start. A masker that has finished takes no more.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &mut self.0 {
            Engine::Json(machine) => machine.finish(out),
        }
    }

    /// How many values were masked, by class index. What is inside a masked value or a dropped row is not counted; a
    /// value of several hidden classes counts for each.
    pub fn tally(&self) -> &[u32] {
        match &self.0 {
            Engine::Json(machine) => machine.tally(),
        }
    }

    /// How many rows were dropped.
    pub fn dropped(&self) -> u32 {
        match &self.0 {
            Engine::Json(machine) => machine.dropped(),
        }
    }

    /// Memory that holds bytes back, in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match &self.0 {
            Engine::Json(machine) => machine.held(),
        }
    }
}
