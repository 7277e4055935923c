//! What says of most keys that a run has them not, from memory.
//!
//! A few bits for each key, all in one line of the processor's cache, so that a question costs one look into memory. "No" is
//! sure; "perhaps" is looked up. Keys are hashes already: their bytes are folded, and no hash is computed.
//!
//! Bits are only ever set, by the one who carries, while others ask. A filter that knows more than the tree does as of some
//! commit asks the tree in vain; one that knew less would let a payment be made again. So each is filled before the commit
//! that its run is in, and counts what it holds, which is held against the run ([`super::Runs::fit`]).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::RecordKey;

/// Bits for each key. Of keys that a run has not, one in some 200 is looked up.
const BITS: u64 = 12;

/// How many of them are set for each key.
const SET: u32 = 6;

/// 64-bit parts of one line of the cache, and bits of that.
const PARTS: usize = 8;
const LINE: u64 = 512;

/// Most lines of one filter, 32 MiB: more than [`super::super::MAX_KEYS`] take at [`BITS`]. A run of more words, as it may be
/// while it has many that count no more, has a filter that says "perhaps" more often.
const MAX_LINES: u64 = (32 << 20) / 64;

/// Which keys are perhaps in a run.
#[derive(Debug)]
pub(in super::super) struct Filter {
    lines: Box<[[AtomicU64; PARTS]]>,
    /// How many were added.
    held: AtomicU64,
}

impl Filter {
    /// For so many words.
    pub(in super::super) fn new(words: u64) -> Self {
        let lines = words.saturating_mul(BITS).div_ceil(LINE).clamp(1, MAX_LINES);
        Self {
            lines: (0..lines).map(|_| Default::default()).collect(),
            held: AtomicU64::new(0),
        }
    }

    /// From now on it is perhaps there.
    pub(in super::super) fn add(&self, key: &RecordKey) {
        let (line, bits) = self.place(key);
        for (part, bits) in line.iter().zip(bits) {
            if bits != 0 {
                part.fetch_or(bits, Ordering::Relaxed);
            }
        }
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it may be there; false is sure.
    pub(in super::super) fn may_have(&self, key: &RecordKey) -> bool {
        let (line, bits) = self.place(key);
        let has = |(part, bits): (&AtomicU64, u64)| part.load(Ordering::Relaxed) & bits == bits;
        line.iter().zip(bits).all(has)
    }

    /// How many words were added.
    pub(in super::super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Which line is the key's, and which of its bits.
    fn place(&self, key: &RecordKey) -> (&[AtomicU64], [u64; PARTS]) {
        let hash = fold(key);
        // The upper half says which line, the lower which bits.
        let line = ((hash >> 32) * self.lines.len() as u64) >> 32;
        let line = usize::try_from(line).ok().and_then(|line| self.lines.get(line));
        let mut bits = [0; PARTS];
        let mut rest = spread(hash);
        for _ in 0..SET {
            let bit = rest % LINE;
            if let Some(part) = usize::try_from(bit / 64).ok().and_then(|part| bits.get_mut(part)) {
                *part |= 1 << (bit % 64);
            }
            rest /= LINE;
        }
        (line.map_or(&[], |line| line.as_slice()), bits)
    }
}

/// 64 bits of all bytes of a key.
fn fold(key: &RecordKey) -> u64 {
    let (words, _) = key.as_bytes().as_chunks();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.fold(0, |hash, word| spread(hash ^ word))
}

/// Spreads what is in some bits over all of them.
const fn spread(word: u64) -> u64 {
    let word = (word ^ (word >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^ (word >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys as they come: hashes.
    fn keys(from: u64, count: u64) -> impl Iterator<Item = RecordKey> {
        (from..from + count).map(|of| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &of.to_be_bytes());
            RecordKey::from_bytes(digest.as_ref().try_into().unwrap())
        })
    }

    #[test]
    fn what_was_added_is_never_denied_and_little_else_is_supposed() {
        for count in [0, 1, 100, 50_000] {
            let filter = Filter::new(count);
            keys(0, count).for_each(|key| filter.add(&key));
            assert_eq!(filter.held(), count);
            assert!(keys(0, count).all(|key| filter.may_have(&key)));
            let supposed = keys(count, 50_000).filter(|key| filter.may_have(key)).count();
            assert!(supposed < 750, "{supposed} of 50000 with {count}");
        }
    }

    #[test]
    fn more_than_it_was_made_for_is_not_denied_either() {
        let filter = Filter::new(100);
        keys(0, 10_000).for_each(|key| filter.add(&key));
        assert!(keys(0, 10_000).all(|key| filter.may_have(&key)));
    }

    #[test]
    fn keys_that_differ_in_one_byte_are_told_apart() {
        let filter = Filter::new(1000);
        let key = |at: usize, byte| {
            let mut bytes = [0; 32];
            bytes[at] = byte;
            RecordKey::from_bytes(bytes)
        };
        filter.add(&key(0, 0));
        let supposed = (0..32).flat_map(|at| (1..=255).map(move |byte| key(at, byte)));
        assert!(supposed.filter(|key| filter.may_have(key)).count() < 32);
    }
}
