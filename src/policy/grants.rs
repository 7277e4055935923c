//! Which scopes are granted, found along the parts between colons.
//!
//! Comparing every pattern with every scope would take their product: thousands of either are a policy of ten thousand
//! routes.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::{ANY_PART, ScopePattern};

/// Scopes or patterns by their parts, each with its number.
#[derive(Debug)]
pub struct ScopeTree<'s>(Vec<Part<'s>>);

/// What begins alike.
#[derive(Debug, Default)]
struct Part<'s> {
    next: HashMap<&'s str, usize, RandomState>,
    /// The number of what ends here.
    number: Option<usize>,
}

impl Default for ScopeTree<'_> {
    fn default() -> Self {
        Self(vec![Part::default()])
    }
}

impl<'s> ScopeTree<'s> {
    /// Adds a scope or a pattern; one that is there already keeps its number.
    pub fn insert(&mut self, text: &'s str, number: usize) {
        let mut at = 0;
        for text in text.split(':') {
            let fresh = self.0.len();
            let Some(part) = self.0.get_mut(at) else { return };
            at = *part.next.entry(text).or_insert(fresh);
            if at == fresh {
                self.0.push(Part::default());
            }
        }
        if let Some(part) = self.0.get_mut(at) {
            part.number.get_or_insert(number);
        }
    }

    /// The numbers of the scopes that a pattern stands for.
    #[must_use]
    pub fn covered_by(&self, pattern: &str) -> Vec<usize> {
        self.walk(pattern, |part, text, reached| {
            if text == ANY_PART {
                // An empty part is none that a `*` stands for.
                let named = part.next.iter().filter(|(text, _)| !text.is_empty());
                reached.extend(named.map(|(_, &next)| next));
            } else {
                reached.extend(part.next.get(text));
            }
        })
    }

    /// The numbers of the patterns that stand for a scope.
    #[must_use]
    pub fn covering(&self, scope: &str) -> Vec<usize> {
        self.walk(scope, |part, text, reached| {
            reached.extend(part.next.get(text));
            if !text.is_empty() && text != ANY_PART {
                reached.extend(part.next.get(ANY_PART));
            }
        })
    }

    fn walk(&self, text: &str, step: impl Fn(&Part<'_>, &str, &mut Vec<usize>)) -> Vec<usize> {
        let mut reached = vec![0];
        for text in text.split(':') {
            let mut next = Vec::new();
            for part in reached.iter().filter_map(|&at| self.0.get(at)) {
                step(part, text, &mut next);
            }
            reached = next;
        }
        let numbers = reached.iter().filter_map(|&at| self.0.get(at)?.number);
        numbers.collect()
    }
}

/// For each pattern of some roles, the indexes of the scopes that it stands for.
pub(super) struct Coverage<'p>(HashMap<&'p str, Vec<usize>, RandomState>);

impl<'p> Coverage<'p> {
    pub(super) fn new(patterns: impl Iterator<Item = &'p ScopePattern>, scopes: &[Arc<str>]) -> Self {
        let mut tree = ScopeTree::default();
        for (index, scope) in scopes.iter().enumerate() {
            tree.insert(scope, index);
        }
        let mut known: HashMap<&str, Vec<usize>, RandomState> = HashMap::default();
        for pattern in patterns {
            let text = pattern.as_str();
            known.entry(text).or_insert_with(|| tree.covered_by(text));
        }
        Self(known)
    }

    /// The scopes that a pattern stands for.
    pub(super) fn of(&self, pattern: &ScopePattern) -> &[usize] {
        self.0.get(pattern.as_str()).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_what_comparing_each_with_each_finds(
            patterns in prop::collection::vec("(\\*|a|b)(:(\\*|a|b)){0,3}", 0..12),
            mut scopes in prop::collection::vec("(a|b|c)(:(a|b|c)){0,3}", 0..24),
        ) {
            scopes.sort();
            scopes.dedup();
            let patterns: Vec<ScopePattern> =
                patterns.iter().map(|text| ScopePattern::parse(text).unwrap()).collect();
            let scopes: Vec<Arc<str>> = scopes.into_iter().map(Into::into).collect();
            let coverage = Coverage::new(patterns.iter(), &scopes);
            for pattern in &patterns {
                let mut found = coverage.of(pattern).to_vec();
                found.sort_unstable();
                let expected: Vec<usize> = (0..scopes.len()).filter(|&at| pattern.covers(&scopes[at])).collect();
                prop_assert_eq!(found, expected);
            }
            let mut tree = ScopeTree::default();
            for (at, pattern) in patterns.iter().enumerate() {
                tree.insert(pattern.as_str(), at);
            }
            for scope in &scopes {
                let found: BTreeSet<&str> = tree.covering(scope).iter().map(|&at| patterns[at].as_str()).collect();
                let all = patterns.iter().filter(|pattern| pattern.covers(scope));
                prop_assert_eq!(found, all.map(ScopePattern::as_str).collect::<BTreeSet<&str>>());
            }
        }
    }
}
