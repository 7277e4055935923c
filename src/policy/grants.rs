//! Which concrete scopes each granted pattern stands for, found along the parts between colons.
//!
//! Comparing every pattern with every scope would take their product: thousands of either are a policy of ten thousand
//! routes.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::{ANY_PART, ScopePattern};

/// For each pattern of some roles, the indexes of the scopes that it stands for.
pub(super) struct Coverage<'p>(HashMap<&'p str, Vec<usize>, RandomState>);

/// One part of scopes that begin alike.
#[derive(Default)]
struct Part<'s> {
    next: HashMap<&'s str, usize, RandomState>,
    /// The scope that ends here.
    scope: Option<usize>,
}

impl<'p> Coverage<'p> {
    pub(super) fn new(patterns: impl Iterator<Item = &'p ScopePattern>, scopes: &[Arc<str>]) -> Self {
        let tree = tree(scopes);
        let mut known: HashMap<&str, Vec<usize>, RandomState> = HashMap::default();
        for pattern in patterns {
            known
                .entry(pattern.as_str())
                .or_insert_with(|| covered(&tree, pattern.as_str()));
        }
        Self(known)
    }

    /// The scopes that a pattern stands for.
    pub(super) fn of(&self, pattern: &ScopePattern) -> &[usize] {
        self.0.get(pattern.as_str()).map(Vec::as_slice).unwrap_or_default()
    }
}

fn tree(scopes: &[Arc<str>]) -> Vec<Part<'_>> {
    let mut tree = vec![Part::default()];
    for (index, scope) in scopes.iter().enumerate() {
        let mut at = 0;
        for text in scope.split(':') {
            let fresh = tree.len();
            let Some(part) = tree.get_mut(at) else { break };
            at = *part.next.entry(text).or_insert(fresh);
            if at == fresh {
                tree.push(Part::default());
            }
        }
        if let Some(part) = tree.get_mut(at) {
            part.scope = Some(index);
        }
    }
    tree
}

fn covered(tree: &[Part<'_>], pattern: &str) -> Vec<usize> {
    let mut reached = vec![0];
    for text in pattern.split(':') {
        let parts = reached.iter().filter_map(|&at| tree.get(at));
        reached = if text == ANY_PART {
            // An empty part is none that a `*` stands for.
            let named = |(text, _): &(&&str, &usize)| !text.is_empty();
            parts
                .flat_map(|part| part.next.iter().filter(named).map(|(_, &next)| next))
                .collect()
        } else {
            parts.filter_map(|part| part.next.get(text).copied()).collect()
        };
    }
    reached
        .iter()
        .filter_map(|&at| tree.get(at).and_then(|part| part.scope))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        }
    }
}
