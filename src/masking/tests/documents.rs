//! Properties of XML masking: against a reference that masks a tree, and read again by another reader.

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::HashSet;

use super::elements::items;
use super::properties::chunked;
use super::rules::{home, key};
use super::xml::XML;
use super::{mask, run};
use crate::masking::fold;

/// What stands in an element, or before and after the root.
#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    /// Text, a comment, a processing instruction or a CDATA section, as written.
    Plain(String),
}

#[derive(Clone, Debug)]
struct Element {
    name: String,
    attributes: Vec<Attribute>,
    /// White space at the end of the start tag, and of the end tag.
    tails: (String, String),
    /// None: an empty-element tag.
    content: Option<Vec<Node>>,
}

#[derive(Clone, Debug)]
struct Attribute {
    before: String,
    name: String,
    /// `=`, with the white space around it.
    equals: String,
    quote: char,
    value: String,
}

/// What the rules of the property below do with a local name at a place, in words of their own.
fn fate(path: &[String], name: &str) -> Option<char> {
    let at = |want: &[&str]| {
        path.len() + 1 == want.len() && path.iter().zip(want).all(|(is, want)| *want == "*" || is == want)
    };
    match name {
        "a" => Some('r'),
        "b" => Some('x'),
        "c" => Some('n'),
        "d" if at(&["root", "*", "d"]) || path.iter().any(|step| step == "e") => Some('r'),
        _ => None,
    }
}

const RULES: &str = "r a /root/*/d /**/e/**/d; x b; n c; v a f";

fn local(name: &str) -> String {
    fold(name.rsplit(':').next().unwrap())
}

impl Attribute {
    fn write(&self, path: &[String], masked: bool, out: &mut String) {
        let declares = self.name.starts_with("xmlns");
        let fate = if masked && !declares {
            fate(path, &local(&self.name))
        } else {
            None
        };
        let value = match fate {
            Some('r') => return,
            Some('x') => "[REDACTED]",
            Some(_) => "",
            None => &self.value,
        };
        let Self {
            before,
            name,
            equals,
            quote,
            ..
        } = self;
        out.push_str(&format!("{before}{name}{equals}{quote}{value}{quote}"));
    }
}

impl Element {
    fn write(&self, path: &mut Vec<String>, masked: bool, out: &mut String) {
        let name = local(&self.name);
        let fate = if masked { fate(path, &name) } else { None };
        if fate == Some('r') {
            return;
        }
        out.push('<');
        out.push_str(&self.name);
        path.push(name);
        for attribute in &self.attributes {
            if fate.is_none() || attribute.name.starts_with("xmlns") {
                attribute.write(path, masked, out);
            }
        }
        out.push_str(&self.tails.0);
        let replaced = fate.map(|fate| if fate == 'x' { "[REDACTED]" } else { "" });
        match (&self.content, replaced) {
            (None, None | Some("")) => out.push_str("/>"),
            (None, Some(text)) => out.push_str(&format!(">{text}</{}>", self.name)),
            (Some(content), replaced) => {
                out.push('>');
                match replaced {
                    Some(text) => out.push_str(text),
                    None => content.iter().for_each(|node| node.write(path, masked, out)),
                }
                out.push_str(&format!("</{}{}>", self.name, self.tails.1));
            }
        }
        path.pop();
    }
}

impl Node {
    fn write(&self, path: &mut Vec<String>, masked: bool, out: &mut String) {
        match self {
            Self::Element(element) => element.write(path, masked, out),
            Self::Plain(text) => out.push_str(text),
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-g]",
        2 => "(p:|q1:)[a-g]",
        1 => "[A-G][_-]?",
        1 => "_[a-g]",
        1 => "[é-ö][a-g.·0-9]{0,3}",
        1 => "root",
    ]
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let name = prop_oneof![8 => name(), 1 => "xmlns(:[a-e])?"];
    let value = "([ -%(-;=?-~\n\té😀]|&amp;|&#x3c;|&lt;|&#10;){0,5}";
    ("[ \n\t]{1,2}", name, " ?= ?", prop_oneof![Just('"'), Just('\'')], value).prop_map(
        |(before, name, equals, quote, value)| Attribute {
            value: value.replace(quote, ""),
            before,
            name,
            equals,
            quote,
        },
    )
}

fn plain() -> impl Strategy<Value = Node> {
    prop_oneof![
        4 => "([ -%'-;=?-\\\\^-~\n\r\té😀]|\\]|&amp;|&#65;|&gt;){1,8}".prop_map(|text| text.replace("]]>", "]")),
        1 => "<!--(a|<a>|-b|>c| &| \\]\\]>){0,3}-->".prop_map(|text| text.replace("<!-->", "<!-- >").replace("<!--->", "<!-- >")),
        1 => "<\\?(p|xml-a|q:r)( (<b>|\\? |>|x|&)*)?\\?>",
        1 => "<!\\[CDATA\\[(<a>|\\]|\\] >|x|&|-->)*\\]\\]>",
    ]
    .prop_map(Node::Plain)
}

fn element() -> impl Strategy<Value = Element> {
    let shell = |content: Option<BoxedStrategy<Vec<Node>>>| {
        let content = match content {
            None => Just(None).boxed(),
            Some(content) => proptest::option::weighted(0.9, content).boxed(),
        };
        (
            name(),
            prop::collection::vec(attribute(), 0..4),
            ("[ \n]?", "[ \t]?"),
            content,
        )
            .prop_map(|(name, mut attributes, tails, content)| {
                let mut seen = HashSet::new();
                attributes.retain(|attribute| seen.insert(attribute.name.clone()));
                Element {
                    name,
                    attributes,
                    tails,
                    content,
                }
            })
    };
    let leaf = prop_oneof![plain(), shell(None).prop_map(Node::Element)];
    let node = leaf.prop_recursive(5, 60, 5, move |inner| {
        shell(Some(prop::collection::vec(inner, 0..5).boxed())).prop_map(Node::Element)
    });
    (
        name(),
        prop::collection::vec(attribute(), 0..3),
        prop::collection::vec(node, 0..6),
    )
        .prop_map(|(name, mut attributes, content)| {
            let mut seen = HashSet::new();
            attributes.retain(|attribute| seen.insert(attribute.name.clone()));
            // Without its root there is no document.
            let name = if fate(&[], &local(&name)) == Some('r') {
                "root".into()
            } else {
                name
            };
            Element {
                name,
                attributes,
                tails: Default::default(),
                content: Some(content),
            }
        })
}

fn is_hidden(name: &str) -> bool {
    matches!(fold(name).as_str(), "a" | "c")
}

/// What another reader sees: every event, and every attribute on its own.
fn events(text: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut events = Vec::new();
    loop {
        let event = reader.read_event().unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
        if let Event::Start(tag) | Event::Empty(tag) = &event {
            for attribute in tag.attributes() {
                events.push(format!(
                    "{:?}",
                    attribute.unwrap_or_else(|fault| panic!("{text:?}: {fault}"))
                ));
            }
        }
        if event == Event::Eof {
            return events;
        }
        events.push(format!("{event:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn a_document_is_masked_as_its_tree_is(
        prolog in prop_oneof![
            Just(""), Just("\u{feff}"), Just("<?xml version='1.0' encoding='utf-8'?>\n"), Just("<!-- a --> <?p a?>"),
        ],
        root in element(),
        sizes in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let (mut input, mut expected) = (prolog.to_owned(), prolog.to_owned());
        root.write(&mut Vec::new(), false, &mut input);
        root.write(&mut Vec::new(), true, &mut expected);
        let masked = run(&mask(RULES), XML, chunked(input.as_bytes(), &sizes));
        prop_assert_eq!(masked.end, Ok(()), "{}", input);
        prop_assert_eq!(String::from_utf8(masked.out).unwrap(), expected.clone(), "{}", input);
        events(&input);
        events(&expected);
    }

    /// What passes is XML for another reader too, and that one finds nothing hidden in it.
    #[test]
    fn what_passes_is_xml_for_another_reader_and_hides_what_it_has_to(
        root in element(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[<>/?!&;='\"a-d \\]\\[:-]|<a>|</a>|-->|a='|CDATA"), 0..4),
        sizes in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let mut input = String::new();
        root.write(&mut Vec::new(), false, &mut input);
        for (place, text) in changes {
            let mut characters: Vec<_> = input.chars().map(String::from).collect();
            let at = place.index(characters.len());
            characters[at] = text;
            input = characters.concat();
        }
        let masked = run(&mask("r a c"), XML, [input.as_bytes()]);
        prop_assert_eq!(&run(&mask("r a c"), XML, chunked(input.as_bytes(), &sizes)), &masked, "{}", input);
        if masked.end.is_ok() {
            let out = String::from_utf8(masked.out).unwrap();
            events(&out);
            prop_assert!(items(&out, &is_hidden).is_empty(), "{}", input);
        }
    }

    /// What another reader takes for the text is what is hashed, and every envelope opens to what was there.
    #[test]
    fn a_document_is_hashed_and_encrypted_as_another_reader_sees_it(
        root in element(),
        sizes in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let mut input = String::new();
        root.write(&mut Vec::new(), false, &mut input);
        for rules in ["h a c", "e a c"] {
            let masked = run(&mask(rules), XML, chunked(input.as_bytes(), &sizes));
            prop_assert_eq!(masked.end, Ok(()), "{}", input);
            let out = String::from_utf8(masked.out).unwrap();
            let (before, after) = (items(&input, &is_hidden), items(&out, &is_hidden));
            prop_assert_eq!(before.len(), after.len(), "{}", input);
            for (value, sealed) in before.iter().zip(&after) {
                prop_assert_eq!((&value.pointer, sealed.attributes), (&sealed.pointer, 0));
                if rules.starts_with('h') {
                    prop_assert_eq!(&sealed.raw, &key().hash(value.text.as_bytes()), "{}", input);
                } else {
                    let opened = key().open(&sealed.raw, &home(), &value.pointer).unwrap();
                    prop_assert_eq!(String::from_utf8(opened).unwrap(), value.raw.clone());
                }
            }
        }
    }
}
