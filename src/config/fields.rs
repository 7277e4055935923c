//! Reading a tree that has been checked along its table: what is there and fits is taken, what is not is passed over.
//!
//! [`check`](super::shape::check) has noted everything that does not fit, so that nothing here complains.

use std::time::Duration;

use super::problem::Span;
use super::shape::Section;
use super::values;
use super::yaml::{Key, Kind, Node, Scalar, Value};

/// The keys of one section.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    section: &'static Section,
    entries: &'a [(Key, Node)],
    /// Where the section stands: its key if it has one.
    pub(super) at: Span,
}

/// A string and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) at: Span,
    pub(super) text: &'a str,
    scalar: &'a Scalar,
}

impl Text<'_> {
    /// For messages: what the author wrote, in backticks.
    pub(super) fn quoted(&self) -> String {
        self.scalar.quoted()
    }

    /// The place of some bytes within the text, if it stands on one line as it is read (plain, or in quotes without escapes);
    /// else of the whole.
    pub(super) fn within(&self, start: usize, end: usize) -> Span {
        let characters = |to: usize| {
            let count = self.text.get(..to).map(|before| before.chars().count());
            count.and_then(|count| u32::try_from(count).ok())
        };
        let shift = match (characters(self.text.len()), self.scalar.plain) {
            (Some(all), true) if all == self.at.len => 0,
            (Some(all), false) if all.checked_add(2) == Some(self.at.len) => 1,
            _ => return self.at,
        };
        let (Some(from), Some(to)) = (characters(start), characters(end)) else {
            return self.at;
        };
        Span {
            col: self.at.col + shift + from,
            len: to.saturating_sub(from),
            ..self.at
        }
    }
}

impl<'a> Fields<'a> {
    /// The keys of `node`, none if it is no map.
    pub(super) fn new(node: &'a Node, at: Span, section: &'static Section) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        Self { section, entries, at }
    }

    fn entry(&self, name: &str) -> Option<&'a (Key, Node)> {
        #[cfg(test)]
        asked::note(self.section, name);
        #[cfg(not(test))]
        let _ = self.section;
        self.entries.iter().find(|(key, _)| key.text == name)
    }

    /// The value of a key.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// Where a key stands.
    pub(super) fn key(&self, name: &str) -> Option<Span> {
        self.entry(name).map(|(key, _)| key.at)
    }

    /// A string.
    pub(super) fn text(&self, name: &str) -> Option<Text<'a>> {
        self.get(name).and_then(text)
    }

    /// The strings of a list, or the one string that stands in its place.
    pub(super) fn texts(&self, name: &str) -> Vec<Text<'a>> {
        match self.get(name) {
            Some(node) => match &node.value {
                Value::List(items) => items.iter().filter_map(text).collect(),
                _ => text(node).into_iter().collect(),
            },
            None => Vec::new(),
        }
    }

    /// The items of a list.
    pub(super) fn list(&self, name: &str) -> &'a [Node] {
        match self.get(name).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The entries of a map whose names the author chose.
    pub(super) fn named(&self, name: &str) -> &'a [(Key, Node)] {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Map(entries)) => entries,
            _ => &[],
        }
    }

    /// A section within this one.
    pub(super) fn section(&self, name: &str, section: &'static Section) -> Option<Self> {
        self.entry(name).map(|(key, node)| Fields::new(node, key.at, section))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        values::flag(self.scalar(name)?)
    }

    /// A whole number.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        values::count(&self.scalar(name)?.text)
    }

    /// A duration.
    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        values::duration(&self.scalar(name)?.text).ok()
    }

    /// A size in bytes.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        values::size(&self.scalar(name)?.text).ok()
    }

    /// Any value, as JSON.
    pub(super) fn json(&self, name: &str) -> Option<serde_json::Value> {
        self.get(name).map(Node::to_json)
    }

    fn scalar(&self, name: &str) -> Option<&'a Scalar> {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Scalar(scalar)) => Some(scalar),
            _ => None,
        }
    }
}

/// A node that is a string, or a bare `null`.
pub(super) fn text(node: &Node) -> Option<Text<'_>> {
    match &node.value {
        Value::Scalar(scalar) if scalar.kind() == Kind::Text || scalar.text == "null" => Some(Text {
            at: node.at,
            text: &scalar.text,
            scalar,
        }),
        _ => None,
    }
}

/// Which keys have been read, so that a test can say that the tables hold no key that nobody reads, and no reader asks for
/// a key that is in no table.
#[cfg(test)]
pub(super) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::super::shape::Section;

    thread_local! {
        static ASKED: RefCell<BTreeSet<(&'static str, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(section: &'static Section, name: &str) {
        let key = section
            .keys
            .iter()
            .find(|key| key.name == name)
            .unwrap_or_else(|| panic!("`{name}` is not a key of `{}`", section.name));
        ASKED.with_borrow_mut(|asked| asked.insert((section.name, key.name)));
    }

    /// What has been asked for on this thread.
    pub(in super::super) fn all() -> BTreeSet<(&'static str, &'static str)> {
        ASKED.with_borrow(Clone::clone)
    }
}
