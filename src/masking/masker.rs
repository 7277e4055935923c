//! One masker for each format, behind one face: chunks in, visible bytes out.

use std::fmt;

use super::{Format, Mask, Tolerated, Unmaskable};
use super::{csv, json, xml};

/// Masks one body, fed in chunks of any size; how it is chunked never shows in what comes out.
#[derive(Debug)]
pub struct Masker(Engine);

/// Who reads the body. Boxed: a masker is handed from step to step, and each is a kilobyte of state.
enum Engine {
    Json(Box<json::Machine>),
    Csv(Box<csv::Machine>),
    Xml(Box<xml::Machine>),
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(machine) => machine.fmt(f),
            Self::Csv(machine) => machine.fmt(f),
            Self::Xml(machine) => machine.fmt(f),
        }
    }
}

impl Masker {
    /// A masker for one body.
    pub fn new(mask: Mask, format: Format) -> Self {
        let json = |mask, texts| Engine::Json(Box::new(json::Machine::new(mask, texts)));
        let csv = |mask, grammar| Engine::Csv(Box::new(csv::Machine::new(mask, grammar)));
        Self(match format {
            Format::Json => json(mask, json::Texts::One),
            Format::JsonSequence => json(mask, json::Texts::Sequence),
            Format::JsonLines => json(mask, json::Texts::Lines),
            Format::Csv(dialect) => csv(mask, csv::Grammar::csv(dialect)),
            Format::Tsv(charset) => csv(mask, csv::Grammar::tsv(charset)),
            Format::Xml(charset) => Engine::Xml(Box::new(xml::Machine::new(mask, charset))),
        })
    }

    /// One that takes JSON that is not quite JSON, too: what [`Deviation`](super::Deviation) lists, and nothing else. Other
    /// formats are read as ever.
    pub fn tolerant(mask: Mask, format: Format) -> Self {
        let json = |mask, texts| Engine::Json(Box::new(json::Machine::tolerant(mask, texts)));
        Self(match format {
            Format::Json => json(mask, json::Texts::One),
            Format::JsonLines => json(mask, json::Texts::Lines),
            Format::JsonSequence | Format::Csv(_) | Format::Tsv(_) | Format::Xml(_) => return Self::new(mask, format),
        })
    }

    /// Reads a chunk and appends to `out` what the caller may see of it.
    ///
    /// # Errors
    /// [`Unmaskable`], from then on for every call. What was appended is what may be seen before the fault.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &mut self.0 {
            Engine::Json(machine) => machine.feed(chunk, out),
            Engine::Csv(machine) => machine.feed(chunk, out),
            Engine::Xml(machine) => machine.feed(chunk, out),
        }
    }

    /// Says that the body has ended, and appends what may be seen of what was held back.
    ///
    /// # Errors
    /// [`Unmaskable`] if it ended too early or did not start. A masker that has finished takes no more.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &mut self.0 {
            Engine::Json(machine) => machine.finish(out),
            Engine::Csv(machine) => machine.finish(out),
            Engine::Xml(machine) => machine.finish(),
        }
    }

    /// How many values were masked, by class index. What is inside a masked value or a dropped row is not counted; a
    /// value of several hidden classes counts for each.
    pub fn tally(&self) -> &[u32] {
        match &self.0 {
            Engine::Json(machine) => machine.tally(),
            Engine::Csv(machine) => machine.tally(),
            Engine::Xml(machine) => machine.tally(),
        }
    }

    /// How often what was tolerated, in the order of [`Deviation::ALL`](super::Deviation::ALL); also in what did not go out.
    pub fn tolerated(&self) -> Tolerated {
        match &self.0 {
            Engine::Json(machine) => machine.tolerated(),
            Engine::Csv(_) | Engine::Xml(_) => Tolerated::default(),
        }
    }

    /// How many rows were dropped.
    pub fn dropped(&self) -> u32 {
        match &self.0 {
            Engine::Json(machine) => machine.dropped(),
            Engine::Csv(_) | Engine::Xml(_) => 0,
        }
    }

    /// Memory that holds bytes back, in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match &self.0 {
            Engine::Json(machine) => machine.held(),
            Engine::Csv(machine) => machine.held(),
            Engine::Xml(machine) => machine.held(),
        }
    }
}
