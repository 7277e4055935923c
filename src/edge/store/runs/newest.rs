//! Several sequences of words as one: in the order of the keys, and of each key the newest word.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::StoreFault;
use crate::ledger::RecordKey;

/// Words in the order of their keys.
pub(in super::super) trait Source {
    /// The key at hand; none at the end.
    fn key(&self) -> Option<RecordKey>;

    /// Goes on to the next.
    fn advance(&mut self) -> Result<(), StoreFault>;
}

/// Sources, the newest first, read at once.
#[derive(Debug)]
pub(in super::super) struct Newest<S> {
    sources: Vec<S>,
    /// The key at hand of each that has one, the least at the top, and of equal ones the newest source's.
    heads: BinaryHeap<Reverse<(RecordKey, usize)>>,
}

impl<S: Source> Newest<S> {
    pub(in super::super) fn new(sources: Vec<S>) -> Self {
        let heads = sources.iter().enumerate();
        let heads = heads.filter_map(|(at, source)| Some(Reverse((source.key()?, at))));
        Self {
            heads: heads.collect(),
            sources,
        }
    }

    /// The least key that is left, and the source that has the newest word on it at hand.
    pub(in super::super) fn head(&self) -> Option<(RecordKey, &S)> {
        let Reverse((key, at)) = self.heads.peek()?;
        Some((*key, self.sources.get(*at)?))
    }

    /// Goes on to the next key, past all words on this one.
    pub(in super::super) fn advance(&mut self) -> Result<(), StoreFault> {
        let Some(Reverse((key, _))) = self.heads.peek().copied() else {
            return Ok(());
        };
        while let Some(mut head) = self.heads.peek_mut().filter(|head| head.0.0 == key) {
            let at = head.0.1;
            let Some(source) = self.sources.get_mut(at) else {
                return Ok(());
            };
            source.advance()?;
            match source.key() {
                // Goes to its place in the heap.
                Some(next) => head.0.0 = next,
                None => drop(std::collections::binary_heap::PeekMut::pop(head)),
            }
        }
        Ok(())
    }

    /// What is left of the sources.
    pub(in super::super) fn into_sources(self) -> Vec<S> {
        self.sources
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::super::super::tests::key;
    use super::*;

    /// Keys, each with the number of the source.
    #[derive(Debug)]
    struct List(Vec<(usize, usize)>);

    impl Source for List {
        fn key(&self) -> Option<RecordKey> {
            self.0.last().map(|(of, _)| key(*of))
        }

        fn advance(&mut self) -> Result<(), StoreFault> {
            self.0.pop();
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn each_key_comes_once_in_order_with_its_newest_word(
            sources in proptest::collection::vec(proptest::collection::btree_set(0..40_usize, 0..20), 0..6),
        ) {
            let mut expected = BTreeMap::new();
            for (at, keys) in sources.iter().enumerate().rev() {
                expected.extend(keys.iter().map(|of| (key(*of), at)));
            }
            let lists = sources.iter().enumerate();
            let lists = lists.map(|(at, keys)| List(keys.iter().rev().map(|of| (*of, at)).collect()));
            let mut newest = Newest::new(lists.collect());
            let mut found = Vec::new();
            while let Some((key, list)) = newest.head() {
                found.push((key, list.0.last().unwrap().1));
                newest.advance().unwrap();
            }
            prop_assert_eq!(found, Vec::from_iter(expected));
        }
    }
}
