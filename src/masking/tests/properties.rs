//! Properties: against a reference that masks a tree, whatever the document, the rules and the chunks.

use proptest::prelude::*;

use super::{Masked, mask, run};
use crate::masking::{Format, Unmaskable, fold};

/// A document as written: every lexeme and every blank is in it.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Scalar(String),
    Object(Vec<(Blanks, String, Tree)>, String),
    Array(Vec<(Blanks, Tree)>, String),
}

/// Whitespace before the name, before the colon, after it, and after the value.
pub(super) type Blanks = [String; 4];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Remove,
    Null,
    Redact,
}

impl Tree {
    /// Writes all of it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut Vec::new(), &|_| None, &mut text, &mut 0);
        text
    }

    /// Writes the tree, and in place of what `judge` selects what stays of it; `selected` counts.
    fn write(
        &self,
        way: &mut Vec<Stop>,
        judge: &dyn Fn(&[Stop]) -> Option<Kind>,
        out: &mut String,
        selected: &mut u32,
    ) {
        let mut kept = false;
        match self {
            Self::Scalar(lexeme) => out.push_str(lexeme),
            Self::Object(members, end) => {
                out.push('{');
                for ([before, middle, after, trail], name, value) in members {
                    way.push(Stop::Name(decoded(name)));
                    let lead = format!("{before}{name}{middle}:{after}");
                    write_part(&lead, value, way, judge, out, selected, &mut kept);
                    out.push_str(trail);
                    way.pop();
                }
                out.push_str(if members.is_empty() { end } else { "" });
                out.push('}');
            }
            Self::Array(elements, end) => {
                out.push('[');
                for (at, ([before, _, _, trail], value)) in elements.iter().enumerate() {
                    way.push(Stop::Index(at));
                    write_part(before, value, way, judge, out, selected, &mut kept);
                    out.push_str(trail);
                    way.pop();
                }
                out.push_str(if elements.is_empty() { end } else { "" });
                out.push(']');
            }
        }
    }
}

fn write_part(
    lead: &str,
    value: &Tree,
    way: &mut Vec<Stop>,
    judge: &dyn Fn(&[Stop]) -> Option<Kind>,
    out: &mut String,
    selected: &mut u32,
    kept: &mut bool,
) {
    let verdict = judge(way);
    *selected += u32::from(verdict.is_some());
    if verdict == Some(Kind::Remove) {
        return;
    }
    if std::mem::replace(kept, true) {
        out.push(',');
    }
    out.push_str(lead);
    match verdict {
        None => value.write(way, judge, out, selected),
        Some(Kind::Redact) => out.push_str("\"[REDACTED]\""),
        Some(_) => out.push_str("null"),
    }
}

/// One step from the root.
#[derive(Clone, Debug)]
enum Stop {
    Name(String),
    Index(usize),
}

fn decoded(name: &str) -> String {
    serde_json::from_str(name).unwrap()
}

/// Whether a path leads exactly along a way; by trying everything.
fn leads(path: &[&str], way: &[Stop]) -> bool {
    match (path.split_first(), way.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), None) => leads(rest, way),
        (Some((&"**", rest)), Some((_, on))) => leads(rest, way) || leads(path, on),
        (Some((&"*", rest)), Some((_, on))) => leads(rest, on),
        (Some((step, rest)), Some((Stop::Name(name), on))) => fold(step) == fold(name) && leads(rest, on),
        (Some((step, rest)), Some((Stop::Index(at), on))) => *step == at.to_string() && leads(rest, on),
        _ => false,
    }
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 2 => Just(" ".to_owned()), 1 => "[ \t\r\n]{0,12}"]
}

fn blanks() -> impl Strategy<Value = Blanks> {
    [blank(), blank(), blank(), blank()]
}

fn name() -> impl Strategy<Value = String> {
    let spelled = prop_oneof![
        "[a-d]",
        "[ABCD]_?",
        Just("\\u0061".to_owned()),
        Just("\\u0042".to_owned()),
        Just("-c".to_owned()),
        "[a-d0-2é_]{0,3}",
        Just("\\n\\u00e9".to_owned()),
    ];
    spelled.prop_map(|text| format!("\"{text}\""))
}

fn scalar() -> impl Strategy<Value = Tree> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        "\"([ -!#-\\[\\]-~é€😀]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-c][0-9a-fA-F]{3}){0,24}\"",
    ]
    .prop_map(Tree::Scalar)
}

pub(super) fn tree() -> impl Strategy<Value = Tree> {
    scalar().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            (prop::collection::vec((blanks(), name(), inner.clone()), 0..6), blank())
                .prop_map(|(members, end)| Tree::Object(members, end)),
            (prop::collection::vec((blanks(), inner), 0..5), blank())
                .prop_map(|(elements, end)| Tree::Array(elements, end)),
        ]
    })
}

pub(super) fn chunked<'c>(input: &'c [u8], sizes: &'c [usize]) -> impl Iterator<Item = &'c [u8]> {
    let mut rest = input;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = (*sizes.next()?).min(rest.len());
        let (chunk, tail) = rest.split_at(size);
        rest = tail;
        (size > 0).then_some(chunk)
    })
}

fn rules(kind: Kind, words: &[String]) -> String {
    let letter = match kind {
        Kind::Remove => 'r',
        Kind::Null => 'n',
        Kind::Redact => 'x',
    };
    format!("{letter} {}", words.join(" "))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Remove), Just(Kind::Null), Just(Kind::Redact)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_mask_as_the_reference_does(
        tree in tree(), around in [blank(), blank()], kind in kind(),
        names in prop::collection::vec("[a-d]|é", 1..3), sizes in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let judge = |way: &[Stop]| match way.last() {
            Some(Stop::Name(last)) if names.iter().any(|name| fold(name) == fold(last)) => Some(kind),
            _ => None,
        };
        hold_against_reference(&tree, &around, &rules(kind, &names), &judge, &sizes)?;
    }

    #[test]
    fn paths_mask_as_the_reference_does(
        tree in tree(), around in [blank(), blank()], kind in kind(),
        paths in prop::collection::vec("(/([a-d]|[0-2]|\\*|\\*\\*)){0,4}/([a-d]|[0-2]|\\*)", 1..4), sizes in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let judge = |way: &[Stop]| {
            paths
                .iter()
                .any(|path| leads(&path.split('/').skip(1).collect::<Vec<_>>(), way))
                .then_some(kind)
        };
        hold_against_reference(&tree, &around, &rules(kind, &paths), &judge, &sizes)?;
    }

    #[test]
    fn a_removed_member_is_what_serde_would_drop(tree in tree(), names in prop::collection::vec("[a-d]", 1..3)) {
        let mut input = String::new();
        tree.write(&mut Vec::new(), &|_| None, &mut input, &mut 0);
        let masked = run(&mask(&rules(Kind::Remove, &names)), Format::Json, [input.as_bytes()]);
        let mut expected: serde_json::Value = serde_json::from_str(&input).unwrap();
        drop_members(&mut expected, &names);
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&masked.out).unwrap(), expected);
    }

    #[test]
    fn a_canary_never_leaves(tree in tree(), cut in any::<prop::sample::Index>(), wrong in any::<u8>(), sizes in prop::collection::vec(1..9_usize, 1..4)) {
        let mut inner = String::new();
        tree.write(&mut Vec::new(), &|_| None, &mut inner, &mut 0);
        let body = format!(r#"[{{"k":{inner},"s\u0073n":["CANARY",{inner},"CANARY"],"SSN":"CANARY"}},{inner}]"#);
        let mask = mask("r ssn");
        let mut broken = body.clone().into_bytes();
        broken[cut.index(body.len())] = wrong;
        let truncated = &body.as_bytes()[..cut.index(body.len())];
        for input in [body.as_bytes(), truncated] {
            let Masked { out, .. } = run(&mask, Format::Json, chunked(input, &sizes));
            prop_assert!(!out.windows(6).any(|window| window == b"CANARY"), "{}", out.escape_ascii());
        }
        // A broken byte can turn the name into another one, but never brings the fault's far side out.
        let whole = run(&mask, Format::Json, [broken.as_slice()]);
        prop_assert_eq!(&run(&mask, Format::Json, chunked(&broken, &sizes)), &whole);
        prop_assert_eq!(whole.end.is_ok(), std::str::from_utf8(&broken).is_ok() && reads(&broken));
    }

    #[test]
    fn any_bytes_end_the_same_in_any_chunks(
        input in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            "[\\[\\]{}:,\"\\\\u0a1.eE+\\-ntrl \n]{0,48}".prop_map(String::into_bytes),
            "(\u{1e}?([01]|\\{\\}|\\[1?\n?\\]|\"a\"|tru?e|\\{\"a\":1\\})?[ \n\r]{0,2}){0,6}".prop_map(String::into_bytes),
        ],
        sizes in prop::collection::vec(1..5_usize, 1..4),
        format in prop::sample::select(vec![Format::Json, Format::JsonLines, Format::JsonSequence]),
    ) {
        let mask = mask("r a /0/1; n /**/e");
        let whole = run(&mask, format, [input.as_slice()]);
        prop_assert_eq!(&run(&mask, format, chunked(&input, &sizes)), &whole);
        let sound = match format {
            Format::JsonLines => input.split(|byte| *byte == b'\n').all(|line| is_blank(line) || reads(line)),
            Format::JsonSequence => is_sequence(&input),
            _ => reads(&input),
        };
        prop_assert_eq!(whole.end.is_ok(), sound, "{:?} {}", format, input.escape_ascii());
        if let Err(fault) = whole.end {
            prop_assert!(fault.offset() <= input.len() as u64);
            let deep = matches!(fault, Unmaskable::TooDeep { .. });
            prop_assert!(!deep);
        }
    }
}

/// Whether another reader takes it for JSON; as a raw value, since numbers and lone surrogates are not to be decoded.
fn reads(input: &[u8]) -> bool {
    serde_json::from_slice::<Box<serde_json::value::RawValue>>(input).is_ok()
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| b" \t\r\n".contains(byte))
}

/// RFC 7464: each text between a record separator and a line feed; neither stands in a text unescaped.
fn is_sequence(input: &[u8]) -> bool {
    let mut pieces = input.split(|byte| *byte == 0x1e);
    pieces.next().is_some_and(is_blank)
        && pieces.all(|piece| {
            let end = piece
                .iter()
                .rposition(|byte| !is_blank(&[*byte]))
                .map_or(0, |last| last + 1);
            reads(piece) && piece[end..].contains(&b'\n')
        })
}

fn hold_against_reference(
    tree: &Tree,
    [before, after]: &[String; 2],
    rules: &str,
    judge: &dyn Fn(&[Stop]) -> Option<Kind>,
    sizes: &[usize],
) -> Result<(), TestCaseError> {
    let (mut input, mut expected, mut selected) = (before.clone(), before.clone(), 0);
    tree.write(&mut Vec::new(), &|_| None, &mut input, &mut 0);
    tree.write(&mut Vec::new(), judge, &mut expected, &mut selected);
    input.push_str(after);
    expected.push_str(after);
    let mask = mask(rules);
    let whole = run(&mask, Format::Json, [input.as_bytes()]);
    prop_assert_eq!(&whole.end, &Ok(()), "{} {}", rules, input);
    prop_assert_eq!(String::from_utf8_lossy(&whole.out), expected, "{} {}", rules, input);
    prop_assert_eq!(&whole.tally, &[selected]);
    prop_assert!(reads(&whole.out));
    prop_assert_eq!(run(&mask, Format::Json, chunked(input.as_bytes(), sizes)), whole);
    Ok(())
}

fn drop_members(value: &mut serde_json::Value, names: &[String]) {
    match value {
        serde_json::Value::Object(members) => {
            members.retain(|name, _| !names.iter().any(|selected| fold(selected) == fold(name)));
            members.values_mut().for_each(|value| drop_members(value, names));
        }
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(|value| drop_members(value, names)),
        _ => {}
    }
}
