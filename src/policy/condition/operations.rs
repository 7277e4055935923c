//! Arithmetic and conversions: checked, so that what does not fit is an error and never another number.

use jiff::{SignedDuration, Timestamp};

use super::node::Operation;
use super::value::{Failure, MAX_TEXT, Value, exact};

pub(super) fn negate(value: Value<'_>) -> Result<Value<'static>, Failure> {
    match value.settle()? {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(Failure::Overflow),
        Value::Double(number) => Ok(Value::Double(-number)),
        Value::Duration(span) => span.checked_neg().map(Value::Duration).ok_or(Failure::Overflow),
        other => Err(Failure::Type {
            found: other.kind(),
            needed: "a number",
        }),
    }
}

pub(super) fn arithmetic<'s>(operation: Operation, one: Value<'s>, other: Value<'s>) -> Result<Value<'s>, Failure> {
    match (one.settle()?, other.settle()?) {
        (Value::Int(a), Value::Int(b)) => whole(operation, a, b).map(Value::Int),
        (Value::Double(a), Value::Double(b)) => double(operation, a, b),
        (Value::Int(a), Value::Double(b)) => double(operation, exact(a)?, b),
        (Value::Double(a), Value::Int(b)) => double(operation, a, exact(b)?),
        (Value::Text(a), Value::Text(b)) if operation == Operation::Add => {
            if a.len().saturating_add(b.len()) > MAX_TEXT {
                return Err(Failure::TooLong);
            }
            Ok(Value::Text(a + b))
        }
        (one, other) => times(operation, &one, &other),
    }
}

/// Points in time and the spans between them.
fn times<'s>(operation: Operation, one: &Value<'_>, other: &Value<'_>) -> Result<Value<'s>, Failure> {
    use Operation::{Add, Subtract};
    match (operation, one, other) {
        (Add, Value::Timestamp(at), Value::Duration(span)) | (Add, Value::Duration(span), Value::Timestamp(at)) => at
            .checked_add(*span)
            .map(Value::Timestamp)
            .map_err(|_| Failure::Overflow),
        (Subtract, Value::Timestamp(at), Value::Duration(span)) => at
            .checked_sub(*span)
            .map(Value::Timestamp)
            .map_err(|_| Failure::Overflow),
        (Subtract, Value::Timestamp(a), Value::Timestamp(b)) => Ok(Value::Duration(a.duration_since(*b))),
        (Add, Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or(Failure::Overflow)
        }
        (Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or(Failure::Overflow)
        }
        _ => Err(Failure::Incomparable(one.kind(), other.kind())),
    }
}

fn whole(operation: Operation, a: i64, b: i64) -> Result<i64, Failure> {
    if b == 0 && matches!(operation, Operation::Divide | Operation::Remainder) {
        return Err(Failure::DivisionByZero);
    }
    match operation {
        Operation::Add => a.checked_add(b),
        Operation::Subtract => a.checked_sub(b),
        Operation::Multiply => a.checked_mul(b),
        Operation::Divide => a.checked_div(b),
        Operation::Remainder => a.checked_rem(b),
    }
    .ok_or(Failure::Overflow)
}

fn double<'s>(operation: Operation, a: f64, b: f64) -> Result<Value<'s>, Failure> {
    if b == 0.0 && operation == Operation::Divide {
        return Err(Failure::DivisionByZero);
    }
    let result = match operation {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        Operation::Divide => a / b,
        Operation::Remainder => {
            return Err(Failure::Type {
                found: "a number with a point",
                needed: "a whole number",
            });
        }
    };
    if result.is_finite() {
        Ok(Value::Double(result))
    } else {
        Err(Failure::Overflow)
    }
}

/// Characters of a text, elements of a list, members of an object.
pub(super) fn size(value: Value<'_>) -> Result<Value<'static>, Failure> {
    let size = match value.settle()? {
        Value::Text(text) => text.chars().count(),
        Value::List(list) => list.len(),
        Value::Object(members) => members.len(),
        other => {
            return Err(Failure::Type {
                found: other.kind(),
                needed: "a text or a list",
            });
        }
    };
    i64::try_from(size).map(Value::Int).map_err(|_| Failure::Overflow)
}

pub(super) fn to_text(value: Value<'_>) -> Result<Value<'_>, Failure> {
    Ok(match value.settle()? {
        Value::Text(text) => Value::Text(text),
        Value::Int(number) => Value::Text(number.to_string().into()),
        Value::Bool(flag) => Value::text(if flag { "true" } else { "false" }),
        other => {
            return Err(Failure::Type {
                found: other.kind(),
                needed: "a text, a whole number or a bool",
            });
        }
    })
}

pub(super) fn to_int(value: Value<'_>) -> Result<Value<'static>, Failure> {
    Ok(Value::Int(match value.settle()? {
        Value::Int(number) => number,
        Value::Text(text) => text.parse().map_err(|_| Failure::Unreadable("whole number"))?,
        Value::Timestamp(at) => at.as_second(),
        other => {
            return Err(Failure::Type {
                found: other.kind(),
                needed: "a whole number, a text or a timestamp",
            });
        }
    }))
}

/// RFC 3339.
pub(super) fn read_timestamp(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|_| Failure::Unreadable("timestamp"))
}

/// `1h30m`, `90s`, `250ms`: whole numbers with units.
pub(super) fn read_duration(text: &str) -> Result<SignedDuration, Failure> {
    const UNREADABLE: Failure = Failure::Unreadable("duration");
    let (mut rest, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if rest.is_empty() {
        return Err(UNREADABLE);
    }
    let mut milliseconds = 0_i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or(UNREADABLE)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters).ok_or(UNREADABLE)?;
        let length = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(UNREADABLE),
        };
        let number: i64 = number.parse().map_err(|_| UNREADABLE)?;
        milliseconds = number
            .checked_mul(length)
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or(Failure::Overflow)?;
        rest = after;
    }
    Ok(SignedDuration::from_millis(if negative {
        -milliseconds
    } else {
        milliseconds
    }))
}
