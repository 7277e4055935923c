//! What the targets of masking have in common.

use tollgate::masking::{Format, Mask, Masker};

/// The letters of actions in `rules`, by what an input asks for.
const ACTIONS: [&str; 8] = ["r", "r", "n", "x", "h", "h", "e", "e"];

/// One rule that does to all words what the lowest three bits ask for.
pub(crate) fn of_all(ask: u8, words: &str) -> String {
    format!("{} {words}", ACTIONS[usize::from(ask & 7)])
}

/// What comes out, and whether the body was masked to its end.
pub(crate) fn masked<'c>(mask: &Mask, format: Format, chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<u8>, bool) {
    fed(Masker::new(mask.clone(), format), chunks)
}

/// The same, of a masker that is already there.
pub(crate) fn fed<'c>(mut masker: Masker, chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let fed = chunks.into_iter().try_for_each(|chunk| masker.feed(chunk, &mut out));
    let sound = fed.and_then(|()| masker.finish(&mut out)).is_ok();
    (out, sound)
}

/// The same with the letters of envelopes, which are others each time, replaced.
pub(crate) fn even((mut out, sound): (Vec<u8>, bool)) -> (Vec<u8>, bool) {
    const START: &[u8] = b"enc:k1:";
    let mut at = 0;
    while let Some(found) = out[at..].windows(START.len()).position(|window| window == START) {
        at += found + START.len();
        for byte in &mut out[at..] {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
                break;
            }
            *byte = b'A';
        }
    }
    (out, sound)
}
