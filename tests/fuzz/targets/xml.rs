//! XML: whatever the bytes and the chunks.

use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::Event;
use tollgate::masking::{Action, Charset, ClassId, FieldRule, Format, Mask, Masker, Selectors, fold};

/// What is hidden. Short names, so that a fuzzer meets them.
const NAMES: [&str; 2] = ["a", "ssn"];

/// The first byte says what is asked, the second how the rest is cut into chunks.
pub(crate) fn run(data: &[u8]) {
    let Some((&[ask, size], body)) = data.split_first_chunk() else {
        return;
    };
    let format = Format::Xml(if ask & 1 == 0 { Charset::Utf8 } else { Charset::UsAscii });
    let action = match ask >> 1 & 3 {
        0 | 1 => Action::Remove,
        2 => Action::Null,
        _ => Action::Redact("\"[REDACTED]\"".into()),
    };
    let mask = mask(action.clone());
    let whole = masked(&mask, format, [body]);
    let size = usize::from(size % 17) + 1;
    assert_eq!(masked(&mask, format, body.chunks(size)), whole, "chunks of {size}");
    let (out, sound) = whole;
    if !sound {
        return;
    }
    for (name, value) in values(&out) {
        let local = fold(name.rsplit(':').next().unwrap_or_default());
        let declares = name == "xmlns" || name.starts_with("xmlns:");
        if declares || !NAMES.contains(&local.as_str()) {
            continue;
        }
        match &action {
            Action::Remove | Action::Hash(_) | Action::Encrypt(_) => panic!("`{name}` stays"),
            Action::Null => assert_eq!(value, "", "{name}"),
            Action::Redact(_) => assert_eq!(value, "[REDACTED]", "{name}"),
        }
    }
    assert_eq!(masked(&mask, format, [&out[..]]), (out, true), "masked twice");
}

/// What another reader finds: attributes and their values, elements and what is between their tags.
fn values(text: &[u8]) -> Vec<(String, String)> {
    // The reader does not count a byte order mark.
    let text = std::str::from_utf8(text).unwrap().trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut values = Vec::new();
    let mut open: Vec<(String, usize)> = Vec::new();
    loop {
        let event = reader.read_event().unwrap();
        let after = usize::try_from(reader.buffer_position()).unwrap();
        if let Event::Start(tag) | Event::Empty(tag) = &event {
            for attribute in tag.attributes() {
                let attribute = attribute.unwrap();
                values.push((attribute.key.as_ref().to_owned(), attribute.value.to_string()));
            }
        }
        match event {
            Event::Start(tag) => open.push((tag.name().as_ref().to_owned(), after)),
            Event::Empty(tag) => values.push((tag.name().as_ref().to_owned(), String::new())),
            Event::End(_) => {
                let (name, from) = open.pop().unwrap();
                let (inner, _) = text.get(from..after).and_then(|text| text.rsplit_once("</")).unwrap();
                values.push((name, inner.to_owned()));
            }
            Event::Eof => return values,
            _ => {}
        }
    }
}

fn mask(action: Action) -> Mask {
    let rule = FieldRule {
        class: ClassId(0),
        names: NAMES.iter().map(ToString::to_string).collect(),
        columns: Vec::new(),
        exact: false,
        paths: Vec::new(),
    };
    Mask {
        selectors: Arc::new(Selectors::compile(&[rule]).unwrap()),
        actions: [Some(action)].into(),
        rows: None,
        route: None,
    }
}

fn masked<'c>(mask: &Mask, format: Format, chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<u8>, bool) {
    let mut masker = Masker::new(mask.clone(), format);
    let mut out = Vec::new();
    let fed = chunks.into_iter().try_for_each(|chunk| masker.feed(chunk, &mut out));
    let sound = fed.and_then(|()| masker.finish(&mut out)).is_ok();
    (out, sound)
}
