//! YAML text to a small tree in which everything knows its place.
//!
//! Read from the events of the YAML library, not through serde: serde stops at the first thing that is wrong, and an
//! author wants to see all of them. What is ambiguous or costly in YAML is refused: duplicate keys, anchors, aliases,
//! merge keys, tags, directives, a second document. What a scalar means is decided here, by the core schema of YAML
//! 1.2 (10.3.2): `no`, `on` and `yes` are strings.
//!
//! Nothing here knows which keys there are.

use serde_yaml::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Tag};
use std::collections::HashMap;

use super::problem::{Problems, Span, quote};
use super::syntax;

/// Deepest nesting of lists and maps.
pub const MAX_DEPTH: usize = 32;

/// Most lists, maps and scalars in one file.
pub const MAX_NODES: usize = 100_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Span,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the author's order, each key once.
    Map(Vec<(Key, Node)>),
    /// A problem has been noted here already; nothing more is said about it.
    Broken,
}

/// A key of a map.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) at: Span,
    pub(super) text: String,
}

/// Text, and what it may stand for.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes, so that `1`, `true` and nothing at all are no strings.
    pub(super) plain: bool,
    /// What the author wrote, where `text` has other people's words in it: an environment variable may be a secret.
    pub(super) written: Option<String>,
}

/// What a scalar is by the core schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Flag,
    Number,
    Text,
}

impl Scalar {
    /// What it is by the core schema. What comes from the environment is text that may be read as whatever is wanted.
    pub(super) fn kind(&self) -> Kind {
        if !self.plain || self.written.is_some() {
            return Kind::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Kind::Flag,
            text if is_number(text) => Kind::Number,
            _ => Kind::Text,
        }
    }

    /// For messages: what the author wrote, in backticks.
    pub(super) fn quoted(&self) -> String {
        quote(self.written.as_ref().unwrap_or(&self.text))
    }
}

impl Node {
    /// The value as JSON. A number that JSON cannot write (`0x1F`, `.inf`) stays the text that it is.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Broken => Json::Null,
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.text.clone(), node.to_json()))
                    .collect(),
            ),
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Null => Json::Null,
                Kind::Flag => Json::Bool(scalar.text.eq_ignore_ascii_case("true")),
                Kind::Number => {
                    serde_json::from_str(&scalar.text).unwrap_or_else(|_| Json::String(scalar.text.clone()))
                }
                Kind::Text => Json::String(scalar.text.clone()),
            },
        }
    }
}

/// Integers (also `0o7`, `0xF`) and floats of the core schema.
fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let mantissa = match fraction {
        None => digits(whole),
        Some("") => digits(whole),
        Some(fraction) => (whole.is_empty() || digits(whole)) && digits(fraction),
    };
    mantissa && exponent.is_none_or(|text| digits(text.strip_prefix(['-', '+']).unwrap_or(text)))
}

/// Reads the one document of a file. `None` when nothing of it can be used; then a problem says why.
pub(super) fn parse(text: &str, file: u16, problems: &mut Problems) -> Option<Node> {
    let nesting = MAX_DEPTH + 2;
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: nesting,
        block_nesting_limit: nesting,
    };
    let mut builder = Builder {
        file,
        problems,
        stack: Vec::new(),
        root: None,
        documents: 0,
        nodes: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                builder.take(event, span)?;
            }
            Err(fault) => {
                builder.syntax(&fault);
                return None;
            }
        }
    }
    let root = builder.root;
    if root.is_none() {
        let start = Span {
            file,
            line: 1,
            col: 1,
            len: 0,
        };
        problems.error(start, "the file is empty");
    }
    root
}

/// A list or map that is still open.
struct Open {
    at: Span,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        seen: HashMap<String, Span>,
        key: Option<MapKey>,
    },
}

/// A key whose value comes next.
enum MapKey {
    Kept(Key),
    /// Noted as a problem already: its value is read and dropped.
    Dropped,
}

struct Builder<'p> {
    file: u16,
    problems: &'p mut Problems,
    stack: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

impl Builder<'_> {
    /// Takes one event; `None` = no more can be read.
    fn take(&mut self, event: Event<'_>, span: granit_parser::Span) -> Option<()> {
        let at = self.span(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems
                        .error(at, "a second document starts here")
                        .hint("a file is one document; remove the `---`");
                    return None;
                }
            }
            Event::Scalar(text, style, _, tag) => {
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    written: None,
                };
                self.count(at)?;
                if self.refuse_tag(span, tag.as_deref()) {
                    self.place(at, Value::Broken);
                } else {
                    self.place(at, Value::Scalar(scalar));
                }
            }
            Event::Anchor(..) => self
                .problems
                .error(at, "anchors (`&name`) are not read")
                .hint("write the value out; a text that starts with `&` needs quotes"),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.problems
                    .error(at, "`*` starts an alias, and aliases are not read")
                    .hint("a text that starts with `*` needs quotes, as in `\"*:read\"`");
                self.count(at)?;
                self.place(at, Value::Broken);
            }
            Event::SequenceStart(_, _, tag) => {
                self.refuse_tag(span, tag.as_deref());
                self.open(at, Items::List(Vec::new()))?;
            }
            Event::MappingStart(_, _, tag) => {
                self.refuse_tag(span, tag.as_deref());
                self.open(
                    at,
                    Items::Map {
                        entries: Vec::new(),
                        seen: HashMap::new(),
                        key: None,
                    },
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => {}
        }
        Some(())
    }

    fn span(&self, span: granit_parser::Span) -> Span {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let len = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            0
        };
        Span {
            file: self.file,
            line: narrow(span.start.line()),
            col: narrow(span.start.col().saturating_add(1)),
            len: narrow(len),
        }
    }

    fn syntax(&mut self, fault: &ScanError) {
        let mark = fault.marker();
        let at = self.span(granit_parser::Span::empty(*mark));
        let (message, hint) = syntax::explain(fault.kind());
        self.problems.error(at, message).hint_if(hint.map(str::to_owned));
    }

    /// Notes a tag as a problem; tells whether there is one.
    fn refuse_tag(&mut self, span: granit_parser::Span, tag: Option<&Tag>) -> bool {
        let Some(tag) = tag else { return false };
        let at = self.span(span.tag_span().unwrap_or(span));
        self.problems
            .error(at, format!("the tag {} is not read", quote(&tag.original())))
            .hint("remove it; a text that starts with `!` needs quotes");
        true
    }

    fn count(&mut self, at: Span) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.problems
                .error(at, format!("the file has more than {MAX_NODES} values"));
            return None;
        }
        Some(())
    }

    fn open(&mut self, at: Span, items: Items) -> Option<()> {
        self.count(at)?;
        if self.stack.len() >= MAX_DEPTH {
            self.problems.error(at, syntax::too_deep());
            return None;
        }
        self.stack.push(Open { at, items });
        Some(())
    }

    fn close(&mut self) {
        let Some(open) = self.stack.pop() else { return };
        let value = match open.items {
            Items::List(items) => Value::List(items),
            Items::Map { entries, .. } => Value::Map(entries),
        };
        self.place(open.at, value);
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, at: Span, value: Value) {
        let node = Node { at, value };
        match self.stack.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { entries, seen, key }) => match key.take() {
                None => *key = Some(take_key(node, seen, self.problems)),
                Some(MapKey::Kept(key)) => entries.push((key, node)),
                Some(MapKey::Dropped) => {}
            },
        }
    }
}

fn take_key(node: Node, seen: &mut HashMap<String, Span>, problems: &mut Problems) -> MapKey {
    let at = node.at;
    let scalar = match node.value {
        Value::Scalar(scalar) => scalar,
        Value::Broken => return MapKey::Dropped,
        Value::List(_) | Value::Map(_) => {
            problems
                .error(at, "a list or a map cannot be a key")
                .hint("a text that starts with `{` or `[` needs quotes");
            return MapKey::Dropped;
        }
    };
    if scalar.plain && scalar.text == "<<" {
        problems
            .error(at, "the merge key `<<` is not read")
            .hint("write the keys out");
        return MapKey::Dropped;
    }
    match scalar.kind() {
        Kind::Text => {}
        Kind::Null => {
            problems.error(at, "a key is missing before `:`");
            return MapKey::Dropped;
        }
        Kind::Flag | Kind::Number => {
            problems
                .error(at, format!("the key {} is not a string", scalar.quoted()))
                .hint(format!(
                    "write it in quotes: {}",
                    quote(&format!("\"{}\"", scalar.text))
                ));
            return MapKey::Dropped;
        }
    }
    if let Some(first) = seen.get(&scalar.text) {
        let hint = format!("it stands in line {} already", first.line);
        problems
            .error(at, format!("{} is given twice", quote(&scalar.text)))
            .hint(hint);
        return MapKey::Dropped;
    }
    seen.insert(scalar.text.clone(), at);
    MapKey::Kept(Key { at, text: scalar.text })
}
