//! Classified values in the links of headers: `Location`, `Content-Location`, `Refresh` and `Link` (RFC 8288).
//!
//! A parameter of a query, of a fragment or of a path segment (`;name=value`) whose name is a classified one is treated
//! as a member of that name would be. Names are compared decoded, whole and by their parts (`customer[ssn]`,
//! `customer.ssn`), after each of a few further decodings, and a link inside a parameter's value is looked into. Readers
//! differ in whether `;` ends a parameter, so what is hidden goes up to the next `&`. All else stays byte by byte.
//!
//! A field that can be read in more than one way is [`Cleaned::Unreadable`]. A value that is a segment of the path has no
//! name, and so it cannot be classified.

mod fields;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::{Action, Mask};

pub use fields::Field;

/// What stands in a link in place of a redacted value: `[REDACTED]`.
pub const REDACTED: &str = "%5BREDACTED%5D";

/// How often a name or a value is decoded, at most: backends that redirect to each other encode twice.
const DECODINGS: usize = 3;

/// What stands between the parts of a name: `customer[ssn]`, `customer.ssn`, `Customers(ssn`, and what would end a
/// parameter had it not been encoded.
const BETWEEN_PARTS: &str = "[]./(){},'&;=?#";

/// What is left of a field for one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// Nothing in it is hidden.
    Same,
    /// What may be seen.
    Changed(Vec<u8>),
    /// It cannot be read in one way, so that it must not leave.
    Unreadable,
}

/// No link, or one that readers read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreadable;

/// What happens to a parameter, the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Put {
    Redact,
    Nothing,
    Remove,
}

/// Reads links for one caller, and counts what it hides.
#[derive(Debug)]
pub struct Links<'m> {
    mask: &'m Mask,
    tally: Vec<u32>,
}

impl<'m> Links<'m> {
    /// `None` if no class is hidden from this caller: then nothing in a link is.
    #[must_use]
    pub fn new(mask: &'m Mask) -> Option<Self> {
        let hides = mask.actions.iter().any(Option::is_some) && !mask.selectors.is_empty();
        hides.then(|| Self {
            mask,
            tally: vec![0; mask.actions.len()],
        })
    }

    /// What may be seen of a field's value.
    pub fn clean(&mut self, field: Field, value: &[u8]) -> Cleaned {
        let before = self.tally.clone();
        let cleaned = std::str::from_utf8(value)
            .map_err(|_| Unreadable)
            .and_then(|text| fields::clean(field, text, &mut |link| self.link(link)));
        match cleaned {
            Ok(text) if text.as_bytes() == value => Cleaned::Same,
            Ok(text) => Cleaned::Changed(text.into_bytes()),
            Err(Unreadable) => {
                self.tally = before;
                Cleaned::Unreadable
            }
        }
    }

    /// How many parameters were hidden, by class index.
    #[must_use]
    pub fn tally(&self) -> &[u32] {
        &self.tally
    }

    /// A URI reference (RFC 3986, 4.1) without what is hidden.
    fn link(&mut self, link: &str) -> Result<String, Unreadable> {
        if !link.bytes().all(is_uri_byte) || !is_encoded_well(link) {
            return Err(Unreadable);
        }
        let (rest, fragment) = match link.split_once('#') {
            None => (link, None),
            Some((_, fragment)) if fragment.contains('#') => return Err(Unreadable),
            Some((rest, fragment)) => (rest, Some(fragment)),
        };
        let (path, query) = match rest.split_once('?') {
            None => (rest, None),
            Some((path, query)) => (path, Some(query)),
        };
        let mut out = self.path(path)?;
        for (mark, part) in [('?', query), ('#', fragment)] {
            let Some(part) = part else { continue };
            let kept = self.parameters(part)?;
            if !kept.is_empty() || part.is_empty() {
                out.push(mark);
                out.push_str(&kept);
            }
        }
        Ok(out)
    }

    /// Scheme, authority and path. A name and a password before a host are nobody's business, and are read in many ways.
    fn path(&mut self, text: &str) -> Result<String, Unreadable> {
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if !scheme.contains('/') => (scheme, rest),
            _ => ("", text),
        };
        let host = rest
            .strip_prefix("//")
            .map(|rest| rest.split('/').next().unwrap_or_default());
        let of_the_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        match host {
            // `http:host`, `http:///host`: not to all readers a path.
            None if of_the_web => return Err(Unreadable),
            Some(host) if host.is_empty() || host.contains(['@', '%']) => return Err(Unreadable),
            _ => {}
        }
        let mut out = String::with_capacity(text.len());
        for (at, segment) in text.split('/').enumerate() {
            if at > 0 {
                out.push('/');
            }
            out.push_str(&self.pair(segment)?);
        }
        Ok(out)
    }

    /// A query or a fragment.
    fn parameters(&mut self, text: &str) -> Result<String, Unreadable> {
        let mut out = String::with_capacity(text.len());
        let (mut first, mut open) = (true, false);
        for pair in text.split('&') {
            let kept = self.pair(pair)?;
            if kept.is_empty() && !pair.is_empty() {
                continue;
            }
            if !first && !open {
                out.push('&');
            }
            out.push_str(&kept);
            first = false;
            // What was cut was the first parameter after a `?` within a fragment, and the next one takes its place.
            open = *kept != *pair && kept.ends_with('?');
        }
        if open {
            out.pop();
        }
        Ok(out)
    }

    /// What stands between two `&`: a parameter, or several for those who end one at `;` or begin one at `?`.
    fn pair<'t>(&mut self, text: &'t str) -> Result<Cow<'t, str>, Unreadable> {
        let starts = text.match_indices([';', '?']).map(|(at, mark)| at + mark.len());
        for start in std::iter::once(0).chain(starts) {
            let (before, parameter) = text.split_at_checked(start).ok_or(Unreadable)?;
            let end = parameter.find([';', '?']).unwrap_or(parameter.len());
            let (own, _) = parameter.split_at_checked(end).ok_or(Unreadable)?;
            let (name, value) = own.split_once('=').unwrap_or(("", own));
            let Some(put) = self.judge(name, value)? else { continue };
            let kept = match put {
                _ if name.is_empty() => before.strip_suffix(';').unwrap_or(before).to_owned(),
                Put::Remove => before.strip_suffix(';').unwrap_or(before).to_owned(),
                Put::Nothing => format!("{before}{name}="),
                Put::Redact => format!("{before}{name}={REDACTED}"),
            };
            return Ok(kept.into());
        }
        Ok(text.into())
    }

    /// What the strictest of the classes asks for that the parameter's name, or one in its value, stands for.
    fn judge(&mut self, name: &str, value: &str) -> Result<Option<Put>, Unreadable> {
        let mut hits = Vec::new();
        self.name(name, true, &mut hits)?;
        let mut value = Cow::Borrowed(value);
        for _ in 0..=DECODINGS {
            for part in value.split(['?', '&', ';', '#']) {
                if let Some((name, _)) = part.split_once('=') {
                    self.name(name, false, &mut hits)?;
                }
            }
            if !value.contains(['%', '+']) {
                break;
            }
            value = decoded(&value).into();
        }
        hits.sort_unstable();
        hits.dedup();
        let mut strictest = None;
        for class in hits {
            let put = match self.mask.actions.get(usize::from(class)) {
                Some(None) => continue,
                Some(Some(Action::Redact(_))) => Put::Redact,
                Some(Some(Action::Null)) => Put::Nothing,
                // What an action makes of a JSON value has no form in a link unless it is said here.
                Some(Some(_)) | None => Put::Remove,
            };
            strictest = strictest.max(Some(put));
            if let Some(count) = self.tally.get_mut(usize::from(class)) {
                *count = count.saturating_add(1);
            }
        }
        Ok(strictest)
    }

    /// The classes that a name stands for, in each of the ways in which a reader may take it. `strict`: it must be
    /// readable, being a parameter's own.
    fn name(&mut self, name: &str, strict: bool, hits: &mut Vec<u16>) -> Result<(), Unreadable> {
        let mut name = Cow::Borrowed(name);
        for _ in 0..=DECODINGS {
            let readable = !name.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER);
            if strict && !readable {
                return Err(Unreadable);
            }
            let parts = name.split(|c: char| BETWEEN_PARTS.contains(c)).chain([&*name]);
            let parts = parts.map(|part| part.trim_matches(|c: char| c.is_whitespace() || c.is_control()));
            for part in parts.filter(|part| !part.is_empty()) {
                hits.extend(self.mask.selectors.named_plainly(part));
            }
            if !name.contains(['%', '+']) {
                break;
            }
            name = decoded(&name).into();
        }
        Ok(())
    }
}

/// What RFC 3986 lets stand in a URI, and what backends write into one although it does not, if readers agree on it.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'<' | b'>' | b'"' | b'`' | b'^')
}

/// Every `%` begins an escape.
fn is_encoded_well(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        let mut digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        digit() && digit()
    })
}

/// Decodes `+` and `%XX`; a `%` that begins no escape stays, and what is no UTF-8 becomes U+FFFD.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'+' => out.push(b' '),
            b'%' => match digit()
                .zip(digit())
                .and_then(|(high, low)| u8::try_from(high << 4 | low).ok())
            {
                Some(decoded) => {
                    out.push(decoded);
                    bytes = ahead;
                }
                None => out.push(byte),
            },
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
