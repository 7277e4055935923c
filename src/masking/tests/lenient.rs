//! Properties of tolerance, against readers that share no code with it: one that makes sound JSON of a body, and lenient
//! ones that read it in several charsets.

use proptest::prelude::*;

use super::properties::{Blanks, Tree, chunked, tree};
use super::{Masked, feed, mask, run};
use crate::masking::{Deviation, Format, Mask, Masker, fold};

fn tolerant(mask: &Mask, input: &[u8], sizes: &[usize]) -> Masked {
    let whole = feed(Masker::tolerant(mask.clone(), Format::Json), [input]);
    let chunks = feed(Masker::tolerant(mask.clone(), Format::Json), chunked(input, sizes));
    assert_eq!(chunks, whole, "{}", input.escape_ascii());
    whole
}

/// What stands for the byte `byte` in a text.
fn stand_in(byte: u8) -> char {
    char::from_u32(0xf700 + u32::from(byte)).unwrap()
}

/// A text with its bytes in place of their stand-ins.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for c in text.chars() {
        match u32::from(c) {
            code @ 0xf700..=0xf7ff => bytes.push(u8::try_from(code - 0xf700).unwrap()),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Sound JSON for a body, and how often what had to be set right. It trusts the body.
fn sound(body: &[u8]) -> (Vec<u8>, [u32; 6]) {
    let mut out = Vec::new();
    let mut counts = [0; 6];
    let mut count = |kind: Deviation, times: usize| counts[kind as usize] += u32::try_from(times).unwrap();
    let mut at = 0;
    while at < body.len() {
        let rest = &body[at..];
        match rest[0] {
            b'"' => {
                let mut end = 1;
                while rest[end] != b'"' {
                    end += if rest[end] == b'\\' { 2 } else { 1 };
                }
                for part in rest[..=end].utf8_chunks() {
                    let tabs = part.valid().matches('\t').count();
                    count(Deviation::RawTab, tabs);
                    out.extend_from_slice(part.valid().replace('\t', "\\t").as_bytes());
                    count(Deviation::RawByte, part.invalid().len());
                    for byte in part.invalid() {
                        out.extend_from_slice(format!("\\u00{byte:02X}").as_bytes());
                    }
                }
                at += end + 1;
            }
            b'+' | b'-' | b'.' | b'0'..=b'9' => {
                let length = rest
                    .iter()
                    .take_while(|&&byte| b"+-.0123456789eE".contains(&byte))
                    .count();
                let mut number = &rest[..length];
                at += length;
                if number[0] == b'+' {
                    count(Deviation::PlusSign, 1);
                    number = &number[1..];
                }
                if number[0] == b'-' {
                    out.push(b'-');
                    number = &number[1..];
                }
                let zeros = number.len() - number.iter().skip_while(|&&byte| byte == b'0').count();
                let needed = usize::from(!number.get(zeros).is_some_and(u8::is_ascii_digit));
                if zeros > needed {
                    count(Deviation::LeadingZeros, 1);
                    number = &number[zeros - needed..];
                }
                if number[0] == b'.' {
                    count(Deviation::NoLeadingDigit, 1);
                    out.push(b'0');
                }
                out.extend_from_slice(number);
            }
            b',' => {
                let next = rest[1..].iter().find(|byte| !byte.is_ascii_whitespace());
                if matches!(next, Some(b']' | b'}')) {
                    count(Deviation::TrailingComma, 1);
                } else {
                    out.push(b',');
                }
                at += 1;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    (out, counts)
}

/// How a reader makes characters of bytes.
type Charset = fn(&[u8]) -> Vec<char>;

/// What readers may take a body for.
const CHARSETS: [Charset; 4] = [utf8, latin1, shift_jis, gb18030];

/// As browsers do (WHATWG Encoding): what is no UTF-8 becomes a replacement character.
fn utf8(body: &[u8]) -> Vec<char> {
    String::from_utf8_lossy(body).chars().collect()
}

fn latin1(body: &[u8]) -> Vec<char> {
    body.iter().copied().map(char::from).collect()
}

fn shift_jis(body: &[u8]) -> Vec<char> {
    pairs(
        body,
        |lead| matches!(lead, 0x81..=0x9f | 0xe0..=0xfc),
        |trail| matches!(trail, 0x40..=0x7e | 0x80..=0xfc),
    )
}

fn gb18030(body: &[u8]) -> Vec<char> {
    pairs(
        body,
        |lead| matches!(lead, 0x81..=0xfe),
        |trail| matches!(trail, 0x30..=0x39 | 0x40..=0x7e | 0x80..=0xfe),
    )
}

/// A lead byte takes a trail byte along, whatever that is in ASCII.
fn pairs(body: &[u8], lead: fn(u8) -> bool, trail: fn(u8) -> bool) -> Vec<char> {
    let mut out = Vec::new();
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if lead(byte) {
            bytes.next_if(|&next| trail(next));
            out.push('\u{fffd}');
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

/// A reader that minds little: the names of all members, unescaped; none if it cannot make sense of the text.
struct Reader<'t> {
    text: &'t [char],
    names: Vec<String>,
}

impl Reader<'_> {
    fn names(text: &[char]) -> Option<Vec<String>> {
        let mut reader = Reader {
            text,
            names: Vec::new(),
        };
        reader.value()?;
        reader.space();
        reader.text.is_empty().then_some(reader.names)
    }

    fn space(&mut self) {
        while let [' ' | '\t' | '\r' | '\n', rest @ ..] = self.text {
            self.text = rest;
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.space();
        match self.text {
            [first, rest @ ..] if *first == wanted => {
                self.text = rest;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self) -> Option<()> {
        if self.take('{') {
            while !self.take('}') {
                self.take('"').then_some(())?;
                let name = self.string()?;
                self.names.push(name);
                self.take(':').then_some(())?;
                self.value()?;
                if !self.take(',') {
                    return self.take('}').then_some(());
                }
            }
        } else if self.take('[') {
            while !self.take(']') {
                self.value()?;
                if !self.take(',') {
                    return self.take(']').then_some(());
                }
            }
        } else if self.take('"') {
            self.string()?;
        } else {
            let word = |c: &&char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            let length = self.text.iter().take_while(word).count();
            self.text = &self.text[length..];
            (length > 0).then_some(())?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        let mut out = String::new();
        loop {
            let (&first, rest) = self.text.split_first()?;
            self.text = rest;
            match first {
                '"' => return Some(out),
                '\\' => {
                    let (&escape, rest) = rest.split_first()?;
                    self.text = rest;
                    if escape == 'u' {
                        let digits: String = rest.get(..4)?.iter().collect();
                        self.text = &rest[4..];
                        out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?).unwrap_or('\u{fffd}'));
                    } else {
                        out.push(match escape {
                            'b' => '\u{8}',
                            'f' => '\u{c}',
                            'n' => '\n',
                            'r' => '\r',
                            't' => '\t',
                            other => other,
                        });
                    }
                }
                other => out.push(other),
            }
        }
    }
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{0,3}"]
}

fn blanks() -> impl Strategy<Value = Blanks> {
    [blank(), blank(), blank(), blank()]
}

/// What may stand in a string that is not quite one; escapes only after ASCII.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-z \\[\\]{},:]{0,6}",
        1 => Just("\t".to_owned()),
        1 => "é|€|😀".prop_map(|text| text),
        2 => (0x80..=0xff_u8).prop_map(|byte| stand_in(byte).to_string()),
        1 => "x\\\\[\"\\\\/bfnrt]",
        1 => "x\\\\u[0-9a-c][0-9a-fA-F]{3}",
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn scalar() -> impl Strategy<Value = Tree> {
    prop_oneof![
        1 => Just("null".to_owned()),
        3 => "[+-]?0{0,3}(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        1 => "[+-]?\\.[0-9]{1,3}([eE][+-]?[0-9]{1,2})?",
        3 => text(),
    ]
    .prop_map(Tree::Scalar)
}

fn odd_tree() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![
        "\"[a-d]\"",
        "\"[A-D]_\"",
        Just("\"\\u0061\"".to_owned()),
        Just("\"\\u00e9\"".to_owned())
    ];
    scalar().prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            (
                prop::collection::vec((blanks(), name.clone(), inner.clone()), 0..4),
                any::<bool>(),
                blank()
            )
                .prop_map(|(mut members, comma, end)| {
                    if let Some(([_, _, _, trail], _, _)) = members.last_mut().filter(|_| comma) {
                        *trail = format!("{trail},{end}");
                    }
                    Tree::Object(members, end)
                }),
            (prop::collection::vec((blanks(), inner), 0..4), any::<bool>(), blank()).prop_map(
                |(mut elements, comma, end)| {
                    if let Some(([_, _, _, trail], _)) = elements.last_mut().filter(|_| comma) {
                        *trail = format!("{trail},{end}");
                    }
                    Tree::Array(elements, end)
                }
            ),
        ]
    })
}

fn rules() -> impl Strategy<Value = String> {
    let words = prop_oneof!["[a-d]( [a-d])?", "(/([a-d]|[0-2]|\\*|\\*\\*)){0,2}/([a-d]|[0-2]|\\*)",];
    prop::collection::vec(("[rnx]", words), 1..3).prop_map(|rules| {
        rules
            .into_iter()
            .map(|(letter, words)| format!("{letter} {words}"))
            .collect::<Vec<_>>()
            .join("; ")
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..9_usize, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_json_is_read_as_ever(tree in tree(), rules in rules(), sizes in sizes()) {
        let input = tree.text();
        let mask = mask(&rules);
        let strict = run(&mask, Format::Json, [input.as_bytes()]);
        prop_assert_eq!(&strict.end, &Ok(()));
        prop_assert_eq!(tolerant(&mask, input.as_bytes(), &sizes), strict);
    }

    #[test]
    fn to_mask_and_set_right_is_to_set_right_and_mask(tree in odd_tree(), rules in rules(), sizes in sizes()) {
        let input = bytes(&tree.text());
        let (right, counts) = sound(&input);
        let mask = mask(&rules);
        let masked = tolerant(&mask, &input, &sizes);
        prop_assert_eq!(&masked.end, &Ok(()), "{}", input.escape_ascii());
        prop_assert_eq!(masked.tolerated, counts, "{}", input.escape_ascii());
        let expected = run(&mask, Format::Json, [right.as_slice()]);
        prop_assert_eq!(&expected.end, &Ok(()), "{}", right.escape_ascii());
        prop_assert_eq!(masked.tally, expected.tally);
        prop_assert_eq!(
            sound(&masked.out).0.escape_ascii().to_string(), expected.out.escape_ascii().to_string(),
            "{} {}", rules, input.escape_ascii()
        );
    }

    #[test]
    fn a_canary_never_leaves(tree in odd_tree(), cut in any::<prop::sample::Index>(), sizes in sizes()) {
        let inner = bytes(&tree.text());
        let body = [
            &b"[{\"k\":"[..], &inner, b",\"s\\u0073n\":[\"CANARY\t\xe9\",", &inner, b",\"\xe9CANARY\",],\"SSN\":\"CANARY\",},", &inner, b",]",
        ]
        .concat();
        let mask = mask("r ssn");
        let whole = tolerant(&mask, &body, &sizes);
        prop_assert_eq!(whole.end, Ok(()));
        for input in [body.as_slice(), &body[..cut.index(body.len())]] {
            let out = tolerant(&mask, input, &sizes).out;
            prop_assert!(!out.windows(6).any(|window| window == b"CANARY"), "{}", out.escape_ascii());
        }
    }

    #[test]
    fn no_reader_finds_a_hidden_member(
        tree in odd_tree(), sizes in sizes(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 0..4),
    ) {
        let mut input = bytes(&tree.text());
        for (place, change) in changes {
            let place = place.index(input.len() + 1);
            match change {
                Change::Put(byte) => input.insert(place, byte),
                Change::Set(byte) if place < input.len() => input[place] = byte,
                Change::Drop if place < input.len() => drop(input.remove(place)),
                Change::Set(_) | Change::Drop => {}
            }
        }
        let masked = tolerant(&mask("r a b"), &input, &sizes);
        if masked.end.is_ok() {
            let readings = CHARSETS.map(|charset| (Reader::names(&charset(&input)), Reader::names(&charset(&masked.out))));
            // UTF-8 is read as what it is.
            let charsets = if std::str::from_utf8(&input).is_ok() { 1 } else { CHARSETS.len() };
            for (before, after) in readings.into_iter().take(charsets) {
                let (Some(before), Some(after)) = (before, after) else {
                    return Err(TestCaseError::fail(format!("no reader: {}", input.escape_ascii())));
                };
                let seen: Vec<&String> = after.iter().filter(|name| ["a", "b"].contains(&&*fold(name))).collect();
                prop_assert!(seen.is_empty(), "{:?} in {} of {}", seen, masked.out.escape_ascii(), input.escape_ascii());
                prop_assert!(before.len() >= after.len());
            }
        }
    }
}

/// A slip of one byte.
#[derive(Clone, Debug)]
enum Change {
    Put(u8),
    Set(u8),
    Drop,
}

fn change() -> impl Strategy<Value = Change> {
    let telling = || {
        prop_oneof![
            3 => prop::sample::select(&b"\"\\\\\\,,{}[]:+-.0\t ae/'\n"[..]),
            2 => 0x80..=0xff_u8,
            1 => any::<u8>(),
        ]
    };
    prop_oneof![
        3 => telling().prop_map(Change::Put),
        3 => telling().prop_map(Change::Set),
        1 => Just(Change::Drop),
    ]
}
