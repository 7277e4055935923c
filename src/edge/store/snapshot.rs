//! A copy of the store as of one commit, made while others go on writing.
//!
//! The writer carries the daybook to the tree and gives out a view of that; the copy is made elsewhere. It is a store
//! like any other: what ran when it was made is unknown when it is opened.

use redb::{Key, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, Value, WriteTransaction};
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
        self.copy_table(&write, BLOCKS)?;
        self.copy_table(&write, RUNS)?;
        let keys = self.copy_table(&write, OPEN)? + self.copy_table(&write, DEADLINES)?;
        self.copy_table(&write, FACTS)?;
        {
            // A copy is whole by itself.
            let mut facts = write.open_table(FACTS)?;
            facts.remove(DAYBOOK)?;
            facts.remove(CARRIED)?;
        }
        write.commit()?;
        database.close()?;
        Ok(keys)
    }

    /// How many entries the table has.
    fn copy_table<K, V>(&self, write: &WriteTransaction, table: TableDefinition<'_, K, V>) -> Result<u64, StoreFault>
    where
        K: Key + 'static,
        V: Value + 'static,
    {
        let mut to = write.open_table(table)?;
        for entry in self.0.open_table(table)?.iter()? {
            let (key, value) = entry?;
            to.insert(key.value(), value.value())?;
        }
        Ok(to.len()?)
    }
}
