//! A database of an earlier layout, in which what is finished was in a tree by key: brought to the newest, in the transaction
//! that takes the database over.
//!
//! Memory holds a bounded part of it at a time, however many records there are. The old tables go last.

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::StoreFault;
use super::adopt::{Sum, decoded, unequal};
use super::carry;
use super::file::{DEADLINES, OPEN, join, split};
use super::runs::{BLOCKS, Runs};

/// The newest layout in which what is open is among what is finished.
const FORMAT_MIXED: u64 = 2;

/// What was finished, by key.
pub(super) const RECORDS: TableDefinition<'static, &'static [u8; 32], &'static [u8]> = TableDefinition::new("records");
/// When it might be swept.
pub(super) const OLD_DEADLINES: TableDefinition<'static, &'static [u8; 40], ()> = TableDefinition::new("deadlines");

/// How many deadlines are brought in order at a time, in some 60 MB.
const AT_A_TIME: usize = 1_000_000;

/// What the old deadlines do not say.
const UNKNOWN: (u32, u32) = (0, 0);

type Deadlines<'t> = Table<'t, &'static [u8; 40], (u32, u32)>;

/// Makes one run of all that is finished.
///
/// # Errors
/// [`StoreFault::Corrupt`] if the records and their deadlines are not as they were written.
pub(super) fn convert(write: &WriteTransaction, format: u64) -> Result<(), StoreFault> {
    let mut runs = Runs::default();
    {
        let records = write.open_table(RECORDS)?;
        let old_deadlines = write.open_table(OLD_DEADLINES)?;
        let mut open = write.open_table(OPEN)?;
        let mut blocks = write.open_table(BLOCKS)?;
        let mut deadlines = write.open_table(DEADLINES)?;
        let mut pen = runs.begin(records.len()?);
        let (mut part, mut found, mut expected) = (Vec::new(), Sum::default(), Sum::default());
        for entry in records.iter()? {
            let entry = entry?;
            let (key, record) = decoded(&entry)?;
            let bytes = entry.1.value();
            found.add(record.deadline(), &key, UNKNOWN);
            if record.is_done() {
                runs.live.words += 1;
                runs.live.bytes += pen.push(&mut blocks, &key, Some(bytes))?;
                part.push((
                    join(record.deadline(), key.as_bytes()),
                    carry::sizes(bytes.len(), &record),
                ));
            } else if format > FORMAT_MIXED {
                return Err(StoreFault::Corrupt(format!("record {key} is not finished")));
            } else {
                open.insert(key.as_bytes(), bytes)?;
            }
            if part.len() == AT_A_TIME {
                put(&mut deadlines, &mut part)?;
            }
        }
        put(&mut deadlines, &mut part)?;
        for entry in old_deadlines.iter()? {
            let (at, key) = split(entry?.0.value());
            expected.add(at, &key, UNKNOWN);
        }
        if found != expected {
            return Err(unequal());
        }
        runs.add(pen.finish(&mut blocks)?);
    }
    write.delete_table(RECORDS)?;
    write.delete_table(OLD_DEADLINES)?;
    runs.write(write)
}

/// Writes some deadlines in their order.
fn put(deadlines: &mut Deadlines<'_>, part: &mut Vec<([u8; 40], (u32, u32))>) -> Result<(), StoreFault> {
    part.sort_unstable();
    for (name, sizes) in part.drain(..) {
        deadlines.insert(&name, sizes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use redb::Database;
    use std::path::Path;

    use super::super::tests::{NOW, duplicate, granted, key, refused, ruled, wait};
    use super::super::*;
    use super::*;

    /// How many payments are finished.
    const DONE: usize = 300;

    /// Makes what an earlier version would have left of a store.
    fn turn_back(folder: &Path, format: u64) {
        let database = Database::open(folder.join(embedded::FILE)).unwrap();
        let write = file::begin(&database).unwrap();
        {
            let mut records = write.open_table(RECORDS).unwrap();
            let mut old = write.open_table(OLD_DEADLINES).unwrap();
            let mut put = |key: &RecordKey, bytes: &[u8]| {
                let deadline = Record::decode(bytes).unwrap().deadline();
                records.insert(key.as_bytes(), bytes).unwrap();
                old.insert(&join(deadline, key.as_bytes()), ()).unwrap();
            };
            let (table, blocks) = (write.open_table(runs::RUNS).unwrap(), write.open_table(BLOCKS).unwrap());
            let tell = |key: &RecordKey, bytes: Option<&[u8]>| {
                bytes.into_iter().for_each(|bytes| put(key, bytes));
                Ok(())
            };
            Runs::audit(&table, &blocks, tell).unwrap();
            let mut open = write.open_table(OPEN).unwrap();
            if format <= FORMAT_MIXED {
                for entry in open.extract_if(|_, _| true).unwrap() {
                    let (key, record) = entry.unwrap();
                    put(&RecordKey::from_bytes(*key.value()), record.value());
                }
            }
            let mut facts = write.open_table(file::FACTS).unwrap();
            facts.insert(file::FORMAT, format).unwrap();
            facts.remove(file::LIVE).unwrap();
        }
        if format <= FORMAT_MIXED {
            write.delete_table(OPEN).unwrap();
        }
        write.delete_table(runs::RUNS).unwrap();
        write.delete_table(BLOCKS).unwrap();
        write.delete_table(DEADLINES).unwrap();
        write.commit().unwrap();
    }

    fn format(folder: &Path) -> u64 {
        let database = Database::open(folder.join(embedded::FILE)).unwrap();
        let write = database.begin_write().unwrap();
        let facts = write.open_table(file::FACTS).unwrap();
        facts.get(file::FORMAT).unwrap().unwrap().value()
    }

    fn id(of: usize) -> Box<str> {
        format!("t{of}").into()
    }

    /// A store with what is finished, at different times, and one unknown outcome.
    fn filled(folder: &Path) -> Store {
        let store = Store::open(folder).unwrap();
        for of in 0..DONE {
            let now = NOW + (of as u64 * 7) % 50;
            wait(granted(&store, of, NOW).complete(201, Some(id(of)), now)).unwrap();
        }
        wait(granted(&store, DONE, NOW).unknown(NOW + 1)).unwrap();
        store
    }

    fn check(store: &Store) {
        let stats = store.stats();
        assert_eq!((stats.keys, stats.unknown), (DONE as u64 + 1, 1));
        for of in 0..DONE {
            assert_eq!(refused(store, of, NOW), duplicate(&id(of), NOW + (of as u64 * 7) % 50));
        }
        assert_eq!(refused(store, DONE, NOW), Verdict::Unknown { since: NOW + 1 });
    }

    #[test]
    fn files_of_all_earlier_formats_are_taken_over() {
        for old in file::FORMAT_OLDEST..file::FORMAT_KNOWN {
            let folder = tempfile::tempdir().unwrap();
            drop(filled(folder.path()));
            turn_back(folder.path(), old);
            for _ in 0..2 {
                check(&Store::open(folder.path()).unwrap());
                assert_eq!(format(folder.path()), file::FORMAT_KNOWN);
            }
            let store = Store::open(folder.path()).unwrap();
            let page = wait(store.list(Filter::Unsettled, None, NOW)).unwrap();
            assert_eq!((page.records.len(), &page.records[0].1.owner), (1, &None));
            assert_eq!(ruled(&store, key(DONE), Ruling::Free, NOW), Ok(true));
            // What expired in the old life is swept in the new one.
            wait(granted(&store, DONE + 1, NOW + 1000).release()).unwrap();
            drop(store);
            assert_eq!(Store::open(folder.path()).unwrap().stats().keys, 0);
        }
    }

    #[test]
    fn what_a_crash_left_of_the_last_format_is_completed_from_its_daybook() {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path()));
        let store = Store::open(folder.path()).unwrap();
        wait(granted(&store, DONE + 1, NOW).complete(201, Some(id(DONE + 1)), NOW)).unwrap();
        let image = tempfile::tempdir().unwrap();
        for file in [embedded::FILE].into_iter().chain(daybook::FILES) {
            std::fs::copy(folder.path().join(file), image.path().join(file)).unwrap();
        }
        turn_back(image.path(), 4);
        let store = Store::open(image.path()).unwrap();
        assert_eq!(refused(&store, DONE + 1, NOW), duplicate(&id(DONE + 1), NOW));
        assert_eq!(store.stats().keys, DONE as u64 + 2);
    }

    #[test]
    fn an_old_file_that_does_not_fit_together_is_refused() {
        type Damage = fn(&WriteTransaction);
        let cases: [Damage; 4] = [
            |write| drop(write.open_table(RECORDS).unwrap().pop_first().unwrap()),
            |write| drop(write.open_table(OLD_DEADLINES).unwrap().pop_first().unwrap()),
            |write| {
                let mut old = write.open_table(OLD_DEADLINES).unwrap();
                old.pop_first().unwrap();
                old.insert(&join(7, &[7; 32]), ()).unwrap();
            },
            |write| {
                let mut open = write.open_table(OPEN).unwrap();
                let (key, record) = open
                    .pop_first()
                    .unwrap()
                    .map(|(key, record)| (*key.value(), record.value().to_vec()))
                    .unwrap();
                write
                    .open_table(RECORDS)
                    .unwrap()
                    .insert(&key, record.as_slice())
                    .unwrap();
                write
                    .open_table(OLD_DEADLINES)
                    .unwrap()
                    .insert(&join(u64::MAX, &key), ())
                    .unwrap();
            },
        ];
        for (at, damage) in cases.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            drop(filled(folder.path()));
            turn_back(folder.path(), 4);
            let database = Database::open(folder.path().join(embedded::FILE)).unwrap();
            let write = file::begin(&database).unwrap();
            damage(&write);
            write.commit().unwrap();
            drop(database);
            let fault = Store::open(folder.path()).unwrap_err();
            assert!(matches!(fault, StoreFault::Corrupt(_)), "{at}: {fault:?}");
        }
    }
}
