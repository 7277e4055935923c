//! Walks a condition for one request. Strict: an error that is met is the whole condition's.

use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::cmp::Ordering;

use super::node::{CertificateName, Comparison, Node, Quantifier, What};
use super::operations::{arithmetic, negate, read_duration, read_timestamp, size, to_int, to_text};
use super::value::{Failure, List, Order, Value};
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
            What::HasCertificate(name) => Ok(certified(self.facts(scene)?, *name).is_some()),
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
            | What::Certificate(_)
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
            | What::HasCertificate(_)
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
            What::Certificate(name) => Value::text(certified(facts, *name).ok_or_else(|| self.met(Failure::Absent))?),
            What::Method => Value::text(call.method.as_str()),
            What::Path => Value::text(call.path.settled().map_err(|_| self.met(Failure::Unsettled))?),
            What::Host => Value::text(&call.host),
            What::Segment(index) => {
                let segment = call.path.settled_segment(facts.prefix + index);
                let segment = segment.map_err(|_| self.met(Failure::Unsettled))?;
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

/// What a name of the client's certificate is, if it has shown one that has it.
fn certified<'s>(facts: &'s Facts<'s>, name: CertificateName) -> Option<&'s str> {
    let certificate = facts.call.certificate.as_deref()?;
    match name {
        CertificateName::SpiffeId => certificate.spiffe_id.as_deref(),
        CertificateName::CommonName => certificate.common_name.as_deref(),
        CertificateName::Sha256 => Some(&certificate.fingerprint),
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
