//! CSV: whatever the bytes, the delimiter and the chunks.

use std::sync::Arc;

use tollgate::masking::{Action, ClassId, Delimiter, Dialect, FieldRule, Format, Mask, Masker, Selectors, fold};

/// What is hidden. Short names, so that a fuzzer meets them.
const NAMES: [&str; 2] = ["a", "ssn"];

/// The first byte says what is asked, the second how the rest is cut into chunks.
pub(crate) fn run(data: &[u8]) {
    let Some((&[ask, size], body)) = data.split_first_chunk() else {
        return;
    };
    let (delimiter, byte) = if ask & 1 == 0 {
        (Delimiter::Comma, b',')
    } else {
        (Delimiter::Semicolon, b';')
    };
    let format = Format::Csv(Dialect {
        delimiter,
        ..Dialect::default()
    });
    let action = match ask >> 1 & 3 {
        0 | 1 => Action::Remove,
        2 => Action::Null,
        _ => Action::Redact("\"[REDACTED]\"".into()),
    };
    let removes = action == Action::Remove;
    let mask = mask(action);
    let whole = masked(&mask, format, [body]);
    let size = usize::from(size % 17) + 1;
    assert_eq!(masked(&mask, format, body.chunks(size)), whole, "chunks of {size}");
    let (out, sound) = whole;
    if !sound || !removes {
        return;
    }
    let (before, after) = (records(body, byte), records(&out, byte));
    let Some(header) = before.first() else { return };
    let hidden: Vec<bool> = header.iter().map(|name| is_hidden(name)).collect();
    // A record of one empty field is a blank line, which this reader passes over.
    if hidden.iter().filter(|hidden| !**hidden).count() < 2 {
        return;
    }
    let expected: Vec<Vec<Vec<u8>>> = before
        .iter()
        .map(|record| {
            let seen = record.iter().zip(&hidden).filter(|(_, hidden)| !**hidden);
            seen.map(|(field, _)| field.clone()).collect()
        })
        .collect();
    assert_eq!(after, expected);
    assert_eq!(masked(&mask, format, [&out[..]]).0, out, "masked twice");
}

/// As a column's name is compared: without byte order marks and white space around it.
fn is_hidden(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    let name = name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    NAMES.contains(&fold(name).as_str())
}

fn records(body: &[u8], delimiter: u8) -> Vec<Vec<Vec<u8>>> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(body)
        .byte_records()
        .map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect())
        .collect()
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
