//! How names are compared: unescaped, then folded or exactly as they are.

use smallvec::SmallVec;
use std::collections::HashMap;

/// Longest name that is compared the short way, in bytes.
const USUAL: usize = 64;

/// A name without `_` and `-`, in lower case (interface, section 3: `assistance_eligibility`, `ASSISTANCE-ELIGIBILITY`
/// and `assistanceEligibility` are one field). By characters, without regard to language or position.
pub fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// What the table knows of a member's name: its entries, at most one for each way of comparing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) folded: Option<u32>,
    pub(super) exact: Option<u32>,
}

/// The names that selectors ask for. Filled by a policy, asked by answers: an answer can never add to it.
#[derive(Debug, Default)]
pub(super) struct Names {
    folded: Table,
    exact: Table,
    sieve: Sieve,
    entries: u32,
}

type Table = HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>;

/// Room to unescape and fold a name in; bounded by `MAX_NAME` and what folding can add to it.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    plain: String,
    folded: SmallVec<[u8; 32]>,
}

impl Names {
    /// The entry of a name, made if there is none yet.
    pub(super) fn entry(&mut self, name: &str, exact: bool) -> u32 {
        let (table, key) = if exact {
            (&mut self.exact, name.to_owned())
        } else {
            (&mut self.folded, fold(name))
        };
        self.sieve.admit(key.as_bytes());
        let next = self.entries;
        let entry = *table.entry(key.into_bytes().into()).or_insert(next);
        if entry == next {
            self.entries += 1;
        }
        entry
    }

    /// Whether what stands between a name's quotes, without a backslash, may be in the table.
    #[inline]
    pub(super) fn may_be(&self, raw: &[u8]) -> bool {
        self.sieve.passes(raw)
    }

    /// Looks up what stands between a name's quotes. `escaped`: there is a backslash in it.
    #[inline]
    pub(super) fn find(&self, raw: &[u8], escaped: bool, scratch: &mut Scratch) -> Found {
        if !escaped && !self.sieve.passes(raw) {
            return Found::default();
        }
        self.look_up(raw, escaped, scratch)
    }

    /// Looks up a name that has no escapes: a backslash is one.
    pub(super) fn find_plain(&self, name: &str) -> Found {
        self.found(name.as_bytes(), fold(name).as_bytes())
    }

    fn look_up(&self, raw: &[u8], escaped: bool, scratch: &mut Scratch) -> Found {
        if !escaped && raw.len() <= USUAL && raw.is_ascii() {
            return self.look_up_usual(raw);
        }
        let Scratch { plain, folded } = scratch;
        folded.clear();
        if !unescape(raw, plain) {
            return Found::default();
        }
        let letters = plain.chars().filter(|c| !matches!(c, '_' | '-'));
        for c in letters.flat_map(char::to_lowercase) {
            folded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.found(plain.as_bytes(), folded)
    }

    fn look_up_usual(&self, raw: &[u8]) -> Found {
        let mut folded = [0; USUAL];
        let mut length = 0;
        for &byte in raw {
            // A byte that folds away is overwritten by the next.
            if let Some(place) = folded.get_mut(length) {
                *place = byte.to_ascii_lowercase();
            }
            length += usize::from(!matches!(byte, b'_' | b'-'));
        }
        self.found(raw, folded.get(..length).unwrap_or_default())
    }

    fn found(&self, plain: &[u8], folded: &[u8]) -> Found {
        Found {
            folded: self.folded.get(folded).copied(),
            exact: self.exact.get(plain).copied(),
        }
    }
}

/// Passes every name that is in the table, and few others: most names of an answer fail here, unhashed.
///
/// It looks at the first two and the last two bytes, by class: a letter of either case, a digit, a sign.
#[derive(Debug)]
struct Sieve(Box<[u64; SIEVE_WORDS]>);

const SIEVE_WORDS: usize = 128;

/// The class of bytes whose place in the folded name is not known: `_` and `-` fold away, and a character beyond ASCII
/// may fold to any other.
const MOVES: u8 = 0x80;

/// The class of every byte.
#[allow(clippy::indexing_slicing)] // in a constant, where the compiler looks
const CLASSES: [u8; 256] = {
    let mut classes = [MOVES; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        classes[byte as usize] = match byte.to_ascii_uppercase() {
            upper @ b'A'..=b'Z' => upper - b'A',
            b'_' | b'-' => MOVES,
            other => 26 + other % 5,
        };
        byte += 1;
    }
    classes
};

impl Default for Sieve {
    fn default() -> Self {
        Self(Box::new([0; SIEVE_WORDS]))
    }
}

impl Sieve {
    fn admit(&mut self, key: &[u8]) {
        let Some(place) = Self::place(key) else { return };
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    #[inline]
    fn passes(&self, raw: &[u8]) -> bool {
        let Some(place) = Self::place(raw) else { return true };
        self.0.get(place / 64).is_none_or(|word| word >> (place % 64) & 1 != 0)
    }

    /// A place among the bits; none for a name that passes in any case.
    #[inline]
    fn place(name: &[u8]) -> Option<usize> {
        let (first, last) = (name.first()?, name.last()?);
        let second = name.get(1).unwrap_or(first);
        let before = name.len().checked_sub(2).and_then(|at| name.get(at)).unwrap_or(last);
        let class = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or(MOVES);
        let packed = u32::from_le_bytes([class(first), class(second), class(before), class(last)]);
        if packed & u32::from_le_bytes([MOVES; 4]) != 0 {
            return None;
        }
        // The top 13 bits of a product depend on all of what is multiplied.
        Some((packed.wrapping_mul(0x9e37_79b1) >> (32 - 13)) as usize)
    }
}

/// Unescapes a name that the scanner has checked. `false`: a lone surrogate, which no name of a policy can hold, so
/// that it is nobody's name.
pub(super) fn unescape(raw: &[u8], plain: &mut String) -> bool {
    plain.clear();
    let text = String::from_utf8_lossy(raw);
    let mut rest = text.chars();
    let mut whole = true;
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => match rest.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => code_point(&mut rest).unwrap_or_else(|| {
                    whole = false;
                    char::REPLACEMENT_CHARACTER
                }),
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        plain.push(c);
    }
    whole
}

/// What follows `\u`: one unit, or a pair of surrogates with the second's `\u` between them.
fn code_point(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let first = unit(rest)?;
    let mut ahead = rest.clone();
    let second = (ahead.next() == Some('\\') && ahead.next() == Some('u'))
        .then(|| unit(&mut ahead))
        .flatten();
    match (first, second) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            *rest = ahead;
            char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00))
        }
        _ => char::from_u32(first),
    }
}

fn unit(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | rest.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped_then_folded_or_compared_as_they_are() {
        let mut names = Names::default();
        let ssn = names.entry("S_S-N", false);
        let street = names.entry("Straße", false);
        let kilo = names.entry("kilo", false);
        let exact = names.entry("Exact_Name", true);
        let pair = names.entry("\u{1f600}", true);
        assert_eq!(names.entry("ssn", false), ssn);
        let folded = |entry| Found {
            folded: Some(entry),
            exact: None,
        };
        let exactly = |entry| Found {
            folded: None,
            exact: Some(entry),
        };
        for (raw, found) in [
            ("ssn", folded(ssn)),
            ("SSN", folded(ssn)),
            ("-s_s__n-", folded(ssn)),
            (r"\u0073sn", folded(ssn)),
            (r"ss\u006e", folded(ssn)),
            (r"ss\u004E", folded(ssn)),
            (r"s\u005fsn", folded(ssn)),
            (r"s\u002Dsn", folded(ssn)),
            ("STRAßE", folded(street)),
            (r"stra\u00DFe", folded(street)),
            ("\u{212a}ilo", folded(kilo)),
            (r"\u212Ailo", folded(kilo)),
            ("Exact_Name", exactly(exact)),
            (r"\u0045xact_Name", exactly(exact)),
            ("😀", exactly(pair)),
            (r"\ud83d\ude00", exactly(pair)),
            (r"\uD83D\uDE00", exactly(pair)),
            ("exact_name", Found::default()),
            ("ExactName", Found::default()),
            (r"\ud83dssn", Found::default()),
            (r"ssn\ud800", Found::default()),
            (r"\ud800\u0073sn", Found::default()),
            (r"\ude00\ud83d", Found::default()),
            (r"ssn\\", Found::default()),
            (r"s\/sn", Found::default()),
            ("ss", Found::default()),
            ("ssnn", Found::default()),
            ("", Found::default()),
            ("_", Found::default()),
        ] {
            let got = names.find(raw.as_bytes(), raw.contains('\\'), &mut Scratch::default());
            assert_eq!(got, found, "{raw}");
        }
    }

    #[test]
    fn unescaping_agrees_with_serde() {
        for raw in [r"a\b\f\n\r\t\/\\\u0000\u00e9\u20AC\ud834\udd1e", "", "é"] {
            let mut plain = String::new();
            assert!(unescape(raw.as_bytes(), &mut plain));
            assert_eq!(serde_json::from_str::<String>(&format!("\"{raw}\"")).unwrap(), plain);
        }
    }
}
