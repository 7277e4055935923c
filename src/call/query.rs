//! The query: forwarded as it came, decoded only where a rule asks for a parameter.
//!
//! Parameters that steer Tollgate itself (a jurisdiction, `dry_run`) are read so that no lenient backend can
//! find another value: given twice is refused, and so is a spelling that might be taken for the name.

use super::hex;
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Most parameters in a query; more is refused, so that none hides behind a backend's own limit.
pub const MAX_PARAMETERS: usize = 1024;

/// A query string, possibly absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    raw: Option<Box<str>>,
}

impl Query {
    /// Takes the part after `?`, absent if there was none.
    ///
    /// # Errors
    /// More than [`MAX_PARAMETERS`] parameters.
    pub fn parse(raw: Option<&str>) -> Result<Self, QueryFault> {
        if raw.is_some_and(|text| text.bytes().filter(|byte| matches!(byte, b'&' | b';')).count() >= MAX_PARAMETERS) {
            return Err(QueryFault::TooManyParameters);
        }
        Ok(Self {
            raw: raw.map(Into::into),
        })
    }

    /// As it came, without the `?`.
    #[must_use]
    pub fn raw(&self) -> Option<&str> {
        self.raw.as_deref()
    }

    /// The decoded parameters, separated by `&` only (the WHATWG form serialisation).
    pub fn parameters(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.raw
            .as_deref()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
    }

    /// The one value of a control parameter.
    ///
    /// # Errors
    /// It is given twice, or in a spelling that a lenient backend could take for `name` while we do not (another case,
    /// `name[]`, blanks around it, after a `;`).
    pub fn only(&self, name: &str) -> Result<Option<Cow<'_, str>>, QueryFault> {
        let Some(raw) = self.raw.as_deref() else {
            return Ok(None);
        };
        // Nearly every query is told apart from the parameter by its first bytes: no name without its letters.
        let mut found = None;
        for pair in raw.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode(key);
            if key == name {
                if found.is_some() {
                    return Err(QueryFault::Repeated);
                }
                if hides(value, "", name) {
                    return Err(QueryFault::LookAlike);
                }
                found = Some(decode(value));
            } else if resembles(&key, name) || hides(pair, &key, name) {
                return Err(QueryFault::LookAlike);
            }
        }
        Ok(found)
    }

    /// Whether a dry run is asked for (section 7). Its spelling is plain: `dry_run=true` or `dry_run=false`, unescaped.
    ///
    /// # Errors
    /// Given twice, another value, or a spelling that could be taken for it.
    pub fn dry_run(&self) -> Result<bool, QueryFault> {
        let Some(raw) = self.raw.as_deref() else {
            return Ok(false);
        };
        let value = self.only("dry_run")?;
        let plain = raw.split('&').find_map(|pair| pair.strip_prefix("dry_run="));
        match (value.as_deref(), plain) {
            (None, _) => Ok(false),
            (Some("true"), Some("true")) => Ok(true),
            (Some("false"), Some("false")) => Ok(false),
            _ => Err(QueryFault::NotABoolean),
        }
    }
}

/// How often a reader may decode: ourselves, and two careless ones behind each other.
const DECODINGS: usize = 3;

/// Whether a backend that splits elsewhere too, or decodes before it splits, would find `name` within this pair. The
/// caller has looked at the decoded `key` as it stands: here it matters where it ends for a reader who decodes first. A
/// value alone has none.
fn hides(pair: &str, key: &str, name: &str) -> bool {
    let mut key = Cow::Borrowed(key);
    let mut text = decode(pair);
    for _ in 0..DECODINGS {
        let mut parts = text
            .split([';', '&', '?'])
            .map(|part| part.split('=').next().unwrap_or_default());
        let first = parts.next().unwrap_or_default();
        if parts.any(|part| resembles(part, name)) || (first.len() < key.len() && resembles(first, name)) {
            return true;
        }
        if !text.contains('%') {
            return false;
        }
        key = decoded_again(&key);
        text = decoded_again(&text);
    }
    false
}

/// Whether `key`, decoded once, is `name` to some reader: but for case, separators, blanks, control and combining
/// characters, compatibility forms (a fullwidth letter), an index (`name[]`, `a[name]`), what follows a NUL, or a further
/// decoding.
fn resembles(key: &str, name: &str) -> bool {
    let mut key = Cow::Borrowed(key);
    for _ in 0..DECODINGS {
        let whole = key.split('\0').next().unwrap_or_default();
        if folds(&key, name) || folds(whole, name) || whole.split(['[', ']']).any(|part| folds(part, name)) {
            return true;
        }
        if !key.contains('%') {
            return false;
        }
        key = decoded_again(&key);
    }
    false
}

/// What the next reader makes of it, who may know `%uXXXX` too.
fn decoded_again(text: &str) -> Cow<'static, str> {
    Cow::Owned(decode(&without_u(text)).into_owned())
}

fn folds(text: &str, name: &str) -> bool {
    if text.is_ascii() {
        return plain(text.chars()).eq(plain(name.chars()));
    }
    plain(text.nfkd()).eq(plain(name.chars()))
}

/// Letters and digits in lower case; the letters only that case folding leaves to lower case are folded too (`\u{212a}`).
fn plain(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// `%uXXXX` as some servers read it, for the letters that a name is made of.
fn without_u(text: &str) -> String {
    let mut parts = text.split("%u");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match digits.and_then(char::from_u32).zip(part.get(4..)) {
            Some((letter, rest)) => {
                out.push(letter);
                out.push_str(rest);
            }
            None => {
                out.push_str("%u");
                out.push_str(part);
            }
        }
    }
    out
}

/// Decodes `+` and `%XX` as forms do; bytes that are no UTF-8 become U+FFFD, a malformed `%` stays. ASCII that is written
/// in more bytes than it needs is what a lenient decoder makes of it, followed by U+FFFD: alike to a name, and never equal.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digits = bytes
            .clone()
            .next()
            .and_then(hex)
            .zip(bytes.clone().nth(1).and_then(hex));
        match (byte, digits) {
            (b'+', _) => out.push(b' '),
            (b'%', Some((high, low))) => {
                out.push(high << 4 | low);
                bytes.nth(1);
            }
            (other, _) => out.push(other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&shortest(out)).into_owned())
}

/// Overlong forms of ASCII (RFC 3629, 10) as their character and U+FFFD.
fn shortest(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.iter().any(|byte| matches!(byte, 0xc0 | 0xc1 | 0xe0 | 0xf0)) {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let [first, tail @ ..] = rest {
        let (high, low, after) = match rest {
            [high @ (0xc0 | 0xc1), low @ 0x80..=0xbf, after @ ..]
            | [0xe0, high @ (0x80 | 0x81), low @ 0x80..=0xbf, after @ ..]
            | [0xf0, 0x80, high @ (0x80 | 0x81), low @ 0x80..=0xbf, after @ ..] => (high, low, after),
            _ => {
                out.push(*first);
                rest = tail;
                continue;
            }
        };
        out.push((high & 1) << 6 | (low & 0x3f));
        out.extend_from_slice("\u{fffd}".as_bytes());
        rest = after;
    }
    out
}

/// What makes a query ambiguous; worded for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// More than [`MAX_PARAMETERS`].
    #[error("the query has more than {MAX_PARAMETERS} parameters")]
    TooManyParameters,
    /// A control parameter twice.
    #[error("a control parameter is given twice")]
    Repeated,
    /// A spelling that could be taken for a control parameter.
    #[error("the query has a spelling that a backend could take for a control parameter")]
    LookAlike,
    /// `dry_run` with another value than `true` or `false`.
    #[error("`dry_run` is neither `true` nor `false`")]
    NotABoolean,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query {
        Query::parse(Some(raw)).unwrap()
    }

    #[test]
    fn a_control_parameter_has_one_value() {
        for (raw, expected) in [
            ("", Ok(None)),
            ("a=1", Ok(None)),
            ("county=A", Ok(Some("A"))),
            ("a=1&county=A+B&b", Ok(Some("A B"))),
            ("county=%41", Ok(Some("A"))),
            ("%63ounty=A", Ok(Some("A"))),
            ("county", Ok(Some(""))),
            ("county=A&county=A", Err(QueryFault::Repeated)),
            ("county=A&COUNTY=B", Err(QueryFault::LookAlike)),
            ("county[]=A", Err(QueryFault::LookAlike)),
            ("+county=A", Err(QueryFault::LookAlike)),
            ("a=1;county=B", Err(QueryFault::LookAlike)),
            ("county=A;county=B", Err(QueryFault::LookAlike)),
            ("county=A%26county=B", Err(QueryFault::LookAlike)),
            ("a=1%3bcounty=B", Err(QueryFault::LookAlike)),
            ("%2563ounty=A", Err(QueryFault::LookAlike)),
            ("county=county=B", Ok(Some("county=B"))),
            ("county=county%3DB", Ok(Some("county=B"))),
            ("county%3DB=C", Err(QueryFault::LookAlike)),
            ("a=1%2526county=B", Err(QueryFault::LookAlike)),
            ("county=A%2526county=B", Err(QueryFault::LookAlike)),
            ("a=1%25252526county=B", Ok(None)),
            ("a=1%2525", Ok(None)),
            ("counties=A", Ok(None)),
        ] {
            assert_eq!(
                query(raw).only("county").map(|value| value.map(Cow::into_owned)),
                expected.map(|v| v.map(str::to_owned)),
                "{raw}"
            );
        }
    }

    /// What some backend, framework or gateway between might take for `dry_run`.
    const LOOK_ALIKES: &[&str] = &[
        // Case and separators.
        "Dry_Run=true",
        "dry_RUN=true",
        "DryRun=true",
        "dryrun=true",
        "dry-run=true",
        "dry.run=true",
        "dry+run=true",
        "dry%20run=true",
        "dry%2Drun=true",
        "dry%2Erun=true",
        "dry__run=true",
        "_dry_run=true",
        "dry_run_=true",
        "-dry_run=true",
        "dry~run=true",
        // Blanks and controls around and within (PHP drops leading blanks; others trim).
        "+dry_run=true",
        "dry_run+=true",
        "%09dry_run=true",
        "dry_run%0d%0a=true",
        "dry%0arun=true",
        "%0bdry_run",
        "%00dry_run=true",
        "dry_run%00=true",
        "dry_run%00x=true",
        "dry_run%00[]=true",
        // Indexes (PHP, Rack, qs).
        "dry_run[]=true",
        "dry_run[0]=true",
        "dry_run[a][b]=true",
        "dry_run%5B%5D=true",
        "dry_run[=true",
        "dry[run=true",
        "a[dry_run]=true",
        "a[b][dry_run]=true",
        "a%5Bdry_run%5D=true",
        "[dry_run]=true",
        "dry_run]=true",
        // Other separators, and decoding before splitting.
        ";dry_run=true",
        "a;dry_run=true",
        "a=1;dry_run",
        "a=1%3bdry_run=true",
        "a=1%26dry_run=true",
        "a%26dry_run=true",
        "a=1?dry_run=true",
        "?dry_run=true",
        "dry_run%3Dtrue",
        "dry_run%3Dtrue=x",
        "dry_run;x=true",
        "dry_run%26x=true",
        "a=1%2526dry_run=true",
        "a=1%253Bdry%255Frun=true",
        "a=1%253Fdry_run=true",
        "a=1%252526dry_run=true",
        "a=1%u0026dry_run=true",
        "dry_run%253Dtrue",
        // Decoding again, and other escapes.
        "dry%255Frun=true",
        "%2564ry_run=true",
        "%252564ry_run=true",
        "%u0064ry_run=true",
        "dry%u005frun=true",
        // Unicode: invisible, combining, compatibility, overlong.
        "dry%E2%80%8B_run=true",
        "%EF%BB%BFdry_run=true",
        "dry_run%E2%80%8E=true",
        "dry%C2%A0run=true",
        "dry%C2%ADrun=true",
        "d%CC%81ry_run=true",
        "%EF%BD%84ry_run=true",
        "dry%EF%BC%BFrun=true",
        "%F0%9D%90%9D%F0%9D%90%AB%F0%9D%90%B2_run=true",
        "%C1%A4ry_run=true",
        "%E0%81%A4ry_run=true",
        "dry%C1%9Frun=true",
    ];

    /// What nobody would.
    const OTHERS: &[&str] = &[
        "dry=true",
        "run=true",
        "dry_runs=true",
        "adry_run=true",
        "dry_run2=true",
        "laundry_run=true",
        "dry%20run%20time=1",
        "a=dry_run",
        "a=dry_run=true",
        "caf%C3%A9=1",
        "%E5%90%8D%E5%89%8D=x",
        "na%EFve=1",
        "a[b]=dry_run",
        "%u00e9=1",
        "a%u=1",
        "%",
        "a=%zz",
    ];

    #[test]
    fn a_dry_run_is_spelled_in_one_way() {
        for (raw, expected) in [
            ("", Ok(false)),
            ("a=1", Ok(false)),
            ("dry_run=true", Ok(true)),
            ("a=1&dry_run=true", Ok(true)),
            ("dry_run=false", Ok(false)),
            ("dry_run=true&dry_run=false", Err(QueryFault::Repeated)),
            ("dry_run=true&dry_run=true", Err(QueryFault::Repeated)),
            ("dry_run=TRUE", Err(QueryFault::NotABoolean)),
            ("dry_run=1", Err(QueryFault::NotABoolean)),
            ("dry_run=", Err(QueryFault::NotABoolean)),
            ("dry_run", Err(QueryFault::NotABoolean)),
            ("dry_run=%74rue", Err(QueryFault::NotABoolean)),
            ("dry%5Frun=true", Err(QueryFault::NotABoolean)),
            ("DRY_RUN=true", Err(QueryFault::LookAlike)),
            ("dry_run[]=true", Err(QueryFault::LookAlike)),
            ("dry_run[0]=true", Err(QueryFault::LookAlike)),
            ("+dry_run=true", Err(QueryFault::LookAlike)),
            ("%20dry_run=true", Err(QueryFault::LookAlike)),
            ("dry-run=true", Err(QueryFault::LookAlike)),
            ("dryRun=true", Err(QueryFault::LookAlike)),
            ("dry.run=true", Err(QueryFault::LookAlike)),
            ("a=1;dry_run=true", Err(QueryFault::LookAlike)),
            ("dry_run=true;dry_run=false", Err(QueryFault::LookAlike)),
            ("dry_run%00=true", Err(QueryFault::LookAlike)),
            ("dry%255Frun=true", Err(QueryFault::LookAlike)),
            ("laundry_run=true", Ok(false)),
        ] {
            assert_eq!(query(raw).dry_run(), expected, "{raw}");
        }
        for raw in LOOK_ALIKES {
            assert_eq!(query(raw).dry_run(), Err(QueryFault::LookAlike), "{raw}");
            let later = format!("a=1&{raw}&b=2");
            assert_eq!(query(&later).dry_run(), Err(QueryFault::LookAlike), "{later}");
        }
        for raw in OTHERS {
            assert_eq!(query(raw).dry_run(), Ok(false), "{raw}");
        }
        let many = format!("{}dry_run=true", "a&".repeat(MAX_PARAMETERS - 1));
        assert_eq!(query(&many).dry_run(), Ok(true));
        assert_eq!(
            Query::parse(Some(&format!("a&{many}"))),
            Err(QueryFault::TooManyParameters)
        );
    }

    /// A backend as lenient as any: it decodes before and after it splits, at every separator there is, and folds names as
    /// PHP does, without heed to case.
    fn lenient_backend_sees_a_dry_run(raw: &str) -> bool {
        let twice = decode(&decode(raw)).into_owned();
        [raw.to_owned(), decode(raw).into_owned(), twice].iter().any(|text| {
            text.split(['&', ';', '?']).any(|pair| {
                let name = decode(pair.split('=').next().unwrap()).to_lowercase();
                let name = name.split('\0').next().unwrap().trim();
                let name = name.split('[').next().unwrap().trim();
                name.replace([' ', '.', '-'], "_") == "dry_run"
            })
        })
    }

    proptest::proptest! {
        #[test]
        fn what_a_lenient_backend_takes_for_a_dry_run_is_never_forwarded(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "dry", "DRY", "run", "_", "-", ".", "+", "%20", "%5F", "%2e", "%64", "%2564", "%00", "%09", "[", "]", "%5B", "&", ";", "?", "=",
                    "%26", "%3B", "%3D", "%253D", "%2526", "%253B", "true", "false", "a", "x=1&",
                ]),
                0..9,
            ),
        ) {
            let raw: String = parts.concat();
            if lenient_backend_sees_a_dry_run(&raw) {
                let plain = raw.split('&').filter(|pair| *pair == "dry_run=false").count() == 1;
                proptest::prop_assert!(query(&raw).dry_run() != Ok(false) || plain, "{}", raw);
            }
        }

        #[test]
        fn one_look_alike_anywhere_is_enough(
            at in 0..LOOK_ALIKES.len(), before in "[a-z]{1,3}(=[a-z0-9%+]{0,4})?", after in "[a-z]{1,3}(=[a-z0-9]{0,4})?",
        ) {
            let raw = format!("{before}&{}&{after}", LOOK_ALIKES[at]);
            proptest::prop_assert!(query(&raw).dry_run().is_err(), "{}", raw);
        }
    }
}
