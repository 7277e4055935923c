//! JSON that can be read in one way only: no member is given twice, at any depth, and nothing is nested too deeply
//! (RFC 8259, 4: what a reader makes of a name that is given twice is unpredictable).

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// How deep the JSON of a body may be nested that a condition reads.
pub const MAX_BODY_DEPTH: usize = 64;

/// Most values in a body that a condition reads, as [`read_within`] counts: some 40 MB of memory while it is looked at.
pub const MAX_BODY_VALUES: usize = 1_000_000;

/// What an object costs of a budget of values, beside its members: an empty one takes as much memory as these.
const OBJECT_COST: usize = 16;

/// Reads a value; with anything after it, it is none.
#[must_use]
pub fn read(bytes: &[u8], depth: usize) -> Option<Value> {
    read_within(bytes, depth, usize::MAX)
}

/// Reads a value of at most `values` values, an object counting for some more: a small body cannot take much memory.
#[must_use]
pub fn read_within(bytes: &[u8], depth: usize, values: usize) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(values);
    let value = Strict { depth, left: &left }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

#[derive(Clone, Copy)]
struct Strict<'l> {
    depth: usize,
    /// How many values there may still be.
    left: &'l Cell<usize>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth, ..self })
    }

    fn spend<E: serde::de::Error>(self, values: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(values);
        self.left.set(left.ok_or_else(|| E::custom("too many values"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.spend(1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        self.spend(OBJECT_COST)?;
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if all.insert(name, value).is_some() {
                return Err(A::Error::custom("member given twice"));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_two_readings_is_none() {
        for (text, good) in [
            (r#"{"a":1,"b":[{"a":1},{"a":2}]}"#, true),
            ("[]", true),
            ("7", true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":1}"#, false),
            (r#"[{"x":{"a":1,"a":2}}]"#, false),
            (r#"{"a":1} {}"#, false),
            (r#"{"a":1,}"#, false),
            ("", false),
        ] {
            assert_eq!(read(text.as_bytes(), MAX_BODY_DEPTH).is_some(), good, "{text}");
        }
        assert_eq!(read(b"\"\xff\"", MAX_BODY_DEPTH), None);
    }

    #[test]
    fn values_have_a_limit() {
        for (text, cost) in [
            ("7", 1),
            ("[]", 1),
            ("[1,2,3]", 4),
            ("{}", 17),
            (r#"{"a":1,"b":[2]}"#, 20),
        ] {
            assert!(read_within(text.as_bytes(), 8, cost).is_some(), "{text}");
            assert_eq!(read_within(text.as_bytes(), 8, cost - 1), None, "{text}");
        }
    }

    #[test]
    fn a_body_of_nothing_but_objects_has_a_limit() {
        let body = |objects: usize| format!("[{}{{}}]", "{},".repeat(objects - 1));
        let most = MAX_BODY_VALUES / (OBJECT_COST + 1);
        let reads = |objects| read_within(body(objects).as_bytes(), MAX_BODY_DEPTH, MAX_BODY_VALUES).is_some();
        assert!(reads(most / 2) && !reads(2 * most));
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(MAX_BODY_DEPTH).as_bytes(), MAX_BODY_DEPTH).is_some());
        assert_eq!(read(nested(MAX_BODY_DEPTH + 1).as_bytes(), MAX_BODY_DEPTH), None);
    }
}
