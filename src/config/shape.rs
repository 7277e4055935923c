//! What may stand where: the tables from which files are checked and JSON Schemas are printed.
//!
//! [`check`] walks a tree along a table and notes everything that does not fit: unknown keys, missing keys, wrong
//! kinds, texts that cannot be read. Whoever reads the tree afterwards through [`Fields`](super::fields::Fields) may take
//! what it finds and leave what it does not: somebody has complained already.
//!
//! Nothing here knows what the keys mean to each other; that is left to the readers of each section.

use std::time::Duration;

use super::problem::{Problems, Span, nearest, quote};
use super::values::{self, Fault, show_duration, show_size};
use super::yaml::{Kind, Node, Scalar, Value};

/// A map with a fixed set of keys.
pub(super) struct Section {
    /// Its name among the definitions of the schema.
    pub(super) name: &'static str,
    /// What it is for, for the schema's hover text.
    pub(super) about: &'static str,
    pub(super) keys: &'static [KeyShape],
}

/// One key of a section.
pub(super) struct KeyShape {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) shape: Shape,
    pub(super) about: &'static str,
}

/// Shorthand for the tables.
pub(super) const fn required(name: &'static str, shape: Shape, about: &'static str) -> KeyShape {
    KeyShape {
        name,
        required: true,
        shape,
        about,
    }
}

/// Shorthand for the tables.
pub(super) const fn optional(name: &'static str, shape: Shape, about: &'static str) -> KeyShape {
    KeyShape {
        name,
        required: false,
        shape,
        about,
    }
}

/// What a value may be.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A string of some kind.
    Text(&'static TextKind),
    /// One of some words.
    Word(&'static Words),
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Count { least: u64, most: u64 },
    /// A duration within bounds.
    Duration { least: Duration, most: Duration },
    /// A size in bytes within bounds.
    Size { least: u64, most: u64 },
    /// Some or none of these.
    List(&'static Shape),
    /// At least one of these.
    Some(&'static Shape),
    /// One of these, or a list of at least one.
    OneOrMany(&'static Shape),
    /// One word, or a list of at least one of these.
    WordOrMany(&'static Words, &'static Shape),
    /// A map from names of the author's choosing.
    Named(&'static TextKind, &'static Shape),
    /// A map with fixed keys.
    Section(&'static Section),
    /// Any value that JSON has too.
    Json,
    /// A map of such values.
    JsonMap,
}

/// A string that is more than a string.
pub(super) struct TextKind {
    /// Regular expression for the schema; it may admit more than `check` does.
    pub(super) pattern: &'static str,
    /// An example for the schema.
    pub(super) example: &'static str,
    pub(super) check: fn(&str) -> Result<(), Fault>,
}

/// A closed list of words.
pub(super) struct Words {
    /// What they are: `method`, `algorithm`.
    pub(super) what: &'static str,
    pub(super) known: &'static [&'static str],
    /// Words that a later version reads.
    pub(super) later: &'static [&'static str],
    /// A bare `null` is the word `null`.
    pub(super) null: bool,
}

/// Notes what in `node` is not of `shape`. Problems about the node as a whole stand at `owner`, its key if it has one.
/// `later` are keys that a later version reads.
pub(super) fn check(node: &Node, shape: &Shape, owner: Span, later: &[&str], problems: &mut Problems) {
    let mut walk = Walk { later, problems };
    walk.value(node, shape, owner);
}

struct Walk<'w> {
    later: &'w [&'w str],
    problems: &'w mut Problems,
}

impl Walk<'_> {
    fn value(&mut self, node: &Node, shape: &Shape, owner: Span) {
        if matches!(node.value, Value::Broken) {
            return;
        }
        match *shape {
            Shape::Text(kind) => self.text(node, kind),
            Shape::Word(words) => self.word(node, words),
            Shape::Flag => {
                if !matches!(&node.value, Value::Scalar(scalar) if values::flag(scalar).is_some()) {
                    self.expected(node, "`true` or `false`");
                }
            }
            Shape::Count { least, most } => self.count(node, least, most),
            Shape::Duration { least, most } => {
                let parse = |text: &str| {
                    values::duration(text)
                        .and_then(|value| bounds(value, least, most, show_duration, ("short", "long")))
                };
                self.measure(node, "a duration such as `30s`", &parse);
            }
            Shape::Size { least, most } => {
                let parse = |text: &str| {
                    values::size(text).and_then(|value| bounds(value, least, most, show_size, ("small", "large")))
                };
                self.measure(node, "a size such as `64KiB`", &parse);
            }
            Shape::List(of) => self.list(node, of, false),
            Shape::Some(of) => self.list(node, of, true),
            Shape::OneOrMany(of) => match node.value {
                Value::List(_) => self.list(node, of, true),
                _ => self.value(node, of, owner),
            },
            Shape::WordOrMany(words, of) => match node.value {
                Value::List(_) => self.list(node, of, true),
                _ => self.word(node, words),
            },
            Shape::Named(kind, of) => self.named(node, kind, of),
            Shape::Section(section) => self.section(node, section, owner),
            Shape::Json => {}
            Shape::JsonMap => {
                if !matches!(node.value, Value::Map(_)) {
                    self.expected(node, "a map");
                }
            }
        }
    }

    fn expected(&mut self, node: &Node, what: &str) {
        let hint = match (&node.value, what) {
            (Value::Scalar(scalar), "a string") if scalar.kind() != Kind::Null && scalar.written.is_none() => Some(
                format!("write it in quotes: {}", quote(&format!("\"{}\"", scalar.text))),
            ),
            (Value::Map(_), "a string") => Some("a text that starts with `{` needs quotes".to_owned()),
            (Value::Scalar(scalar), "a list") if scalar.kind() == Kind::Text => {
                Some("write it in brackets: `[ … ]`".to_owned())
            }
            _ => None,
        };
        self.problems
            .error(node.at, format!("expected {what}, found {}", found(&node.value)))
            .hint_if(hint);
    }

    fn string<'n>(&mut self, node: &'n Node) -> Option<&'n Scalar> {
        match &node.value {
            Value::Scalar(scalar) if scalar.kind() == Kind::Text => Some(scalar),
            _ => {
                self.expected(node, "a string");
                None
            }
        }
    }

    fn text(&mut self, node: &Node, kind: &TextKind) {
        if let Some(scalar) = self.string(node)
            && let Err(fault) = (kind.check)(&scalar.text)
        {
            self.fault(node.at, scalar, fault);
        }
    }

    /// A hint may repeat a part of the text, which is nobody's to see when it came from the environment.
    fn fault(&mut self, at: Span, scalar: &Scalar, fault: Fault) {
        self.problems
            .error(at, format!("{} {}", scalar.quoted(), fault.message))
            .hint_if(fault.hint.filter(|_| scalar.written.is_none()));
    }

    fn word(&mut self, node: &Node, words: &Words) {
        if words.null && matches!(&node.value, Value::Scalar(scalar) if scalar.plain && scalar.text == "null") {
            return;
        }
        let Some(scalar) = self.string(node) else { return };
        let text = scalar.text.as_str();
        if words.known.contains(&text) {
            return;
        }
        if words.later.contains(&text) {
            self.problems
                .error(node.at, format!("{} is not supported yet", quote(text)));
            return;
        }
        self.problems
            .error(node.at, format!("unknown {} {}", words.what, scalar.quoted()))
            .hint_with(|| nearest(text, words.known.iter().copied()));
    }

    fn count(&mut self, node: &Node, least: u64, most: u64) {
        let Value::Scalar(scalar) = &node.value else {
            return self.expected(node, "a number");
        };
        if scalar.kind() != Kind::Number && scalar.written.is_none() {
            return self.expected(node, "a number");
        }
        match values::count(&scalar.text) {
            Some(number) if (least..=most).contains(&number) => {}
            _ if least == most => self
                .problems
                .error(node.at, format!("{} must be `{least}`", scalar.quoted()))
                .done(),
            _ => self
                .problems
                .error(
                    node.at,
                    format!("{} is not a whole number from {least} to {most}", scalar.quoted()),
                )
                .done(),
        }
    }

    /// A duration or a size: written like a number with its unit.
    fn measure(&mut self, node: &Node, what: &str, parse: &dyn Fn(&str) -> Result<(), Fault>) {
        match &node.value {
            Value::Scalar(scalar) if matches!(scalar.kind(), Kind::Text | Kind::Number) => {
                if let Err(fault) = parse(&scalar.text) {
                    self.fault(node.at, scalar, fault);
                }
            }
            _ => self.expected(node, what),
        }
    }

    fn list(&mut self, node: &Node, of: &Shape, some: bool) {
        let Value::List(items) = &node.value else {
            return self.expected(node, "a list");
        };
        if some && items.is_empty() {
            self.problems.error(node.at, "the list is empty");
        }
        let mut seen: std::collections::HashSet<&str> = std::collections::HashSet::new();
        for item in items {
            self.value(item, of, item.at);
            if let Value::Scalar(scalar) = &item.value
                && !seen.insert(&scalar.text)
            {
                self.problems
                    .warn(item.at, format!("{} is listed twice", scalar.quoted()));
            }
        }
    }

    fn named(&mut self, node: &Node, kind: &TextKind, of: &Shape) {
        let Value::Map(entries) = &node.value else {
            return self.expected(node, "a map");
        };
        if entries.is_empty() {
            self.problems.error(node.at, "the map is empty");
        }
        for (key, value) in entries {
            if let Err(fault) = (kind.check)(&key.text) {
                self.problems
                    .error(key.at, format!("{} {}", quote(&key.text), fault.message))
                    .hint_if(fault.hint);
            }
            self.value(value, of, key.at);
        }
    }

    fn section(&mut self, node: &Node, section: &Section, owner: Span) {
        let Value::Map(entries) = &node.value else {
            return self.expected(node, "a map");
        };
        for (key, value) in entries {
            match section.keys.iter().find(|known| known.name == key.text) {
                Some(known) => self.value(value, &known.shape, key.at),
                None => self.unknown(key.at, &key.text, section),
            }
        }
        for missing in section.keys.iter().filter(|key| key.required) {
            if !entries.iter().any(|(key, _)| key.text == missing.name) {
                self.problems.error(owner, format!("`{}` is missing", missing.name));
            }
        }
    }

    fn unknown(&mut self, at: Span, text: &str, section: &Section) {
        if self.later.contains(&text) {
            self.problems.error(at, format!("{} is not supported yet", quote(text)));
            return;
        }
        self.problems
            .error(at, format!("unknown key {}", quote(text)))
            .hint_with(|| nearest(text, section.keys.iter().map(|key| key.name)));
    }
}

/// What a value is, for `found …`.
fn found(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Broken => "something else",
        Value::Scalar(scalar) => match scalar.kind() {
            Kind::Null => "nothing",
            Kind::Flag => "`true` or `false`",
            Kind::Number => "a number",
            Kind::Text => "a string",
        },
    }
}

fn bounds<T: PartialOrd + Copy>(
    value: T,
    least: T,
    most: T,
    show: fn(T) -> String,
    (low, high): (&str, &str),
) -> Result<(), Fault> {
    if value < least {
        return Err(Fault::new(format!("is too {low}: at least `{}`", show(least))));
    }
    if value > most {
        return Err(Fault::new(format!("is too {high}: at most `{}`", show(most))));
    }
    Ok(())
}
