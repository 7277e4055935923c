//! Tests of masking as a whole. Every case runs whole, cut at every byte into two chunks, and byte by byte.

mod cases;
mod csv;
mod documents;
mod elements;
mod envelopes;
mod hostile;
mod lenient;
mod properties;
mod rows;
mod rules;
mod sealed;
mod sealed_xml;
mod sequence;
mod syntax;
mod tables;
mod tags;
mod tolerant;
mod xml;

use super::{Format, Mask, Masker, Tolerated, Unmaskable};
pub(super) use rules::mask;

/// What came out, what was counted, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Masked {
    pub(super) out: Vec<u8>,
    pub(super) tally: Vec<u32>,
    pub(super) dropped: u32,
    pub(super) tolerated: Tolerated,
    pub(super) end: Result<(), Unmaskable>,
}

pub(super) fn run<'c>(mask: &Mask, format: Format, chunks: impl IntoIterator<Item = &'c [u8]>) -> Masked {
    feed(Masker::new(mask.clone(), format), chunks)
}

/// Feeds all of a body.
pub(super) fn feed<'c>(mut masker: Masker, chunks: impl IntoIterator<Item = &'c [u8]>) -> Masked {
    let mut out = Vec::new();
    let mut end = Ok(());
    for chunk in chunks {
        end = masker.feed(chunk, &mut out);
        if end.is_err() {
            break;
        }
    }
    if end.is_ok() {
        end = masker.finish(&mut out);
    }
    let length = out.len();
    // Whatever comes now is refused and nothing is written.
    assert!(masker.feed(b" ", &mut out).is_err() && masker.finish(&mut out).is_err() && out.len() == length);
    Masked {
        out,
        tally: masker.tally().to_vec(),
        dropped: masker.dropped(),
        tolerated: masker.tolerated(),
        end,
    }
}

/// Runs a case in every chunking and holds that they agree.
pub(super) fn run_all_ways(mask: &Mask, format: Format, input: &[u8]) -> Masked {
    feed_all_ways(|| Masker::new(mask.clone(), format), input)
}

/// Feeds a body in every chunking and holds that they agree.
pub(super) fn feed_all_ways(masker: impl Fn() -> Masker, input: &[u8]) -> Masked {
    let whole = feed(masker(), [input]);
    for place in 0..=input.len() {
        let (a, b) = input.split_at(place);
        assert_eq!(
            feed(masker(), [a, b]),
            whole,
            "cut at {place}: {}",
            input.escape_ascii()
        );
    }
    for size in [1, 3] {
        let chunked = feed(masker(), input.chunks(size));
        assert_eq!(chunked, whole, "by {size} bytes: {}", input.escape_ascii());
    }
    whole
}
