//! The query: forwarded as it came, decoded only where a rule asks for a parameter.
//!
//! Parameters that steer Tollgate itself (a jurisdiction, `dry_run`) are read so that no lenient backend can
//! find another value: given twice is refused, and so is a spelling that might be taken for the name.

use super::hex;
use std::borrow::Cow;

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
                if hides(value, name) {
                    return Err(QueryFault::LookAlike);
                }
                found = Some(decode(value));
            } else if resembles(&key, name) || hides(pair, name) {
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

/// Whether a backend that splits at `;` too would find `name` within this pair.
fn hides(pair: &str, name: &str) -> bool {
    let decoded = decode(pair);
    decoded.split([';', '&']).skip(1).any(|part| {
        let key = part.split('=').next().unwrap_or_default();
        key == name || resembles(key, name)
    })
}

/// Whether `key` is `name` but for case, separators (`_`, `-`, `.`, blanks), brackets, control bytes or a further decoding.
fn resembles(key: &str, name: &str) -> bool {
    let mut key = Cow::Borrowed(key);
    for _ in 0..3 {
        if plain(key.split('[').next().unwrap_or_default()).eq(plain(name)) || plain(&key).eq(plain(name)) {
            return true;
        }
        if !key.contains('%') {
            return false;
        }
        key = Cow::Owned(decode(&key).into_owned());
    }
    false
}

fn plain(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
}

/// Decodes `+` and `%XX` as forms do; bytes that are no UTF-8 become U+FFFD, a malformed `%` stays.
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
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
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
            ("counties=A", Ok(None)),
        ] {
            assert_eq!(
                query(raw).only("county").map(|value| value.map(Cow::into_owned)),
                expected.map(|v| v.map(str::to_owned)),
                "{raw}"
            );
        }
    }

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
        let many = format!("{}dry_run=true", "a&".repeat(MAX_PARAMETERS - 1));
        assert_eq!(query(&many).dry_run(), Ok(true));
        assert_eq!(
            Query::parse(Some(&format!("a&{many}"))),
            Err(QueryFault::TooManyParameters)
        );
    }
}
