//! Walks a condition for one request. Strict: an error that is met is the whole condition's.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::cmp::Ordering;

use super::node::{Comparison, Node, Operation, Quantifier, What};
use super::value::{Failure, List, MAX_TEXT, Order, Value, exact};
use super::{Extent, Facts};
use crate::call::document;

/// Why a condition could be neither true nor false for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct EvaluationFault {
    /// The part of the condition where it was met.
    pub at: Extent,
    /// What was wrong.
    pub what: Failure,
}

type Outcome<T> = Result<T, EvaluationFault>;

/// What there is to look at: nothing while constants are folded.
#[derive(Clone, Copy)]
pub(super) struct Scene<'s> {
    pub(super) facts: Option<&'s Facts<'s>>,
    pub(super) item: Option<&'s Value<'s>>,
}

impl Node {
    /// Whether the condition with this root holds.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Outcome<bool> {
        self.truth(Scene {
            facts: Some(facts),
            item: None,
        })
    }

    fn met(&self, what: Failure) -> EvaluationFault {
        EvaluationFault { at: self.at, what }
    }

    /// The value of a part that is a bool.
    pub(super) fn truth(&self, scene: Scene<'_>) -> Outcome<bool> {
        match &self.what {
            What::And(parts) => {
                for part in parts {
                    if !part.truth(scene)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            What::Or(parts) => {
                for part in parts {
                    if part.truth(scene)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            What::Not(part) => Ok(!part.truth(scene)?),
            What::Compare(comparison, sides) => self.compare(*comparison, sides, scene),
            What::In(sides) => self.within(sides, scene),
            What::StartsWith(sides) => sides.texts(scene, |text, other| text.starts_with(other)),
            What::EndsWith(sides) => sides.texts(scene, |text, other| text.ends_with(other)),
            What::Contains(sides) => sides.texts(scene, |text, other| text.contains(other)),
            What::Matches(part, pattern) => Ok(pattern.is_match(&part.text(scene)?)),
            What::InCidr(part, range) => {
                let address = part.value(scene)?.into_ip().map_err(|failure| part.met(failure))?;
                Ok(range.contains(&address))
            }
            What::HasQuery(name) => {
                let facts = self.facts(scene)?;
                let found = facts.call.query.only(name).map_err(|_| self.met(Failure::Twice))?;
                Ok(found.is_some())
            }
            What::HasHeader(name) => {
                let mut values = self.facts(scene)?.call.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (first, None) => Ok(first.is_some()),
                    _ => Err(self.met(Failure::Twice)),
                }
            }
            What::HasMember(part, name) => {
                let members = part.value(scene)?.into_object().map_err(|failure| part.met(failure))?;
                match self.member(members, name) {
                    Ok(_) => Ok(true),
                    Err(fault) if fault.what == Failure::NoMember => Ok(false),
                    Err(fault) => Err(fault),
                }
            }
            What::Each(quantifier, sides) => each(*quantifier, sides, scene),
            _ => self.value(scene)?.into_bool().map_err(|failure| self.met(failure)),
        }
    }

    /// The value of a part.
    pub(super) fn value<'s>(&'s self, scene: Scene<'s>) -> Outcome<Value<'s>> {
        match &self.what {
            What::Constant(value) => Ok(Value::lend(value)),
            What::Item => scene.item.cloned().ok_or_else(|| self.met(Failure::Nothing)),
            What::Member(part, name) => {
                let members = part.value(scene)?.into_object().map_err(|failure| part.met(failure))?;
                self.member(members, name).map(Value::Json)
            }
            What::Index(part, index) => self.element(part, index, scene),
            What::Negate(part) => negate(part.value(scene)?).map_err(|failure| self.met(failure)),
            What::Choose(three) => {
                let [condition, yes, no] = &**three;
                if condition.truth(scene)? {
                    yes.value(scene)
                } else {
                    no.value(scene)
                }
            }
            What::Arithmetic(operation, sides) => {
                let [one, other] = &**sides;
                let (one, other) = (one.value(scene)?, other.value(scene)?);
                arithmetic(*operation, one, other).map_err(|failure| self.met(failure))
            }
            What::List(parts) => {
                let items: Outcome<Vec<_>> = parts.iter().map(|part| part.value(scene)).collect();
                Ok(Value::List(List::Built(items?)))
            }
            What::Size(part) => size(part.value(scene)?).map_err(|failure| part.met(failure)),
            What::LowerAscii(part) => Ok(Value::Text(part.text(scene)?.to_ascii_lowercase().into())),
            What::UpperAscii(part) => Ok(Value::Text(part.text(scene)?.to_ascii_uppercase().into())),
            What::ToText(part) => to_text(part.value(scene)?).map_err(|failure| self.met(failure)),
            What::ToInt(part) => to_int(part.value(scene)?).map_err(|failure| self.met(failure)),
            What::ToTimestamp(part) => {
                let time = read_timestamp(&part.text(scene)?).map_err(|failure| self.met(failure))?;
                Ok(Value::Timestamp(time))
            }
            What::ToDuration(part) => {
                let span = read_duration(&part.text(scene)?).map_err(|failure| self.met(failure))?;
                Ok(Value::Duration(span))
            }
            What::User
            | What::Roles
            | What::Scopes
            | What::Jurisdictions
            | What::Claims
            | What::Method
            | What::Path
            | What::Host
            | What::Segment(_)
            | What::Query(_)
            | What::Header(_)
            | What::Body
            | What::Row
            | What::Source
            | What::Now => self.fact(self.facts(scene)?),
            What::Not(_)
            | What::And(_)
            | What::Or(_)
            | What::Compare(..)
            | What::In(_)
            | What::StartsWith(_)
            | What::EndsWith(_)
            | What::Contains(_)
            | What::Matches(..)
            | What::InCidr(..)
            | What::HasQuery(_)
            | What::HasHeader(_)
            | What::HasMember(..)
            | What::Each(..) => self.truth(scene).map(Value::Bool),
        }
    }

    fn facts<'s>(&self, scene: Scene<'s>) -> Outcome<&'s Facts<'s>> {
        scene.facts.ok_or_else(|| self.met(Failure::Nothing))
    }

    fn fact<'s>(&self, facts: &'s Facts<'s>) -> Outcome<Value<'s>> {
        let call = facts.call;
        let caller = || facts.caller.ok_or_else(|| self.met(Failure::Nothing));
        let json = |json: Option<&'s Json>, missing| json.map(Value::Json).ok_or_else(|| self.met(missing));
        Ok(match &self.what {
            What::User => Value::text(caller()?.user),
            What::Roles => Value::List(List::Names(caller()?.roles)),
            What::Scopes => {
                let caller = caller()?;
                Value::List(List::Chosen(caller.scopes, caller.held))
            }
            What::Jurisdictions => Value::List(List::Strings(caller()?.jurisdictions)),
            What::Claims => Value::Object(caller()?.claims),
            What::Method => Value::text(call.method.as_str()),
            What::Path => Value::text(call.path.decoded()),
            What::Host => Value::text(&call.host),
            What::Segment(index) => {
                let segment = call.path.segment(facts.prefix + index);
                Value::text(segment.ok_or_else(|| self.met(Failure::Absent))?)
            }
            What::Query(name) => match call.query.only(name) {
                Ok(Some(text)) => Value::Text(text),
                Ok(None) => return Err(self.met(Failure::Absent)),
                Err(_) => return Err(self.met(Failure::Twice)),
            },
            What::Header(name) => {
                let mut values = call.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (Some(value), None) => Value::text(value.to_str().map_err(|_| self.met(Failure::NotText))?),
                    (None, _) => return Err(self.met(Failure::Absent)),
                    (Some(_), Some(_)) => return Err(self.met(Failure::Twice)),
                }
            }
            What::Body => json(facts.body, Failure::NoJson)?,
            What::Row => json(facts.row, Failure::Nothing)?,
            What::Source => Value::Ip(facts.source()),
            What::Now => Value::Timestamp(facts.now),
            _ => return Err(self.met(Failure::Nothing)),
        })
    }

    fn text<'s>(&'s self, scene: Scene<'s>) -> Outcome<Cow<'s, str>> {
        self.value(scene)?.into_text().map_err(|failure| self.met(failure))
    }

    fn element<'s>(&'s self, part: &'s Node, index: &'s Node, scene: Scene<'s>) -> Outcome<Value<'s>> {
        let whole = part.value(scene)?.settle().map_err(|failure| part.met(failure))?;
        if let Value::Object(members) = whole {
            let name = index.text(scene)?;
            return self.member(members, &name).map(Value::Json);
        }
        let list = whole.into_list().map_err(|failure| part.met(failure))?;
        let at = index.value(scene)?.into_int().map_err(|failure| index.met(failure))?;
        let missing = || self.met(Failure::NoElement);
        let at = usize::try_from(at).map_err(|_| missing())?;
        match list {
            List::Strings(list) => list.get(at).map(|text| Value::text(text)),
            List::Names(list) => list.get(at).map(|text| Value::text(text)),
            List::Chosen(list, set) => set
                .iter()
                .nth(at)
                .and_then(|at| list.get(at))
                .map(|text| Value::text(text)),
            List::Constant(list) => list.get(at).map(Value::lend),
            List::Built(mut list) => (at < list.len()).then(|| list.swap_remove(at)),
            List::Json(list) => list.get(at).map(Value::Json),
        }
        .ok_or_else(missing)
    }

    /// The member of an object, unless there is another whose name a lenient backend could take for it.
    fn member<'s>(&self, members: &'s Map<String, Json>, name: &str) -> Outcome<&'s Json> {
        let member = members.get(name);
        if members.keys().any(|other| other != name && document::same(other, name)) {
            return Err(self.met(Failure::Twice));
        }
        member.ok_or_else(|| self.met(Failure::NoMember))
    }

    fn compare(&self, comparison: Comparison, sides: &[Node; 2], scene: Scene<'_>) -> Outcome<bool> {
        let [one, other] = sides;
        let (one, other) = (one.value(scene)?, other.value(scene)?);
        let order = one.compare(other).map_err(|failure| self.met(failure))?;
        Ok(match (comparison, order) {
            (Comparison::Equal, Order::Known(order)) => order == Ordering::Equal,
            (Comparison::NotEqual, Order::Known(order)) => order != Ordering::Equal,
            (Comparison::Less, Order::Known(order)) => order == Ordering::Less,
            (Comparison::LessOrEqual, Order::Known(order)) => order != Ordering::Greater,
            (Comparison::Greater, Order::Known(order)) => order == Ordering::Greater,
            (Comparison::GreaterOrEqual, Order::Known(order)) => order != Ordering::Less,
            (Comparison::Equal, Order::Equality(equal)) => equal,
            (Comparison::NotEqual, Order::Equality(equal)) => !equal,
            (_, Order::Equality(_)) => {
                return Err(self.met(Failure::Type {
                    found: "a value without an order",
                    needed: "one with an order",
                }));
            }
        })
    }

    fn within(&self, sides: &[Node; 2], scene: Scene<'_>) -> Outcome<bool> {
        let [one, list] = sides;
        let wanted = one.value(scene)?.settle().map_err(|failure| one.met(failure))?;
        let list = list.value(scene)?.into_list().map_err(|failure| list.met(failure))?;
        // The usual question: is this text among those?
        if let Value::Text(text) = &wanted {
            match &list {
                List::Strings(list) => return Ok(list.iter().any(|item| item == &**text)),
                List::Names(list) => return Ok(list.iter().any(|item| **item == **text)),
                _ => {}
            }
        }
        list.each(|item| item.equals(wanted.clone()))
            .map_err(|failure| self.met(failure))
    }
}

/// Two parts that are texts.
trait Texts {
    fn texts(&self, scene: Scene<'_>, test: impl FnOnce(&str, &str) -> bool) -> Outcome<bool>;
}

impl Texts for [Node; 2] {
    fn texts(&self, scene: Scene<'_>, test: impl FnOnce(&str, &str) -> bool) -> Outcome<bool> {
        let [one, other] = self;
        let text = one.text(scene)?;
        let other = other.text(scene)?;
        Ok(test(&text, &other))
    }
}

fn each(quantifier: Quantifier, sides: &[Node; 2], scene: Scene<'_>) -> Outcome<bool> {
    let [list, asked] = sides;
    let items = list.value(scene)?.into_list().map_err(|failure| list.met(failure))?;
    let mut count = 0_usize;
    let stopped = items.each(|item| {
        let holds = asked.truth(Scene {
            facts: scene.facts,
            item: Some(&item),
        })?;
        count += usize::from(holds);
        Ok(match quantifier {
            Quantifier::Exists => holds,
            Quantifier::All => !holds,
            Quantifier::ExistsOne => false,
        })
    })?;
    Ok(match quantifier {
        Quantifier::Exists => stopped,
        Quantifier::All => !stopped,
        Quantifier::ExistsOne => count == 1,
    })
}

fn negate(value: Value<'_>) -> Result<Value<'static>, Failure> {
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

fn arithmetic<'s>(operation: Operation, one: Value<'s>, other: Value<'s>) -> Result<Value<'s>, Failure> {
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
fn size(value: Value<'_>) -> Result<Value<'static>, Failure> {
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

fn to_text(value: Value<'_>) -> Result<Value<'_>, Failure> {
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

fn to_int(value: Value<'_>) -> Result<Value<'static>, Failure> {
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
fn read_timestamp(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|_| Failure::Unreadable("timestamp"))
}

/// `1h30m`, `90s`, `250ms`: whole numbers with units.
fn read_duration(text: &str) -> Result<SignedDuration, Failure> {
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
