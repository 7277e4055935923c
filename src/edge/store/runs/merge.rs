//! Merging runs, a part at a time.
//!
//! What a part moves it takes away where it was, and a block that it has read in part is written again without that. So the
//! run that is made and those that it is made of never share a key, and which of them is asked first does not matter.

use redb::{ReadableTable, WriteTransaction};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::block::{AROUND, Reader};
use super::filter::Filter;
use super::newest::{Newest, Source};
use super::tiers::{self, LEAST_MOVED, MAX_RUNS, PACE};
use super::write::Pen;
use super::{BLOCKS, BlockTable, Run, Runs, StoreFault};
use crate::edge::store::file::{join, split};
use crate::ledger::RecordKey;

impl Runs {
    /// Begins the merges that are due and goes on with all that are under way, by as much as what was carried asks for, bytes.
    pub(in super::super) fn merge(&mut self, write: &WriteTransaction, carried: u64) -> Result<(), StoreFault> {
        let blocks = RefCell::new(write.open_table(BLOCKS)?);
        let mut budget = PACE.saturating_mul(carried).saturating_add(LEAST_MOVED);
        loop {
            while let Some(due) = tiers::due(&self.list, self.live) {
                let due: Vec<u64> = due.iter().map(|run| run.id).collect();
                self.merge_into_one(&due);
            }
            let under_way = self.under_way();
            for of in &under_way {
                self.go_on(&blocks, *of, budget)?;
            }
            if self.list.len() <= MAX_RUNS || under_way.is_empty() {
                return Ok(());
            }
            budget = u64::MAX;
        }
    }

    /// The runs that others are merged into.
    fn under_way(&self) -> Vec<u64> {
        let mut of: Vec<u64> = self.list.iter().filter_map(|run| run.into).collect();
        of.sort_unstable();
        of.dedup();
        of
    }

    /// Begins to merge these neighbours.
    fn merge_into_one(&mut self, these: &[u64]) {
        let id = self.unused();
        let mut of = self.list.iter_mut().filter(|run| these.contains(&run.id)).peekable();
        let age = of.peek().map_or(id, |newest| newest.age);
        let mut words = 0;
        for run in of {
            run.into = Some(id);
            words += run.words;
        }
        self.list.push(Run {
            id,
            age,
            into: None,
            words: 0,
            bytes: 0,
            filter: Arc::new(Filter::new(words)),
        });
        self.sort();
    }

    /// Moves about so many bytes to a run from those that are merged into it.
    fn go_on(&mut self, blocks: &RefCell<BlockTable<'_>>, id: u64, budget: u64) -> Result<(), StoreFault> {
        let Some(run) = self.list.iter().find(|run| run.id == id).cloned() else {
            return Err(StoreFault::Corrupt("a run is merged into none".to_owned()));
        };
        // Nobody else has anything that a word which says that a key is gone could take away.
        let is_oldest = self
            .list
            .iter()
            .all(|other| other.id == id || other.into == Some(id) || other.age > run.age);
        let moved = Cell::new(0);
        let of = self.list.iter().filter(|run| run.into == Some(id));
        let sources = of
            .map(|run| Drain::new(blocks, run.id, &moved))
            .collect::<Result<_, _>>()?;
        let mut newest = Newest::new(sources);
        let mut pen = Pen::on(run);
        while let Some((key, source)) = newest.head().filter(|_| moved.get() < budget) {
            let record = source.word();
            if record.is_some() || !is_oldest {
                pen.push(&mut blocks.borrow_mut(), &key, record)?;
            }
            newest.advance()?;
        }
        let run = pen.finish(&mut blocks.borrow_mut())?;
        for source in newest.into_sources() {
            let of = self.list.iter_mut().find(|run| run.id == source.run);
            if let Some(of) = of {
                of.words = of.words.saturating_sub(source.words);
                of.bytes = of.bytes.saturating_sub(source.bytes);
            }
            source.put_back()?;
        }
        if let Some(before) = self.list.iter_mut().find(|run| run.id == id) {
            *before = run;
        }
        self.list.retain(|run| run.words > 0 || run.into != Some(id));
        let is_done = self.list.iter().all(|run| run.into != Some(id));
        // Nothing but words on what is gone, and those are gone, too.
        self.list.retain(|run| run.words > 0 || run.id != id || !is_done);
        Ok(())
    }

    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|run| std::cmp::Reverse((run.age, run.id)));
    }
}

/// A run whose words are taken away, from its beginning.
struct Drain<'b, 't> {
    blocks: &'b RefCell<BlockTable<'t>>,
    run: u64,
    block: Option<Reader<Vec<u8>>>,
    words: u64,
    bytes: u64,
    /// How many bytes were taken from all runs of a merge.
    moved: &'b Cell<u64>,
}

impl<'b, 't> Drain<'b, 't> {
    fn new(blocks: &'b RefCell<BlockTable<'t>>, run: u64, moved: &'b Cell<u64>) -> Result<Self, StoreFault> {
        let mut drain = Self {
            blocks,
            run,
            block: None,
            words: 0,
            bytes: 0,
            moved,
        };
        drain.take()?;
        Ok(drain)
    }

    /// The record at hand; none when the key is gone.
    fn word(&self) -> Option<&[u8]> {
        self.block.as_ref()?.word()?.1
    }

    /// Takes the first block that is left.
    fn take(&mut self) -> Result<(), StoreFault> {
        let mut blocks = self.blocks.borrow_mut();
        let (begin, end) = (join(self.run, &[0; 32]), join(self.run, &[0xff; 32]));
        let first = blocks.range::<&[u8; 40]>(&begin..=&end)?.next().transpose()?;
        let first = first.map(|(name, _)| *name.value());
        self.block = match first {
            Some(name) => {
                let bytes = blocks.remove(&name)?.map(|block| block.value().to_vec());
                Some(Reader::new(bytes.unwrap_or_default(), &split(&name).1)?)
            }
            None => None,
        };
        Ok(())
    }

    /// Writes what was read in vain.
    fn put_back(self) -> Result<(), StoreFault> {
        if let Some((first, rest)) = self.block.as_ref().and_then(Reader::rest) {
            self.blocks
                .borrow_mut()
                .insert(&join(self.run, first.as_bytes()), rest)?;
        }
        Ok(())
    }
}

impl Source for Drain<'_, '_> {
    fn key(&self) -> Option<RecordKey> {
        self.block.as_ref()?.word().map(|(key, _)| *key)
    }

    fn advance(&mut self) -> Result<(), StoreFault> {
        let Some(block) = &mut self.block else { return Ok(()) };
        if let Some((_, record)) = block.word() {
            let bytes = (AROUND + record.map_or(0, <[u8]>::len)) as u64;
            self.words += 1;
            self.bytes += bytes;
            self.moved.set(self.moved.get() + bytes);
        }
        block.advance()?;
        if block.word().is_none() {
            self.take()?;
        }
        Ok(())
    }
}
