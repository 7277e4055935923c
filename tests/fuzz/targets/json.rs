//! JSON: whatever the bytes, the rules and the chunks.

use serde_json::value::RawValue;
use tollgate::masking::{Action, Format, Mask, Masker, fold};

use crate::rules::{home, key, mask};
use crate::runs::{even, fed, masked, of_all};

/// What is hidden. Short names, so that a fuzzer meets them.
const NAMES: [&str; 3] = ["a", "ssn", "é"];
const PATHS: [&str; 4] = ["/b/*/c", "/**/d", "/0/1", "/e"];

/// The first byte says what is asked, the second how the rest is cut into chunks.
pub(crate) fn run(data: &[u8]) {
    let Some((&[ask, size], body)) = data.split_first_chunk() else {
        return;
    };
    let format = match (ask & 1, ask & 0x20) {
        (0, 0) => Format::Json,
        (0, _) => Format::JsonSequence,
        _ => Format::JsonLines,
    };
    let paths = if ask & 2 == 0 { &[][..] } else { &PATHS };
    let mask = mask(&of_all(ask >> 2, &[&NAMES[..], paths].concat().join(" ")));
    let whole = masked(&mask, format, [body]);
    let size = usize::from(size % 17) + 1;
    assert_eq!(
        even(masked(&mask, format, body.chunks(size))),
        even(whole.clone()),
        "chunks of {size}"
    );
    let tolerant = || Masker::tolerant(mask.clone(), format);
    let lenient = even(fed(tolerant(), [body]));
    assert_eq!(
        even(fed(tolerant(), body.chunks(size))),
        lenient,
        "tolerant, chunks of {size}"
    );
    if whole.1 {
        assert_eq!(lenient, even(whole.clone()), "tolerant");
    }
    if format == Format::Json {
        hold(&mask, body, whole);
    }
}

/// What another reader says of one JSON text and of what came of it.
fn hold(mask: &Mask, body: &[u8], (out, sound): (Vec<u8>, bool)) {
    let action = mask.actions[0].as_ref().unwrap();
    let seals = matches!(action, Action::Hash(_) | Action::Encrypt(_));
    // Half a surrogate pair is JSON, but no text that could be hashed, and no name on the way to an envelope.
    assert!(sound == reads(body) || seals && !sound, "{}", body.escape_ascii());
    if !sound {
        return;
    }
    assert!(reads(&out), "{}", out.escape_ascii());
    if *action == Action::Remove {
        assert_eq!(
            masked(mask, Format::Json, [&out[..]]),
            (out.clone(), true),
            "masked twice"
        );
    }
    if let Ok(seen) = serde_json::from_slice(&out) {
        look(action, &seen, "");
    }
}

/// Whether another reader takes it for JSON; as a raw value, since numbers and lone surrogates are not to be decoded.
fn reads(input: &[u8]) -> bool {
    serde_json::from_slice::<Box<RawValue>>(input).is_ok()
}

/// Looks for hidden names in what came out.
fn look(action: &Action, seen: &serde_json::Value, pointer: &str) {
    match seen {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                if NAMES.contains(&fold(name).as_str()) {
                    stands(action, value, &pointer);
                }
                look(action, value, &pointer);
            }
        }
        serde_json::Value::Array(elements) => {
            elements
                .iter()
                .for_each(|element| look(action, element, &format!("{pointer}/*")));
        }
        _ => {}
    }
}

/// Only what the action puts stands in place of a hidden value.
fn stands(action: &Action, value: &serde_json::Value, pointer: &str) {
    match action {
        Action::Remove => panic!("`{pointer}` left"),
        Action::Null => assert!(value.is_null(), "{pointer}"),
        Action::Redact(_) => assert_eq!(value, "[REDACTED]", "{pointer}"),
        Action::Hash(_) => {
            let hash = value.as_str().and_then(|text| text.strip_prefix("hmac:k1:"));
            assert_eq!(hash.map(str::len), Some(43), "{pointer}");
        }
        Action::Encrypt(_) => {
            let opened = key().open(value.as_str().unwrap(), &home(), pointer).unwrap();
            assert!(reads(&opened), "{pointer}");
        }
    }
}
