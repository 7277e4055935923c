//! Tests of masking as a whole. Every case runs whole, cut at every byte into two chunks, and byte by byte.

mod cases;
mod hostile;
mod properties;
mod rows;
mod sequence;
mod syntax;

use std::sync::Arc;

use super::{Action, ClassId, FieldRule, Format, Mask, Masker, Selectors, Unmaskable};

/// What came out, what was counted, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Masked {
    pub(super) out: Vec<u8>,
    pub(super) tally: Vec<u32>,
    pub(super) dropped: u32,
    pub(super) end: Result<(), Unmaskable>,
}

/// One rule per line: `CLASS names and /paths`. An upper-case class is compared exactly; `r`emove, `n`ull, redact
/// (`x`) and visible (`v`) say what happens to it.
pub(super) fn mask(rules: &str) -> Mask {
    let mut actions = Vec::new();
    let mut compiled = Vec::new();
    for (at, line) in rules
        .split(';')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .enumerate()
    {
        let (class, words) = line.split_once(' ').unwrap();
        let (paths, names) = words
            .split(' ')
            .map(str::to_owned)
            .partition(|word: &String| word.starts_with('/'));
        actions.push(match class.to_ascii_lowercase().as_str() {
            "r" => Some(Action::Remove),
            "n" => Some(Action::Null),
            "x" => Some(Action::Redact("\"[REDACTED]\"".into())),
            "v" => None,
            other => panic!("{other}"),
        });
        let exact = class.chars().all(char::is_uppercase);
        compiled.push(FieldRule {
            class: ClassId(u16::try_from(at).unwrap()),
            names,
            exact,
            paths,
        });
    }
    Mask {
        selectors: Arc::new(Selectors::compile(&compiled).unwrap()),
        actions: actions.into(),
        rows: None,
    }
}

pub(super) fn run<'c>(mask: &Mask, format: Format, chunks: impl IntoIterator<Item = &'c [u8]>) -> Masked {
    let mut masker = Masker::new(mask.clone(), format);
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
        end,
    }
}

/// Runs a case in every chunking and holds that they agree.
pub(super) fn run_all_ways(mask: &Mask, format: Format, input: &[u8]) -> Masked {
    let whole = run(mask, format, [input]);
    for place in 0..=input.len() {
        let (a, b) = input.split_at(place);
        assert_eq!(
            run(mask, format, [a, b]),
            whole,
            "cut at {place}: {}",
            input.escape_ascii()
        );
    }
    assert_eq!(
        run(mask, format, input.chunks(1)),
        whole,
        "byte by byte: {}",
        input.escape_ascii()
    );
    assert_eq!(
        run(mask, format, input.chunks(3)),
        whole,
        "by threes: {}",
        input.escape_ascii()
    );
    whole
}
