//! XML: whatever the bytes and the chunks.

use tollgate::masking::{Action, Charset, Format, fold};

use crate::elements::{Item, items};
use crate::rules::{home, key, mask};
use crate::runs::{even, masked, of_all};

/// What is hidden. Short names, so that a fuzzer meets them.
const NAMES: [&str; 2] = ["a", "ssn"];

/// The first byte says what is asked, the second how the rest is cut into chunks.
pub(crate) fn run(data: &[u8]) {
    let Some((&[ask, size], body)) = data.split_first_chunk() else {
        return;
    };
    let format = Format::Xml(if ask & 1 == 0 { Charset::Utf8 } else { Charset::UsAscii });
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
    let found = |text| {
        items(std::str::from_utf8(text).unwrap(), &|name| {
            NAMES.contains(&fold(name).as_str())
        })
    };
    let (before, after) = (found(body), found(&out));
    let action = mask.actions[0].as_ref().unwrap();
    if *action != Action::Remove {
        assert_eq!(before.len(), after.len());
        assert!(after.iter().all(|item| item.attributes == 0), "{after:?}");
    }
    let pairs = before.iter().zip(&after);
    match action {
        Action::Remove => assert!(after.is_empty(), "{after:?}"),
        Action::Null => assert!(after.iter().all(|item| item.raw.is_empty())),
        Action::Redact(_) => assert!(after.iter().all(|item| item.raw == "[REDACTED]")),
        Action::Hash(_) => pairs.for_each(|(value, hash)| assert_eq!(hash.raw, key().hash(value.text.as_bytes()))),
        Action::Encrypt(_) => pairs.for_each(|(value, envelope)| opens(value, envelope)),
    }
    if matches!(action, Action::Remove | Action::Null | Action::Redact(_)) {
        assert_eq!(masked(&mask, format, [&out[..]]), (out, true), "masked twice");
    }
}

fn opens(value: &Item, envelope: &Item) {
    assert_eq!(value.pointer, envelope.pointer);
    let opened = key().open(&envelope.raw, &home(), &value.pointer).unwrap();
    assert_eq!(String::from_utf8(opened).unwrap(), value.raw);
}
