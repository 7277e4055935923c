//! One value of a JSON body, found by pointer (RFC 6901), without two readings.
//!
//! A member that is given twice, also in another spelling of its name, is refused: the backend might take the
//! other one. The body is read once and nothing of it is kept but the value.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What stands at a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// A string.
    Text(String),
    /// A number, as it is written.
    Number(String),
    /// Something else.
    Other,
    /// Nothing.
    Missing,
}

/// The body is not one JSON text, or names a member on the way twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is no JSON, or gives the value twice")]
pub struct Ambiguous;

/// Finds what stands at `pointer`, which starts with `/`.
///
/// # Errors
/// [`Ambiguous`].
pub fn locate(body: &[u8], pointer: &str) -> Result<Located, Ambiguous> {
    Ok(raw(body, pointer)?.map_or(Located::Missing, located))
}

/// What stands at `pointer`, which is empty or starts with `/`, as it is written: numbers keep every digit.
///
/// # Errors
/// [`Ambiguous`].
pub fn raw<'b>(body: &'b [u8], pointer: &str) -> Result<Option<&'b str>, Ambiguous> {
    let steps: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let found = Walk { steps: &steps }.deserialize(&mut reader).map_err(|_| Ambiguous)?;
    reader.end().map_err(|_| Ambiguous)?;
    Ok(found)
}

struct Walk<'p> {
    steps: &'p [String],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.steps.is_empty() {
            return <&RawValue>::deserialize(deserializer).map(|raw| Some(raw.get()));
        }
        deserializer.deserialize_any(self)
    }
}

/// A value as it is written: numbers keep every digit.
pub(crate) fn located(raw: &str) -> Located {
    match raw.bytes().next() {
        Some(b'"') => serde_json::from_str(raw).map_or(Located::Other, Located::Text),
        Some(b'-' | b'0'..=b'9') => Located::Number(raw.to_owned()),
        _ => Located::Other,
    }
}

/// Only reached on the way: what stands at the pointer is read by [`located`].
impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let wanted = self
            .steps
            .split_first()
            .and_then(|(first, rest)| Some((array_index(first)?, rest)));
        let mut located = None;
        let mut at = 0_usize;
        loop {
            match wanted {
                Some((index, rest)) if index == at => match items.next_element_seed(Walk { steps: rest })? {
                    Some(found) => located = found,
                    None => return Ok(located),
                },
                _ => {
                    if items.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(located);
                    }
                }
            }
            at += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Some((first, rest)) = self.steps.split_first() else {
            return Err(A::Error::custom("no step left"));
        };
        let mut located = None;
        let mut seen = false;
        while let Some(name) = members.next_key::<String>()? {
            if !same(&name, first) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            if seen {
                return Err(A::Error::custom("member given twice"));
            }
            seen = true;
            if name == *first {
                located = members.next_value_seed(Walk { steps: rest })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(located)
    }
}

/// RFC 6901, 4: digits without a leading zero.
fn array_index(step: &str) -> Option<usize> {
    (step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit())))
        .then(|| step.parse().ok())
        .flatten()
}

/// Whether a lenient backend could take one name for the other.
pub(crate) fn same(a: &str, b: &str) -> bool {
    fn plain(text: &str) -> impl Iterator<Item = char> + '_ {
        text.chars()
            .filter(|c| !matches!(c, '_' | '-'))
            .flat_map(char::to_lowercase)
    }
    a == b || plain(a).eq(plain(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_or_the_body_is_ambiguous() {
        let text = |text: &str| Ok(Located::Text(text.to_owned()));
        for (body, pointer, expected) in [
            (r#"{"county":"A"}"#, "/county", text("A")),
            (r#"{"\u0063ounty":"A"}"#, "/county", text("A")),
            (r#"{"a":{"b":["x","y"]}}"#, "/a/b/1", text("y")),
            (r#"{"a/b":{"~":"x"}}"#, "/a~1b/~0", text("x")),
            (r#"{"county":7}"#, "/county", Ok(Located::Number("7".into()))),
            (
                r#"{"n":12345678901234567890123.50}"#,
                "/n",
                Ok(Located::Number("12345678901234567890123.50".into())),
            ),
            (r#"{"county":null}"#, "/county", Ok(Located::Other)),
            (r#"{"county":["A"]}"#, "/county", Ok(Located::Other)),
            (r#"{"county":{"county":"A"}}"#, "/county", Ok(Located::Other)),
            (r#"{"x":{"county":"A"}}"#, "/county", Ok(Located::Missing)),
            (r#"{"a":["x"]}"#, "/a/01", Ok(Located::Missing)),
            (r#"[]"#, "/county", Ok(Located::Missing)),
            (r#""county""#, "/county", Ok(Located::Missing)),
            (r#"{"county":"A","county":"A"}"#, "/county", Err(Ambiguous)),
            (r#"{"county":"A","c\u006funty":"B"}"#, "/county", Err(Ambiguous)),
            (r#"{"county":"A","COUNTY":"B"}"#, "/county", Err(Ambiguous)),
            (r#"{"COUNTY":"B"}"#, "/county", Ok(Located::Missing)),
            (r#"{"a":{"county":"A"},"a":{}}"#, "/a/county", Err(Ambiguous)),
            (r#"{"county":"A"} {"county":"B"}"#, "/county", Err(Ambiguous)),
            (r#"{"county":"A""#, "/county", Err(Ambiguous)),
            (r#"{"county":"A",}"#, "/county", Err(Ambiguous)),
            ("", "/county", Err(Ambiguous)),
            ("county=A", "/county", Err(Ambiguous)),
        ] {
            assert_eq!(locate(body.as_bytes(), pointer), expected, "{body} {pointer}");
        }
        assert_eq!(locate("[".repeat(100_000).as_bytes(), "/a"), Err(Ambiguous));
        assert_eq!(locate(b"{\"county\":\"\xff\"}", "/county"), Err(Ambiguous));
    }
}
