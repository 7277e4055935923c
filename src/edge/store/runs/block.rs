//! A block of a run: words in the order of their keys, each with its key, as one value in the tree.
//!
//! `key, 32 bytes | length, 4 bytes, big-endian | as many bytes of a record`, again and again. No record is empty, so the
//! length nought says that the key is gone. The database has a checksum on every page; what is looked at here is that the
//! lengths add up and that the keys rise, so that no block is half believed.

use std::ops::Range;

use super::StoreFault;
use crate::ledger::{Record, RecordKey};

/// How long a block becomes before the next begins, bytes: with its key and the page's own, just under four pages of 4 KiB.
/// One word may be longer, and has a block for itself then.
pub(in super::super) const BLOCK: usize = 16_256;

/// Bytes of a word beside its record.
pub(in super::super) const AROUND: usize = 32 + 4;

/// A block in the making.
#[derive(Debug, Default)]
pub(in super::super) struct Block {
    bytes: Vec<u8>,
    first: Option<RecordKey>,
}

impl Block {
    /// Whether one more record of so many bytes would be too much.
    pub(in super::super) fn is_full_with(&self, record: usize) -> bool {
        self.first.is_some() && self.bytes.len() + AROUND + record > BLOCK
    }

    /// Adds a word, which must come after all others.
    pub(in super::super) fn push(&mut self, key: &RecordKey, record: &[u8]) {
        self.first.get_or_insert(*key);
        self.bytes.reserve(BLOCK.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(key.as_bytes());
        // A record is some kilobytes; one beyond four gigabytes would be refused when it is read.
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(record);
    }

    /// Under which key it goes, and its bytes; none if nothing is in it.
    pub(in super::super) fn finish(self) -> Option<(RecordKey, Vec<u8>)> {
        self.first.map(|first| (first, self.bytes))
    }
}

/// A word, where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    key: RecordKey,
    record: Range<usize>,
}

/// A block that is read from one end to the other.
#[derive(Debug)]
pub(in super::super) struct Reader<B> {
    bytes: B,
    /// The word at hand; none at the end.
    place: Option<Place>,
    /// Where that word begins.
    from: usize,
}

impl<B: AsRef<[u8]>> Reader<B> {
    /// Reads the first word, which must be the one that the block is named after.
    pub(in super::super) fn new(bytes: B, first: &RecordKey) -> Result<Self, StoreFault> {
        let place = at(bytes.as_ref(), 0)?;
        if place.as_ref().map(|place| &place.key) != Some(first) {
            return Err(broken());
        }
        Ok(Self { bytes, place, from: 0 })
    }

    /// The word at hand: a record's bytes, or none when the key is gone.
    pub(in super::super) fn word(&self) -> Option<(&RecordKey, Option<&[u8]>)> {
        let place = self.place.as_ref()?;
        let record = self.bytes.as_ref().get(place.record.clone())?;
        Some((&place.key, Some(record).filter(|record| !record.is_empty())))
    }

    /// Goes on to the next.
    pub(in super::super) fn advance(&mut self) -> Result<(), StoreFault> {
        if let Some(before) = self.place.take() {
            self.from = before.record.end;
            self.place = at(self.bytes.as_ref(), self.from)?;
            if self.place.as_ref().is_some_and(|next| next.key <= before.key) {
                return Err(broken());
            }
        }
        Ok(())
    }

    /// What is left, as a block of its own.
    pub(in super::super) fn rest(&self) -> Option<(&RecordKey, &[u8])> {
        let place = self.place.as_ref()?;
        Some((&place.key, self.bytes.as_ref().get(self.from..)?))
    }

    /// The word on a key: none if the block has none, and otherwise as [`Reader::word`].
    pub(in super::super) fn find(mut self, key: &RecordKey) -> Result<Option<Option<Record>>, StoreFault> {
        while let Some((at, record)) = self.word() {
            if at == key {
                return record.map(|bytes| decode(key, bytes)).transpose().map(Some);
            }
            if at > key {
                break;
            }
            self.advance()?;
        }
        Ok(None)
    }
}

/// The word that begins there; none at the very end.
fn at(bytes: &[u8], from: usize) -> Result<Option<Place>, StoreFault> {
    let rest = bytes.get(from..).ok_or_else(broken)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let (key, rest) = rest.split_first_chunk().ok_or_else(broken)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(broken)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| broken())?;
    if length > rest.len() {
        return Err(broken());
    }
    let begin = from + AROUND;
    Ok(Some(Place {
        key: RecordKey::from_bytes(*key),
        record: begin..begin + length,
    }))
}

/// A record as it is in a block.
pub(in super::super) fn decode(key: &RecordKey, bytes: &[u8]) -> Result<Record, StoreFault> {
    Record::decode(bytes).map_err(|fault| StoreFault::Corrupt(format!("record {key}: {fault}")))
}

fn broken() -> StoreFault {
    StoreFault::Corrupt("a block of records is not as it was written".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::key;
    use super::*;

    fn block() -> (RecordKey, Vec<u8>) {
        let mut block = Block::default();
        for (of, record) in [(1, &b"one"[..]), (2, b""), (5, b"five")] {
            block.push(&key(of), record);
        }
        block.finish().unwrap()
    }

    type Words = Vec<(RecordKey, Option<Vec<u8>>)>;

    /// All words, if the block is believed.
    fn words(first: RecordKey, bytes: &[u8]) -> Result<Words, StoreFault> {
        let mut reader = Reader::new(bytes, &first)?;
        let mut words = Vec::new();
        while let Some((key, record)) = reader.word() {
            words.push((*key, record.map(<[u8]>::to_vec)));
            reader.advance()?;
        }
        Ok(words)
    }

    #[test]
    fn what_is_pushed_is_read() {
        let (first, bytes) = block();
        let expected = [(1, Some(b"one".to_vec())), (2, None), (5, Some(b"five".to_vec()))];
        let expected = expected.map(|(of, record)| (key(of), record));
        assert_eq!(words(first, &bytes), Ok(expected.to_vec()));
        assert!(Block::default().finish().is_none());
    }

    #[test]
    fn what_is_left_is_a_block() {
        let (first, bytes) = block();
        let mut reader = Reader::new(&bytes, &first).unwrap();
        reader.advance().unwrap();
        let (first, rest) = reader.rest().unwrap();
        assert_eq!(words(*first, rest).unwrap().len(), 2);
        reader.advance().unwrap();
        reader.advance().unwrap();
        assert_eq!(reader.rest(), None);
    }

    #[test]
    fn a_block_ends_before_it_is_too_long_but_takes_one_word_of_any_length() {
        let mut block = Block::default();
        assert!(!block.is_full_with(BLOCK * 4));
        block.push(&key(1), &[7; 1000]);
        let room = BLOCK - AROUND - 1000 - AROUND;
        assert!(!block.is_full_with(room));
        assert!(block.is_full_with(room + 1));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let (first, bytes) = block();
        let (two, five) = (AROUND + 3, 2 * AROUND + 3);
        let whole = [two, five, bytes.len()];
        for length in (0..bytes.len()).filter(|length| !whole.contains(length)) {
            assert!(words(first, &bytes[..length]).is_err(), "{length} bytes");
        }
        let changed = |change: fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            words(first, &bytes)
        };
        let cases: [fn(&mut Vec<u8>); 5] = [
            |bytes| bytes[0] ^= 1,
            |bytes| bytes[35] = 200,
            |bytes| bytes[32] = 0xff,
            |bytes| bytes.extend_from_within(..AROUND + 3),
            |bytes| bytes.rotate_left(AROUND + 3),
        ];
        for (at, case) in cases.into_iter().enumerate() {
            assert!(changed(case).is_err(), "{at}");
        }
        assert!(words(key(2), &bytes).is_err(), "it is named after another");
    }
}
