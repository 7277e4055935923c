//! Values while a condition is evaluated: borrowed from the request wherever that is possible.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::policy::bits::Bits;

/// Longest text that `+` makes, in bytes.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// Whole numbers up to here are exact as doubles, and so are those that JSON writes (RFC 8259, section 6).
const EXACT: i64 = 1 << 53;

/// Most characters of a value that an explanation repeats.
const MAX_SHOWN: usize = 80;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'f> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'f, str>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    Ip(IpAddr),
    List(List<'f>),
    /// Not looked at yet.
    Json(&'f Json),
    Object(&'f Map<String, Json>),
}

/// A list.
#[derive(Clone, Debug)]
pub(super) enum List<'f> {
    Strings(&'f [String]),
    Names(&'f [Arc<str>]),
    /// Those names whose index is in the set.
    Chosen(&'f [Arc<str>], &'f Bits),
    Constant(&'f [Value<'static>]),
    Built(Vec<Value<'f>>),
    Json(&'f [Json]),
}

/// What went wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not in the request.
    #[error("the request has none")]
    Absent,
    /// More than one reading.
    #[error("the request has more than one, or one in an unusual spelling")]
    Twice,
    /// Of a path, with what some backends cut off.
    #[error("it has `;` parameters, which some backends cut off")]
    Unsettled,
    /// A header of bytes that are no text.
    #[error("it is no text")]
    NotText,
    /// There is no such member.
    #[error("there is no such member")]
    NoMember,
    /// The list is shorter.
    #[error("the list has no such element")]
    NoElement,
    /// A dynamic value is of another type.
    #[error("it is {found} where {needed} is needed")]
    Type {
        /// What it is.
        found: &'static str,
        /// What it should be.
        needed: &'static str,
    },
    /// Two dynamic values, or a dynamic and a typed one, that cannot be compared.
    #[error("{0} cannot be compared with {1}")]
    Incomparable(&'static str, &'static str),
    /// Arithmetic that leaves 64 bits.
    #[error("the result does not fit into 64 bits")]
    Overflow,
    /// Division by nothing.
    #[error("division by zero")]
    DivisionByZero,
    /// A JSON number that two readers could read differently.
    #[error("the number is too large to be exact")]
    Inexact,
    /// Concatenation beyond its limit.
    #[error("the text is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// A text that is not what a conversion reads.
    #[error("the text is no {0}")]
    Unreadable(&'static str),
    /// The body is no JSON, or has two readings.
    #[error("it is no JSON, is too large or nested too deeply, or gives a member twice")]
    NoJson,
    /// There is no caller, no row.
    #[error("there is none")]
    Nothing,
}

impl<'f> Value<'f> {
    /// A text.
    pub(super) fn text(text: &'f str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// What a dynamic value is.
    pub(super) fn settle(self) -> Result<Self, Failure> {
        let Self::Json(json) = self else { return Ok(self) };
        Ok(match json {
            Json::Null => {
                return Err(Failure::Type {
                    found: "null",
                    needed: "a value",
                });
            }
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Int(whole),
                (None, Some(double)) if double.abs() < double_of(EXACT) => Self::Double(double),
                _ => return Err(Failure::Inexact),
            },
            Json::String(text) => Self::text(text),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(members) => Self::Object(members),
        })
    }

    /// In an author's words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) | Self::Json(Json::Bool(_)) => "a bool",
            Self::Int(_) | Self::Double(_) | Self::Json(Json::Number(_)) => "a number",
            Self::Text(_) | Self::Json(Json::String(_)) => "a text",
            Self::Timestamp(_) => "a timestamp",
            Self::Duration(_) => "a duration",
            Self::Ip(_) => "an address",
            Self::List(_) | Self::Json(Json::Array(_)) => "a list",
            Self::Object(_) | Self::Json(Json::Object(_)) => "an object",
            Self::Json(Json::Null) => "null",
        }
    }

    fn not(&self, needed: &'static str) -> Failure {
        Failure::Type {
            found: self.kind(),
            needed,
        }
    }

    pub(super) fn into_bool(self) -> Result<bool, Failure> {
        match self.settle()? {
            Self::Bool(flag) => Ok(flag),
            other => Err(other.not("a bool")),
        }
    }

    pub(super) fn into_int(self) -> Result<i64, Failure> {
        match self.settle()? {
            Self::Int(number) => Ok(number),
            other => Err(other.not("a whole number")),
        }
    }

    pub(super) fn into_text(self) -> Result<Cow<'f, str>, Failure> {
        match self.settle()? {
            Self::Text(text) => Ok(text),
            other => Err(other.not("a text")),
        }
    }

    pub(super) fn into_list(self) -> Result<List<'f>, Failure> {
        match self.settle()? {
            Self::List(list) => Ok(list),
            other => Err(other.not("a list")),
        }
    }

    pub(super) fn into_ip(self) -> Result<IpAddr, Failure> {
        match self {
            Self::Ip(address) => Ok(address),
            other => Err(other.not("an address")),
        }
    }

    pub(super) fn into_object(self) -> Result<&'f Map<String, Json>, Failure> {
        match self.settle()? {
            Self::Object(members) => Ok(members),
            other => Err(other.not("an object")),
        }
    }

    /// A constant, lent.
    pub(super) fn lend(constant: &'f Value<'static>) -> Self {
        match constant {
            Value::Text(text) => Self::text(text),
            Value::List(List::Built(items)) => Self::List(List::Constant(items)),
            other => other.clone(),
        }
    }

    /// A value that outlives the request.
    pub(super) fn keep(self) -> Option<Value<'static>> {
        Some(match self {
            Self::Bool(flag) => Value::Bool(flag),
            Self::Int(number) => Value::Int(number),
            Self::Double(number) => Value::Double(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Timestamp(at) => Value::Timestamp(at),
            Self::Duration(span) => Value::Duration(span),
            Self::Ip(address) => Value::Ip(address),
            Self::List(List::Built(items)) => {
                Value::List(List::Built(items.into_iter().map(Value::keep).collect::<Option<_>>()?))
            }
            Self::List(List::Constant(items)) => Value::List(List::Built(items.to_vec())),
            Self::List(_) | Self::Json(_) | Self::Object(_) => return None,
        })
    }

    /// How two values of one kind are ordered; `None` for kinds that have no order but can be equal.
    pub(super) fn compare(self, other: Self) -> Result<Order, Failure> {
        let (one, other) = (self.settle()?, other.settle()?);
        Ok(match (&one, &other) {
            (Self::Int(a), Self::Int(b)) => Order::Known(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => Order::Known(a.partial_cmp(b).ok_or(Failure::Inexact)?),
            (Self::Int(a), Self::Double(b)) => Order::Known(compare_mixed(*a, *b)?),
            (Self::Double(a), Self::Int(b)) => Order::Known(compare_mixed(*b, *a)?.reverse()),
            (Self::Text(a), Self::Text(b)) => Order::Known(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Order::Known(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Order::Known(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Order::Equality(a == b),
            (Self::Ip(a), Self::Ip(b)) => Order::Equality(a == b),
            _ => return Err(Failure::Incomparable(one.kind(), other.kind())),
        })
    }

    /// Whether two values of one kind are equal.
    pub(super) fn equals(self, other: Self) -> Result<bool, Failure> {
        Ok(match self.compare(other)? {
            Order::Known(order) => order == Ordering::Equal,
            Order::Equality(equal) => equal,
        })
    }
}

/// How two values relate.
pub(super) enum Order {
    Known(Ordering),
    Equality(bool),
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, which is where it is used")]
pub(super) fn double_of(whole: i64) -> f64 {
    whole as f64
}

/// Compares without rounding: the double is cut to its whole part, which fits.
fn compare_mixed(whole: i64, double: f64) -> Result<Ordering, Failure> {
    if double.is_nan() {
        return Err(Failure::Inexact);
    }
    let limit = double_of(1 << 62) * 2.0;
    if double >= limit {
        return Ok(Ordering::Less);
    }
    if double < -limit {
        return Ok(Ordering::Greater);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the limits of i64, and cut on purpose"
    )]
    let cut = double.trunc() as i64;
    let fraction = double.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal);
    Ok(whole.cmp(&cut).then(fraction.reverse()))
}

/// A whole number as a double, if that is exact.
pub(super) fn exact(whole: i64) -> Result<f64, Failure> {
    if whole.unsigned_abs() > EXACT.unsigned_abs() {
        return Err(Failure::Inexact);
    }
    Ok(double_of(whole))
}

impl List<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Strings(list) => list.len(),
            Self::Names(list) => list.len(),
            Self::Chosen(_, set) => set.iter().count(),
            Self::Constant(list) => list.len(),
            Self::Built(list) => list.len(),
            Self::Json(list) => list.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'_>> {
        Some(match self {
            Self::Strings(list) => Value::text(list.get(index)?),
            Self::Names(list) => Value::text(list.get(index)?),
            Self::Chosen(list, set) => Value::text(list.get(set.iter().nth(index)?)?),
            Self::Constant(list) => Value::lend(list.get(index)?),
            Self::Built(list) => list.get(index)?.clone(),
            Self::Json(list) => Value::Json(list.get(index)?),
        })
    }

    /// Asks each element until one answers.
    pub(super) fn each<E>(&self, mut ask: impl FnMut(Value<'_>) -> Result<bool, E>) -> Result<bool, E> {
        if let Self::Chosen(list, set) = self {
            for name in set.iter().filter_map(|index| list.get(index)) {
                if ask(Value::text(name))? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let mut index = 0;
        while let Some(value) = self.get(index) {
            if ask(value)? {
                return Ok(true);
            }
            index += 1;
        }
        Ok(false)
    }
}

/// For explanations, offline.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number}"),
            Self::Text(text) => {
                let shown: String = text.escape_debug().take(MAX_SHOWN).collect();
                write!(f, "`{shown}`")
            }
            Self::Timestamp(at) => write!(f, "{at}"),
            Self::Duration(span) => write!(f, "{}s", span.as_secs()),
            Self::Ip(address) => write!(f, "{address}"),
            Self::List(list) => {
                const MAX_ITEMS: usize = 8;
                f.write_str("[")?;
                for index in 0..list.len().min(MAX_ITEMS) {
                    let comma = if index > 0 { ", " } else { "" };
                    if let Some(value) = list.get(index) {
                        write!(f, "{comma}{value}")?;
                    }
                }
                f.write_str(if list.len() > MAX_ITEMS { ", …]" } else { "]" })
            }
            Self::Json(json) => match Value::Json(json).settle() {
                Ok(value) => write!(f, "{value}"),
                Err(_) => f.write_str(self.kind()),
            },
            Self::Object(_) => f.write_str("an object"),
        }
    }
}
