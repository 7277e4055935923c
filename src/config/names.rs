//! Names that authors give and refer to: roles, modules, upstreams.

use std::collections::HashMap;

use super::fields::Text;
use super::problem::{Problems, nearest};

/// The names of one kind, each with its index.
pub(super) struct Names<'a> {
    /// What they are: `role`, `module`, `upstream`.
    what: &'static str,
    order: Vec<&'a str>,
    index: HashMap<&'a str, u16>,
}

impl<'a> Names<'a> {
    pub(super) fn new(what: &'static str, names: impl Iterator<Item = &'a str>) -> Self {
        let order: Vec<&str> = names.collect();
        // Past the range of an index there is no entry: compiling the policy says that there are too many.
        let index = (0_u16..).zip(&order).map(|(at, name)| (*name, at)).collect();
        Self { what, order, index }
    }

    /// The index of a name; a problem if there is no such name.
    pub(super) fn find(&self, text: Text<'_>, problems: &mut Problems) -> Option<u16> {
        let found = self.index.get(text.text).copied();
        if found.is_none() {
            problems
                .error(text.at, format!("unknown {} {}", self.what, text.quoted()))
                .hint_with(|| nearest(text.text, self.order.iter().copied()));
        }
        found
    }

    /// Whether there is such a name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// All of them, in the author's order.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.order.iter().copied()
    }

    /// The name at an index.
    pub(super) fn at(&self, index: u16) -> &'a str {
        self.order.get(usize::from(index)).copied().unwrap_or_default()
    }
}
