//! A copy of the store as of one commit, made while others go on writing.
//!
//! The writer carries the daybook to the tree and gives out a view of that; the copy is made elsewhere. It is a store
//! like any other: what ran when it was made is unknown when it is opened.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use std::fs::OpenOptions;
use std::path::Path;

use super::StoreFault;
use super::file::{self, CARRIED, DAYBOOK, DEADLINES, FACTS, OPEN};
use super::runs::{BLOCKS, RUNS};

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many keys.
    pub keys: u64,
    /// The size of its file, bytes.
    pub bytes: u64,
}

/// A view of one commit.
#[derive(Debug)]
pub(super) struct Snapshot(ReadTransaction);

impl Snapshot {
    pub(super) const fn new(view: ReadTransaction) -> Self {
        Self(view)
    }

    /// Writes the copy to `path`, in place of what is there; the file is whole, or not there under this name. Blocks.
    ///
    /// # Errors
    /// [`StoreFault::Io`], or what is wrong with the store itself.
    pub(super) fn write_to(&self, path: &Path) -> Result<Copied, StoreFault> {
        let unfinished = path.with_extension("unfinished");
        let fault = |error| StoreFault::io("the copy", &error);
        if unfinished.try_exists().map_err(fault)? {
            std::fs::remove_file(&unfinished).map_err(fault)?;
        }
        drop(file::private(OpenOptions::new().create_new(true), &unfinished)?);
        let keys = self.copy(&unfinished).inspect_err(|_| {
            let _ = std::fs::remove_file(&unfinished);
        })?;
        std::fs::rename(&unfinished, path).map_err(fault)?;
        let bytes = std::fs::metadata(path).map_err(fault)?.len();
        Ok(Copied { keys, bytes })
    }

    fn copy(&self, unfinished: &Path) -> Result<u64, StoreFault> {
        let database = file::verified(|builder| builder.create(unfinished))?;
        let write = file::begin(&database)?;
        let keys = {
            let mut to = write.open_table(BLOCKS)?;
            for entry in self.0.open_table(BLOCKS)?.iter()? {
                let (name, block) = entry?;
                to.insert(name.value(), block.value())?;
            }
            let mut to = write.open_table(RUNS)?;
            for entry in self.0.open_table(RUNS)?.iter()? {
                let (id, row) = entry?;
                to.insert(id.value(), row.value())?;
            }
            let mut open = write.open_table(OPEN)?;
            for entry in self.0.open_table(OPEN)?.iter()? {
                let (key, record) = entry?;
                open.insert(key.value(), record.value())?;
            }
            let mut deadlines = write.open_table(DEADLINES)?;
            for entry in self.0.open_table(DEADLINES)?.iter()? {
                let (name, sizes) = entry?;
                deadlines.insert(name.value(), sizes.value())?;
            }
            let mut to = write.open_table(FACTS)?;
            for entry in self.0.open_table(FACTS)?.iter()? {
                let (name, value) = entry?;
                // A copy is whole by itself.
                if ![DAYBOOK, CARRIED].contains(&name.value()) {
                    to.insert(name.value(), value.value())?;
                }
            }
            open.len()? + deadlines.len()?
        };
        write.commit()?;
        database.close()?;
        Ok(keys)
    }
}
