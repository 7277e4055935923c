//! Reading a run from one key to its end.

use redb::{AccessGuard, Range};

use super::block::Reader;
use super::newest::Source;
use super::{Blocks, StoreFault};
use crate::edge::store::file::{join, split};
use crate::ledger::RecordKey;

/// A block as the database lends it.
struct Lent<'t>(AccessGuard<'t, &'static [u8]>);

impl AsRef<[u8]> for Lent<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}

/// A place in a run.
pub(in super::super) struct Cursor<'t> {
    blocks: Range<'t, &'static [u8; 40], &'static [u8]>,
    block: Option<Reader<Lent<'t>>>,
    last: Option<RecordKey>,
    turned: u64,
}

impl<'t> Cursor<'t> {
    /// At the first word of the run on this key or a later one.
    pub(super) fn new(blocks: &'t impl Blocks, run: u64, key: &RecordKey) -> Result<Self, StoreFault> {
        let (begin, at, end) = (join(run, &[0; 32]), join(run, key.as_bytes()), join(run, &[0xff; 32]));
        // The key may be in the midst of a block.
        let before = blocks.range::<&[u8; 40]>(&begin..=&at)?.next_back().transpose()?;
        let from = before.map_or(at, |(name, _)| *name.value());
        let mut cursor = Self {
            blocks: blocks.range::<&[u8; 40]>(&from..=&end)?,
            block: None,
            last: None,
            turned: 0,
        };
        cursor.turn()?;
        while cursor.key().is_some_and(|found| found < *key) {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    /// The word at hand: a record's bytes, or none when the key is gone.
    pub(in super::super) fn word(&self) -> Option<(&RecordKey, Option<&[u8]>)> {
        self.block.as_ref()?.word()
    }

    /// How many blocks were read.
    pub(super) const fn turned(&self) -> u64 {
        self.turned
    }

    /// Takes the next block.
    fn turn(&mut self) -> Result<(), StoreFault> {
        self.block = match self.blocks.next() {
            Some(entry) => {
                let (name, block) = entry?;
                let (_, first) = split(name.value());
                if self.last.is_some_and(|last| last >= first) {
                    return Err(StoreFault::Corrupt("two blocks of records overlap".to_owned()));
                }
                self.turned += 1;
                Some(Reader::new(Lent(block), &first)?)
            }
            None => None,
        };
        Ok(())
    }
}

impl Source for Cursor<'_> {
    fn key(&self) -> Option<RecordKey> {
        self.word().map(|(key, _)| *key)
    }

    fn advance(&mut self) -> Result<(), StoreFault> {
        let Some(block) = &mut self.block else { return Ok(()) };
        self.last = block.word().map(|(key, _)| *key);
        block.advance()?;
        if block.word().is_none() {
            self.turn()?;
        }
        Ok(())
    }
}
