//! What another reader of XML finds: elements and attributes with a hidden name, and what they say. The fuzz target of XML
//! takes it from here, too.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// An element or an attribute with a hidden name, in no other such element.
#[derive(Debug)]
pub(crate) struct Item {
    /// The names without prefixes on the way from the root.
    pub(crate) pointer: String,
    /// Between the tags or the quotes, as it is written.
    pub(crate) raw: String,
    /// What it says; of what has elements in it, as it is written.
    pub(crate) text: String,
    /// Of an element, how many attributes it has that declare no namespace.
    pub(crate) attributes: usize,
}

/// The hidden element that is being read.
struct Open {
    depth: usize,
    from: usize,
    item: Item,
    elements: bool,
}

/// All of them, in the order in which they end. Panics where the text is no XML.
pub(crate) fn items(document: &str, hidden: &dyn Fn(&str) -> bool) -> Vec<Item> {
    // The reader does not count a byte order mark.
    let document = document.trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(document);
    reader.config_mut().enable_all_checks(true);
    let (mut items, mut way, mut open) = (Vec::new(), Vec::<String>::new(), None::<Open>);
    loop {
        let from = position(&reader);
        let event = reader
            .read_event()
            .unwrap_or_else(|fault| panic!("{document:?}: {fault}"));
        match (&event, &mut open) {
            (Event::Start(tag) | Event::Empty(tag), outer) => {
                way.push(local(tag.name().as_ref()));
                let attributes = attributes(tag, &way);
                match outer {
                    Some(open) => open.elements = true,
                    None if hidden(way.last().unwrap()) => {
                        open = Some(Open {
                            depth: way.len(),
                            from: position(&reader),
                            item: Item {
                                pointer: pointer(&way),
                                raw: String::new(),
                                text: String::new(),
                                attributes: attributes.len(),
                            },
                            elements: false,
                        });
                    }
                    None => items.extend(
                        attributes
                            .into_iter()
                            .filter(|(name, _)| hidden(name))
                            .map(|(_, item)| item),
                    ),
                }
            }
            (Event::Text(text), Some(open)) => open.item.text += &text.xml10_content(),
            (Event::CData(text), Some(open)) => open.item.text += &text.xml10_content(),
            (Event::GeneralRef(reference), Some(open)) => match reference.resolve_char_ref().unwrap() {
                Some(c) => open.item.text.push(c),
                None => open.item.text += quick_xml::escape::resolve_predefined_entity(reference).unwrap(),
            },
            (Event::Eof, _) => return items,
            _ => {}
        }
        if matches!(event, Event::End(_) | Event::Empty(_)) {
            if let Some(mut ended) = open.take_if(|open| open.depth == way.len()) {
                // An empty tag has started before its end.
                ended.item.raw = document.get(ended.from..from).unwrap_or_default().to_owned();
                if ended.elements {
                    ended.item.text.clone_from(&ended.item.raw);
                }
                items.push(ended.item);
            }
            way.pop();
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap()
}

fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap().to_owned()
}

fn pointer(way: &[String]) -> String {
    way.iter().flat_map(|step| ["/", step]).collect()
}

/// Those that declare no namespace, by their local names.
fn attributes(tag: &BytesStart<'_>, way: &[String]) -> Vec<(String, Item)> {
    let attributes = tag.attributes().map(Result::unwrap);
    let values = attributes.filter(|attribute| {
        let name = attribute.key.as_ref();
        name != "xmlns" && !name.starts_with("xmlns:")
    });
    let item = |attribute: quick_xml::events::attributes::Attribute<'_>| {
        let name = local(attribute.key.as_ref());
        let item = Item {
            pointer: format!("{}/{name}", pointer(way)),
            raw: attribute.value.to_string(),
            text: attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .unwrap()
                .into_owned(),
            attributes: 0,
        };
        (name, item)
    };
    values.map(item).collect()
}
