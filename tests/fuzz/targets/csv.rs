//! CSV: whatever the bytes, the delimiter and the chunks.

use tollgate::masking::{Action, Delimiter, Dialect, Format, fold, trim};

use crate::rules::{home, key, mask};
use crate::runs::{even, masked, of_all};

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
    let mask = mask(&of_all(ask >> 1, &NAMES.join(" ")));
    let whole = masked(&mask, format, [body]);
    let size = usize::from(size % 17) + 1;
    assert_eq!(
        even(masked(&mask, format, body.chunks(size))),
        even(whole.clone()),
        "chunks of {size}"
    );
    let (out, sound) = whole;
    if !sound {
        return;
    }
    let (before, after) = (records(body, byte), records(&out, byte));
    let action = mask.actions[0].as_ref().unwrap();
    match action {
        Action::Remove if removed(&before, &after) => {
            assert_eq!(masked(&mask, format, [&out[..]]).0, out, "masked twice");
        }
        Action::Hash(_) | Action::Encrypt(_) => sealed(action, &before, &after),
        _ => {}
    }
}

type Records = Vec<Vec<Vec<u8>>>;

/// Whether the other reader can tell, and then holds that all is there that is not hidden.
fn removed(before: &Records, after: &Records) -> bool {
    let Some(header) = before.first() else { return false };
    let hidden: Vec<bool> = header.iter().map(|name| is_hidden(name)).collect();
    // A record of one empty field is a blank line, which this reader passes over.
    if hidden.iter().filter(|hidden| !**hidden).count() < 2 {
        return false;
    }
    let expected: Records = before
        .iter()
        .map(|record| {
            let seen = record.iter().zip(&hidden).filter(|(_, hidden)| !**hidden);
            seen.map(|(field, _)| field.clone()).collect()
        })
        .collect();
    assert_eq!(*after, expected);
    true
}

/// Every hidden field is the hash of its text or opens to it, and every other is as it was.
fn sealed(action: &Action, before: &Records, after: &Records) {
    let Some(header) = before.first() else { return };
    // A blank line is no record for this reader, and of one hidden column each is one.
    if header.len() < 2 {
        return;
    }
    assert_eq!(before.len(), after.len());
    assert_eq!(Some(header), after.first());
    for (record, sealed) in before.iter().zip(after).skip(1) {
        assert_eq!(record.len(), sealed.len());
        for ((name, field), sealed) in header.iter().zip(record).zip(sealed) {
            if !is_hidden(name) {
                assert_eq!(field, sealed);
                continue;
            }
            let sealed = std::str::from_utf8(sealed).unwrap();
            if matches!(action, Action::Hash(_)) {
                assert_eq!(sealed, key().hash(field));
                continue;
            }
            let name = String::from_utf8_lossy(name);
            let pointer = format!("/{}", trim(&name).replace('~', "~0").replace('/', "~1"));
            let opened = String::from_utf8(key().open(sealed, &home(), &pointer).unwrap()).unwrap();
            let inner = opened.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let opened = inner.map_or(opened.clone(), |inner| inner.replace("\"\"", "\""));
            assert_eq!(opened.as_bytes(), field);
        }
    }
}

/// As a column's name is compared: without what nobody sees around it.
fn is_hidden(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    let name = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'));
    NAMES.contains(&fold(name).as_str())
}

fn records(body: &[u8], delimiter: u8) -> Records {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(body)
        .byte_records()
        .map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect())
        .collect()
}
