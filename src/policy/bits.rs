//! A fixed-size set of small indexes: the roles that somebody holds, the scopes that are in force.

/// A set of indexes below a size that was fixed when it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Box<[u64]>);

impl Bits {
    /// An empty set for indexes below `size`.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)].into())
    }

    /// Adds an index; one out of range is ignored, and so never found.
    pub fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    /// Whether the index is in the set.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.0
            .get(index / 64)
            .is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// Adds everything in `other`.
    pub fn union(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// How many indexes are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> usize {
        self.0
            .iter()
            .zip(&other.0)
            .map(|(a, b)| (a & b).count_ones() as usize)
            .sum()
    }

    /// The indexes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let some = |word: u64| (word != 0).then_some(word);
        self.0.iter().enumerate().flat_map(move |(at, &word)| {
            // Each step takes the lowest bit away.
            std::iter::successors(some(word), move |&left| some(left & (left - 1)))
                .map(move |left| at * 64 + left.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set() {
        let mut a = Bits::new(130);
        for index in [0, 63, 64, 129] {
            assert!(!a.contains(index));
            a.insert(index);
            assert!(a.contains(index));
        }
        a.insert(100_000);
        assert!(!a.contains(100_000));
        assert_eq!(a.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        let mut b = Bits::new(130);
        b.insert(64);
        b.insert(65);
        assert_eq!(a.common(&b), 1);
        b.union(&a);
        assert_eq!(b.iter().count(), 5);
    }
}
