//! JSON: whatever the bytes, the rules and the chunks.

use std::sync::Arc;

use serde_json::value::RawValue;
use tollgate::masking::{Action, ClassId, FieldRule, Format, Mask, Masker, Selectors, fold};

/// What is hidden. Short names, so that a fuzzer meets them.
const NAMES: [&str; 3] = ["a", "ssn", "é"];
const PATHS: [&str; 4] = ["/b/*/c", "/**/d", "/0/1", "/e"];

/// The first byte says what is asked, the second how the rest is cut into chunks.
pub(crate) fn run(data: &[u8]) {
    let Some((&[ask, size], body)) = data.split_first_chunk() else {
        return;
    };
    let format = if ask & 1 == 0 { Format::Json } else { Format::JsonLines };
    let with_paths = ask & 2 != 0;
    let action = match ask >> 2 & 3 {
        0 | 1 => Action::Remove,
        2 => Action::Null,
        _ => Action::Redact("\"[REDACTED]\"".into()),
    };
    let removes = action == Action::Remove;
    let mask = mask(action, with_paths);
    let whole = masked(&mask, format, [body]);
    let size = usize::from(size % 17) + 1;
    assert_eq!(masked(&mask, format, body.chunks(size)), whole, "chunks of {size}");
    let tolerant = || Masker::tolerant(mask.clone(), format);
    let lenient = fed(tolerant(), [body]);
    assert_eq!(
        fed(tolerant(), body.chunks(size)),
        lenient,
        "tolerant, chunks of {size}"
    );
    let (out, sound) = whole;
    if sound {
        assert_eq!(lenient, (out.clone(), true), "tolerant");
    }
    if format == Format::JsonLines {
        return;
    }
    assert_eq!(sound, reads(body), "{}", body.escape_ascii());
    if sound && removes {
        assert!(reads(&out), "{}", out.escape_ascii());
        assert_eq!(masked(&mask, format, [&out[..]]), (out.clone(), true), "masked twice");
    }
    if sound
        && removes
        && let Ok(seen) = serde_json::from_slice(&out)
    {
        look(&seen);
    }
}

fn mask(action: Action, with_paths: bool) -> Mask {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let rule = FieldRule {
        class: ClassId(0),
        names: owned(&NAMES),
        columns: Vec::new(),
        exact: false,
        paths: owned(if with_paths { &PATHS } else { &[] }),
    };
    Mask {
        selectors: Arc::new(Selectors::compile(&[rule]).unwrap()),
        actions: [Some(action)].into(),
        rows: None,
        route: None,
    }
}

fn masked<'c>(mask: &Mask, format: Format, chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<u8>, bool) {
    fed(Masker::new(mask.clone(), format), chunks)
}

fn fed<'c>(mut masker: Masker, chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let fed = chunks.into_iter().try_for_each(|chunk| masker.feed(chunk, &mut out));
    let sound = fed.and_then(|()| masker.finish(&mut out)).is_ok();
    (out, sound)
}

/// Whether another reader takes it for JSON; as a raw value, since numbers and lone surrogates are not to be decoded.
fn reads(input: &[u8]) -> bool {
    serde_json::from_slice::<Box<RawValue>>(input).is_ok()
}

fn look(seen: &serde_json::Value) {
    match seen {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                assert!(!NAMES.contains(&fold(name).as_str()), "`{name}` left");
                look(value);
            }
        }
        serde_json::Value::Array(elements) => elements.iter().for_each(look),
        _ => {}
    }
}
